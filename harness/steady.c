/* SPDX-License-Identifier: BSD-3-Clause */
/* steady.c - see steady.h. */
#include "steady.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "deadline.h"
#include "wire.h"

#define STEADY_STEPS 16
#define STEADY_ROOM 65536
#define STEADY_REST_MS 1

struct steady {
	int fd;
	int stop;			/* an eventfd: somebody waits for the end */
	int32_t timeout_ms;
	uint32_t nsteps;
	struct steady_step steps[STEADY_STEPS];
	uint8_t *bytes[STEADY_STEPS];	/* message and what is expected, behind each other */
	pthread_t thread;
	_Atomic uint64_t wanted;	/* rounds before it may stop; UINT64_MAX = nobody asked */
	uint16_t id;
	uint8_t in[STEADY_ROOM];
	struct steady_result result;
};

static int64_t steady_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ---- one exchange ---- */

static int steady_send(struct steady *steady, const struct steady_step *step)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = "" };
	uint8_t *message = (uint8_t *)(uintptr_t)step->message;
	struct iovec iov = { .iov_base = message, .iov_len = step->size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	steady->id++;
	memcpy(message + offsetof(struct wire_header, id), &steady->id, sizeof(steady->id));
	if (step->fd >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &step->fd, sizeof(int));
	}
	/* Small, and everything before it was answered: it fits. */
	if (sendmsg(steady->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)step->size)
		return 0;
	return errno == EAGAIN ? -ETIMEDOUT : -EPIPE;
}

/* Exactly `size` bytes of what comes. 0; -ETIMEDOUT; -EPIPE. */
static int steady_receive(struct steady *steady, uint8_t *to, size_t size,
			  struct deadline deadline)
{
	struct pollfd pollfd = { .fd = steady->fd, .events = POLLIN };
	ssize_t got;

	while (size) {
		if (poll(&pollfd, 1, deadline_left_ms(deadline)) == 0)
			return -ETIMEDOUT;
		got = recv(steady->fd, to, size, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		if (got > 0) {
			to += got;
			size -= (size_t)got;
		}
	}
	return 0;
}

/* The next reply, whole: 0 and its header and payload size; -errno. */
static int steady_reply(struct steady *steady, struct wire_header *header,
			struct deadline deadline)
{
	int error;

	do {
		error = steady_receive(steady, (uint8_t *)header, sizeof(*header), deadline);
		if (error)
			return error;
		if (header->msg_size < sizeof(*header) ||
		    header->msg_size - sizeof(*header) > STEADY_ROOM)
			return -EPROTO;
		error = steady_receive(steady, steady->in, header->msg_size - sizeof(*header),
				       deadline);
		if (error)
			return error;
	} while ((header->flags & WIRE_TYPE_MASK) != WIRE_TYPE_REPLY);
	return header->id == steady->id ? 0 : -EPROTO;
}

static bool steady_is_expected(const struct steady *steady, const struct steady_step *step,
			       size_t payload)
{
	if (!step->expected)
		return true;
	return payload >= (size_t)step->offset + step->expected_size &&
	       !memcmp(steady->in + step->offset, step->expected, step->expected_size);
}

static void steady_count(struct steady_result *result, int64_t took)
{
	result->timed++;
	result->latency[flood_bucket(took)]++;
	if ((uint64_t)took > result->longest_ns)
		result->longest_ns = (uint64_t)took;
}

/* 0, or what steady_result.error says. */
static int steady_do(struct steady *steady, const struct steady_step *step)
{
	struct deadline deadline = deadline_in(steady->timeout_ms);
	struct wire_header header;
	int64_t start;
	int error;

	do {
		start = steady_now();
		error = steady_send(steady, step);
		if (!error)
			error = steady_reply(steady, &header, deadline);
		if (error)
			return error;
		if (step->flags & STEADY_TIMED)
			steady_count(&steady->result, steady_now() - start);
		if (header.flags & WIRE_ERROR)
			return header.error ? (int)header.error : -EBADMSG;
		if (steady_is_expected(steady, step, header.msg_size - sizeof(header)))
			return 0;
	} while (step->flags & STEADY_AGAIN && deadline_left_ms(deadline));
	return -EBADMSG;
}

/* ---- the thread ---- */

static bool steady_may_stop(struct steady *steady)
{
	struct pollfd pollfd = { .fd = steady->stop, .events = POLLIN };
	uint64_t wanted = atomic_load(&steady->wanted);

	if (wanted == UINT64_MAX)
		poll(&pollfd, 1, STEADY_REST_MS);
	else if (steady->result.rounds < wanted)
		poll(NULL, 0, STEADY_REST_MS);
	else
		return true;
	return false;
}

static void *steady_main(void *arg)
{
	struct steady *steady = arg;
	struct steady_result *result = &steady->result;

	do {
		for (uint32_t i = 0; i < steady->nsteps && !result->error; i++) {
			result->error = steady_do(steady, &steady->steps[i]);
			result->step = i;
		}
		result->rounds += !result->error;
	} while (!result->error && !steady_may_stop(steady));
	return NULL;
}

/* ---- start and stop ---- */

static void steady_free(struct steady *steady)
{
	for (uint32_t i = 0; i < steady->nsteps; i++)
		free(steady->bytes[i]);
	if (steady->stop >= 0)
		close(steady->stop);
	free(steady);
}

static int steady_copy(struct steady *steady, const struct steady_step *step)
{
	uint32_t i = steady->nsteps;
	uint8_t *bytes = malloc((size_t)step->size + step->expected_size);

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, step->message, step->size);
	if (step->expected)
		memcpy(bytes + step->size, step->expected, step->expected_size);
	steady->steps[i] = *step;
	steady->steps[i].message = bytes;
	steady->steps[i].expected = step->expected ? bytes + step->size : NULL;
	steady->bytes[i] = bytes;
	steady->nsteps++;
	return 0;
}

int steady_start(int fd, const struct steady_step *steps, uint32_t nsteps, int32_t timeout_ms,
		 struct steady **out)
{
	struct steady *steady;
	int error = 0;

	if (!nsteps || nsteps > STEADY_STEPS)
		return -EINVAL;
	steady = calloc(1, sizeof(*steady));
	if (!steady)
		return -ENOMEM;
	steady->fd = fd;
	steady->timeout_ms = timeout_ms;
	steady->wanted = UINT64_MAX;
	steady->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (steady->stop < 0)
		error = -errno;
	for (uint32_t i = 0; i < nsteps && !error; i++)
		error = steps[i].size < sizeof(struct wire_header) ?
			-EINVAL : steady_copy(steady, &steps[i]);
	if (!error)
		error = -pthread_create(&steady->thread, NULL, steady_main, steady);
	if (error)
		steady_free(steady);
	else
		*out = steady;
	return error;
}

void steady_stop(struct steady *steady, uint64_t rounds, struct steady_result *out)
{
	atomic_store(&steady->wanted, rounds);
	eventfd_write(steady->stop, 1);
	pthread_join(steady->thread, NULL);
	*out = steady->result;
	steady_free(steady);
}
