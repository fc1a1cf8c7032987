/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dirty.c - marks and reports of any range and page size, against a map of single pages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logging.h"

static void pages_are_reported_once(void **state)
{
	static const uint64_t pages[] = { 0, 1, 63, 64, 65, 130, 511, 512, 1000 };
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, 16, 1024);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		mark(dirty, 16 + pages[i]);
	assert_int_equal(report(dirty, 16 * PAGE, 1024 * PAGE, PAGE, words), 16);
	for (uint64_t page = 0; page < 1024; page++) {
		bool set = false;

		for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
			set |= pages[i] == page;
		assert_int_equal(words[page / 64] >> page % 64 & 1, set);
	}
	assert_int_equal(report(dirty, 16 * PAGE, 1024 * PAGE, PAGE, words), 16);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(words[i], 0);
}

static void a_part_leaves_the_rest(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, 0, 100);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, 0, 0, 99);
	assert_int_equal(report(dirty, 0, 10 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0x3ff);
	assert_int_equal(report(dirty, 0, 100 * PAGE, PAGE, words), 2);
	assert_true(words[0] == UINT64_MAX << 10);
	assert_true(words[1] == UINT64_MAX >> 28);
}

static void page_sizes_repeat_and_join_bits(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, 0, 1024);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, 1);
	assert_int_equal(report(dirty, 0, 4 * PAGE, 2048, words), 1);
	assert_int_equal(words[0], 0xc);
	mark(dirty, 1);
	assert_int_equal(report(dirty, 0, 4 * PAGE, 512, words), 1);
	assert_int_equal(words[0], 0xff00);
	mark(dirty, 1);
	mark(dirty, 17);
	assert_int_equal(report(dirty, 0, 64 * PAGE, 65536, words), 1);
	assert_int_equal(words[0], 3);
	mark(dirty, 511);
	assert_int_equal(report(dirty, 0, 1024 * PAGE, UINT64_C(2) << 20, words), 1);
	assert_int_equal(words[0], 1);
	mark(dirty, 1);
	assert_int_equal(report(dirty, 0, 64 * PAGE, UINT64_C(1) << 63, words), 1);
	assert_int_equal(words[0], 1);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
}

static void bits_count_from_an_unaligned_start(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, 0, 64);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, 2);
	assert_int_equal(report(dirty, 0x1800, 4 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 3);
	mark(dirty, 1);
	assert_int_equal(report(dirty, 0x1800, PAGE + 1, PAGE, words), 1);
	assert_int_equal(words[0], 1);
	assert_int_equal(report(dirty, 0x1000, PAGE - 1, PAGE, words), 1);
	assert_int_equal(words[0], 1);
	assert_int_equal(report(dirty, 0, 1, PAGE, words), 1);
	assert_int_equal(words[0], 0);
	/* The page reaches beyond what was asked, so it is not forgotten. */
	assert_int_equal(report(dirty, 0, 4 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 2);
	assert_int_equal(report(dirty, 0, 4 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
}

static void mappings_say_where_pages_are_seen(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	runs[0] = (struct dirty_run){ .address = 5, .pages = 3, .page = 100 };
	runs[1] = (struct dirty_run){ .address = 8, .pages = 4, .window = 1,
				      .page = WINDOW_EXTENT + 61 };
	runs[2] = (struct dirty_run){ .address = 60, .pages = 40, .page = 7 };
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, 0, 99, 101);
	dirty_mark(dirty, 1, WINDOW_EXTENT + 63, WINDOW_EXTENT + 64);
	dirty_mark(dirty, 0, 7, 46);
	assert_int_equal(report(dirty, 0, 100 * PAGE, PAGE, words), 2);
	assert_true(words[0] == (UINT64_C(0xf) << 60 | 0xc60));
	assert_true(words[1] == UINT64_MAX >> 28);
	/* Page 99 was written, too, and is seen when it is mapped. */
	runs[0].page = 99;
	assert_int_equal(report(dirty, 4 * PAGE, 60 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 2);
}

/* One page of the file at two addresses: both of them were written. */
static void a_page_that_is_mapped_twice_is_told_twice(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	runs[0] = (struct dirty_run){ .address = 0, .pages = 4, .page = 10 };
	runs[1] = (struct dirty_run){ .address = 8, .pages = 4, .page = 11 };
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, 12);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0x204);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
	mark(dirty, 12);
	assert_int_equal(report(dirty, 8 * PAGE, 4 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 2);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
}

static void the_top_of_the_address_space_is_reported(void **state)
{
	const uint64_t top = UINT64_C(1) << 52;
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	runs[0] = (struct dirty_run){ .address = top - 2, .pages = 2, .page = 3 };
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, 0, 3, 4);
	assert_int_equal(report(dirty, -(4 * PAGE), 4 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0xc);
	dirty_mark(dirty, 0, 4, 4);
	assert_int_equal(report(dirty, -PAGE, PAGE - 1, PAGE, words), 1);
	assert_int_equal(words[0], 1);
	assert_int_equal(report(dirty, 1, UINT64_MAX, UINT64_C(1) << 63, words), 1);
	assert_int_equal(words[0], 2);
	assert_int_equal(report(dirty, -PAGE, PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
}

/* The first bits of a report lie in the middle of a word, and in front of them is nothing. */
static void words_of_the_file_are_cut_at_both_ends(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	runs[0] = (struct dirty_run){ .address = 1, .pages = 100, .page = 63 };
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, 0, 0, 511);
	assert_int_equal(report(dirty, 0, 128 * PAGE, PAGE, words), 2);
	assert_true(words[0] == UINT64_MAX - 1);
	assert_true(words[1] == UINT64_MAX >> 27);
	runs[0] = (struct dirty_run){ .address = 0, .pages = 512, .page = 0 };
	assert_int_equal(report(dirty, 0, 512 * PAGE, PAGE, words), 8);
	assert_true(words[0] == UINT64_MAX >> 1);
	assert_int_equal(words[1], 0);
	assert_true(words[2] == UINT64_MAX << 35);
	assert_true(words[7] == UINT64_MAX);
}

static void blocks_exist_where_something_was_written(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };
	size_t before;

	map(0, 0, WINDOW_EXTENT);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, 5 * BLOCK_PAGES - 1);
	before = atomic_load(&dirty->bytes);
	mark(dirty, 5 * BLOCK_PAGES - 2);
	assert_int_equal(atomic_load(&dirty->bytes), before);
	dirty_mark(dirty, 0, 9 * BLOCK_PAGES - 1, 9 * BLOCK_PAGES);
	assert_int_equal(atomic_load(&dirty->bytes), before + 2 * PAGE);
	assert_int_equal(report(dirty, 0, WINDOW_EXTENT * PAGE, UINT64_C(1) << 30, words), 16);
	assert_int_equal(words[0], 3);
	dirty_stop(dirty);
	assert_int_equal(atomic_load(&dirty->bytes), before + 2 * PAGE);
	dirty_drop(dirty, 1);
	dirty_drop(dirty, 0);
	assert_int_equal(atomic_load(&dirty->bytes), 0);
}

/* Another file has the index now. */
static void what_was_written_goes_with_its_window(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, 0, 64);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, 3);
	dirty_drop(dirty, 0);
	windows.windows[0].pages = 64;
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0);
	mark(dirty, 4);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0x10);
}

static void any_hint_becomes_the_one_page_size(void **state)
{
	static const uint64_t hints[] = { 0, 1, 512, 3000, PAGE, 65536, UINT64_C(1) << 63 };
	struct dirty *dirty = *state;

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		assert_int_equal(start(dirty, hints[i], 0, NULL), PAGE);
		assert_int_equal(start(dirty, hints[i], 0, NULL), -EINVAL);
		dirty_stop(dirty);
		dirty_stop(dirty);
	}
}

static void a_start_begins_with_a_clean_log(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, 0, 64);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, 1);
	dirty_stop(dirty);
	mark(dirty, 2);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), -EINVAL);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, 3);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 8);
}

static void only_the_ranges_are_logged(void **state)
{
	const struct start data = { .ranges = {
		{ 40 * PAGE + 8, 4 * PAGE }, { 8 * PAGE, 2 * PAGE }, { 9 * PAGE, 2 * PAGE },
	} };
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, 0, 9);
	map(1, 9, 55);
	assert_int_equal(start(dirty, PAGE, 3, &data), PAGE);
	assert_int_equal(dirty->range_count, 2);
	dirty_mark(dirty, 0, 0, 63);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	/* A page that is logged in part is told. */
	assert_true(words[0] == (UINT64_C(0x1f) << 40 | 0x700));
	dirty_stop(dirty);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	dirty_mark(dirty, 0, 0, 63);
	assert_int_equal(report(dirty, 0, 64 * PAGE, PAGE, words), 1);
	assert_true(words[0] == UINT64_MAX);
}

static void ranges_at_the_top_are_joined(void **state)
{
	const struct start data = { .ranges = {
		{ -PAGE, PAGE }, { -(4 * PAGE), 4 * PAGE }, { 0, PAGE },
	} };
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	map(0, (UINT64_C(1) << 52) - 8, 8);
	runs[0].page = 0;
	assert_int_equal(start(dirty, PAGE, 3, &data), PAGE);
	assert_int_equal(dirty->range_count, 2);
	dirty_mark(dirty, 0, 0, 7);
	assert_int_equal(report(dirty, -(8 * PAGE), 8 * PAGE, PAGE, words), 1);
	assert_int_equal(words[0], 0xf0);
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
	assert_false(atomic_load(&dirty->on));
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

/* Reports pages of MODEL_PAGES that are mapped at a page of their own, and compares. */
static void report_model(struct dirty *dirty, bool *model, uint32_t first, uint32_t count)
{
	const uint64_t page = runs[0].address + first;
	const uint32_t shift = draw() % 12, unit = (1u << shift) / 2;
	uint64_t words[WORDS] = { 0 };
	uint32_t bits = unit ? (count + unit - 1) / unit : 2 * count;

	assert_true(report(dirty, page * PAGE, count * PAGE, PAGE / 2 << shift, words) > 0);
	for (uint32_t bit = 0; bit < bits; bit++) {
		bool set = !unit && model[first + bit / 2];

		for (uint32_t i = bit * unit; i < (bit + 1) * unit && i < count; i++)
			set |= model[first + i];
		assert_int_equal(words[bit / 64] >> bit % 64 & 1, set);
	}
	memset(model + first, 0, count);
}

/* At random, in pages of a file and of the address space that are not aligned to each other. */
static void a_model_of_pages_agrees(void **state)
{
	static bool model[MODEL_PAGES];
	struct dirty *dirty = *state;
	const uint64_t page = BLOCK_PAGES - 1001;

	runs[0] = (struct dirty_run){ .address = 12345, .pages = 777, .page = page };
	runs[1] = (struct dirty_run){ .address = 12345 + 777, .pages = MODEL_PAGES - 777,
				      .page = page + 777 };
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	for (int round = 0; round < 3000; round++) {
		uint32_t first = draw() % MODEL_PAGES;
		uint32_t count = 1 + draw() % (MODEL_PAGES - first);

		if (round % 3 == 0) {
			report_model(dirty, model, first, count);
			continue;
		}
		count = 1 + (count - 1) % (round % 5 ? 5 : 200);
		dirty_mark(dirty, 0, page + first, page + first + count - 1);
		memset(model + first, 1, count);
	}
}

static void above_the_quota_everything_is_dirty(void **state)
{
	struct dirty *dirty = *state;
	uint64_t words[WORDS] = { 0 };

	runs[0] = (struct dirty_run){ .address = 2, .pages = 10, .page = BLOCK_PAGES - 5 };
	runs[1] = (struct dirty_run){ .address = 20, .pages = 2, .window = 1,
				      .page = WINDOW_EXTENT };
	assert_int_equal(dirty->quota, 64 << 20);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	mark(dirty, BLOCK_PAGES - 5);
	dirty->quota = atomic_load(&dirty->bytes);
	mark(dirty, BLOCK_PAGES - 4);
	assert_false(atomic_load(&dirty->lost));
	mark(dirty, BLOCK_PAGES);
	assert_true(atomic_load(&dirty->lost));
	assert_int_equal(atomic_load(&dirty->bytes), dirty->quota);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(report(dirty, 0, 65 * PAGE, PAGE, words), 2);
		/* But what is not mapped was not written. */
		assert_int_equal(words[0], 0x300ffc);
		assert_int_equal(words[1], 0);
	}
	dirty_stop(dirty);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	assert_int_equal(report(dirty, 0, 65 * PAGE, PAGE, words), 2);
	assert_int_equal(words[0], 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pages_are_reported_once),
		CASE(a_part_leaves_the_rest),
		CASE(page_sizes_repeat_and_join_bits),
		CASE(bits_count_from_an_unaligned_start),
		CASE(mappings_say_where_pages_are_seen),
		CASE(a_page_that_is_mapped_twice_is_told_twice),
		CASE(the_top_of_the_address_space_is_reported),
		CASE(words_of_the_file_are_cut_at_both_ends),
		CASE(blocks_exist_where_something_was_written),
		CASE(what_was_written_goes_with_its_window),
		CASE(any_hint_becomes_the_one_page_size),
		CASE(a_start_begins_with_a_clean_log),
		CASE(only_the_ranges_are_logged),
		CASE(ranges_at_the_top_are_joined),
		CASE(bad_starts_change_nothing),
		CASE(bad_reports_are_refused),
		CASE(a_model_of_pages_agrees),
		CASE(above_the_quota_everything_is_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
