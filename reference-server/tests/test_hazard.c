/* SPDX-License-Identifier: BSD-3-Clause */
/* test_hazard.c - what overlaps, and who is kicked; with threads in test_space_race.c. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hazard.h"

static int set_up(void **state)
{
	static struct hazard_set set;

	*state = &set;
	return hazard_init(&set);
}

static int tear_down(void **state)
{
	hazard_end(*state);
	return 0;
}

/* Whether there was a kick since the last call. */
static bool is_kicked(struct hazard_set *set)
{
	struct pollfd kick = { .fd = set->kick, .events = POLLIN };
	bool kicked = poll(&kick, 1, 0) == 1;

	hazard_kicked(set);
	return kicked;
}

static void test_free_slots_overlap_nothing(void **state)
{
	struct hazard_set *set = *state;

	assert_false(hazard_overlaps(set, 0, UINT64_MAX));
	hazard_publish(set, 0, 5, 9);
	hazard_clear(set, 0);
	assert_false(hazard_overlaps(set, 0, UINT64_MAX));
}

static void test_ranges_are_inclusive(void **state)
{
	struct hazard_set *set = *state;

	hazard_publish(set, HAZARD_SLOTS - 1, 5, 9);
	assert_false(hazard_overlaps(set, 0, 4));
	assert_true(hazard_overlaps(set, 0, 5));
	assert_true(hazard_overlaps(set, 7, 7));
	assert_true(hazard_overlaps(set, 9, 20));
	assert_false(hazard_overlaps(set, 10, UINT64_MAX));
	hazard_narrow(set, HAZARD_SLOTS - 1, 6);
	assert_true(hazard_overlaps(set, 6, 6));
	assert_false(hazard_overlaps(set, 7, 20));
}

static void test_slots_are_apart(void **state)
{
	struct hazard_set *set = *state;

	hazard_publish(set, 1, 5, 5);
	hazard_publish(set, 2, 5, 5);
	hazard_clear(set, 1);
	assert_true(hazard_overlaps(set, 5, 5));
	hazard_clear(set, 2);
	assert_false(hazard_overlaps(set, 5, 5));
}

static void test_only_who_is_awaited_kicks(void **state)
{
	struct hazard_set *set = *state;

	hazard_publish(set, 0, 5, 9);
	hazard_clear(set, 0);
	assert_false(is_kicked(set));
	hazard_publish(set, 0, 5, 9);
	assert_false(hazard_await(set, 10, 11));
	hazard_narrow(set, 0, 8);
	assert_false(is_kicked(set));
	assert_true(hazard_await(set, 8, 8));
	hazard_narrow(set, 0, 7);
	assert_true(is_kicked(set));
	assert_false(hazard_await(set, 8, 8));
	assert_true(hazard_await(set, 7, 7));
	hazard_clear(set, 0);
	assert_true(is_kicked(set));
	hazard_publish(set, 0, 1, 1);
	hazard_clear(set, 0);
	assert_false(is_kicked(set));
}

#define with_set(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void test_spaces_are_apart(void **state)
{
	struct hazard_set *set = *state;

	hazard_publish_in(set, 3, 7, 5, 9);
	assert_true(hazard_overlaps_in(set, 7, 9, 9));
	assert_false(hazard_overlaps_in(set, 7, 10, 10));
	assert_false(hazard_overlaps_in(set, 0, 5, 9));
	assert_false(hazard_overlaps_in(set, 8, 0, UINT64_MAX));
	assert_true(hazard_overlaps(set, 5, 5));
	assert_false(hazard_await_in(set, 6, 5, 9));
	assert_true(hazard_await_in(set, 7, 5, 9));
	hazard_clear(set, 3);
	hazard_publish(set, 3, 5, 9);
	assert_false(hazard_overlaps_in(set, 7, 5, 9));
	assert_true(hazard_overlaps_in(set, 0, 5, 9));
	hazard_clear(set, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_set(test_free_slots_overlap_nothing),
		with_set(test_ranges_are_inclusive),
		with_set(test_slots_are_apart),
		with_set(test_only_who_is_awaited_kicks),
		with_set(test_spaces_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
