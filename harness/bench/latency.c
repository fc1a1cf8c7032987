/* SPDX-License-Identifier: BSD-3-Clause */
/* latency.c - see latency.h. */
#include "latency.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

#define TURN 100
#define RANGE 16        /* pages of a mapping that the device writes to */
#define EXCHANGE_OUT 32 /* bytes of a REGION_READ of 4 bytes, and of its reply */
#define EXCHANGE_IN 36
#define FOR_EVER UINT32_MAX

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

/* Sorts the samples, in seconds. */
static void emit_latency(const char *what, double *seconds, uint64_t count)
{
	qsort(seconds, count, sizeof(*seconds), compare);
	subject_emit("ns", seconds[count / 2] * 1e9, "%s.p50", what);
	subject_emit("ns", seconds[count - 1 - count / 100] * 1e9, "%s.p99", what);
}

static double *samples(uint64_t count)
{
	double *seconds = calloc(count, sizeof(*seconds));

	if (!seconds)
		subject_fail("no memory");
	return seconds;
}

static bool send_all(int fd, const void *bytes, ssize_t size)
{
	return send(fd, bytes, (size_t)size, MSG_NOSIGNAL) == size;
}

/* Answers EXCHANGE_OUT bytes by EXCHANGE_IN bytes, until the socket is closed. */
static void serve_bare(int fd)
{
	char bytes[EXCHANGE_IN] = { 0 };

	while (recv(fd, bytes, EXCHANGE_OUT, MSG_WAITALL) == EXCHANGE_OUT &&
	       send_all(fd, bytes, EXCHANGE_IN))
		;
}

/*
 * The same by the calls of a server that waits for several clients at once, and looks before it
 * reads whether descriptors come, so that it gives them to the message that they came with.
 */
static void serve_four_calls(int fd)
{
	char bytes[EXCHANGE_IN] = { 0 };
	struct iovec iov = { bytes, EXCHANGE_OUT };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		return;
	while (epoll_wait(epoll, &event, 1, -1) == 1 &&
	       recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT) == EXCHANGE_OUT &&
	       recv(fd, bytes, EXCHANGE_OUT, MSG_DONTWAIT) == EXCHANGE_OUT &&
	       send_all(fd, bytes, EXCHANGE_IN))
		;
	close(epoll);
}

/* A child of ours that answers beside the server. */
struct echo {
	const char *name;
	void (*serve)(int fd);
	double *seconds; /* of each exchange */
	int fd;
	pid_t pid;
};

static void echo_begin(struct echo *echo, uint64_t count)
{
	int pair[2];

	echo->seconds = samples(count);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		subject_fail("socketpair: %s", strerror(errno));
	echo->pid = fork();
	if (echo->pid < 0)
		subject_fail("fork: %s", strerror(errno));
	if (echo->pid == 0) {
		close(pair[0]);
		echo->serve(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	echo->fd = pair[0];
}

static double seconds_of(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void echo_end(struct echo *echo, uint64_t count)
{
	struct rusage usage;
	double cpu;

	close(echo->fd);
	if (wait4(echo->pid, NULL, 0, &usage) != echo->pid)
		subject_fail("wait4: %s", strerror(errno));
	cpu = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
	emit_latency(echo->name, echo->seconds, count);
	subject_emit("ns", cpu * 1e9 / (double)count, "%s.cpu", echo->name);
	free(echo->seconds);
}

static double exchange(int fd, const void *out)
{
	char in[EXCHANGE_IN];
	double begin = subject_now();

	if (!send_all(fd, out, EXCHANGE_OUT) ||
	    recv(fd, in, sizeof(in), MSG_WAITALL) != EXCHANGE_IN)
		subject_fail("the exchange has ended");
	return subject_now() - begin;
}

void latency_read(uint64_t count)
{
	struct subject_access message = { subject_header(WIRE_REGION_READ, EXCHANGE_OUT),
					  { 0, WIRE_REGION_INDEX_BAR0, 4 },
					  0 };
	struct echo bare = { .name = "pingpong", .serve = serve_bare };
	struct echo four = { .name = "fourcalls", .serve = serve_four_calls };
	double *read = samples(count);
	struct subject_cost cost;

	echo_begin(&bare, count);
	echo_begin(&four, count);
	subject_read(0);
	cost = subject_cost_begin();
	for (uint64_t i = 0, end; i < count; i = end) {
		end = i + TURN < count ? i + TURN : count;
		for (uint64_t k = i; k < end; k++)
			read[k] = exchange(subject_fd(), &message);
		for (uint64_t k = i; k < end; k++)
			bare.seconds[k] = exchange(bare.fd, &message);
		for (uint64_t k = i; k < end; k++)
			four.seconds[k] = exchange(four.fd, &message);
	}
	cost = subject_cost_end(cost);
	/* The later child has the socket of the other as well. */
	echo_end(&four, count);
	echo_end(&bare, count);
	emit_latency("read", read, count);
	subject_emit("ns", cost.cpu * 1e9 / (double)count, "read.cpu");
	free(read);
}

static void map_range(uint64_t page, int fd)
{
	struct subject_map message = subject_map(page, RANGE);
	uint8_t reply[SUBJECT_BUFFER];

	subject_call(&message, sizeof(message), fd, reply);
}

static double unmap_range(uint64_t page)
{
	struct subject_unmap message = subject_unmap(page, RANGE);
	double begin = subject_now();
	uint8_t reply[SUBJECT_BUFFER];

	subject_call(&message, sizeof(message), -1, reply);
	return subject_now() - begin;
}

static void write_to(uint64_t page)
{
	uint32_t state;

	subject_write(SLOT_DST, SUBJECT_BASE + page * SUBJECT_PAGE, 8);
	subject_write(SLOT_LEN, RANGE * SUBJECT_PAGE, 4);
	subject_write(SLOT_COUNT, FOR_EVER, 4);
	subject_write(SLOT_STRIDE, 0, 4);
	subject_write(SLOT_CMD, SLOT_FILL, 4);
	do
		state = subject_read(SLOT_STATE);
	while ((state & 0xff) == SLOT_QUEUED);
	if ((state & 0xff) != SLOT_RUN)
		subject_fail("the operation does not run: state %#x", state);
}

static void write_no_more(void)
{
	subject_write(SLOT_STEP, SLOT_ABORT, 4);
	while ((subject_read(SLOT_STATE) & 0xff) == SLOT_RUN)
		;
}

static void emit_added(const char *what, double *more, const double *less, uint64_t count)
{
	double *added = samples(count);

	for (uint64_t i = 0; i < count; i++)
		added[i] = more[i] - less[i];
	emit_latency(what, added, count);
	free(added);
}

static void latency_unmap_of(uint64_t count, bool busy)
{
	double *idle = samples(count), *elsewhere = samples(count), *there = samples(count);
	int fd = subject_file((uint64_t)2 * RANGE);

	map_range(RANGE, fd);
	for (uint64_t i = 0; i < count; i++) {
		map_range(0, fd);
		idle[i] = unmap_range(0);
		if (!busy)
			continue;
		map_range(0, fd);
		write_to(RANGE);
		elsewhere[i] = unmap_range(0);
		write_no_more();
		map_range(0, fd);
		write_to(0);
		there[i] = unmap_range(0);
	}
	if (busy) {
		emit_added("unmap_beside_dma_added", elsewhere, idle, count);
		emit_added("unmap_under_dma_added", there, idle, count);
		emit_latency("unmap_beside_dma", elsewhere, count);
		emit_latency("unmap_under_dma", there, count);
	}
	emit_latency("unmap_idle", idle, count);
	free(idle);
	free(elsewhere);
	free(there);
	close(fd);
}

void latency_unmap(uint64_t count)
{
	latency_unmap_of(count, true);
}

void latency_unmap_idle(uint64_t count)
{
	latency_unmap_of(count, false);
}
