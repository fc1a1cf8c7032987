/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_transport.c - messages over a socket pair: every cut, descriptors with any piece, limits,
 * back-pressure. Each test leaves the number of open descriptors as it was.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "transport.h"

#define MAX_MESSAGE 4096

struct pair {
	struct transport t;
	int peer;
	unsigned int fds_before;
};

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int set_up(void **state)
{
	static struct pair pair;
	int fd[2];

	pair.fds_before = count_fds();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -1;
	transport_open(&pair.t, fd[0], MAX_MESSAGE);
	pair.peer = fd[1];
	*state = &pair;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *pair = *state;

	clock_hold(CLOCK_NEVER);
	transport_close(&pair->t);
	close(pair->peer);
	return count_fds() == pair->fds_before ? 0 : -1;
}

/* A message of `size` bytes whose body is its id, repeated. */
static void make(uint8_t *out, uint16_t id, uint32_t size)
{
	struct wire_header header = { .id = id, .command = 4, .msg_size = size };

	memset(out, id & 0xff, size);
	memcpy(out, &header, sizeof(header));
}

static void send_piece(int peer, const void *bytes, size_t size, unsigned int fds)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(MSG_MAX_FDS * sizeof(int))];
	} control = { 0 };

	if (fds) {
		int *fd = (int *)(void *)CMSG_DATA(&control.header);

		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fds * sizeof(int));
		for (unsigned int i = 0; i < fds; i++)
			fd[i] = peer;
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
	}
	assert_int_equal(sendmsg(peer, &msg, 0), size);
}

/* Reads until a message is complete or nothing more is there. */
static int next(struct transport *t, struct msg **out)
{
	int n = transport_next(t, out);

	while (n == 0 && transport_fill(t) > 0)
		n = transport_next(t, out);
	return n;
}

static void expect(struct transport *t, uint16_t id, size_t body, unsigned int fds)
{
	struct msg *msg;

	assert_int_equal(next(t, &msg), 1);
	assert_int_equal(msg->header.id, id);
	assert_int_equal(msg->size, body);
	assert_int_equal(msg->count, fds);
	assert_false(msg->fds_lost);
	for (size_t i = 0; i < body; i++)
		assert_int_equal(msg->body[i], id & 0xff);
	msg_free(msg);
}

static void expect_nothing(struct transport *t)
{
	struct msg *msg;

	assert_int_equal(next(t, &msg), 0);
}

static void every_cut_gives_the_same_message(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[48];

	make(bytes, 3, sizeof(bytes));
	for (size_t cut = 1; cut < sizeof(bytes); cut++) {
		send_piece(pair->peer, bytes, cut, 0);
		expect_nothing(&pair->t);
		send_piece(pair->peer, bytes + cut, sizeof(bytes) - cut, 0);
		expect(&pair->t, 3, sizeof(bytes) - 16, 0);
		expect_nothing(&pair->t);
	}
	for (size_t i = 0; i < sizeof(bytes); i++) {
		expect_nothing(&pair->t);
		send_piece(pair->peer, bytes + i, 1, 0);
	}
	expect(&pair->t, 3, sizeof(bytes) - 16, 0);
}

static void descriptors_may_come_with_any_piece(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[48];

	make(bytes, 5, sizeof(bytes));
	for (size_t cut = 1; cut < sizeof(bytes); cut++) {
		for (unsigned int which = 1; which < 4; which++) {
			send_piece(pair->peer, bytes, cut, which & 1 ? 2 : 0);
			send_piece(pair->peer, bytes + cut, sizeof(bytes) - cut, which & 2 ? 3 : 0);
			expect(&pair->t, 5, sizeof(bytes) - 16, (which & 1) * 2 + (which >> 1) * 3);
		}
	}
}

/* Message 2 of four carries them; the pieces of the byte stream are cut at every pair of places. */
static void descriptors_belong_to_their_message_among_many(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[4 * 20];

	for (uint16_t id = 0; id < 4; id++)
		make(bytes + (size_t)id * 20, id, 20);
	for (size_t from = 20; from < 40; from++) {
		for (size_t to = from + 1; to <= sizeof(bytes); to++) {
			send_piece(pair->peer, bytes, from, 0);
			send_piece(pair->peer, bytes + from, to - from, 1);
			if (to < sizeof(bytes))
				send_piece(pair->peer, bytes + to, sizeof(bytes) - to, 0);
			for (uint16_t id = 0; id < 4; id++)
				expect(&pair->t, id, 4, id == 1 ? 1 : 0);
		}
	}
}

/* The first of three carries one, and one of the others two, with a piece that begins anywhere. */
static void descriptors_of_neighbours_stay_apart(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[3 * 20];

	for (uint16_t id = 0; id < 3; id++)
		make(bytes + (size_t)id * 20, id, 20);
	for (size_t other = 20; other < sizeof(bytes); other++) {
		send_piece(pair->peer, bytes, 20, 1);
		if (other > 20)
			send_piece(pair->peer, bytes + 20, other - 20, 0);
		send_piece(pair->peer, bytes + other, sizeof(bytes) - other, 2);
		expect(&pair->t, 0, 4, 1);
		expect(&pair->t, 1, 4, other < 40 ? 2 : 0);
		expect(&pair->t, 2, 4, other < 40 ? 0 : 2);
	}
}

static void many_messages_come_in_one_read(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[100 * 32];
	struct msg *msg;

	for (uint16_t id = 0; id < 100; id++)
		make(bytes + (size_t)id * 32, id, 32);
	send_piece(pair->peer, bytes, sizeof(bytes), 0);
	assert_int_equal(transport_fill(&pair->t), sizeof(bytes));
	for (uint16_t id = 0; id < 100; id++) {
		assert_int_equal(transport_next(&pair->t, &msg), 1);
		assert_int_equal(msg->header.id, id);
		msg_free(msg);
	}
	assert_int_equal(transport_next(&pair->t, &msg), 0);
}

static void as_many_descriptors_as_the_kernel_carries(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[16];
	struct msg *msg;

	make(bytes, 1, sizeof(bytes));
	send_piece(pair->peer, bytes, sizeof(bytes), MSG_MAX_FDS);
	expect(&pair->t, 1, 0, MSG_MAX_FDS);
	send_piece(pair->peer, bytes, 8, MSG_MAX_FDS);
	send_piece(pair->peer, bytes + 8, 8, 2);
	assert_int_equal(next(&pair->t, &msg), 1);
	assert_int_equal(msg->count, MSG_MAX_FDS);
	assert_true(msg->fds_lost);
	msg_free(msg);
}

static void impossible_sizes_break_the_connection(void **state)
{
	struct pair *pair = *state;
	static const uint32_t sizes[] = { 0, 1, 15, MAX_MESSAGE + 1, UINT32_MAX };
	struct msg *msg;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct wire_header header = { .msg_size = sizes[i] };

		send_piece(pair->peer, &header, sizeof(header), 1);
		assert_int_equal(next(&pair->t, &msg), -EPROTO);
		assert_in_range(pair->t.in.capacity, 1, 1 << 20);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

static void the_largest_message_is_taken(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[MAX_MESSAGE];

	make(bytes, 9, sizeof(bytes));
	send_piece(pair->peer, bytes, sizeof(bytes), 0);
	expect(&pair->t, 9, sizeof(bytes) - 16, 0);
}

static void the_end_of_the_stream_is_told(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[20];

	make(bytes, 1, sizeof(bytes));
	send_piece(pair->peer, bytes, 19, 1);
	shutdown(pair->peer, SHUT_WR);
	expect_nothing(&pair->t);
	assert_true(pair->t.eof);
	assert_int_equal(transport_fill(&pair->t), 0);
}

static void the_time_of_a_partial_message_begins_at_its_first_byte(void **state)
{
	struct pair *pair = *state;
	uint8_t bytes[20];

	make(bytes, 1, sizeof(bytes));
	clock_hold(1000);
	expect_nothing(&pair->t);
	assert_true(pair->t.partial_since == CLOCK_NEVER);
	send_piece(pair->peer, bytes, 1, 0);
	expect_nothing(&pair->t);
	clock_hold(2000);
	send_piece(pair->peer, bytes + 1, 18, 0);
	expect_nothing(&pair->t);
	assert_int_equal(pair->t.partial_since, 1000);
	send_piece(pair->peer, bytes + 19, 1, 0);
	expect(&pair->t, 1, 4, 0);
	assert_true(pair->t.partial_since == CLOCK_NEVER);
}

static void a_full_queue_stalls_and_loses_nothing(void **state)
{
	struct pair *pair = *state;
	uint32_t queued = 0, got = 0, value;

	clock_hold(5);
	while (transport_takes_more(&pair->t)) {
		uint32_t *space = transport_append(&pair->t, sizeof(*space));

		assert_non_null(space);
		memcpy(space, &queued, sizeof(queued));
		queued++;
		if (queued % 4096 == 0)
			transport_flush(&pair->t);
	}
	assert_int_equal(pair->t.stalled_since, 5);
	assert_true(pair->t.out.capacity > TRANSPORT_OUT_KEPT);
	clock_hold(6);
	while (got < queued) {
		assert_int_equal(recv(pair->peer, &value, sizeof(value), MSG_WAITALL),
				 sizeof(value));
		assert_int_equal(value, got);
		got++;
		if (got % 1024 == 0)
			transport_flush(&pair->t);
	}
	assert_int_equal(transport_queued(&pair->t), 0);
	assert_true(pair->t.stalled_since == CLOCK_NEVER);
	assert_in_range(pair->t.out.capacity, 0, TRANSPORT_OUT_KEPT);
}

static void a_queue_that_never_runs_empty_does_not_grow(void **state)
{
	enum { REPLY = 1 << 16, MOST = 16 * REPLY, REPLIES = 2000 };
	static char bytes[REPLY];
	struct pair *pair = *state;

	for (int i = 0; i < REPLIES; i++) {
		assert_non_null(transport_append(&pair->t, REPLY));
		while (transport_queued(&pair->t) >= MOST - REPLY) {
			transport_flush(&pair->t);
			assert_true(transport_queued(&pair->t) > 0);
			assert_int_equal(recv(pair->peer, bytes, REPLY, MSG_WAITALL), REPLY);
		}
	}
	assert_in_range(pair->t.out.capacity, 0, 2 * (size_t)MOST);
}

static unsigned int receive(int peer, char *byte, size_t size)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { byte, size };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	unsigned int count;
	int fd[8];

	assert_int_equal(recvmsg(peer, &msg, MSG_WAITALL), size);
	c = CMSG_FIRSTHDR(&msg);
	if (!c)
		return 0;
	count = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fd, CMSG_DATA(c), count * sizeof(int));
	for (unsigned int i = 0; i < count; i++)
		close(fd[i]);
	return count;
}

static void descriptors_leave_with_the_first_byte_of_their_reply(void **state)
{
	struct pair *pair = *state;
	char bytes[8];

	for (int i = 0; i < 4; i++) {
		int fd[2] = { dup(pair->peer), dup(pair->peer) };
		size_t at = transport_queued(&pair->t);

		memset(transport_append(&pair->t, 8), 'a' + i, 8);
		if (i % 2) {
			transport_attach(&pair->t, at, fd, 2);
		} else {
			close(fd[0]);
			close(fd[1]);
		}
	}
	transport_flush(&pair->t);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(receive(pair->peer, bytes, 8), i % 2 ? 2 : 0);
		assert_int_equal(bytes[0], 'a' + i);
	}
}

static void too_many_waiting_descriptors_stop_the_input(void **state)
{
	struct pair *pair = *state;

	for (int i = 0; i < TRANSPORT_OUT_FDS; i++) {
		int fd = dup(pair->peer);

		assert_true(transport_takes_more(&pair->t));
		assert_non_null(transport_append(&pair->t, 16));
		transport_attach(&pair->t, (size_t)i * 16, &fd, 1);
	}
	assert_false(transport_takes_more(&pair->t));
}

static void output_for_a_peer_that_left_is_dropped(void **state)
{
	struct pair *pair = *state;
	int fd = dup(STDIN_FILENO);

	shutdown(pair->peer, SHUT_RDWR);
	memset(transport_append(&pair->t, 16), 0, 16);
	transport_attach(&pair->t, 0, &fd, 1);
	transport_flush(&pair->t);
	assert_true(pair->t.out_lost);
	assert_int_equal(transport_queued(&pair->t), 0);
	assert_true(transport_takes_more(&pair->t));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_cut_gives_the_same_message),
		CASE(descriptors_may_come_with_any_piece),
		CASE(descriptors_belong_to_their_message_among_many),
		CASE(descriptors_of_neighbours_stay_apart),
		CASE(many_messages_come_in_one_read),
		CASE(as_many_descriptors_as_the_kernel_carries),
		CASE(impossible_sizes_break_the_connection),
		CASE(the_largest_message_is_taken),
		CASE(the_end_of_the_stream_is_told),
		CASE(the_time_of_a_partial_message_begins_at_its_first_byte),
		CASE(a_full_queue_stalls_and_loses_nothing),
		CASE(a_queue_that_never_runs_empty_does_not_grow),
		CASE(descriptors_leave_with_the_first_byte_of_their_reply),
		CASE(too_many_waiting_descriptors_stop_the_input),
		CASE(output_for_a_peer_that_left_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
