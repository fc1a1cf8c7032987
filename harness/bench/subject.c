/* SPDX-License-Identifier: BSD-3-Clause */
/* subject.c - see subject.h. */
#include "subject.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

#define READY_MS 20000
/* Bytes of a REGION_READ, and of its reply with 4 bytes of data. */
#define ACCESS 32
#define ACCESS_REPLY 36

struct subject {
	struct target *target;
	clockid_t clock; /* processor time of the server */
	int fd;
	char directory[32], socket[48];
};

static struct subject subject = { .fd = -1 };

void subject_end(void)
{
	if (subject.target)
		target_stop(subject.target, READY_MS, NULL);
	target_free(subject.target);
	if (subject.directory[0])
		rmdir(subject.directory);
	subject = (struct subject){ .fd = -1 };
}

_Noreturn void subject_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	subject_end();
	exit(1);
}

void subject_emit(const char *unit, double value, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("{\"name\": \"", stdout);
	vprintf(format, arguments);
	printf("\", \"unit\": \"%s\", \"value\": %.6g}\n", unit, value);
	va_end(arguments);
}

static double subject_clock(clockid_t clock)
{
	struct timespec time;

	if (clock_gettime(clock, &time))
		subject_fail("clock: %s", strerror(errno));
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double subject_now(void)
{
	return subject_clock(CLOCK_MONOTONIC);
}

struct subject_cost subject_cost_begin(void)
{
	return (struct subject_cost){ subject_now(), subject_clock(subject.clock) };
}

struct subject_cost subject_cost_end(struct subject_cost begin)
{
	struct subject_cost end = subject_cost_begin();

	return (struct subject_cost){ end.seconds - begin.seconds, end.cpu - begin.cpu };
}

int subject_fd(void)
{
	return subject.fd;
}

struct wire_header subject_header(uint16_t command, size_t size)
{
	static uint16_t id;

	id++;
	return (struct wire_header){ .id = id, .command = command, .msg_size = (uint32_t)size };
}

void subject_attach(struct msghdr *msg, void *control, int fd)
{
	struct cmsghdr *c = control;

	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(sizeof(fd));
	memset(control, 0, CMSG_SPACE(sizeof(fd)));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

/* The reply is in `reply`, of at most SUBJECT_BUFFER bytes; its size. */
size_t subject_call(const void *message, size_t size, int fd, uint8_t *reply)
{
	struct iovec iov = { (void *)(uintptr_t)message, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fd))];
	struct wire_header got = { .msg_size = sizeof(got) };
	size_t have = 0;

	if (fd >= 0)
		subject_attach(&msg, control, fd);
	if (sendmsg(subject.fd, &msg, MSG_NOSIGNAL) != (ssize_t)size)
		subject_fail("send: %s", strerror(errno));
	while (have < got.msg_size) {
		ssize_t n = recv(subject.fd, reply + have, SUBJECT_BUFFER - have, 0);

		if (n <= 0)
			subject_fail("no reply: %s", n ? strerror(errno) : "closed");
		have += (size_t)n;
		if (have >= sizeof(got))
			memcpy(&got, reply, sizeof(got));
	}
	if (got.flags & WIRE_ERROR)
		subject_fail("command %u is refused: %s", got.command, strerror((int)got.error));
	return have;
}

static void subject_version(const char *capabilities)
{
	struct {
		struct wire_header header;
		struct wire_version version;
		char text[512];
	} WIRE_PACKED message = { { 0 }, { 0, 0 }, { 0 } };
	int length = snprintf(message.text, sizeof(message.text),
			      "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":"
			      "1048576,\"max_dma_maps\":4194304%s}}",
			      capabilities);
	size_t size = offsetof(__typeof__(message), text) + (size_t)length + 1;
	uint8_t reply[SUBJECT_BUFFER];

	if (length < 0 || size > sizeof(message))
		subject_fail("capabilities are too long");
	message.header = subject_header(WIRE_VERSION, size);
	subject_call(&message, size, -1, reply);
}

uint32_t subject_read(uint64_t offset)
{
	struct subject_access message = { subject_header(WIRE_REGION_READ, ACCESS),
					  { offset, WIRE_REGION_INDEX_BAR0, 4 },
					  0 };
	uint8_t reply[SUBJECT_BUFFER];
	uint32_t value;

	if (subject_call(&message, ACCESS, -1, reply) != ACCESS_REPLY)
		subject_fail("not the reply to REGION_READ");
	memcpy(&value, reply + ACCESS_REPLY - sizeof(value), sizeof(value));
	return value;
}

void subject_write(uint64_t offset, uint64_t value, uint32_t size)
{
	struct subject_access message = { subject_header(WIRE_REGION_WRITE, ACCESS + size),
					  { offset, WIRE_REGION_INDEX_BAR0, size },
					  value };
	uint8_t reply[SUBJECT_BUFFER];

	subject_call(&message, ACCESS + size, -1, reply);
}

int subject_interrupt(uint32_t vector)
{
	struct {
		struct wire_header header;
		struct wire_irq_set set;
	} WIRE_PACKED message = {
		subject_header(WIRE_DEVICE_SET_IRQS, sizeof(message)),
		{ sizeof(message.set), WIRE_IRQ_SET_DATA_EVENTFD | WIRE_IRQ_SET_ACTION_TRIGGER,
		  WIRE_IRQ_INDEX_MSIX, vector, 1 },
	};
	int fd = eventfd(0, EFD_CLOEXEC);
	uint8_t reply[SUBJECT_BUFFER];

	if (fd < 0)
		subject_fail("eventfd: %s", strerror(errno));
	subject_call(&message, sizeof(message), fd, reply);
	return fd;
}

struct subject_map subject_map(uint64_t page, uint64_t pages)
{
	return (struct subject_map){
		subject_header(WIRE_DMA_MAP, sizeof(struct subject_map)),
		{ sizeof(struct wire_dma_map), WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE,
		  page * SUBJECT_PAGE, SUBJECT_BASE + page * SUBJECT_PAGE, pages * SUBJECT_PAGE },
	};
}

struct subject_unmap subject_unmap(uint64_t page, uint64_t pages)
{
	return (struct subject_unmap){
		subject_header(WIRE_DMA_UNMAP, sizeof(struct subject_unmap)),
		{ sizeof(struct wire_dma_unmap), 0, SUBJECT_BASE + page * SUBJECT_PAGE,
		  pages * SUBJECT_PAGE },
	};
}

int subject_file(uint64_t pages)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)(pages * SUBJECT_PAGE)))
		subject_fail("memfd: %s", strerror(errno));
	return fd;
}

struct proc_resources subject_resources(void)
{
	struct proc_resources now_held;
	int error = target_resources(subject.target, &now_held);

	if (error)
		subject_fail("resources: %s", strerror(-error));
	return now_held;
}

static void subject_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval limit = { .tv_sec = SUBJECT_WAIT_MS / 1000 };

	memcpy(address.sun_path, subject.socket, sizeof(subject.socket));
	subject.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (subject.fd < 0 || connect(subject.fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(subject.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		subject_fail("connect: %s", strerror(errno));
}

/* The argument with {socket} filled in; lives as long as we do. */
static const char *subject_fill_in(const char *argument)
{
	static const char place[] = "{socket}";
	const char *at = strstr(argument, place);
	char *filled;

	if (!at)
		return argument;
	if (asprintf(&filled, "%.*s%s%s", (int)(at - argument), argument, subject.socket,
		     at + strlen(place)) < 0)
		subject_fail("no memory");
	return filled;
}

void subject_begin(const char *const *arguments, int count, const char *capabilities)
{
	const char **argv = calloc((size_t)count + 1, sizeof(*argv));
	struct target_start start = { .argv = argv, .limit_nofile = -1 };
	struct target_state state;
	int error;

	snprintf(subject.directory, sizeof(subject.directory), "/tmp/vuc-bench-XXXXXX");
	if (!argv || !mkdtemp(subject.directory))
		subject_fail("mkdtemp: %s", strerror(errno));
	snprintf(subject.socket, sizeof(subject.socket), "%s/socket", subject.directory);
	for (int i = 0; i < count; i++)
		argv[i] = subject_fill_in(arguments[i]);
	start.socket_path = subject.socket;
	error = target_start(&start, &subject.target);
	if (error)
		subject_fail("%s: %s", argv[0], strerror(-error));
	error = target_wait_ready(subject.target, READY_MS);
	if (error || target_state(subject.target, &state))
		subject_fail("%s does not listen: %s", argv[0], strerror(-error));
	if (clock_getcpuclockid(state.pid, &subject.clock))
		subject_fail("no processor clock of %d", state.pid);
	free(argv);
	subject_connect();
	subject_version(capabilities);
}
