/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hazard.h - which pages of address spaces are in use this moment, and by whom not any more.
 *
 * A thread that is about to look pages up says so first, in a slot of its own, and takes it back
 * when it has done with what it found. Who has taken a mapping out of the table then looks at the
 * slots: a slot that overlaps may still use the mapping, and if none does nobody will. This is
 * Dekker's pattern: publish, then look up, against clear, then look at the slots. At least one of
 * the two sees what the other did.
 *
 * Pages are addresses shifted right by 12, in one of several spaces that have numbers; what takes
 * no space means number 0 where pages are published, and any space where slots are looked at. A
 * slot belongs to one thread at a time; how it comes to its owner is the caller's matter.
 * Publishing takes no lock and waits for nobody.
 */
#ifndef HAZARD_H
#define HAZARD_H

#include <stdbool.h>
#include <stdint.h>

#define HAZARD_SLOTS 32
#define HAZARD_NOTHING UINT64_MAX
#define HAZARD_ANY UINT32_MAX	/* every space */

struct hazard_slot {
	_Alignas(64) _Atomic uint64_t first;	/* HAZARD_NOTHING: the slot is free */
	_Atomic uint64_t last;
	_Atomic uint32_t space;
};

struct hazard_set {
	struct hazard_slot slot[HAZARD_SLOTS];
	_Atomic bool awaited;	/* the next release has to kick */
	_Atomic uint64_t epoch;
	_Atomic unsigned int fence;	/* where a sanitizer does not know fences */
	int kick;		/* eventfd, readable once somebody who was awaited has left */
};

/* All slots free, and an eventfd of the set's own: 0, or what eventfd(2) fails with, negative. */
int hazard_init(struct hazard_set *set);

/* Closes the eventfd. No thread uses the set any more. */
void hazard_end(struct hazard_set *set);

/* --- the side of who uses pages -------------------------------------------------------------- */

/*
 * From here on what is found in `first` to `last` (inclusive) stays. The slot is free, or what it
 * held is over with.
 */
void hazard_publish_in(struct hazard_set *set, unsigned int slot, uint32_t space, uint64_t first,
		       uint64_t last);

static inline void hazard_publish(struct hazard_set *set, unsigned int slot, uint64_t first,
				  uint64_t last)
{
	hazard_publish_in(set, slot, 0, first, last);
}

/* The pages behind `last` are done with; it is not below the first nor above the last so far. */
void hazard_narrow(struct hazard_set *set, unsigned int slot, uint64_t last);

/*
 * A number that is another one when something was put aside (hazard_put_aside) that the caller did
 * not know of yet. Who reads it behind hazard_publish() and finds it as it was may still use what
 * it found at that time: that will not be freed before the slot is clear.
 */
uint64_t hazard_epoch(const struct hazard_set *set);

/* Everything is done with. */
void hazard_clear(struct hazard_set *set, unsigned int slot);

/* --- the side of who takes pages away --------------------------------------------------------- */

/* What readers may have kept a way to is put aside, and is freed when no slot overlaps it. */
void hazard_put_aside(struct hazard_set *set);

/*
 * Whether a slot overlaps the pages `first` to `last`. If not, nobody uses what was taken out of
 * the table before the call, and all that was done with it has been seen to be done.
 */
bool hazard_overlaps_in(struct hazard_set *set, uint32_t space, uint64_t first, uint64_t last);

static inline bool hazard_overlaps(struct hazard_set *set, uint64_t first, uint64_t last)
{
	return hazard_overlaps_in(set, HAZARD_ANY, first, last);
}

/*
 * The same; and if one does, the eventfd becomes readable after the next narrowing or release,
 * whichever slot it is of. The caller reads it (hazard_kicked) and calls again.
 */
bool hazard_await_in(struct hazard_set *set, uint32_t space, uint64_t first, uint64_t last);

static inline bool hazard_await(struct hazard_set *set, uint64_t first, uint64_t last)
{
	return hazard_await_in(set, HAZARD_ANY, first, last);
}

/* Makes the eventfd unreadable until the next kick. */
void hazard_kicked(struct hazard_set *set);

#endif
