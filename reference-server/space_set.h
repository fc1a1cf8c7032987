/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_set.h - the spaces of a client's PASIDs, by number.
 *
 * The number of a space is its PASID + 1; 0 is the space without PASID, which is the owner's and
 * lends the others its memory. There is room for so many spaces as were agreed on, and no more.
 *
 * One thread adds and drops spaces. Others may call space_set_find() meanwhile, without a lock,
 * when they have published a hazard in that very space: what was dropped is not given to another
 * PASID before no such hazard is left, which the owner sees to.
 */
#ifndef SPACE_SET_H
#define SPACE_SET_H

#include <stdint.h>

#include "space.h"

struct space_place {
	_Atomic uint32_t number;	/* 0: never used; SPACE_SET_GONE */
	struct space space;
};

struct space_set {
	struct space *first;
	struct space_place *places;
	uint32_t bits;		/* there are 1 << bits places */
	uint32_t max;
	uint32_t count;
};

#define SPACE_SET_GONE UINT32_MAX

/* No spaces, and no room for any. `first` lends its memory, and outlives the set. */
void space_set_init(struct space_set *set, struct space *first);

/* Makes room for `max` spaces, where there is none yet: 0 or -ENOMEM. */
int space_set_open(struct space_set *set, uint32_t max);

/* Drops all, and the room. Their tables go with space_clear() of the first space. */
void space_set_close(struct space_set *set);

/* The space of that number, which is not 0, or NULL. */
struct space *space_set_find(const struct space_set *set, uint32_t number);

/* An empty one, which is not there yet, and is not found before it was added: 0, or -ENOSPC. */
int space_set_make(const struct space_set *set, uint32_t number, struct space **out);
void space_set_add(struct space_set *set, struct space *space);

/* The next space without mappings, from place *at on, which is moved behind it; or NULL. */
struct space *space_set_empty(const struct space_set *set, uint32_t *at);

/* Some space of the set, or NULL. */
struct space *space_set_any(const struct space_set *set);

/* space_reclaim() of all spaces, also of those that were dropped. */
void space_set_reclaim(struct space_set *set);

/*
 * Takes out an empty one: from now on it is not found. Who has found it before may still be in it;
 * until no hazard is left in it, nothing is added.
 */
void space_set_drop(struct space_set *set, struct space *space);

#endif
