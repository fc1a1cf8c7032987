/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_flood.c - what a flood sends and counts, and what an honest client takes for right, against
 * a thread that answers at the other end of a pair of sockets.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "flood.h"
#include "steady.h"
#include "wire.h"

#define TIMEOUT_MS 5000
#define SHORT_MS 50
#define REFUSED 100	/* numbers from here on are refused with ENOSPC */
#define COUNT UINT64_C(5000)

struct request {
	struct wire_header header;
	uint64_t value;
} WIRE_PACKED;

struct reply {
	struct wire_header header;
	uint64_t value;
} WIRE_PACKED;

/* The other end: answers each request with its value; from `limit` on with an error. */
struct peer {
	int ours, theirs;
	pthread_t thread;
	uint64_t limit;
	uint64_t requests, sum, fds;
	bool odd;		/* replies are about one too high */
};

static bool peer_take(struct peer *peer, struct request *request)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	size_t got = 0;

	while (got < sizeof(*request)) {
		struct iovec iov = { (char *)request + got, sizeof(*request) - got };
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes),
		};
		ssize_t n = recvmsg(peer->theirs, &msg, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c;

		if (n <= 0)
			return false;
		got += (size_t)n;
		for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			int fd[4];

			memcpy(fd, CMSG_DATA(c), count * sizeof(int));
			for (size_t i = 0; i < count; i++)
				close(fd[i]);
			peer->fds += count;
		}
	}
	return true;
}

static void *peer_main(void *arg)
{
	struct peer *peer = arg;
	struct request request;

	while (peer_take(peer, &request)) {
		struct reply reply = { .header = request.header, .value = request.value };

		peer->sum += request.value;
		reply.value += peer->odd;
		reply.header.flags = WIRE_TYPE_REPLY;
		reply.header.msg_size = sizeof(reply);
		if (peer->requests++ >= peer->limit) {
			reply.header.flags |= WIRE_ERROR;
			reply.header.error = ENOSPC;
			reply.header.msg_size = sizeof(reply.header);
		}
		if (request.header.flags & WIRE_NO_REPLY)
			continue;
		if (send(peer->theirs, &reply, reply.header.msg_size, MSG_NOSIGNAL) < 0)
			break;
	}
	shutdown(peer->theirs, SHUT_RDWR);
	return NULL;
}

static int set_up(void **state)
{
	static struct peer peer;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -1;
	peer = (struct peer){ .ours = ends[0], .theirs = ends[1], .limit = UINT64_MAX };
	*state = &peer;
	return 0;
}

static int tear_down(void **state)
{
	struct peer *peer = *state;

	close(peer->ours);
	close(peer->theirs);
	return 0;
}

static void peer_start(struct peer *peer)
{
	assert_int_equal(pthread_create(&peer->thread, NULL, peer_main, peer), 0);
}

static void peer_stop(struct peer *peer)
{
	shutdown(peer->ours, SHUT_RDWR);
	pthread_join(peer->thread, NULL);
}

static const struct request template = {
	{ .command = WIRE_DEVICE_GET_INFO, .msg_size = sizeof(struct request) }, 0
};
static const struct flood_stride value = {
	.offset = offsetof(struct request, value), .width = 8, .base = 7, .step = 3,
};

static struct flood_spec spec_of(uint64_t count)
{
	return (struct flood_spec){
		.message = &template, .size = sizeof(template), .window = 256, .count = count,
		.strides = &value, .nstrides = 1, .timeout_ms = TIMEOUT_MS,
	};
}

static void every_message_has_its_value_and_every_reply_is_counted(void **state)
{
	struct peer *peer = *state;
	struct flood_spec spec = spec_of(COUNT);
	struct flood_result result;
	struct flood *flood;
	uint64_t counted = 0;

	peer->limit = REFUSED;
	peer_start(peer);
	assert_int_equal(flood_open(peer->ours, &flood), 0);
	assert_int_equal(flood_run(flood, &spec, &result), 0);
	peer_stop(peer);
	assert_int_equal(result.sent, COUNT);
	assert_int_equal(result.succeeded, REFUSED);
	assert_int_equal(result.refused, COUNT - REFUSED);
	assert_int_equal(result.first_refused, REFUSED);
	assert_int_equal(result.errors[0].error, ENOSPC);
	assert_int_equal(result.errors[0].count, COUNT - REFUSED);
	assert_int_equal(result.waiting, 0);
	assert_int_equal(peer->sum, 7 * COUNT + 3 * (uint64_t)COUNT * (COUNT - 1) / 2);
	for (unsigned int i = 0; i < FLOOD_BUCKETS; i++)
		counted += result.latency[i];
	assert_int_equal(counted, COUNT);
	flood_free(flood);
}

static void first_error_ends_a_run_that_is_to_stop_there(void **state)
{
	struct peer *peer = *state;
	struct flood_spec spec = spec_of(COUNT);
	struct flood_result result;
	struct flood *flood;

	peer->limit = REFUSED;
	peer_start(peer);
	spec.flags = FLOOD_STOP;
	spec.window = 1;
	assert_int_equal(flood_open(peer->ours, &flood), 0);
	assert_int_equal(flood_run(flood, &spec, &result), -ECANCELED);
	assert_int_equal(result.sent, REFUSED + 1);
	peer_stop(peer);
	flood_free(flood);
}

static void descriptors_go_with_each_message(void **state)
{
	struct peer *peer = *state;
	struct flood_spec spec = spec_of(REFUSED);
	struct flood_result result;
	struct flood *flood;
	int fds[2] = { peer->ours, peer->theirs };

	peer_start(peer);
	spec.fds = fds;
	spec.nfds = 2;
	spec.each = 1;
	assert_int_equal(flood_open(peer->ours, &flood), 0);
	assert_int_equal(flood_run(flood, &spec, &result), 0);
	spec.each = 0;
	spec.memfd_size = 4096;
	assert_int_equal(flood_run(flood, &spec, &result), 0);
	peer_stop(peer);
	assert_int_equal(peer->fds, 2 * REFUSED);
	flood_free(flood);
}

static void unread_replies_end_a_run_and_are_there_for_the_next(void **state)
{
	struct peer *peer = *state;
	struct flood_spec spec = spec_of(1000 * COUNT), rest = spec_of(0);
	struct flood_result result, later;
	struct flood *flood;

	peer_start(peer);
	spec.flags = FLOOD_UNREAD;
	spec.timeout_ms = SHORT_MS;
	assert_int_equal(flood_open(peer->ours, &flood), 0);
	assert_int_equal(flood_run(flood, &spec, &result), -EAGAIN);
	assert_int_equal(result.succeeded, 0);
	assert_int_equal(result.waiting, result.sent);
	assert_int_equal(flood_read(flood, 10, 1, TIMEOUT_MS, &later), 0);
	assert_int_equal(later.bytes, 10);
	assert_int_equal(later.succeeded, 0);
	assert_int_equal(flood_run(flood, &rest, &later), 0);
	assert_int_equal(later.succeeded, result.sent);
	assert_int_equal(later.waiting, 0);
	peer_stop(peer);
	flood_free(flood);
}

static void silence_and_the_end_are_told_apart(void **state)
{
	struct peer *peer = *state;
	struct flood_spec spec = spec_of(1);
	struct flood_result result;
	struct flood *flood;

	spec.timeout_ms = SHORT_MS;
	assert_int_equal(flood_open(peer->ours, &flood), 0);
	assert_int_equal(flood_run(flood, &spec, &result), -ETIMEDOUT);
	shutdown(peer->theirs, SHUT_RDWR);
	assert_int_equal(flood_run(flood, &spec, &result), -EPIPE);
	flood_free(flood);
}

static void scattered_numbers_do_not_come_twice(void **state)
{
	enum { PERIOD = 1 << 12 };
	static bool seen[PERIOD];
	struct flood_stride stride = value;
	struct flood_spec spec = spec_of(1);
	struct flood_result result;
	struct peer *peer = *state;
	struct request request;
	struct flood *flood;

	stride = (struct flood_stride){ stride.offset, 8, 0, 1, PERIOD, 1, 0 };
	spec.strides = &stride;
	spec.flags = FLOOD_UNREAD;
	assert_int_equal(flood_open(peer->ours, &flood), 0);
	for (unsigned int i = 0; i < PERIOD; i++) {
		spec.first = i;
		assert_int_equal(flood_run(flood, &spec, &result), 0);
		assert_true(peer_take(peer, &request));
		assert_true(request.value < PERIOD);
		assert_false(seen[request.value]);
		seen[request.value] = true;
	}
	flood_free(flood);
}

static void spec_without_sense_is_refused(void **state)
{
	struct peer *peer = *state;
	struct flood_spec spec = spec_of(1);
	struct flood_stride stride = value;
	struct flood_result result;
	struct flood *flood;

	assert_int_equal(flood_open(peer->ours, &flood), 0);
	spec.window = 0;
	assert_int_equal(flood_run(flood, &spec, &result), -EINVAL);
	spec = spec_of(1);
	stride.offset = sizeof(template) - 1;
	spec.strides = &stride;
	assert_int_equal(flood_run(flood, &spec, &result), -EINVAL);
	spec = spec_of(1);
	spec.each = 1;
	assert_int_equal(flood_run(flood, &spec, &result), -EINVAL);
	flood_free(flood);
}

static void times_have_their_buckets(void **state)
{
	(void)state;
	assert_int_equal(flood_bucket(-5), 0);
	assert_int_equal(flood_bucket(3), 3);
	assert_int_equal(flood_bucket(4), 4);
	assert_int_equal(flood_bucket(7), 7);
	assert_int_equal(flood_bucket(8), 8);
	assert_int_equal(flood_bucket(9), 8);
	assert_int_equal(flood_bucket(10), 9);
	assert_int_equal(flood_bucket(INT64_MAX), FLOOD_BUCKETS - 1);
	assert_true(flood_calibrate(100) > 0);
	assert_int_equal(flood_calibrate(0), -EINVAL);
}

static struct steady_result steady_of(struct peer *peer, struct steady_step *step, uint64_t rounds)
{
	struct steady_result result;
	struct steady *steady;

	assert_int_equal(steady_start(peer->ours, step, 1, SHORT_MS, &steady), 0);
	steady_stop(steady, rounds, &result);
	return result;
}

static struct steady_step steady_step_of(const uint64_t *expected)
{
	return (struct steady_step){
		.message = &template, .expected = expected, .size = sizeof(template),
		.expected_size = sizeof(*expected), .flags = STEADY_TIMED, .fd = -1,
	};
}

static void honest_client_goes_on_until_it_is_stopped(void **state)
{
	struct peer *peer = *state;
	const uint64_t zero = 0;
	struct steady_step step = steady_step_of(&zero);
	struct steady_result result;

	peer_start(peer);
	result = steady_of(peer, &step, 20);
	assert_int_equal(result.error, 0);
	assert_true(result.rounds >= 20);
	assert_int_equal(result.timed, result.rounds);
	step.fd = peer->theirs;
	result = steady_of(peer, &step, 1);
	assert_int_equal(result.error, 0);
	peer_stop(peer);
	assert_true(peer->fds > 0);
}

static void wrong_bytes_refusal_and_silence_end_an_honest_client(void **state)
{
	struct peer *peer = *state;
	const uint64_t zero = 0;
	struct steady_step step = steady_step_of(&zero), again = step;

	peer->odd = true;
	peer->limit = 4;
	peer_start(peer);
	assert_int_equal(steady_of(peer, &step, 20).error, -EBADMSG);
	again.flags = STEADY_AGAIN;
	assert_int_equal(steady_of(peer, &again, 20).error, ENOSPC);
	peer_stop(peer);
	assert_int_equal(steady_of(peer, &step, 20).error, -EPIPE);
}

static void silence_ends_an_honest_client(void **state)
{
	const uint64_t zero = 0;
	struct steady_step step = steady_step_of(&zero);

	assert_int_equal(steady_of(*state, &step, 1).error, -ETIMEDOUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_message_has_its_value_and_every_reply_is_counted),
		TEST(first_error_ends_a_run_that_is_to_stop_there),
		TEST(descriptors_go_with_each_message),
		TEST(unread_replies_end_a_run_and_are_there_for_the_next),
		TEST(silence_and_the_end_are_told_apart),
		TEST(scattered_numbers_do_not_come_twice),
		TEST(spec_without_sense_is_refused),
		TEST(times_have_their_buckets),
		TEST(honest_client_goes_on_until_it_is_stopped),
		TEST(wrong_bytes_refusal_and_silence_end_an_honest_client),
		TEST(silence_ends_an_honest_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
