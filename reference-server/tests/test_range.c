/* SPDX-License-Identifier: BSD-3-Clause */
/* test_range.c - ranges at both ends of the address space. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "range.h"

static struct range made(uint64_t first, uint64_t size)
{
	struct range range;

	assert_int_equal(range_make(first, size, &range), 0);
	assert_int_equal(range_size(range), size);
	return range;
}

static void empty_and_wrapping_ranges_are_refused(void **state)
{
	struct range range = { 7, 9 };

	(void)state;
	assert_int_equal(range_make(0, 0, &range), -EINVAL);
	assert_int_equal(range_make(UINT64_MAX, 2, &range), -EINVAL);
	assert_int_equal(range_make(4096, UINT64_MAX, &range), -EINVAL);
	assert_int_equal(range_make(2, UINT64_MAX, &range), -EINVAL);
	assert_int_equal(range.first, 7);
	assert_int_equal(range.end, 9);
}

static void a_range_may_end_at_the_top(void **state)
{
	struct range top = made(UINT64_MAX - 4095, 4096), all_but_first = made(1, UINT64_MAX);

	(void)state;
	assert_int_equal(top.end, 0);
	assert_true(range_last(top) == UINT64_MAX);
	assert_true(range_contains(all_but_first, top));
	assert_false(range_contains(top, all_but_first));
	assert_true(range_overlaps(top, made(UINT64_MAX, 1)));
	assert_false(range_overlaps(top, made(0, 4096)));
}

static void touching_ranges_do_not_overlap(void **state)
{
	struct range a = made(100, 10);

	(void)state;
	assert_false(range_overlaps(a, made(110, 1)));
	assert_false(range_overlaps(a, made(0, 100)));
	assert_true(range_overlaps(a, made(109, 1)));
	assert_true(range_overlaps(a, made(0, 101)));
	assert_true(range_overlaps(made(0, 1000), a));
}

static void a_range_contains_itself_and_parts(void **state)
{
	struct range a = made(100, 10);

	(void)state;
	assert_true(range_contains(a, a));
	assert_true(range_contains(a, made(109, 1)));
	assert_false(range_contains(a, made(99, 2)));
	assert_false(range_contains(a, made(109, 2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_and_wrapping_ranges_are_refused),
		cmocka_unit_test(a_range_may_end_at_the_top),
		cmocka_unit_test(touching_ranges_do_not_overlap),
		cmocka_unit_test(a_range_contains_itself_and_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
