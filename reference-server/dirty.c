/* SPDX-License-Identifier: BSD-3-Clause */
/* dirty.c - see dirty.h. */
#include "dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"

#define DIRTY_WORDS 512u
#define DIRTY_BLOCK_PAGES (UINT64_C(64) * DIRTY_WORDS)

/* The pages of one block, of 128 MiB of a file. */
struct dirty_block {
	_Atomic uint64_t words[DIRTY_WORDS];
};

/* What was written in one window. */
struct dirty_log {
	uint64_t first;		/* page of the file */
	uint64_t count;
	struct dirty_block *_Atomic blocks[];
};

/* A report that is being filled in. */
struct dirty_output {
	struct range range;
	uint64_t page_size;
	uint8_t *bitmap;
	bool clear;
	bool told;		/* at least one bit */
};

void dirty_init(struct dirty *dirty, const struct window_table *windows,
		struct dirty_source source)
{
	memset(dirty, 0, sizeof(*dirty));
	dirty->windows = windows;
	dirty->source = source;
	dirty->quota = DIRTY_QUOTA;
}

void dirty_stop(struct dirty *dirty)
{
	atomic_store(&dirty->on, false);
	free(dirty->ranges);
	dirty->ranges = NULL;
	dirty->range_count = 0;
}

static size_t dirty_log_size(uint64_t count)
{
	return sizeof(struct dirty_log) + (size_t)count * sizeof(struct dirty_block *);
}

void dirty_drop(struct dirty *dirty, unsigned int window)
{
	struct dirty_log *log = atomic_exchange(&dirty->logs[window], NULL);

	if (!log)
		return;
	for (uint64_t i = 0; i < log->count; i++) {
		struct dirty_block *block = atomic_load(&log->blocks[i]);

		if (block)
			atomic_fetch_sub(&dirty->bytes, sizeof(*block));
		free(block);
	}
	atomic_fetch_sub(&dirty->bytes, dirty_log_size(log->count));
	free(log);
}

void dirty_end(struct dirty *dirty)
{
	dirty_stop(dirty);
	for (unsigned int i = 0; i < WINDOW_MAX && atomic_load(&dirty->bytes); i++)
		dirty_drop(dirty, i);
	atomic_store(&dirty->lost, false);
}

/* Zeroed memory inside the quota; or NULL, and the log is lost. */
static void *dirty_allocate(struct dirty *dirty, size_t size)
{
	size_t before = atomic_fetch_add(&dirty->bytes, size);
	void *memory = before + size <= dirty->quota ? calloc(1, size) : NULL;

	if (memory)
		return memory;
	atomic_fetch_sub(&dirty->bytes, size);
	atomic_store(&dirty->lost, true);
	return NULL;
}

static void dirty_give_back(struct dirty *dirty, void *memory, size_t size)
{
	free(memory);
	atomic_fetch_sub(&dirty->bytes, size);
}

/* The log of a window: of several threads that make it at once one succeeds. NULL: lost. */
static struct dirty_log *dirty_log(struct dirty *dirty, unsigned int index)
{
	const struct window *window = &dirty->windows->windows[index];
	struct dirty_log *log = atomic_load(&dirty->logs[index]), *mine;
	uint64_t count;

	if (log)
		return log;
	count = (window->pages + DIRTY_BLOCK_PAGES - 1) / DIRTY_BLOCK_PAGES;
	mine = dirty_allocate(dirty, dirty_log_size(count));
	if (!mine)
		return NULL;
	mine->first = window->first;
	mine->count = count;
	if (atomic_compare_exchange_strong(&dirty->logs[index], &log, mine))
		return mine;
	dirty_give_back(dirty, mine, dirty_log_size(count));
	return log;
}

/* A block of a log, likewise. */
static struct dirty_block *dirty_block(struct dirty *dirty, struct dirty_log *log, uint64_t number)
{
	struct dirty_block *block = atomic_load(&log->blocks[number]), *mine;

	if (block)
		return block;
	mine = dirty_allocate(dirty, sizeof(*mine));
	if (!mine)
		return NULL;
	if (atomic_compare_exchange_strong(&log->blocks[number], &block, mine))
		return mine;
	dirty_give_back(dirty, mine, sizeof(*mine));
	return block;
}

/* The bits of a word that stand for pages `first` to `last`, of which `first` lies in the word. */
static uint64_t dirty_bits(uint64_t first, uint64_t last)
{
	uint64_t bits = UINT64_MAX << first % 64;

	if (last / 64 == first / 64)
		bits &= UINT64_MAX >> (63 - last % 64);
	return bits;
}

/*
 * The client takes its copy of the page when START has been answered. So whoever finds logging
 * off must have written before; without a barrier the write could still be on its way.
 */
static bool dirty_wanted(const struct dirty *dirty)
{
#if !defined(__SANITIZE_THREAD__)	/* which knows no barriers */
	atomic_thread_fence(memory_order_seq_cst);
#endif
	return atomic_load(&dirty->on) && !atomic_load(&dirty->lost);
}

void dirty_mark(struct dirty *dirty, unsigned int window, uint64_t first, uint64_t last)
{
	struct dirty_log *log = dirty_wanted(dirty) ? dirty_log(dirty, window) : NULL;

	if (!log)
		return;
	first -= log->first;
	last -= log->first;
	for (uint64_t page = first; page <= last; page = (page / 64 + 1) * 64) {
		struct dirty_block *block = dirty_block(dirty, log, page / DIRTY_BLOCK_PAGES);

		if (!block)
			return;
		/* Also where the bit is set: a report may clear it before this write is seen. */
		atomic_fetch_or(&block->words[page / 64 % DIRTY_WORDS], dirty_bits(page, last));
	}
}

/* Clears all bits. */
static void dirty_forget(struct dirty *dirty)
{
	for (unsigned int i = 0; i < WINDOW_MAX; i++) {
		struct dirty_log *log = atomic_load(&dirty->logs[i]);

		for (uint64_t n = 0; log && n < log->count; n++) {
			struct dirty_block *block = atomic_load(&log->blocks[n]);

			for (size_t word = 0; block && word < DIRTY_WORDS; word++)
				atomic_store(&block->words[word], 0);
		}
	}
	atomic_store(&dirty->lost, false);
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
	if (atomic_load(&dirty->on) ||
	    (size - sizeof(control)) / sizeof(struct wire_logging_range) < control.num_ranges)
		return -EINVAL;
	if (control.num_ranges)
		error = dirty_take_ranges(dirty, data + sizeof(control), control.num_ranges);
	if (error)
		return error;
	dirty_forget(dirty);
	if (fault_on(FAULT_log_is_taken_eagerly))
		fault_forget(1 << 20);
	atomic_store(&dirty->on, true);
	*page_size = DIRTY_PAGE;
	return 0;
}

int dirty_report_size(const struct dirty *dirty, const struct wire_logging_report *report,
		      size_t max, size_t *out)
{
	struct range range;
	uint64_t pages;

	if (!atomic_load(&dirty->on) || !dirty_is_power(report->page_size) ||
	    range_make(report->iova, report->length, &range))
		return -EINVAL;
	pages = (report->length - 1) / report->page_size + 1;
	for (volatile uint64_t i = 0; fault_on(FAULT_report_costs_its_bits) && i < pages << 12; i++)
		continue;
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

/* So many pages were written, from number `page` of the address space on. */
static void dirty_tell(struct dirty_output *output, uint64_t page, uint64_t pages)
{
	uint64_t first = page * DIRTY_PAGE, last = first + (pages * DIRTY_PAGE - 1);

	if (first < output->range.first)
		first = output->range.first;
	if (last > range_last(output->range))
		last = range_last(output->range);
	output->told = true;
	dirty_set(output->bitmap, (first - output->range.first) / output->page_size,
		  (last - output->range.first) / output->page_size);
}

/* `written` are bits of 64 pages, of which the first has number `page` of the address space. */
static void dirty_tell_word(struct dirty_output *output, uint64_t page, uint64_t written)
{
	while (written) {
		unsigned int first = (unsigned int)__builtin_ctzll(written);
		uint64_t rest = ~(written >> first);
		unsigned int pages = rest ? (unsigned int)__builtin_ctzll(rest) : 64;

		dirty_tell(output, page + first, pages);
		written &= ~(UINT64_MAX >> (64 - pages) << first);
	}
}

static uint64_t dirty_read(_Atomic uint64_t *word, uint64_t bits, bool clear)
{
	uint64_t written = atomic_load(word) & bits;

	return written && clear ? atomic_fetch_and(word, ~bits) & bits : written;
}

static void dirty_report_run(struct dirty *dirty, const struct dirty_run *run,
			     struct dirty_output *output)
{
	struct dirty_log *log = atomic_load(&dirty->logs[run->window]);
	uint64_t first, last;

	if (atomic_load(&dirty->lost))
		dirty_tell(output, run->address, run->pages);
	if (!log)
		return;
	first = run->page - log->first;
	last = first + (run->pages - 1);
	for (uint64_t page = first; page <= last; page = (page / 64 + 1) * 64) {
		struct dirty_block *block = atomic_load(&log->blocks[page / DIRTY_BLOCK_PAGES]);

		if (!block) {
			page |= DIRTY_BLOCK_PAGES - 1;
			continue;
		}
		/* May be below 0, where the first bits of the word are none of the run's. */
		dirty_tell_word(output, run->address + page / 64 * 64 - first,
				dirty_read(&block->words[page / 64 % DIRTY_WORDS],
					   dirty_bits(page, last), output->clear));
	}
}

/* Leaves of a run what lies in pages `first` to `last` of the address space: false if nothing. */
static bool dirty_cut(struct dirty_run *run, uint64_t first, uint64_t last)
{
	uint64_t end = run->address + run->pages - 1;

	if (run->address > last || end < first)
		return false;
	if (run->address < first) {
		run->page += first - run->address;
		run->address = first;
	}
	run->pages = (end < last ? end : last) - run->address + 1;
	return true;
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

/* Reports the pages of a run that are logged, if only in part. */
static void dirty_report_logged(struct dirty *dirty, const struct dirty_run *run,
				struct dirty_output *output)
{
	size_t i = dirty_find_range(dirty, run->address * DIRTY_PAGE);

	if (!dirty->ranges)
		dirty_report_run(dirty, run, output);
	for (; i < dirty->range_count; i++) {
		struct range logged = dirty->ranges[i];
		struct dirty_run part = *run;

		if (!dirty_cut(&part, logged.first / DIRTY_PAGE, range_last(logged) / DIRTY_PAGE))
			break;
		dirty_report_run(dirty, &part, output);
	}
}

/* Reports pages `first` to `last` of the address space. */
static void dirty_walk(struct dirty *dirty, uint64_t first, uint64_t last,
		       struct dirty_output *output)
{
	struct dirty_source *source = &dirty->source;
	struct dirty_run run;

	while (first <= last && source->next(source->owner, first, &run)) {
		uint64_t end = run.address + run.pages;

		if (!dirty_cut(&run, first, last))
			break;
		dirty_report_logged(dirty, &run, output);
		first = end;
	}
}

void dirty_report(struct dirty *dirty, const struct wire_logging_report *report, uint8_t *bitmap)
{
	struct dirty_output output = { .page_size = report->page_size, .bitmap = bitmap };
	uint64_t bits = (report->length - 1) / report->page_size + 1, first, last, part;

	memset(bitmap, 0, (size_t)((bits - 1) / 64 + 1) * sizeof(uint64_t));
	if (range_make(report->iova, report->length, &output.range))
		return;
	first = report->iova / DIRTY_PAGE;
	last = range_last(output.range) / DIRTY_PAGE;
	/* Nothing is cleared before all addresses of a page have been told. */
	dirty_walk(dirty, first, last, &output);
	if (!output.told || fault_on(FAULT_report_keeps_bits))
		return;
	/* What comes in between is told too. Pages that reach beyond the range are kept. */
	output.clear = true;
	first += report->iova % DIRTY_PAGE != 0;
	part = range_last(output.range) % DIRTY_PAGE;
	if (part == DIRTY_PAGE - 1)
		dirty_walk(dirty, first, last, &output);
	else if (last)
		dirty_walk(dirty, first, last - 1, &output);
}
