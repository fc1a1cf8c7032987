/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dispatch.c - from message to reply: exactly one, in the right shape, in the right phase. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call.h"

enum { HELLO = 1, ECHO, FAIL, TAKE, LATER, BACKWARD = 6, NUMBERS };

static int taken;

static int hello(void *owner, struct msg *msg, struct session_reply *reply)
{
	(void)msg;
	(void)reply;
	session_advance(owner, SESSION_AGREED);
	return 0;
}

static int echo(void *owner, struct msg *msg, struct session_reply *reply)
{
	(void)owner;
	session_reply_put(reply, msg->body, msg->size);
	return 0;
}

/* Fails late, with payload and a descriptor in its reply. */
static int fail_late(void *owner, struct msg *msg, struct session_reply *reply)
{
	echo(owner, msg, reply);
	session_reply_fd(reply, STDIN_FILENO);
	return -EXDEV;
}

static int take(void *owner, struct msg *msg, struct session_reply *reply)
{
	(void)owner;
	(void)reply;
	taken = msg_take(msg, 0);
	return 0;
}

/* How often `later` has to be called until it answers. */
static int waits;

static int later(void *owner, struct msg *msg, struct session_reply *reply)
{
	echo(owner, msg, reply);
	return waits-- ? -EINPROGRESS : 0;
}

static const struct dispatch_command commands[NUMBERS] = {
	[HELLO] = { "HELLO", 0, 100, 0, SESSION_CONNECTED, 0, hello },
	[ECHO] = { "ECHO", 4, 8, 0, SESSION_NEGOTIATED, 0, echo },
	[FAIL] = { "FAIL", 0, 8, 0, SESSION_NEGOTIATED, 0, fail_late },
	[TAKE] = { "TAKE", 0, 8, 2, SESSION_NEGOTIATED, 0, take },
	[LATER] = { "LATER", 0, 8, 0, SESSION_NEGOTIATED, 0, later },
	[BACKWARD] = { .name = "BACKWARD" },
};

struct bench {
	struct call call;
	void *owners[1];
	struct dispatch dispatch;
	unsigned int fds_before;
};

static int set_up(void **state)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	if (call_open(&bench.call))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.owners[0] = &bench.call.session;
	bench.dispatch = (struct dispatch){ commands, NUMBERS, 16, &bench.call.session,
					    bench.owners };
	*state = &bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	call_close(&bench->call);
	return call_count_fds() == bench->fds_before ? 0 : -1;
}

static void run(struct bench *bench, uint16_t command, uint32_t flags, size_t size,
		unsigned int fds)
{
	static const uint8_t body[64] = "abcdefghijklmnopqrstuvwxyz";
	static struct msg msg;

	msg_init(&msg);
	msg.header = (struct wire_header){ .id = 77, .command = command, .flags = flags };
	msg.body = body;
	msg.size = size;
	for (unsigned int i = 0; i < fds; i++)
		msg_add(&msg, dup(STDIN_FILENO));
	dispatch_message(&bench->dispatch, &msg);
	transport_flush(&bench->call.session.transport);
}

static void expect_silence(struct bench *bench)
{
	char byte;

	assert_int_equal(recv(bench->call.peer, &byte, 1, MSG_DONTWAIT), -1);
}

static void expect(struct bench *bench, uint16_t command, uint32_t error, size_t size)
{
	struct wire_header header;
	char body[64];

	assert_int_equal(recv(bench->call.peer, &header, sizeof(header), MSG_DONTWAIT),
			 sizeof(header));
	assert_int_equal(header.id, 77);
	assert_int_equal(header.command, command);
	assert_int_equal(header.flags, error ? WIRE_TYPE_REPLY | WIRE_ERROR : WIRE_TYPE_REPLY);
	assert_int_equal(header.error, error);
	assert_int_equal(header.msg_size, sizeof(header) + size);
	if (size)
		assert_int_equal(recv(bench->call.peer, body, size, MSG_DONTWAIT), size);
	expect_silence(bench);
}

static void a_command_gets_its_reply(void **state)
{
	struct bench *bench = *state;

	run(bench, ECHO, 0, 4, 0);
	expect(bench, ECHO, 0, 4);
	/* The Error bit, the error field and undefined bits of a command mean nothing. */
	run(bench, ECHO, 0xffffffe0, 8, 0);
	expect(bench, ECHO, 0, 8);
}

static void shape_is_checked_before_the_handler(void **state)
{
	struct bench *bench = *state;

	run(bench, ECHO, 0, 3, 0);
	expect(bench, ECHO, EINVAL, 0);
	run(bench, ECHO, 0, 9, 0);
	expect(bench, ECHO, EINVAL, 0);
	run(bench, ECHO, 0, 4, 1);
	expect(bench, ECHO, EINVAL, 0);
	run(bench, TAKE, 0, 0, 3);
	expect(bench, TAKE, EINVAL, 0);
	bench->dispatch.max_msg_fds = 1;
	run(bench, TAKE, 0, 0, 2);
	expect(bench, TAKE, EINVAL, 0);
	assert_int_equal(call_count_fds(), bench->fds_before + 2);
}

static void unknown_and_backward_commands_are_refused(void **state)
{
	struct bench *bench = *state;

	run(bench, 0, 0, 0, 0);
	expect(bench, 0, ENOSYS, 0);
	run(bench, NUMBERS, 0, 4, 1);
	expect(bench, NUMBERS, ENOSYS, 0);
	run(bench, 0xffff, 0, 4, 0);
	expect(bench, 0xffff, ENOSYS, 0);
	run(bench, BACKWARD, 0, 4, 0);
	expect(bench, BACKWARD, EINVAL, 0);
	assert_int_equal(bench->call.session.phase, SESSION_NEGOTIATED);
}

static void types_other_than_command_are_not_executed(void **state)
{
	struct bench *bench = *state;

	for (uint32_t type = 2; type < 16; type++) {
		run(bench, ECHO, type, 4, 1);
		expect(bench, ECHO, EINVAL, 0);
	}
	run(bench, ECHO, WIRE_TYPE_REPLY, 4, 1);
	expect_silence(bench);
	run(bench, ECHO, 3 | WIRE_NO_REPLY, 4, 0);
	expect_silence(bench);
}

static void a_late_failure_is_a_header_alone(void **state)
{
	struct bench *bench = *state;

	run(bench, FAIL, 0, 8, 0);
	expect(bench, FAIL, EXDEV, 0);
	assert_int_equal(call_count_fds(), bench->fds_before + 2);
}

static void no_reply_means_none(void **state)
{
	struct bench *bench = *state;

	run(bench, TAKE, WIRE_NO_REPLY, 0, 2);
	expect_silence(bench);
	assert_true(fcntl(taken, F_GETFD) >= 0);
	close(taken);
	run(bench, FAIL, WIRE_NO_REPLY, 8, 0);
	run(bench, 99, WIRE_NO_REPLY, 8, 1);
	run(bench, ECHO, WIRE_NO_REPLY, 1, 0);
	expect_silence(bench);
}

static void only_the_first_command_negotiates(void **state)
{
	struct bench *bench = *state;

	bench->call.session.phase = SESSION_CONNECTED;
	run(bench, HELLO, 0, 0, 0);
	expect(bench, HELLO, 0, 0);
	assert_int_equal(bench->call.session.phase, SESSION_NEGOTIATED);
	run(bench, HELLO, 0, 0, 0);
	expect(bench, HELLO, EINVAL, 0);
	assert_int_equal(bench->call.session.phase, SESSION_NEGOTIATED);
}

static void a_failure_before_negotiation_ends_the_session(void **state)
{
	struct bench *bench = *state;
	static const uint16_t first[] = { ECHO, 99, FAIL };

	for (size_t i = 0; i < 3; i++) {
		bench->call.session.phase = SESSION_CONNECTED;
		run(bench, first[i], 0, 4, 0);
		expect(bench, first[i], first[i] == 99 ? ENOSYS : EINVAL, 0);
		assert_int_equal(bench->call.session.phase, SESSION_CLOSING);
	}
}

static void lost_descriptors_fail_the_command(void **state)
{
	struct bench *bench = *state;
	static struct msg msg;

	msg_init(&msg);
	msg.header = (struct wire_header){ .id = 77, .command = TAKE };
	msg.fds_lost = true;
	taken = -1;
	dispatch_message(&bench->dispatch, &msg);
	transport_flush(&bench->call.session.transport);
	expect(bench, TAKE, EMFILE, 0);
	assert_int_equal(taken, -1);
}

static void a_command_that_waits_is_executed_again(void **state)
{
	struct bench *bench = *state;
	struct session *session = &bench->call.session;

	waits = 2;
	run(bench, LATER, 0, 8, 0);
	assert_non_null(session->deferred);
	expect_silence(bench);
	dispatch_resume(&bench->dispatch);
	assert_non_null(session->deferred);
	expect_silence(bench);
	dispatch_resume(&bench->dispatch);
	assert_null(session->deferred);
	transport_flush(&session->transport);
	expect(bench, LATER, 0, 8);
	waits = 1;
	run(bench, LATER, WIRE_NO_REPLY, 8, 0);
	assert_non_null(session->deferred);
	dispatch_resume(&bench->dispatch);
	assert_null(session->deferred);
	transport_flush(&session->transport);
	expect_silence(bench);
}

static void the_twin_socket_takes_no_commands(void **state)
{
	struct bench *bench = *state;
	struct session *session = &bench->call.session;
	struct wire_header header;
	static struct msg msg;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	session_add_twin(session, fd[0]);
	for (uint32_t flags = WIRE_TYPE_COMMAND; flags <= WIRE_TYPE_REPLY; flags++) {
		msg_init(&msg);
		msg.header = (struct wire_header){ .id = 77, .command = ECHO, .flags = flags };
		msg_add(&msg, dup(STDIN_FILENO));
		dispatch_twin(&bench->dispatch, &msg);
	}
	transport_flush(&session->twin);
	assert_int_equal(recv(fd[1], &header, sizeof(header), MSG_DONTWAIT), sizeof(header));
	assert_int_equal(header.error, EINVAL);
	assert_int_equal(recv(fd[1], &header, sizeof(header), MSG_DONTWAIT), -1);
	expect_silence(bench);
	close(fd[1]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_command_gets_its_reply),
		CASE(shape_is_checked_before_the_handler),
		CASE(unknown_and_backward_commands_are_refused),
		CASE(types_other_than_command_are_not_executed),
		CASE(a_late_failure_is_a_header_alone),
		CASE(no_reply_means_none),
		CASE(only_the_first_command_negotiates),
		CASE(a_failure_before_negotiation_ends_the_session),
		CASE(lost_descriptors_fail_the_command),
		CASE(a_command_that_waits_is_executed_again),
		CASE(the_twin_socket_takes_no_commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
