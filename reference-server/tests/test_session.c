/* SPDX-License-Identifier: BSD-3-Clause */
/* test_session.c - the server's own commands: what they look like, and which replies end them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call.h"
#include "clock.h"

#define TIME 1000u

static const struct wire_dma_access access_of_four = { 0x1000, 4 };

struct bench {
	struct call call;
	int twin;		/* the client's end, or -1 */
	struct session_request request;
	int answers;
	int error;
	size_t size;		/* of the reply's body; 0 without */
};

static void answered(struct session_request *request, int error, const struct msg *msg)
{
	struct bench *bench = request->owner;

	bench->answers++;
	bench->error = error;
	bench->size = msg ? msg->size : 0;
}

static int set_up(void **state)
{
	static struct bench bench;

	clock_hold(TIME);
	if (call_open(&bench.call))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.call.session.t_dma = 100;
	bench.twin = -1;
	bench.request = (struct session_request){ WIRE_DMA_READ, answered, &bench };
	bench.answers = 0;
	*state = &bench;
	return 0;
}

static int set_up_twin(void **state)
{
	struct bench *bench;
	int fd[2];

	if (set_up(state) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -1;
	bench = *state;
	session_add_twin(&bench->call.session, fd[0]);
	bench->twin = fd[1];
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	clock_hold(CLOCK_NEVER);
	call_close(&bench->call);
	if (bench->twin >= 0)
		close(bench->twin);
	return 0;
}

static int send_one(struct bench *bench)
{
	return session_send(&bench->call.session, &bench->request, &access_of_four, NULL, 0);
}

/* The id of the request that the client gets on that socket. */
static uint16_t take(struct bench *bench, bool twin)
{
	struct session *session = &bench->call.session;
	struct wire_dma_access access;
	struct wire_header header;
	int fd = twin ? bench->twin : bench->call.peer;

	transport_flush(twin ? &session->twin : &session->transport);
	assert_int_equal(recv(fd, &header, sizeof(header), MSG_DONTWAIT), sizeof(header));
	assert_int_equal(recv(fd, &access, sizeof(access), MSG_DONTWAIT), sizeof(access));
	assert_int_equal(header.command, WIRE_DMA_READ);
	assert_int_equal(header.flags, WIRE_TYPE_COMMAND);
	assert_int_equal(header.msg_size, sizeof(header) + sizeof(access));
	assert_memory_equal(&access, &access_of_four, sizeof(access));
	return header.id;
}

static void give(struct bench *bench, struct wire_header header, bool twin)
{
	static struct msg msg;

	msg_init(&msg);
	msg.header = header;
	msg.body = (const uint8_t *)"0123456789012345abcd";
	msg.size = 20;
	session_take_reply(&bench->call.session, twin, &msg);
}

static struct wire_header good(uint16_t id)
{
	return (struct wire_header){ .id = id, .command = WIRE_DMA_READ, .flags = WIRE_TYPE_REPLY };
}

static void a_reply_ends_its_request_once(void **state)
{
	struct bench *bench = *state;
	uint16_t id;

	assert_int_equal(send_one(bench), 0);
	id = take(bench, false);
	give(bench, good((uint16_t)(id + 1)), false);
	give(bench, good(id), true);
	give(bench, (struct wire_header){ .id = id, .command = WIRE_DMA_WRITE }, false);
	assert_int_equal(bench->answers, 0);
	give(bench, good(id), false);
	give(bench, good(id), false);
	assert_int_equal(bench->answers, 1);
	assert_int_equal(bench->error, 0);
	assert_int_equal(bench->size, 20);
}

static void an_error_reply_brings_its_errno(void **state)
{
	struct bench *bench = *state;
	static const struct { uint32_t told; int error; } rows[] = {
		{ EFAULT, -EFAULT }, { EACCES, -EACCES }, { 0, -EIO }, { 4096, -EIO },
		{ UINT32_MAX, -EIO },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct wire_header header;

		assert_int_equal(send_one(bench), 0);
		header = good(take(bench, false));
		header.flags |= WIRE_ERROR;
		header.error = rows[i].told;
		give(bench, header, false);
		assert_int_equal(bench->error, rows[i].error);
		assert_int_equal(bench->size, 0);
	}
}

static void the_twin_socket_has_all_requests(void **state)
{
	struct bench *bench = *state;
	uint16_t id;

	assert_int_equal(send_one(bench), 0);
	assert_int_equal(transport_queued(&bench->call.session.transport), 0);
	id = take(bench, true);
	give(bench, good(id), false);
	assert_int_equal(bench->answers, 0);
	give(bench, good(id), true);
	assert_int_equal(bench->answers, 1);
}

static void a_late_reply_is_dropped(void **state)
{
	struct bench *bench = *state;
	struct session *session = &bench->call.session;
	uint16_t id;

	assert_int_equal(send_one(bench), 0);
	id = take(bench, false);
	assert_int_equal(session_expire(session, TIME + 99), TIME + 100);
	assert_int_equal(bench->answers, 0);
	assert_true(session_expire(session, TIME + 100) == CLOCK_NEVER);
	assert_int_equal(bench->answers, 1);
	assert_int_equal(bench->error, -EIO);
	give(bench, good(id), false);
	assert_int_equal(bench->answers, 1);
}

static void one_that_was_given_up_keeps_its_place(void **state)
{
	struct bench *bench = *state;
	struct session *session = &bench->call.session;
	uint16_t id = 0;

	for (int i = 0; i < SESSION_REQUESTS; i++) {
		assert_int_equal(send_one(bench), 0);
		session_give_up(session, &bench->request);
		id = take(bench, false);
	}
	assert_int_equal(send_one(bench), -EAGAIN);
	give(bench, good(id), false);
	assert_int_equal(send_one(bench), 0);
	assert_int_equal(send_one(bench), -EAGAIN);
	session_expire(session, TIME + 100);
	assert_int_equal(bench->answers, 1);
	assert_int_equal(send_one(bench), 0);
}

static void ids_in_use_are_passed_over(void **state)
{
	struct bench *bench = *state;
	uint16_t first;

	assert_int_equal(send_one(bench), 0);
	first = take(bench, false);
	bench->call.session.next_id = first;
	assert_int_equal(send_one(bench), 0);
	assert_int_not_equal(take(bench, false), first);
}

static void nothing_is_sent_before_the_negotiation(void **state)
{
	struct bench *bench = *state;

	bench->call.session.phase = SESSION_CONNECTED;
	assert_int_equal(send_one(bench), -ENOTCONN);
	assert_int_equal(transport_queued(&bench->call.session.transport), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_reply_ends_its_request_once),
		CASE(an_error_reply_brings_its_errno),
		cmocka_unit_test_setup_teardown(the_twin_socket_has_all_requests, set_up_twin,
						tear_down),
		CASE(a_late_reply_is_dropped),
		CASE(one_that_was_given_up_keeps_its_place),
		CASE(ids_in_use_are_passed_over),
		CASE(nothing_is_sent_before_the_negotiation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
