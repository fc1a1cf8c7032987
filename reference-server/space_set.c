/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_set.c - see space_set.h. A hash table with twice as many places as spaces at least: who
 * looks for a number goes on from its place to one that was never used, at worst through all.
 */
#include "space_set.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fault.h"

void space_set_init(struct space_set *set, struct space *first)
{
	*set = (struct space_set){ .first = first };
}

int space_set_open(struct space_set *set, uint32_t max)
{
	uint32_t bits = 1;

	while ((UINT64_C(1) << bits) < 2 * (uint64_t)max)
		bits++;
	set->places = calloc((size_t)1 << bits, sizeof(*set->places));
	if (!set->places)
		return -ENOMEM;
	set->bits = bits;
	set->max = fault_on(FAULT_pasids_without_limit) ? 2 * max - 1 : max;
	return 0;
}

void space_set_close(struct space_set *set)
{
	free(set->places);
	space_set_init(set, set->first);
}

/* The i-th place to look at for a number. */
static struct space_place *space_set_place(const struct space_set *set, uint32_t number, uint32_t i)
{
	uint32_t hash = number * UINT32_C(0x9e3779b1) >> (32 - set->bits);

	return &set->places[(hash + i) & ((UINT32_C(1) << set->bits) - 1)];
}

struct space *space_set_find(const struct space_set *set, uint32_t number)
{
	for (uint32_t i = 0; set->places && i >> set->bits == 0; i++) {
		struct space_place *place = space_set_place(set, number, i);
		uint32_t there = atomic_load_explicit(&place->number, memory_order_acquire);

		if (there == number)
			return &place->space;
		if (there == 0)
			break;
	}
	return NULL;
}

int space_set_make(const struct space_set *set, uint32_t number, struct space **out)
{
	struct space_place *place;
	uint32_t i = 0, there;

	if (set->count >= set->max)
		return -ENOSPC;
	do {
		place = space_set_place(set, number, i++);
		there = atomic_load_explicit(&place->number, memory_order_relaxed);
	} while (there != 0 && there != SPACE_SET_GONE);
	space_init_beside(&place->space, set->first, number);
	*out = &place->space;
	return 0;
}

static void space_set_store(struct space *space, uint32_t number)
{
	struct space_place *place =
		(struct space_place *)((char *)space - offsetof(struct space_place, space));

	atomic_store_explicit(&place->number, number, memory_order_release);
}

void space_set_add(struct space_set *set, struct space *space)
{
	space_set_store(space, space->number);
	set->count++;
}

void space_set_drop(struct space_set *set, struct space *space)
{
	space_set_store(space, SPACE_SET_GONE);
	set->count -= !fault_on(FAULT_ended_spaces_count);
}

struct space *space_set_empty(const struct space_set *set, uint32_t *at)
{
	while (set->places && *at >> set->bits == 0) {
		struct space_place *place = &set->places[(*at)++];
		uint32_t there = atomic_load_explicit(&place->number, memory_order_relaxed);

		if (there != 0 && there != SPACE_SET_GONE && !space_count(&place->space))
			return &place->space;
	}
	return NULL;
}

struct space *space_set_any(const struct space_set *set)
{
	for (uint32_t i = 0; set->count && i >> set->bits == 0; i++) {
		struct space_place *place = &set->places[i];
		uint32_t there = atomic_load_explicit(&place->number, memory_order_relaxed);

		if (there != 0 && there != SPACE_SET_GONE)
			return &place->space;
	}
	return NULL;
}

void space_set_reclaim(struct space_set *set)
{
	for (uint32_t i = 0; set->places && i >> set->bits == 0; i++)
		space_reclaim(&set->places[i].space);
}
