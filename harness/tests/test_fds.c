/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of fds: every descriptor has one owner at any time. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "fds.h"

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void what_is_left_is_closed(void **state)
{
	struct fds list = { 0 };
	int end[2];
	int taken;

	(void)state;
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_equal(fds_add(&list, end, 2), 0);
	assert_int_equal(list.count, 2);
	taken = fds_take(&list, 1);
	assert_int_equal(taken, end[1]);
	fds_close(&list);
	assert_int_equal(list.count, 0);
	assert_false(is_open(end[0]));
	assert_true(is_open(taken));
	close(taken);
}

static void one_can_be_taken_once(void **state)
{
	struct fds list = { 0 };
	int end[2];

	(void)state;
	assert_int_equal(fds_take(&list, 0), -ENOENT);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_equal(fds_add(&list, &end[0], 1), 0);
	assert_int_equal(fds_add(&list, &end[1], 1), 0);
	close(fds_take(&list, 0));
	assert_int_equal(list.fd[0], -1);
	assert_int_equal(fds_take(&list, 0), -ENOENT);
	assert_int_equal(fds_take(&list, 2), -ENOENT);
	assert_int_equal(fds_take(&list, UINT32_MAX), -ENOENT);
	fds_close(&list);
	assert_false(is_open(end[1]));
}

static void an_empty_list_is_closed_without_harm(void **state)
{
	struct fds list = { 0 };

	(void)state;
	assert_int_equal(fds_add(&list, NULL, 0), 0);
	fds_close(&list);
	fds_close(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_left_is_closed),
		cmocka_unit_test(one_can_be_taken_once),
		cmocka_unit_test(an_empty_list_is_closed_without_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
