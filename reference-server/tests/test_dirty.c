/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dirty.c - marks and reports of any range and page size, against a map of single bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dirty.h"

#define PAGE UINT64_C(4096)
#define WORDS 64

static int set_up(void **state)
{
	static struct dirty dirty;

	dirty_init(&dirty);
	*state = &dirty;
	return 0;
}

static int tear_down(void **state)
{
	dirty_end(*state);
	return 0;
}

struct start {
	struct wire_logging_control control;
	struct wire_logging_range ranges[3];
};

static int start(struct dirty *dirty, uint64_t page_size, uint32_t ranges, const struct start *with)
{
	struct start data = { 0 };
	uint64_t chosen = 0;
	int error;

	if (with)
		data = *with;
	data.control.page_size = page_size;
	data.control.num_ranges = ranges;
	error = dirty_start(dirty, (const uint8_t *)&data, sizeof(data), &chosen);
	return error ? error : (int)chosen;
}

static struct range range(uint64_t first, uint64_t size)
{
	struct range out;

	assert_int_equal(range_make(first, size, &out), 0);
	return out;
}

/* Reports into `words`, whose further bits stay as they are; the number of words, or -errno. */
static int report(struct dirty *dirty, uint64_t iova, uint64_t length, uint64_t page_size,
		  uint64_t *words)
{
	const struct wire_logging_report request = { iova, length, page_size };
	size_t size = 0;
	int error = dirty_report_size(dirty, &request, WORDS * sizeof(*words), &size);

	if (error)
		return error;
	dirty_report(dirty, &request, (uint8_t *)words);
	return (int)(size / sizeof(*words));
}

static void pages_are_reported_once(void **state)
{
	static const uint64_t pages[] = { 0, 1, 63, 64, 65, 130, 511, 512, 1000 };
	const struct range mapping = range(0x10000, 1024 * PAGE);
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		dirty_mark(dirty, range(0x10000 + pages[i] * PAGE + 7, 1), mapping);
	assert_int_equal(report(dirty, 0x10000, 1024 * PAGE, PAGE, words), 16);
	for (uint64_t page = 0; page < 1024; page++) {
		bool set = false;

		for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
			set |= pages[i] == page;
		assert_int_equal(words[page / 64] >> page % 64 & 1, set);
	}
	assert_int_equal(report(dirty, 0x10000, 1024 * PAGE, PAGE, words), 16);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(words[i], 0);
}

static void a_part_leaves_the_rest(void **state)
{
	const struct range mapping = range(0, 100 * PAGE);
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, mapping, mapping);
	assert_int_equal(report(dirty, 0, 10 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0x3ff);
	assert_int_equal(report(dirty, 0, 100 * PAGE, PAGE, words), 2);
	assert_true(words[0] == UINT64_MAX << 10);
	assert_true(words[1] == UINT64_MAX >> 28);
}

static void page_sizes_repeat_and_join_bits(void **state)
{
	const struct range mapping = range(0, 64 * PAGE);
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, range(PAGE, 1), mapping);
	assert_int_equal(report(dirty, 0, 4 * PAGE, 512, words), 1);
	assert_int_equal(words[0], 0xff00);
	dirty_mark(dirty, range(PAGE, 1), mapping);
	dirty_mark(dirty, range(17 * PAGE, 1), mapping);
	assert_int_equal(report(dirty, 0, 64 * PAGE, 65536, words), 1);
	assert_int_equal(words[0], 3);
	dirty_mark(dirty, range(PAGE, 1), mapping);
	assert_int_equal(report(dirty, 0, 64 * PAGE, UINT64_C(1) << 63, words), 1);
	assert_int_equal(words[0], 1);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
}

static void bits_count_from_an_unaligned_start(void **state)
{
	const struct range mapping = range(0, 64 * PAGE);
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, range(2 * PAGE, 1), mapping);
	assert_int_equal(report(dirty, 0x1800, 4 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 3);
	dirty_mark(dirty, range(PAGE, 1), mapping);
	assert_int_equal(report(dirty, 0x1800, PAGE + 1, PAGE, words), 1);
	assert_int_equal(words[0], 1);
	/* The page reaches beyond what was asked, so it is not forgotten. */
	assert_int_equal(report(dirty, 0, 4 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 2);
}

static void a_larger_granularity_stays_in_the_mapping(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, 16 * PAGE, 0, NULL), 16 * PAGE);
	dirty_mark(dirty, range(5 * PAGE, 1), range(2 * PAGE, 6 * PAGE));
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0xfc);
	dirty_mark(dirty, range(5 * PAGE, 1), range(2 * PAGE, 6 * PAGE));
	dirty_forget(dirty, range(2 * PAGE, 6 * PAGE));
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
}

static void hints_become_a_possible_page_size(void **state)
{
	static const struct { uint64_t hint, chosen; } hints[] = {
		{ 0, PAGE }, { 1, PAGE }, { 512, PAGE }, { 3000, PAGE }, { PAGE, PAGE },
		{ 65536, 65536 }, { DIRTY_MAX_PAGE, DIRTY_MAX_PAGE },
		{ UINT64_C(1) << 40, DIRTY_MAX_PAGE }, { UINT64_C(1) << 63, DIRTY_MAX_PAGE },
		{ (UINT64_C(1) << 63) + 1, PAGE },
	};
	struct dirty *dirty = *state;

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		assert_int_equal(start(dirty, hints[i].hint, 0, NULL), hints[i].chosen);
		assert_int_equal(start(dirty, hints[i].hint, 0, NULL), -EINVAL);
		dirty_end(dirty);
		dirty_end(dirty);
	}
}

static void only_the_ranges_are_logged(void **state)
{
	const struct start data = { .ranges = {
		{ 40 * PAGE, 4 * PAGE }, { 8 * PAGE, 2 * PAGE }, { 9 * PAGE, 2 * PAGE },
	} };
	const struct range mapping = range(0, 64 * PAGE);
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, PAGE, 3, &data), PAGE);
	assert_int_equal(dirty->range_count, 2);
	dirty_mark(dirty, mapping, mapping);
	dirty_mark(dirty, range(30 * PAGE, PAGE), mapping);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_true(words[0] == (UINT64_C(0xf) << 40 | 0x700));
}

static void ranges_at_the_top_are_joined(void **state)
{
	const struct start data = { .ranges = {
		{ -PAGE, PAGE }, { -(4 * PAGE), 4 * PAGE }, { 0, PAGE },
	} };
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, PAGE, 3, &data), PAGE);
	assert_int_equal(dirty->range_count, 2);
	dirty_mark(dirty, range(-PAGE, PAGE), range(-(8 * PAGE), 8 * PAGE));
	assert_int_equal(report(dirty, -(8 * PAGE), 8 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0x80);
}

static void bad_starts_change_nothing(void **state)
{
	struct start data = { .ranges = { { 0, PAGE } } };
	struct dirty *dirty = *state;

	assert_int_equal(start(dirty, PAGE, 4, &data), -EINVAL);
	assert_int_equal(start(dirty, PAGE, UINT32_MAX, &data), -EINVAL);
	assert_int_equal(start(dirty, PAGE, 2, &data), -EINVAL);	/* the second is empty */
	data.ranges[1] = (struct wire_logging_range){ UINT64_MAX, 2 };
	assert_int_equal(start(dirty, PAGE, 2, &data), -EINVAL);
	assert_false(dirty->on);
	assert_null(dirty->ranges);
}

static void bad_reports_are_refused(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(report(dirty, 0, PAGE, PAGE, words), -EINVAL);	/* not started */
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	assert_int_equal(report(dirty, 0, 0, PAGE, words), -EINVAL);
	assert_int_equal(report(dirty, 0, PAGE, 0, words), -EINVAL);
	assert_int_equal(report(dirty, 0, PAGE, 3000, words), -EINVAL);
	assert_int_equal(report(dirty, UINT64_MAX, 2, PAGE, words), -EINVAL);
	assert_int_equal(report(dirty, 0, UINT64_MAX, 1, words), -EINVAL);
	assert_int_equal(report(dirty, 0, (uint64_t)WORDS * 64 * PAGE + 1, PAGE, words), -EINVAL);
	assert_int_equal(report(dirty, 0, (uint64_t)WORDS * 64 * PAGE, PAGE, words), WORDS);
	assert_int_equal(report(dirty, 1, UINT64_MAX, UINT64_C(1) << 60, words), 1);
	assert_int_equal(report(dirty, 0, UINT64_C(1) << 63, UINT64_C(1) << 63, words), 1);
}

#define MODEL_PAGES 2048u

/* The same numbers in each run. */
static uint32_t draw(void)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(state >> 33);
}

/* Marks and reports at random, in a part of the address space that spans several blocks. */
static void a_model_of_pages_agrees(void **state)
{
	static bool model[MODEL_PAGES];
	const struct range mapping = range(0, MODEL_PAGES * PAGE);
	struct dirty *dirty = *state;

	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	for (int round = 0; round < 2000; round++) {
		uint32_t first = draw() % MODEL_PAGES;
		uint32_t count = 1 + draw() % (MODEL_PAGES - first);
		uint32_t shift = draw() % 4;
		uint64_t words[WORDS] = { 0 };

		if (round % 3) {
			count = 1 + count % 5;
			dirty_mark(dirty, range(first * PAGE, 1 + (count - 1) * PAGE),
				   mapping);
			for (uint32_t i = first; i < first + count && i < MODEL_PAGES; i++)
				model[i] = true;
			continue;
		}
		assert_true(report(dirty, first * PAGE, count * PAGE,
				   PAGE << shift, words) > 0);
		for (uint32_t bit = 0; bit < (count + (1u << shift) - 1) >> shift; bit++) {
			bool set = false;

			for (uint32_t i = bit << shift; i < (bit + 1) << shift && i < count; i++) {
				set |= model[first + i];
				model[first + i] = false;
			}
			assert_int_equal(words[bit / 64] >> bit % 64 & 1, set);
		}
	}
}

static void without_memory_everything_is_dirty(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty->lost = true;
	assert_int_equal(report(dirty, 0, 65 * PAGE, PAGE, words), 2);
	assert_true(words[0] == UINT64_MAX);
	assert_int_equal(words[1], 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pages_are_reported_once),
		CASE(a_part_leaves_the_rest),
		CASE(page_sizes_repeat_and_join_bits),
		CASE(bits_count_from_an_unaligned_start),
		CASE(a_larger_granularity_stays_in_the_mapping),
		CASE(hints_become_a_possible_page_size),
		CASE(only_the_ranges_are_logged),
		CASE(ranges_at_the_top_are_joined),
		CASE(bad_starts_change_nothing),
		CASE(bad_reports_are_refused),
		CASE(a_model_of_pages_agrees),
		CASE(without_memory_everything_is_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
