/* SPDX-License-Identifier: BSD-3-Clause */
/* atc.c - see atc.h. */
#include "atc.h"

/* A line is for 512 pages; so the number of a space and theirs fill a word, less one bit. */
#define ATC_SHIFT 9
#define ATC_PLACE_BITS (52 - ATC_SHIFT)

static uint64_t atc_key(uint32_t space, uint64_t page)
{
	return ((uint64_t)space << ATC_PLACE_BITS | page >> ATC_SHIFT) + 1;
}

static struct atc_line *atc_line(struct atc *atc, uint64_t key)
{
	return &atc->line[key * UINT64_C(0x9e3779b97f4a7c15) >> 59 & (ATC_LINES - 1)];
}

struct atc_found atc_find(struct atc *atc, const struct space *space, uint64_t page,
			  uint64_t max_pages)
{
	struct space_spot spot = { .child = 0 };
	struct atc_found found = { .hit = false };
	uint64_t key = atc_key(space->number, page), epoch;
	struct atc_line *line;

	if (!atc) {
		found.entry = space_find(space, page, max_pages, &found.run);
		return found;
	}
	line = atc_line(atc, key);
	epoch = hazard_epoch(space->hazards);
	if (atomic_load_explicit(&line->key, memory_order_relaxed) == key && line->epoch == epoch)
		spot = line->spot;
	found.entry = space_find_from(space, &spot, page, max_pages, &found.run);
	if (!found.entry)
		return found;
	/* Where the node had nothing there, the whole table was asked. */
	found.hit = line->epoch == epoch && spot.child == line->spot.child &&
		    atomic_load_explicit(&line->key, memory_order_relaxed) == key;
	line->epoch = epoch;
	line->spot = spot;
	atomic_store_explicit(&line->key, key, memory_order_relaxed);
	return found;
}

/* Whether a line is over pages of that space. */
static bool atc_overlaps(uint64_t key, uint32_t space, uint64_t first, uint64_t last)
{
	uint64_t place = (key - 1) & ((UINT64_C(1) << ATC_PLACE_BITS) - 1);

	if (!key || (space != HAZARD_ANY && (key - 1) >> ATC_PLACE_BITS != space))
		return false;
	return place >= first >> ATC_SHIFT && place <= last >> ATC_SHIFT;
}

uint32_t atc_drop(struct atc *atc, uint32_t space, uint64_t first, uint64_t last)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ATC_LINES; i++) {
		struct atc_line *line = &atc->line[i];
		uint64_t key = atomic_load_explicit(&line->key, memory_order_relaxed);

		if (atc_overlaps(key, space, first, last))
			count += atomic_exchange_explicit(&line->key, 0, memory_order_relaxed) != 0;
	}
	return count;
}
