/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of deadline: it never lies about the time left, nor overflows. */
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "deadline.h"

static void nothing_is_left_of_zero_and_of_negative_times(void **state)
{
	(void)state;
	assert_int_equal(deadline_left_ms(deadline_in(0)), 0);
	assert_int_equal(deadline_left_ms(deadline_in(-1)), 0);
	assert_int_equal(deadline_left_ms(deadline_in(INT_MIN)), 0);
}

static void what_is_left_never_exceeds_the_time_and_only_falls(void **state)
{
	struct deadline deadline = deadline_in(1000);
	int before = 1000;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int left = deadline_left_ms(deadline);

		assert_in_range(left, 1, before);
		before = left;
	}
}

static void the_longest_time_does_not_overflow(void **state)
{
	int left = deadline_left_ms(deadline_in(INT_MAX));

	(void)state;
	assert_true(left > INT_MAX - 60000);
}

static void it_passes_no_earlier_than_asked(void **state)
{
	struct deadline deadline = deadline_in(3);
	int waits = 0;

	(void)state;
	for (int left; (left = deadline_left_ms(deadline)) > 0; waits++)
		assert_int_equal(poll(NULL, 0, left), 0);
	/* Rounding up makes one wait enough, give or take an early timer. */
	assert_in_range(waits, 1, 2);
	assert_int_equal(deadline_left_ms(deadline), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_of_zero_and_of_negative_times),
		cmocka_unit_test(what_is_left_never_exceeds_the_time_and_only_falls),
		cmocka_unit_test(the_longest_time_does_not_overflow),
		cmocka_unit_test(it_passes_no_earlier_than_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
