/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.c - the life of a table, and taking a mapping out of it; see space.h. Putting one in is
 * space_insert.c, looking is space_walk.c.
 */
#include "space.h"

#include <errno.h>

#include "space_cut.h"
#include "space_node.h"
#include "space_pool.h"
#include "space_retire.h"

/* A dense node with so few words becomes sparse, if there is memory. Three short of what fits, so
 * that a word that comes and goes does not turn the node over each time. */
#define SPACE_FEW 13

void space_init(struct space *space, struct hazard_set *hazards, struct space_quota quota)
{
	*space = (struct space){ .hazards = hazards, .quota = quota, .memory = &space->pool };
	space_pool_init(space->memory, quota.bytes);
}

void space_init_beside(struct space *space, struct space *first, uint32_t number)
{
	*space = (struct space){
		.number = number,
		.hazards = first->hazards,
		.quota = { SIZE_MAX, SIZE_MAX },
		.memory = &first->pool,
	};
}

void space_clear(struct space *space)
{
	space_pool_clear(space->memory);
	space_init(space, space->hazards, space->quota);
}

size_t space_count(const struct space *space)
{
	return space->count;
}

size_t space_bytes(const struct space *space)
{
	return space->memory->bytes;
}

size_t space_reclaim(struct space *space)
{
	space_retire_free(space, space->retired_count);
	return space->retired_count;
}

/* --- whether there is such a mapping ---------------------------------------------------------- */

struct space_tally {
	uint64_t words;		/* that the pages would take if they were one mapping */
	uint64_t leaves;	/* of these */
	uint64_t later;		/* of these, that do not begin a mapping */
};

/* False: a word that is touched in part is no child. */
static bool space_tally(struct space_tally *tally, uint64_t child, const struct space_cut *cut)
{
	uint64_t low = cut->low_part ? space_node_get(child, cut->low) : SPACE_CHILD;
	uint64_t high = cut->high_part ? space_node_get(child, cut->high) : SPACE_CHILD;
	struct space_cut part;

	if (!low || !high || (low | high) & SPACE_LEAF)
		return false;
	if (!space_cut_is_empty(cut)) {
		tally->words += cut->to - cut->from + 1;
		tally->leaves += space_node_count(child, cut->from, cut->to, SPACE_LEAF,
						  SPACE_LEAF);
		tally->later += space_node_count(child, cut->from, cut->to,
						 SPACE_LEAF | SPACE_FIRST, SPACE_LEAF);
	}
	if (cut->low_part) {
		part = space_cut_low(cut);
		if (!space_tally(tally, low, &part))
			return false;
	}
	if (cut->high_part) {
		part = space_cut_high(cut);
		return space_tally(tally, high, &part);
	}
	return true;
}

/*
 * A mapping is cut the same way whatever the height of the tree, so it consists of the words that
 * the cut covers: the first begins it, all others go on, and what is behind them does not.
 */
static bool space_is_mapping(const struct space *space, uint64_t root, const struct space_cut *cut)
{
	struct space_tally tally = { 0 };
	uint64_t run, next = space_find(space, cut->last + 1, 1, &run);

	return (!next || next & SPACE_FIRST) && space_tally(&tally, root, cut) &&
	       tally.leaves == tally.words && tally.later + 1 == tally.words;
}

/* --- taking it out ---------------------------------------------------------------------------- */

/* A sparse node takes the place of the dense one in *link. */
static void space_demote(struct space *space, _Atomic uint64_t *link, const struct space_cut *cut)
{
	uint64_t old = atomic_load_explicit(link, memory_order_relaxed), child;

	if (space_pool_reserve(space->memory, 0, 1) != 0)
		return;
	child = space_word_child(space_pool_take(space->memory, true), true, space_word_key(old));
	space_node_copy(child, old);
	atomic_store_explicit(link, child, memory_order_release);
	space_retire(space, old, cut->level, cut->first);
}

static void space_wipe(struct space *space, _Atomic uint64_t *link, const struct space_cut *cut);

static void space_wipe_part(struct space *space, uint64_t child, unsigned int key,
			    const struct space_cut *cut)
{
	_Atomic uint64_t *place = space_node_place(child, key);

	space_wipe(space, place, cut);
	if (!atomic_load_explicit(place, memory_order_relaxed) && !(child & SPACE_SPARSE))
		--*space_pool_used(space_word_node(child));
}

/* Empties the words from the lowest up; *link becomes 0 if the node is empty then. */
static void space_wipe(struct space *space, _Atomic uint64_t *link, const struct space_cut *cut)
{
	uint64_t child = atomic_load_explicit(link, memory_order_relaxed);
	unsigned int used;
	struct space_cut part;

	if (cut->low_part) {
		part = space_cut_low(cut);
		space_wipe_part(space, child, cut->low, &part);
	}
	if (!space_cut_is_empty(cut))
		space_node_drop(child, cut->from, cut->to);
	if (cut->high_part) {
		part = space_cut_high(cut);
		space_wipe_part(space, child, cut->high, &part);
	}
	used = space_node_used(child);
	if (used == 0) {
		atomic_store_explicit(link, 0, memory_order_release);
		space_retire(space, child, cut->level, cut->first);
	} else if (used <= SPACE_FEW && !(child & SPACE_SPARSE) && link != &space->root) {
		space_demote(space, link, cut);
	}
}

/* Takes nodes away from above that have become a mere step down to the lowest child. */
static void space_lower(struct space *space)
{
	uint64_t root = atomic_load_explicit(&space->root, memory_order_relaxed), child;

	while (root && space_node_used(root) == 1) {
		unsigned int level = space_word_key(root);

		child = space_node_get(root, 0);
		if (!child || child & SPACE_LEAF)
			return;
		child = space_word_with_key(child, level - 1);
		atomic_store_explicit(&space->root, child, memory_order_release);
		space_retire(space, root, level, 0);
		root = child;
	}
}

uint64_t space_exact(const struct space *space, uint64_t first, uint64_t pages,
		     struct space_cut *cut)
{
	uint64_t root = atomic_load_explicit(&space->root, memory_order_relaxed), found, run;

	if (pages == 0 || first >= SPACE_PAGES || pages > SPACE_PAGES - first)
		return 0;
	found = space_find(space, first, 1, &run);
	*cut = space_cut(space_word_key(root), first, first + pages - 1);
	if (!(found & SPACE_FIRST) || cut->last > space_level_mask(cut->level + 1) ||
	    !space_is_mapping(space, root, cut))
		return 0;
	return found;
}

int space_remove(struct space *space, uint64_t first, uint64_t pages, uint64_t *entry)
{
	struct space_cut cut;
	uint64_t found = space_exact(space, first, pages, &cut);

	if (!found)
		return -ENOENT;
	space_wipe(space, &space->root, &cut);
	space_lower(space);
	space->count--;
	*entry = found;
	space_retire_free(space, SPACE_RETIRE_STEP);
	return 0;
}
