/* SPDX-License-Identifier: BSD-3-Clause */
/* dirty.c - see dirty.h. */
#include "dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define DIRTY_WORDS 8
#define DIRTY_BLOCK_PAGES (UINT64_C(64) * DIRTY_WORDS)
#define DIRTY_BLOCK_SIZE (DIRTY_BLOCK_PAGES * DIRTY_PAGE)
#define DIRTY_FIRST_BUCKETS 64

/* The pages of one block of addresses. */
struct dirty_block {
	struct dirty_block *next;
	uint64_t number;	/* address / DIRTY_BLOCK_SIZE */
	uint64_t words[DIRTY_WORDS];
};

/* A report that is being filled in. */
struct dirty_output {
	struct range range;
	uint64_t page_size;
	uint8_t *bitmap;
};

void dirty_init(struct dirty *dirty)
{
	memset(dirty, 0, sizeof(*dirty));
}

void dirty_end(struct dirty *dirty)
{
	for (size_t i = 0; i < dirty->buckets; i++) {
		while (dirty->blocks[i]) {
			struct dirty_block *block = dirty->blocks[i];

			dirty->blocks[i] = block->next;
			free(block);
		}
	}
	free(dirty->blocks);
	free(dirty->ranges);
	dirty_init(dirty);
}

/* The place in which a block of that number is, or would be; there are buckets. */
static struct dirty_block **dirty_place(const struct dirty *dirty, uint64_t number)
{
	uint64_t hash = number * UINT64_C(0x9e3779b97f4a7c15);
	struct dirty_block **place = &dirty->blocks[(hash >> 32) & (dirty->buckets - 1)];

	while (*place && (*place)->number != number)
		place = &(*place)->next;
	return place;
}

static int dirty_grow(struct dirty *dirty)
{
	size_t old = dirty->buckets, buckets = old ? 2 * old : DIRTY_FIRST_BUCKETS;
	struct dirty_block **blocks = dirty->blocks, **grown;

	grown = calloc(buckets, sizeof(struct dirty_block *));
	if (!grown)
		return -ENOMEM;
	dirty->blocks = grown;
	dirty->buckets = buckets;
	for (size_t i = 0; i < old; i++) {
		while (blocks[i]) {
			struct dirty_block *block = blocks[i], **place;

			blocks[i] = block->next;
			place = dirty_place(dirty, block->number);
			block->next = *place;
			*place = block;
		}
	}
	free(blocks);
	return 0;
}

/* The block of that number, which is made if it does not exist; NULL without memory. */
static struct dirty_block *dirty_block(struct dirty *dirty, uint64_t number)
{
	struct dirty_block **place;

	if (dirty->count >= dirty->buckets && dirty_grow(dirty) && !dirty->buckets)
		return NULL;
	place = dirty_place(dirty, number);
	if (!*place) {
		*place = calloc(1, sizeof(**place));
		if (!*place)
			return NULL;
		(*place)->number = number;
		dirty->count++;
	}
	return *place;
}

/* Marks the pages of all bytes from first to last. */
static void dirty_mark_pages(struct dirty *dirty, uint64_t first, uint64_t last)
{
	uint64_t end = last / DIRTY_PAGE;

	for (uint64_t page = first / DIRTY_PAGE; page <= end;) {
		struct dirty_block *block = dirty_block(dirty, page / DIRTY_BLOCK_PAGES);
		uint64_t stop = (page / DIRTY_BLOCK_PAGES + 1) * DIRTY_BLOCK_PAGES;

		if (!block) {
			dirty->lost = true;
			return;
		}
		for (; page < stop && page <= end; page++)
			block->words[page / 64 % DIRTY_WORDS] |= UINT64_C(1) << page % 64;
	}
}

/* Marks what of first to last is in the mapping, after both have been rounded to whole pages. */
static void dirty_mark_part(struct dirty *dirty, uint64_t first, uint64_t last,
			    struct range mapping)
{
	first &= ~(dirty->page - 1);
	last |= dirty->page - 1;
	if (first < mapping.first)
		first = mapping.first;
	if (last > range_last(mapping))
		last = range_last(mapping);
	dirty_mark_pages(dirty, first, last);
}

/* The first logged range that does not end before the address. */
static size_t dirty_find_range(const struct dirty *dirty, uint64_t address)
{
	size_t low = 0, high = dirty->range_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (range_last(dirty->ranges[middle]) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void dirty_mark(struct dirty *dirty, struct range range, struct range mapping)
{
	if (!dirty->on)
		return;
	if (!dirty->ranges) {
		dirty_mark_part(dirty, range.first, range_last(range), mapping);
		return;
	}
	for (size_t i = dirty_find_range(dirty, range.first); i < dirty->range_count; i++) {
		struct range logged = dirty->ranges[i];
		uint64_t first = logged.first > range.first ? logged.first : range.first;
		uint64_t last = range_last(logged);

		if (last > range_last(range))
			last = range_last(range);
		if (first > last)
			break;
		dirty_mark_part(dirty, first, last, mapping);
	}
}

/* The part of a block's address range that `range` covers; false if it is empty. */
static bool dirty_cut(const struct dirty_block *block, struct range range, uint64_t *first,
		      uint64_t *last)
{
	uint64_t start = block->number * DIRTY_BLOCK_SIZE;
	uint64_t end = start + (DIRTY_BLOCK_SIZE - 1);

	*first = range.first > start ? range.first : start;
	*last = range_last(range) < end ? range_last(range) : end;
	return *first <= *last;
}

/* Calls `visit` for each block that has a part in the range. */
static void dirty_walk(struct dirty *dirty, struct range range,
		       void (*visit)(struct dirty_block *block, struct dirty_output *output),
		       struct dirty_output *output)
{
	uint64_t number = range.first / DIRTY_BLOCK_SIZE;
	uint64_t end = range_last(range) / DIRTY_BLOCK_SIZE;

	if (end - number < dirty->buckets) {
		for (; number <= end; number++) {
			struct dirty_block *block = *dirty_place(dirty, number);

			if (block)
				visit(block, output);
		}
		return;
	}
	for (size_t i = 0; i < dirty->buckets; i++) {
		for (struct dirty_block *block = dirty->blocks[i]; block; block = block->next)
			visit(block, output);
	}
}

static void dirty_forget_block(struct dirty_block *block, struct dirty_output *output)
{
	uint64_t first, last;

	if (!dirty_cut(block, output->range, &first, &last))
		return;
	last /= DIRTY_PAGE;
	for (uint64_t page = first / DIRTY_PAGE; page <= last; page++)
		block->words[page / 64 % DIRTY_WORDS] &= ~(UINT64_C(1) << page % 64);
}

void dirty_forget(struct dirty *dirty, struct range mapping)
{
	struct dirty_output output = { .range = mapping };

	dirty_walk(dirty, mapping, dirty_forget_block, &output);
}

static int dirty_compare(const void *a, const void *b)
{
	const struct range *left = a, *right = b;

	return (left->first > right->first) - (left->first < right->first);
}

/* Sorts the ranges and joins those that overlap or touch. */
static size_t dirty_join(struct range *ranges, size_t count)
{
	size_t kept = 0;

	qsort(ranges, count, sizeof(*ranges), dirty_compare);
	for (size_t i = 1; i < count; i++) {
		struct range *before = &ranges[kept];

		if (range_last(*before) != UINT64_MAX && ranges[i].first > before->end)
			ranges[++kept] = ranges[i];
		else if (range_last(ranges[i]) > range_last(*before))
			before->end = ranges[i].end;
	}
	return kept + 1;
}

static int dirty_take_ranges(struct dirty *dirty, const uint8_t *data, uint32_t count)
{
	struct wire_logging_range wire;
	struct range *ranges = calloc(count, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(&wire, data + i * sizeof(wire), sizeof(wire));
		if (range_make(wire.iova, wire.length, &ranges[i])) {
			free(ranges);
			return -EINVAL;
		}
	}
	dirty->ranges = ranges;
	dirty->range_count = dirty_join(ranges, count);
	return 0;
}

static bool dirty_is_power(uint64_t number)
{
	return number && !(number & (number - 1));
}

int dirty_start(struct dirty *dirty, const uint8_t *data, size_t size, uint64_t *page_size)
{
	struct wire_logging_control control;
	int error = 0;

	memcpy(&control, data, sizeof(control));
	if (dirty->on || (size - sizeof(control)) / sizeof(struct wire_logging_range) <
			 control.num_ranges)
		return -EINVAL;
	if (control.num_ranges)
		error = dirty_take_ranges(dirty, data + sizeof(control), control.num_ranges);
	if (error)
		return error;
	dirty->page = DIRTY_PAGE;
	if (dirty_is_power(control.page_size) && control.page_size > DIRTY_PAGE)
		dirty->page = control.page_size;
	if (dirty->page > DIRTY_MAX_PAGE)
		dirty->page = DIRTY_MAX_PAGE;
	dirty->on = true;
	*page_size = dirty->page;
	return 0;
}

int dirty_report_size(const struct dirty *dirty, const struct wire_logging_report *report,
		      size_t max, size_t *out)
{
	struct range range;
	uint64_t pages;

	if (!dirty->on || !dirty_is_power(report->page_size) ||
	    range_make(report->iova, report->length, &range))
		return -EINVAL;
	pages = (report->length - 1) / report->page_size + 1;
	if ((pages - 1) / 64 >= max / sizeof(uint64_t))
		return -EINVAL;
	*out = (size_t)((pages - 1) / 64 + 1) * sizeof(uint64_t);
	return 0;
}

/* Sets bits first to last. The bitmap is an array of u64 in host byte order. */
static void dirty_set(uint8_t *bitmap, uint64_t first, uint64_t last)
{
	uint64_t word;

	for (uint64_t bit = first; bit <= last;) {
		uint64_t end = bit | 63, ones = UINT64_MAX << bit % 64;

		if (end > last)
			ones &= UINT64_MAX >> (63 - last % 64);
		memcpy(&word, bitmap + bit / 64 * sizeof(word), sizeof(word));
		word |= ones;
		memcpy(bitmap + bit / 64 * sizeof(word), &word, sizeof(word));
		if (end == UINT64_MAX)
			return;
		bit = end + 1;
	}
}

static void dirty_report_page(struct dirty_block *block, uint64_t page, struct dirty_output *output)
{
	uint64_t first = page * DIRTY_PAGE, last = first + (DIRTY_PAGE - 1);
	uint64_t *word = &block->words[page / 64 % DIRTY_WORDS], bit = UINT64_C(1) << page % 64;
	bool whole = true;

	if (!(*word & bit))
		return;
	if (first < output->range.first) {
		first = output->range.first;
		whole = false;
	}
	if (last > range_last(output->range)) {
		last = range_last(output->range);
		whole = false;
	}
	dirty_set(output->bitmap, (first - output->range.first) / output->page_size,
		  (last - output->range.first) / output->page_size);
	if (whole && !fault_on(FAULT_report_keeps_bits))
		*word &= ~bit;
}

static void dirty_report_block(struct dirty_block *block, struct dirty_output *output)
{
	uint64_t first, last;

	if (!dirty_cut(block, output->range, &first, &last))
		return;
	last /= DIRTY_PAGE;
	for (uint64_t page = first / DIRTY_PAGE; page <= last; page++)
		dirty_report_page(block, page, output);
}

void dirty_report(struct dirty *dirty, const struct wire_logging_report *report, uint8_t *bitmap)
{
	struct dirty_output output = { .page_size = report->page_size, .bitmap = bitmap };
	uint64_t pages = (report->length - 1) / report->page_size + 1;

	memset(bitmap, 0, (size_t)((pages - 1) / 64 + 1) * sizeof(uint64_t));
	if (range_make(report->iova, report->length, &output.range))
		return;
	dirty_walk(dirty, output.range, dirty_report_block, &output);
	if (dirty->lost)
		dirty_set(bitmap, 0, pages - 1);
}
