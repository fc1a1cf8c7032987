/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dirty.h - the log of what the device wrote: DMA_LOGGING_START, DMA_LOGGING_STOP and
 * DMA_LOGGING_REPORT.
 *
 * Bits are kept per page of 4 KiB, in small blocks that exist only where something was written.
 * The granularity that the client chose takes effect when a write is marked: it dirties all of
 * the larger page, as far as that is mapped. So whatever is not mapped is never reported, and a
 * report of any range and page size tells each bit once: it reads and clears.
 *
 * The log belongs to the client, survives a device reset and ends with the connection. Writes by
 * messages go past the client, which tracks them itself; they are not marked here.
 */
#ifndef DIRTY_H
#define DIRTY_H

#include <stdbool.h>
#include <stddef.h>

#include "dispatch.h"
#include "range.h"

/* What is tracked, and the largest granularity that can be chosen. */
#define DIRTY_PAGE 4096u
#define DIRTY_MAX_PAGE (UINT64_C(2) << 20)

struct dirty_block;

struct dirty {
	bool on;
	bool lost;		/* a write could not be kept: all has to be taken for written */
	uint64_t page;		/* granularity */
	struct range *ranges;	/* what is logged: ascending and apart; NULL: everything */
	size_t range_count;
	struct dirty_block **blocks;	/* by number of the block, hashed */
	size_t buckets;		/* a power of two, or 0 */
	size_t count;
};

/* Logging is off. */
void dirty_init(struct dirty *dirty);

/* Ends logging and frees everything; nothing happens if it is off. */
void dirty_end(struct dirty *dirty);

/*
 * The device wrote `range`, which lies in the mapping `mapping`. To be called after the bytes
 * have moved and before the reference to the mapping is dropped.
 */
void dirty_mark(struct dirty *dirty, struct range range, struct range mapping);

/* The mapping of exactly this range is gone: what was written there is nobody's any more. */
void dirty_forget(struct dirty *dirty, struct range mapping);

/*
 * SET DMA_LOGGING_START: `data` is `size` bytes, at least a struct wire_logging_control, and
 * *page_size becomes the granularity: the hint where that is a power of two, brought into
 * [DIRTY_PAGE, DIRTY_MAX_PAGE], and else DIRTY_PAGE. 0; -EINVAL if logging is on already, if
 * there are fewer ranges than announced, or if one is empty or wraps; -ENOMEM.
 */
int dirty_start(struct dirty *dirty, const uint8_t *data, size_t size, uint64_t *page_size);

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
