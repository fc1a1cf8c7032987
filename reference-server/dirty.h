/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty.h - the log of what the device wrote: DMA_LOGGING_START, DMA_LOGGING_STOP and
 * DMA_LOGGING_REPORT.
 *
 * One bit stands for DIRTY_PAGE bytes of a client's file, as far as a window shows them; so it
 * serves all mappings of the page, and outlives each of them. Bits are kept in blocks that exist
 * only where something was written since logging was first started. Any number of threads mark
 * pages, while one thread starts, stops and reports; neither waits for the other. A bit that is
 * set is in the next report of its page, or in a later one, but never in none.
 *
 * Which addresses show which pages is the owner's to say, when there is a report: that walks the
 * mapped pages of its range, and of the ranges that are logged, and tells each bit once. A page
 * that two addresses of one report show is told at both. Writes by messages go past the client,
 * which tracks them itself; they are not marked here, and nothing is reported of mappings that
 * have no window.
 *
 * The log belongs to the client, survives a device reset and ends with the connection.
 */
#ifndef DIRTY_H
#define DIRTY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatch.h"
#include "range.h"
#include "window.h"

/* What is tracked, whatever the client would like. */
#define DIRTY_PAGE 4096u

/* The most bytes that all bits take, unless the owner changes it. */
#define DIRTY_QUOTA ((size_t)64 << 20)

/* Pages of the client's address space that are mapped to pages of a file, in the same order. */
struct dirty_run {
	uint64_t address;	/* of the first page, in pages */
	uint64_t pages;
	unsigned int window;
	uint64_t page;		/* of the file */
};

/* The lowest run that ends behind `page` of the address space into *run; false: there is none. */
struct dirty_source {
	bool (*next)(void *owner, uint64_t page, struct dirty_run *run);
	void *owner;
};

struct dirty_log;

struct dirty {
	atomic_bool on;
	atomic_bool lost;	/* a write could not be kept: all has to be taken for written */
	atomic_size_t bytes;	/* that all logs take */
	size_t quota;
	struct range *ranges;	/* what is logged: ascending and apart; NULL: everything */
	size_t range_count;
	const struct window_table *windows;
	struct dirty_source source;
	struct dirty_log *_Atomic logs[WINDOW_MAX];	/* by index of the window */
};

/* Logging is off. The windows outlive the log, as does the source's owner. */
void dirty_init(struct dirty *dirty, const struct window_table *windows,
		struct dirty_source source);

/* Ends logging and frees everything; nothing happens if it is off. No thread marks any more. */
void dirty_end(struct dirty *dirty);

/*
 * The device wrote pages `first` to `last` of the file, which lie in the window. Any thread; to
 * be called after the bytes have moved and before the reference to the mapping is dropped. Without
 * memory, or above the quota, everything counts as written from here on.
 */
void dirty_mark(struct dirty *dirty, unsigned int window, uint64_t first, uint64_t last);

/* The window of this index has gone, and with it what was written there. */
void dirty_drop(struct dirty *dirty, unsigned int window);

/*
 * SET DMA_LOGGING_START: `data` is `size` bytes, at least a struct wire_logging_control, and
 * *page_size becomes DIRTY_PAGE. All bits are cleared first. 0; -EINVAL if logging is on already,
 * if there are fewer ranges than announced, or if one is empty or wraps; -ENOMEM.
 */
int dirty_start(struct dirty *dirty, const uint8_t *data, size_t size, uint64_t *page_size);

/* SET DMA_LOGGING_STOP: nothing is marked any more; nothing happens if logging is off. */
void dirty_stop(struct dirty *dirty);

/*
 * The size of the bitmap of a report in bytes, which is at most `max`, into *out. -EINVAL if
 * logging is off, the range is empty or wraps, page_size is no power of two, or the bitmap would
 * be larger.
 */
int dirty_report_size(const struct dirty *dirty, const struct wire_logging_report *report,
		      size_t max, size_t *out);

/*
 * Fills in the bitmap, which has that size: bit n stands for the n-th page_size bytes from iova
 * on. What is reported is forgotten, except for a page that reaches beyond the range.
 */
void dirty_report(struct dirty *dirty, const struct wire_logging_report *report, uint8_t *bitmap);

#endif
