/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * atc.h - the cache of translations of one thread.
 *
 * A line remembers in which node of a table the leaf over 512 pages was, and when. Who has
 * published a hazard for a page begins to look it up in that node, as long as no node of any table
 * was put aside since (hazard_epoch): so the node is in its table still, or stays until the hazard
 * has ended. What is read there is the table itself. A mapping that has left the table, or has come
 * into the place of another, is found by a line as it is without, and what is not mapped is not
 * remembered.
 *
 * A line is used by its thread alone. Whoever changes tables may drop lines at any time.
 */
#ifndef ATC_H
#define ATC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "space.h"

#define ATC_LINES 32u

struct atc_line {
	_Atomic uint64_t key;	/* 0: empty */
	uint64_t epoch;
	struct space_spot spot;
};

/* All 0 is an empty cache. */
struct atc {
	struct atc_line line[ATC_LINES];
};

/* What was found: see space_find(). */
struct atc_found {
	uint64_t entry;
	uint64_t run;
	bool hit;		/* by a line */
};

/* As space_find(), for the owner of the cache, which may be NULL: then nothing is remembered. */
struct atc_found atc_find(struct atc *atc, const struct space *space, uint64_t page,
			  uint64_t max_pages);

/*
 * Drops the lines over pages `first` to `last` of a space, HAZARD_ANY of all; returns how many
 * there were. Any thread.
 */
uint32_t atc_drop(struct atc *atc, uint32_t space, uint64_t first, uint64_t last);

#endif
