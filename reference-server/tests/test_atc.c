/* SPDX-License-Identifier: BSD-3-Clause */
/* test_atc.c - what a cache of translations remembers, and what it never gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "atc.h"
#include "space_set.h"

#define ENTRY(page) space_entry(SPACE_READ, 1, page)
#define HUGE (UINT64_C(1) << 18)

struct fixture {
	struct hazard_set hazards;
	struct space space;
	struct atc atc;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	const struct space_quota ample = { SIZE_MAX, SIZE_MAX };

	fixture.atc = (struct atc){ 0 };
	*state = &fixture;
	if (hazard_init(&fixture.hazards))
		return -1;
	space_init(&fixture.space, &fixture.hazards, ample);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	space_clear(&fixture->space);
	hazard_end(&fixture->hazards);
	return 0;
}

/* Looks a page up: the page of the file, or -1; *hit as atc_find() says. */
static int64_t find_in(struct fixture *fixture, struct space *space, uint64_t page, bool *hit)
{
	struct atc_found found;

	hazard_publish_in(&fixture->hazards, 0, space->number, page, page);
	found = atc_find(&fixture->atc, space, page, 1);
	hazard_clear(&fixture->hazards, 0);
	*hit = found.hit;
	assert_int_equal(found.run, found.entry ? 1 : 0);
	return found.entry ? (int64_t)space_entry_page(found.entry) : -1;
}

static int64_t find(struct fixture *fixture, uint64_t page, bool *hit)
{
	return find_in(fixture, &fixture->space, page, hit);
}

static void expect(struct fixture *fixture, uint64_t page, int64_t file_page, bool hit)
{
	bool was;

	assert_int_equal(find(fixture, page, &was), file_page);
	assert_int_equal(was, hit);
}

static void put(struct fixture *fixture, uint64_t first, uint64_t pages, uint64_t file_page)
{
	assert_int_equal(space_insert(&fixture->space, first, pages, ENTRY(file_page)), 0);
}

static void take(struct fixture *fixture, uint64_t first, uint64_t pages)
{
	uint64_t entry;

	assert_int_equal(space_remove(&fixture->space, first, pages, &entry), 0);
}

static void neighbours_share_a_line(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, 0x100, 1, 7);
	put(fixture, 0x101, 1, 3);
	expect(fixture, 0x100, 7, false);
	expect(fixture, 0x100, 7, true);
	expect(fixture, 0x101, 3, true);
}

static void what_is_taken_out_is_not_found(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, 0x100, 1, 7);
	put(fixture, 0x101, 1, 3);
	expect(fixture, 0x100, 7, false);
	take(fixture, 0x100, 1);
	expect(fixture, 0x100, -1, false);
	expect(fixture, 0x101, 3, true);
	take(fixture, 0x101, 1);
	expect(fixture, 0x101, -1, false);
	assert_int_equal(space_bytes(&fixture->space), 0);
	expect(fixture, 0x101, -1, false);
}

static void misses_are_not_remembered(void **state)
{
	struct fixture *fixture = *state;

	expect(fixture, 0x100, -1, false);
	put(fixture, 0x100, 1, 7);
	expect(fixture, 0x101, -1, false);
	put(fixture, 0x101, 1, 8);
	expect(fixture, 0x101, 8, false);
}

static void what_is_replaced_is_found_anew(void **state)
{
	struct fixture *fixture = *state;
	uint64_t old;

	put(fixture, 0x100, 2, 7);
	expect(fixture, 0x101, 8, false);
	assert_int_equal(space_replace(&fixture->space, 0x100, 2, ENTRY(20), &old), 0);
	expect(fixture, 0x101, 21, true);
}

static void leaves_of_all_sizes_are_cached(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, HUGE, HUGE, 0);
	expect(fixture, HUGE + 1234, 1234, false);
	expect(fixture, HUGE + 1235, 1235, true);
	take(fixture, HUGE, HUGE);
	/* Small ones in its place, and back. */
	for (uint64_t i = 0; i < 40; i++)
		put(fixture, HUGE + 1200 + i, 1, 90 - i);
	expect(fixture, HUGE + 1234, 56, false);
	expect(fixture, HUGE + 1235, 55, true);
	for (uint64_t i = 0; i < 40; i++)
		take(fixture, HUGE + 1200 + i, 1);
	put(fixture, HUGE, HUGE, 5);
	expect(fixture, HUGE + 1234, 1239, false);
}

static void nodes_change_their_kind(void **state)
{
	struct fixture *fixture = *state;
	bool hit;

	put(fixture, 0, 1, 100);
	for (uint64_t i = 1; i < 100; i++) {
		put(fixture, i << 10, 1, i);
		assert_int_equal(find(fixture, 0, &hit), 100);
		expect(fixture, 0, 100, true);
	}
	for (uint64_t i = 1; i < 100; i++) {
		take(fixture, i << 10, 1);
		assert_int_equal(find(fixture, 0, &hit), 100);
	}
}

static void a_pasid_that_comes_back_begins_empty(void **state)
{
	struct fixture *fixture = *state;
	struct space_set set;
	struct space *space;
	uint64_t entry;
	bool hit;

	space_set_init(&set, &fixture->space);
	assert_int_equal(space_set_open(&set, 4), 0);
	for (uint64_t round = 0; round < 20; round++) {
		assert_null(space_set_find(&set, 6));
		assert_int_equal(space_set_make(&set, 6, &space), 0);
		assert_int_equal(space_insert(space, 9, 1, ENTRY(round)), 0);
		assert_null(space_set_find(&set, 6));
		space_set_add(&set, space);
		assert_ptr_equal(space_set_find(&set, 6), space);
		assert_int_equal(find_in(fixture, space, 9, &hit), round);
		assert_false(hit);
		assert_int_equal(find_in(fixture, space, 9, &hit), round);
		assert_true(hit);
		assert_int_equal(space_remove(space, 9, 1, &entry), 0);
		space_set_drop(&set, space);
		assert_int_equal(space_reclaim(space), 0);
	}
	space_set_close(&set);
}

static void a_set_is_full_at_its_bound(void **state)
{
	struct fixture *fixture = *state;
	struct space_set set;
	struct space *space;

	space_set_init(&set, &fixture->space);
	assert_null(space_set_find(&set, 1));
	assert_int_equal(space_set_open(&set, 5), 0);
	for (uint32_t round = 0; round < 100; round++) {
		for (uint32_t i = 1; i <= 5; i++) {
			assert_int_equal(space_set_make(&set, round * 1000 + i, &space), 0);
			space_set_add(&set, space);
		}
		assert_int_not_equal(space_set_make(&set, 999, &space), 0);
		for (uint32_t i = 1; i <= 5; i++)
			space_set_drop(&set, space_set_find(&set, round * 1000 + i));
		assert_null(space_set_find(&set, round * 1000 + 1));
	}
	space_set_close(&set);
}

static void lines_are_dropped_by_space_and_range(void **state)
{
	struct fixture *fixture = *state;

	put(fixture, 0x100, 1, 7);
	put(fixture, 0x900, 1, 8);
	expect(fixture, 0x100, 7, false);
	expect(fixture, 0x900, 8, false);
	assert_int_equal(atc_drop(&fixture->atc, 1, 0, SPACE_PAGES - 1), 0);
	assert_int_equal(atc_drop(&fixture->atc, 0, 0x200, 0x7ff), 0);
	assert_int_equal(atc_drop(&fixture->atc, 0, 0x100, 0x100), 1);
	expect(fixture, 0x900, 8, true);
	expect(fixture, 0x100, 7, false);
	assert_int_equal(atc_drop(&fixture->atc, HAZARD_ANY, 0, SPACE_PAGES - 1), 2);
	assert_int_equal(atc_drop(&fixture->atc, HAZARD_ANY, 0, SPACE_PAGES - 1), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(neighbours_share_a_line),
		CASE(what_is_taken_out_is_not_found),
		CASE(misses_are_not_remembered),
		CASE(what_is_replaced_is_found_anew),
		CASE(leaves_of_all_sizes_are_cached),
		CASE(nodes_change_their_kind),
		CASE(a_pasid_that_comes_back_begins_empty),
		CASE(a_set_is_full_at_its_bound),
		CASE(lines_are_dropped_by_space_and_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
