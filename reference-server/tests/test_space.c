/* SPDX-License-Identifier: BSD-3-Clause */
/* test_space.c - the table: beside a model, at the ends of the space, at its quotas and without
 * memory. With other threads in it: test_space_race.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "space_model.h"
#include "space_node.h"
#include "space_pool.h"

#define RUNS 12
#define RUN_BYTES 200000	/* some 25,000 operations */
#define HUGE_PAGES UINT64_C(512)
#define FAR_MOST 20000

struct fixture {
	struct hazard_set hazards;
	struct space space;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	const struct space_quota quota = { SIZE_MAX, SIZE_MAX };

	*state = &fixture;
	space_init(&fixture.space, &fixture.hazards, quota);
	return hazard_init(&fixture.hazards);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	space_clear(&fixture->space);
	hazard_end(&fixture->hazards);
	return 0;
}

/* A congruential generator that gives its upper bits; fixed, so that a failure comes again. */
static uint32_t random_next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static uint64_t far_page(uint64_t i)
{
	return ((i + 1) * UINT64_C(0x9e3779b97f4a7c15)) >> 12;
}

static int insert(struct space *space, uint64_t first, uint64_t pages)
{
	return space_insert(space, first, pages, space_entry(SPACE_READ, 3, 1000));
}

static int take_out(struct space *space, uint64_t first, uint64_t pages)
{
	uint64_t entry;

	return space_remove(space, first, pages, &entry);
}

static bool is_mapped(const struct space *space, uint64_t page)
{
	uint64_t run;

	return space_find(space, page, 1, &run) != 0;
}

static void test_operations_are_those_of_the_model(void **state)
{
	static uint8_t bytes[RUN_BYTES];

	(void)state;
	for (uint32_t run = 1; run <= RUNS; run++) {
		uint32_t random = run;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(random_next(&random) >> 4);
		model_run(bytes, sizeof(bytes));
	}
}

static void test_nothing_is_found_in_nothing(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	struct space_mapping mapping;

	assert_false(is_mapped(space, 0));
	assert_false(is_mapped(space, SPACE_PAGES - 1));
	assert_false(space_next(space, 0, &mapping));
	assert_int_equal(take_out(space, 0, 1), -ENOENT);
	assert_int_equal(space_bytes(space), 0);
}

static void test_ends_of_the_space_are_pages_like_others(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	struct space_mapping mapping;

	assert_int_equal(insert(space, SPACE_PAGES - 1, 1), 0);
	assert_int_equal(insert(space, 0, 1), 0);
	assert_int_equal(insert(space, SPACE_PAGES - 2, 2), -EEXIST);
	assert_int_equal(insert(space, SPACE_PAGES - 1, 2), -EINVAL);
	assert_int_equal(insert(space, SPACE_PAGES, 1), -EINVAL);
	assert_int_equal(insert(space, 1, UINT64_MAX), -EINVAL);
	assert_int_equal(insert(space, 1, 0), -EINVAL);
	assert_true(space_next(space, 1, &mapping));
	assert_int_equal(mapping.first, SPACE_PAGES - 1);
	assert_int_equal(mapping.pages, 1);
	assert_int_equal(take_out(space, SPACE_PAGES - 1, 1), 0);
	assert_true(is_mapped(space, 0));
	assert_false(space_next(space, 1, &mapping));
	assert_int_equal(take_out(space, 0, 1), 0);
	assert_int_equal(space_bytes(space), 0);
}

static void test_one_mapping_may_be_the_whole_space(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	uint64_t entry = space_entry(SPACE_WRITE | SPACE_MESSAGE, 0, 0), run;

	assert_int_equal(insert(space, 0, SPACE_PAGES), -EINVAL);	/* no file is as long */
	assert_int_equal(space_insert(space, 0, SPACE_PAGES, entry), 0);
	assert_int_not_equal(space_find(space, 12345, SPACE_PAGES, &run), 0);
	assert_int_equal(run, SPACE_PAGES - 12345);
	assert_int_equal(insert(space, far_page(1), 1), -EEXIST);
	assert_int_equal(take_out(space, 0, SPACE_PAGES - 1), -ENOENT);
	assert_int_equal(take_out(space, 0, SPACE_PAGES), 0);
	assert_int_equal(space_bytes(space), 0);
}

static void test_file_ends_where_an_entry_does(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	uint64_t last = space_entry(SPACE_READ, SPACE_WINDOWS - 1, SPACE_FILE_PAGES - 1), run;

	assert_int_equal(space_insert(space, 7, 2, last), -EINVAL);
	assert_int_equal(space_insert(space, 7, 1, last), 0);
	last = space_find(space, 7, 1, &run);
	assert_int_equal(space_entry_page(last), SPACE_FILE_PAGES - 1);
	assert_int_equal(space_entry_window(last), SPACE_WINDOWS - 1);
}

static void test_removal_is_exact(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	uint64_t first = 3 * HUGE_PAGES - 5, pages = 2 * HUGE_PAGES + 9;

	assert_int_equal(insert(space, first, pages), 0);
	assert_int_equal(insert(space, first + pages, 4), 0);	/* goes on in the same file */
	assert_int_equal(insert(space, first - 1, 1), 0);
	for (uint64_t n = 1; n < pages + 8; n++) {
		if (n != pages)
			assert_int_equal(take_out(space, first, n), -ENOENT);
		assert_int_equal(take_out(space, first + n, pages - n), -ENOENT);
	}
	assert_int_equal(take_out(space, first, pages + 4), -ENOENT);
	assert_int_equal(take_out(space, first - 1, pages + 1), -ENOENT);
	assert_int_equal(take_out(space, 3 * HUGE_PAGES, HUGE_PAGES), -ENOENT);
	assert_int_equal(take_out(space, first, UINT64_MAX), -ENOENT);
	assert_int_equal(space_count(space), 3);
	assert_int_equal(take_out(space, first, pages), 0);
	assert_true(is_mapped(space, first - 1) && is_mapped(space, first + pages));
	assert_false(is_mapped(space, first) || is_mapped(space, first + pages - 1));
}

static void test_small_ones_are_not_the_huge_one_over_them(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;

	assert_int_equal(insert(space, HUGE_PAGES * HUGE_PAGES, 1), 0);
	for (uint64_t i = 0; i < HUGE_PAGES; i++) {
		assert_int_equal(insert(space, i, 1), 0);
		assert_int_equal(take_out(space, 0, HUGE_PAGES), -ENOENT);
	}
	assert_int_equal(take_out(space, 0, HUGE_PAGES * HUGE_PAGES), -ENOENT);
	assert_int_equal(space_count(space), HUGE_PAGES + 1);
}

static void test_huge_over_small_and_small_over_huge_overlap(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	uint64_t at = UINT64_C(5) * HUGE_PAGES * HUGE_PAGES, huge = HUGE_PAGES * HUGE_PAGES;

	assert_int_equal(insert(space, at + 777, 1), 0);
	assert_int_equal(insert(space, at, huge), -EEXIST);
	assert_int_equal(insert(space, at + HUGE_PAGES, HUGE_PAGES), -EEXIST);
	assert_int_equal(insert(space, at - 3, 1000), -EEXIST);
	assert_int_equal(insert(space, at, HUGE_PAGES), 0);
	assert_int_equal(take_out(space, at + 777, 1), 0);
	assert_int_equal(take_out(space, at, HUGE_PAGES), 0);
	assert_int_equal(insert(space, at, huge), 0);
	assert_int_equal(insert(space, at + 777, 1), -EEXIST);
	assert_int_equal(insert(space, at + HUGE_PAGES, HUGE_PAGES), -EEXIST);
	assert_int_equal(insert(space, at + huge - 1, 2), -EEXIST);
	assert_int_equal(insert(space, at + huge, 1), 0);
}

static void test_full_quota_of_mappings_is_usable_again_after_one_removal(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;

	space->quota.mappings = 1000;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(insert(space, 2 * i, 1), 0);
	assert_int_equal(insert(space, 1, 1), -ENOSPC);
	assert_int_equal(insert(space, 2, 1), -EEXIST);
	assert_int_equal(take_out(space, 998, 1), 0);
	assert_int_equal(insert(space, 1, 1), 0);
	assert_int_equal(insert(space, 998, 1), -ENOSPC);
}

/* What was mapped is, and nothing else; `count` far pages. */
static void assert_is_far(const struct space *space, size_t count, size_t bytes)
{
	struct space_mapping mapping;
	size_t walked = 0;

	assert_int_equal(space_count(space), count);
	assert_int_equal(space_bytes(space), bytes);
	for (size_t i = 0; i < count; i++)
		assert_true(is_mapped(space, far_page(i)));
	for (uint64_t at = 0; space_next(space, at, &mapping); at = mapping.first + mapping.pages)
		walked++;
	assert_int_equal(walked, count);
}

static void test_quota_of_bytes_is_kept_and_nothing_done_in_part(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	size_t count = 0, bytes;

	space->pool.quota = 3 << 20;
	while (insert(space, far_page(count), 1) == 0)
		count++;
	bytes = space_bytes(space);
	assert_in_range(count, 1000, FAR_MOST);
	assert_in_range(bytes, (3 << 20) - 16384, 3 << 20);
	assert_int_equal(insert(space, far_page(count), 1), -ENOSPC);
	assert_int_equal(insert(space, far_page(count) & ~UINT64_C(511), 100), -ENOSPC);
	assert_is_far(space, count, bytes);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(take_out(space, far_page(i), 1), 0);
	assert_int_equal(insert(space, far_page(0), 1), 0);
}

/* No more address space for this process: mmap fails. */
static void starve(bool on)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = on ? 4096 : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

/* The root grows by so many levels at once, to a mapping that is not below the old one. */
static void test_quota_of_bytes_holds_however_high_the_tree_becomes(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;

	for (unsigned int level = 1; level < SPACE_LEVELS; level++) {
		uint64_t far = UINT64_C(3) << (9 * level);
		unsigned int pages = 0;
		int error;

		do {
			space_clear(space);
			space->pool.quota = SIZE_MAX;
			assert_int_equal(insert(space, 0, 1), 0);
			space->pool.quota = space_bytes(space) + (size_t)pages++ * SPACE_PAGE;
			error = insert(space, far, 1);
			assert_true(space_bytes(space) <= space->pool.quota);
			assert_int_equal(space_count(space), error ? 1 : 2);
		} while (error == -ENOSPC);
		assert_int_equal(error, 0);
		assert_in_range(pages, level + 1, level + 4);
	}
}

static void test_each_allocation_may_fail_and_nothing_is_done_in_part(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	size_t failures = 0, bytes;

	for (size_t i = 0; i < FAR_MOST; i++) {
		int error;

		bytes = space_bytes(space);
		starve(true);
		error = insert(space, far_page(i), 1 + i % 3);
		starve(false);
		if (error) {
			assert_int_equal(error, -ENOMEM);
			assert_is_far(space, i, bytes);
			assert_int_equal(insert(space, far_page(i), 1 + i % 3), 0);
			failures++;
		}
	}
	assert_in_range(failures, 5, 50);
	starve(true);
	for (size_t i = 0; i < FAR_MOST; i++) {
		if (take_out(space, far_page(i), 1 + i % 3) != 0)
			break;
	}
	starve(false);
	assert_int_equal(space_count(space), 0);
	assert_int_equal(space_bytes(space), 0);
}

static void test_nodes_wait_for_the_readers_of_their_addresses_alone(void **state)
{
	struct fixture *fixture = *state;
	struct space *space = &fixture->space;
	size_t bytes;

	assert_int_equal(insert(space, far_page(1), 1), 0);
	assert_int_equal(insert(space, far_page(2), 1), 0);
	hazard_publish(&fixture->hazards, 5, far_page(1), far_page(1));
	assert_int_equal(take_out(space, far_page(2), 1), 0);
	assert_int_equal(space_reclaim(space), 0);
	bytes = space_bytes(space);
	assert_int_equal(take_out(space, far_page(1), 1), 0);
	assert_int_not_equal(space_reclaim(space), 0);
	assert_int_equal(space_bytes(space), bytes);
	hazard_clear(&fixture->hazards, 5);
	assert_int_equal(space_reclaim(space), 0);
	assert_int_equal(space_bytes(space), 0);
}

static void test_dense_mappings_take_little_more_than_eight_bytes(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	const size_t count = 1 << 18;

	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(insert(space, i, 1), 0);
	assert_in_range(space_bytes(space), 8 * count, 17 * count / 2);
}

static void test_far_mappings_take_no_more_than_a_chain_each(void **state)
{
	struct space *space = &((struct fixture *)*state)->space;
	const size_t count = 1 << 16;

	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(insert(space, far_page(i), 1), 0);
	assert_in_range(space_bytes(space), 128 * count, 560 * count);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations_are_those_of_the_model),
		with_fixture(test_nothing_is_found_in_nothing),
		with_fixture(test_ends_of_the_space_are_pages_like_others),
		with_fixture(test_one_mapping_may_be_the_whole_space),
		with_fixture(test_file_ends_where_an_entry_does),
		with_fixture(test_removal_is_exact),
		with_fixture(test_small_ones_are_not_the_huge_one_over_them),
		with_fixture(test_huge_over_small_and_small_over_huge_overlap),
		with_fixture(test_full_quota_of_mappings_is_usable_again_after_one_removal),
		with_fixture(test_quota_of_bytes_is_kept_and_nothing_done_in_part),
		with_fixture(test_quota_of_bytes_holds_however_high_the_tree_becomes),
		with_fixture(test_each_allocation_may_fail_and_nothing_is_done_in_part),
		with_fixture(test_nodes_wait_for_the_readers_of_their_addresses_alone),
		with_fixture(test_dense_mappings_take_little_more_than_eight_bytes),
		with_fixture(test_far_mappings_take_no_more_than_a_chain_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
