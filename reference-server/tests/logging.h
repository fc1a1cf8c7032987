/* SPDX-License-Identifier: BSD-3-Clause */
/* logging.h - a log of two windows without files, started and reported as a client does it. */
#ifndef LOGGING_H
#define LOGGING_H

#include <stdint.h>
#include <string.h>

#include "dirty.h"

#define PAGE UINT64_C(4096)
#define WORDS 64
#define RUNS 4
#define BLOCK_PAGES UINT64_C(32768)

/* What is mapped, in ascending order; a run without pages is the end. */
static struct dirty_run runs[RUNS + 1];
static struct window_table windows;

static inline bool next_run(void *owner, uint64_t page, struct dirty_run *run)
{
	(void)owner;
	for (const struct dirty_run *at = runs; at->pages; at++) {
		if (at->address + at->pages > page) {
			*run = *at;
			return true;
		}
	}
	return false;
}

/* Two windows, no mappings. */
static inline int set_up(void **state)
{
	static struct dirty dirty;
	const struct dirty_source source = { .next = next_run };

	memset(runs, 0, sizeof(runs));
	memset(&windows, 0, sizeof(windows));
	windows.windows[0] = (struct window){ .first = 0, .pages = WINDOW_EXTENT };
	windows.windows[1] = (struct window){ .first = WINDOW_EXTENT, .pages = 1000 };
	dirty_init(&dirty, &windows, source);
	*state = &dirty;
	return 0;
}

static inline int tear_down(void **state)
{
	struct dirty *dirty = *state;

	dirty_end(dirty);
	return atomic_load(&dirty->bytes) != 0;
}

/* Maps pages of the address space to the same pages of window 0. */
static inline void map(size_t run, uint64_t page, uint64_t pages)
{
	runs[run] = (struct dirty_run){ .address = page, .pages = pages, .page = page };
}

static inline void mark(struct dirty *dirty, uint64_t page)
{
	dirty_mark(dirty, 0, page, page);
}

struct start {
	struct wire_logging_control control;
	struct wire_logging_range ranges[3];
};

static inline int start(struct dirty *dirty, uint64_t page_size, uint32_t ranges,
			const struct start *with)
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

/* Reports into `words`, whose further bits stay as they are; the number of words, or -errno. */
static inline int report(struct dirty *dirty, uint64_t iova, uint64_t length, uint64_t page_size,
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

#endif
