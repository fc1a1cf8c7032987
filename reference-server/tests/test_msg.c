/* SPDX-License-Identifier: BSD-3-Clause */
/* test_msg.c - a message owns its descriptors until they are taken. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "msg.h"

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void what_is_taken_survives_and_the_rest_is_closed(void **state)
{
	struct msg msg;
	int fd[3], taken;

	(void)state;
	msg_init(&msg);
	for (int i = 0; i < 3; i++) {
		fd[i] = dup(STDIN_FILENO);
		assert_int_equal(msg_add(&msg, fd[i]), 0);
	}
	taken = msg_take(&msg, 1);
	assert_int_equal(taken, fd[1]);
	assert_int_equal(msg_take(&msg, 1), -1);
	assert_int_equal(msg_take(&msg, 3), -1);
	assert_int_equal(msg.count, 3);
	msg_free(&msg);
	assert_false(is_open(fd[0]));
	assert_true(is_open(taken));
	assert_false(is_open(fd[2]));
	assert_int_equal(msg.count, 0);
	close(taken);
}

static void one_descriptor_too_many_is_closed_at_once(void **state)
{
	struct msg msg;
	int fd = -1;

	(void)state;
	msg_init(&msg);
	for (int i = 0; i < MSG_MAX_FDS; i++) {
		fd = dup(STDIN_FILENO);
		assert_int_equal(msg_add(&msg, fd), 0);
	}
	assert_false(msg.fds_lost);
	fd = dup(STDIN_FILENO);
	assert_int_equal(msg_add(&msg, fd), -ENOSPC);
	assert_false(is_open(fd));
	assert_true(msg.fds_lost);
	fd = msg.fd[MSG_MAX_FDS - 1];
	msg_free(&msg);
	assert_false(is_open(fd));
	assert_false(msg.fds_lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_survives_and_the_rest_is_closed),
		cmocka_unit_test(one_descriptor_too_many_is_closed_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
