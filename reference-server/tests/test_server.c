/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_server.c - what a thread of DMA that never comes back costs: the device that it works for,
 * and nothing else.
 *
 * The page that the device writes to is withheld by userfaultfd, and the signal that gets a thread
 * out of such a copy is blocked: so it stays there whatever the server does, as it would with a
 * file of a file system that has gone. One case, because cmocka takes the handlers of signals away
 * after each.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#include <linux/userfaultfd.h>

#include <cmocka.h>

#include "files.h"
#include "server.h"

#define PATIENCE_MS 20000
#define TURNS 100000
#define ADDRESS 0x10000u
#define FILL 5u
/* What a bare device keeps: the eventfd of its threads, and BAR2. */
#define DEVICE_FDS 2
#define EVENTFD "anon_inode:[eventfd]"

static const char capabilities[] = "{\"capabilities\":{\"max_msg_fds\":1}}";

struct bench {
	struct sockaddr_un address;
	socklen_t address_size;
	struct server *server;
	int stop;		/* eventfd */
	pthread_t thread;
	int result;		/* of server_run() */
};

/* A client, and the page that the device waits for. */
struct client {
	int fd;
	int file;
	int withheld;		/* userfaultfd */
};

static unsigned int count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned int n = 0;

	assert_non_null(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

static int listen_somewhere(struct bench *bench)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	bench->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	bench->address_size = sizeof(bench->address);
	/* Without a path the kernel chooses an abstract name. */
	assert_int_equal(bind(fd, (struct sockaddr *)&bench->address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bench->address, &bench->address_size),
			 0);
	return fd;
}

static void *serve(void *arg)
{
	struct bench *bench = arg;

	bench->result = server_run(bench->server, bench->stop);
	return NULL;
}

/* A server with one device, whose threads cannot be interrupted. */
static void start(struct bench *bench)
{
	const struct server_options options = {
		.fd = listen_somewhere(bench),
		.devices = 1,
		.profile = DEVICE_VDMA,
		.offer = {
			.max_msg_fds = 1,
			.max_data_xfer_size = WIRE_DEFAULT_MAX_DATA_XFER_SIZE,
			.max_dma_maps = 16,
			.pgsizes = WIRE_DEFAULT_PGSIZES,
		},
		.t_partial = PATIENCE_MS,
		.t_idle = PATIENCE_MS,
		.t_dma = PATIENCE_MS,
		.t_drain = PATIENCE_MS,
		.dma_threads = 1,
		.quotas = { 1 << 20, 16, 1 << 20, 1 << 20 },
	};
	sigset_t interrupt, before;

	bench->stop = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(server_open(&bench->server, &options), 0);
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &interrupt, &before);
	assert_int_equal(pthread_create(&bench->thread, NULL, serve, bench), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The server ends, though a thread does not. */
static void stop(struct bench *bench)
{
	const uint64_t one = 1;
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += PATIENCE_MS / 1000;
	assert_int_equal(write(bench->stop, &one, sizeof(one)), sizeof(one));
	assert_int_equal(pthread_timedjoin_np(bench->thread, NULL, &limit), 0);
	assert_int_equal(bench->result, 0);
	server_close(bench->server);
	close(bench->stop);
}

static void await_readable(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&pollfd, 1, PATIENCE_MS), 1);
	assert_int_equal(pollfd.revents, POLLIN);
}

/* Sends a command, with a descriptor unless that is -1, and takes the reply: it succeeds. */
static void call(int socket_fd, uint16_t command, const void *body, size_t size, int fd)
{
	struct wire_header header = { 1, command, (uint32_t)(sizeof(header) + size), 0, 0 };
	struct iovec iov[] = { { &header, sizeof(header) }, { (void *)(uintptr_t)body, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fd))];
	} control = { .header = { CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS } };
	uint8_t reply[4096];

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	assert_int_equal(sendmsg(socket_fd, &msg, MSG_NOSIGNAL), header.msg_size);
	await_readable(socket_fd);
	assert_true(recv(socket_fd, reply, sizeof(reply), 0) >= (ssize_t)sizeof(header));
	memcpy(&header, reply, sizeof(header));
	assert_int_equal(header.command, command);
	assert_int_equal(header.flags & WIRE_ERROR, 0);
}

static void store(int socket_fd, uint32_t slot_register, uint64_t value, uint32_t size)
{
	struct {
		struct wire_region_access access;
		uint64_t value;
	} WIRE_PACKED body = {
		{ DEVICE_SLOT_REGISTERS + slot_register, WIRE_REGION_INDEX_BAR0, size }, value
	};

	call(socket_fd, WIRE_REGION_WRITE, &body, sizeof(body.access) + size, -1);
}

/* Where the server has mapped the file; its pages are withheld from now on. -1: cannot be done. */
static int withhold(void)
{
	struct uffdio_register area = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], *end;
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	assert_non_null(maps);
	do
		assert_non_null(fgets(line, sizeof(line), maps));
	while (!strstr(line, "memfd:test"));
	fclose(maps);
	area.range.start = strtoull(line, &end, 16);
	assert_int_equal(*end, '-');
	area.range.len = strtoull(end + 1, NULL, 16) - area.range.start;
	if (fd >= 0 && (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &area))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A client whose device writes to a page that does not come. Whether that can be had here. */
static bool hang(const struct bench *bench, struct client *client)
{
	struct wire_dma_map map = {
		sizeof(map), WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE, 0, ADDRESS, PAGE
	};
	uint8_t version[sizeof(struct wire_version) + sizeof(capabilities)] = { 0 };
	struct uffd_msg event;

	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client->fd, (const struct sockaddr *)&bench->address,
				 bench->address_size), 0);
	memcpy(version + sizeof(struct wire_version), capabilities, sizeof(capabilities));
	call(client->fd, WIRE_VERSION, version, sizeof(version), -1);
	client->file = file_of(PAGE);
	call(client->fd, WIRE_DMA_MAP, &map, sizeof(map), client->file);
	client->withheld = withhold();
	if (client->withheld < 0)
		return false;
	store(client->fd, SLOT_DST, ADDRESS, 8);
	store(client->fd, SLOT_LEN, PAGE, 4);
	store(client->fd, SLOT_CMD, FILL, 4);
	await_readable(client->withheld);
	assert_int_equal(read(client->withheld, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.event, UFFD_EVENT_PAGEFAULT);
	return true;
}

static void leave(struct client *client)
{
	close(client->fd);
	client->fd = -1;
}

/* The threads come back after all. Their devices, which alone have eventfds by now, tell so. */
static unsigned int await_threads(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned int n = 0;
	char target[64];

	assert_non_null(directory);
	while ((entry = readdir(directory))) {
		ssize_t size = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target));

		if (size != sizeof(EVENTFD) - 1 || memcmp(target, EVENTFD, (size_t)size) != 0)
			continue;
		await_readable((int)strtol(entry->d_name, NULL, 10));
		n++;
	}
	closedir(directory);
	return n;
}

/* A page that was withheld comes: the thread that was given up goes, with all of its device. */
static void give_back(struct client *client, const struct client *other)
{
	unsigned int fds = count_entries("/proc/self/fd") - 1 - DEVICE_FDS;

	close(client->withheld);
	for (int turns = 0; count_entries("/proc/self/fd") != fds; turns++) {
		assert_in_range(turns, 0, TURNS);
		store(other->fd, SLOT_LEN, PAGE, 4);
	}
}

/* Nothing was written, neither then nor now. */
static void drop(struct client *client)
{
	struct stat stat;

	assert_int_equal(fstat(client->file, &stat), 0);
	assert_int_equal(stat.st_blocks, 0);
	close(client->file);
}

static void a_thread_that_never_comes_back_costs_its_device_alone(void **state)
{
	unsigned int fds = count_entries("/proc/self/fd");
	unsigned int threads = count_entries("/proc/self/task");
	struct client first, second;
	struct bench bench;

	(void)state;
	start(&bench);
	if (!hang(&bench, &first)) {
		print_message("userfaultfd is not available\n");
		leave(&first);
		close(first.file);
		stop(&bench);
		skip();
	}
	leave(&first);
	/* Another device has taken the place of the only one, or nobody would answer. */
	assert_true(hang(&bench, &second));
	assert_int_equal(file_areas(false), 1);
	give_back(&first, &second);
	stop(&bench);
	leave(&second);
	assert_int_equal(file_areas(false), 0);
	assert_int_equal(count_entries("/proc/self/task"), threads + 1);
	close(second.withheld);
	assert_int_equal(await_threads(), 1);
	drop(&first);
	drop(&second);
	assert_int_equal(count_entries("/proc/self/fd"), fds + DEVICE_FDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_that_never_comes_back_costs_its_device_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
