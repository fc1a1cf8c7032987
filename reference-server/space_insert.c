/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_insert.c - puts a mapping into a table; see space.h.
 *
 * First a look at all nodes that the mapping touches: whether it overlaps, and which memory it
 * needs. When that is reserved the mapping is written, from its end downwards. One that takes the
 * place of another has all of that already.
 */
#include <errno.h>

#include "space_cut.h"
#include "space_node.h"
#include "space_pool.h"
#include "space_retire.h"

/* --- the look --------------------------------------------------------------------------------- */

struct space_plan {
	uint64_t root;
	unsigned int root_level;	/* above it only nodes that are yet to be made */
	unsigned int level;		/* of the root to be */
	size_t dense, sparse;		/* nodes that are needed */
};

/* A node above the root as it is has one word, the root's, at 0. */
static bool space_plan_is_above(const struct space_plan *plan, uint64_t child,
				const struct space_cut *cut)
{
	return child && cut->level > plan->root_level;
}

static uint64_t space_plan_get(const struct space_plan *plan, uint64_t child,
			       const struct space_cut *cut, unsigned int key)
{
	if (!child)
		return 0;
	if (space_plan_is_above(plan, child, cut))
		return key == 0 ? plan->root : 0;
	return space_node_get(child, key);
}

static bool space_plan_overlaps(const struct space_plan *plan, uint64_t child,
				const struct space_cut *cut)
{
	if (!child || space_cut_is_empty(cut))
		return false;
	if (space_plan_is_above(plan, child, cut))
		return cut->from == 0;
	if (cut->from == cut->to)
		return space_node_get(child, cut->from) != 0;
	return space_node_count(child, cut->from, cut->to, 0, 0) > 0;
}

/* What the node itself takes when so many words are added to it. */
static void space_plan_room(struct space_plan *plan, uint64_t child, const struct space_cut *cut,
			    unsigned int added)
{
	bool root = cut->level == plan->level;

	if (space_plan_is_above(plan, child, cut))
		return;	/* counted for all levels at once */
	if (!child && (root || added > SPACE_SPARSE_WIDTH)) {
		plan->dense++;
	} else if (!child) {
		plan->sparse++;
	} else if (child & SPACE_SPARSE && space_node_used(child) + added > SPACE_SPARSE_WIDTH) {
		plan->dense++;
		plan->sparse++;	/* for a note that the old one waits, if it has no room */
	}
}

static int space_plan_node(struct space_plan *plan, uint64_t child, const struct space_cut *cut)
{
	unsigned int added = cut->high - cut->low + 1;
	uint64_t low = cut->low_part ? space_plan_get(plan, child, cut, cut->low) : 0;
	uint64_t high = cut->high_part ? space_plan_get(plan, child, cut, cut->high) : 0;
	struct space_cut part;
	int error = 0;

	if ((low | high) & SPACE_LEAF || space_plan_overlaps(plan, child, cut))
		return -EEXIST;
	added -= (low ? 1U : 0U) + (high ? 1U : 0U);
	space_plan_room(plan, child, cut, added);
	if (cut->low_part) {
		part = space_cut_low(cut);
		error = space_plan_node(plan, low, &part);
	}
	if (cut->high_part && !error) {
		part = space_cut_high(cut);
		error = space_plan_node(plan, high, &part);
	}
	return error;
}

/* --- the writing ------------------------------------------------------------------------------ */

struct space_fill {
	struct space *space;
	uint64_t first;
	uint64_t entry;
};

static uint64_t space_fill_child(struct space *space, unsigned int words, unsigned int key)
{
	bool sparse = words <= SPACE_SPARSE_WIDTH;

	return space_word_child(space_pool_take(space->memory, sparse), sparse, key);
}

/* A dense node takes the place of the sparse one in *link. */
static void space_fill_promote(struct space_fill *fill, _Atomic uint64_t *link,
			       const struct space_cut *cut)
{
	uint64_t old = atomic_load_explicit(link, memory_order_relaxed);
	uint64_t dense = space_fill_child(fill->space, SPACE_DENSE_WIDTH, space_word_key(old));

	space_node_copy(dense, old);
	atomic_store_explicit(link, dense, memory_order_release);
	space_retire(fill->space, old, cut->level, cut->first);
}

static void space_fill_node(struct space_fill *fill, _Atomic uint64_t *link,
			    const struct space_cut *cut);

/* The child with this key, which is there already, or is filled before it is. */
static void space_fill_part(struct space_fill *fill, uint64_t child, unsigned int key,
			    const struct space_cut *cut)
{
	_Atomic uint64_t *place = space_node_place(child, key);
	_Atomic uint64_t fresh;

	if (place) {
		space_fill_node(fill, place, cut);
		return;
	}
	atomic_init(&fresh, space_fill_child(fill->space, cut->high - cut->low + 1, key));
	space_fill_node(fill, &fresh, cut);
	space_node_put(child, atomic_load_explicit(&fresh, memory_order_relaxed));
}

static void space_fill_leaves(const struct space_fill *fill, uint64_t child,
			      const struct space_cut *cut)
{
	uint64_t base = cut->first & ~space_level_mask(cut->level + 1);

	for (unsigned int key = cut->to + 1; key-- > cut->from;) {
		uint64_t page = base + ((uint64_t)key << 9 * cut->level);
		uint64_t leaf = fill->entry + ((page - fill->first) << 26);

		if (page == fill->first)
			leaf |= SPACE_FIRST;
		space_node_put(child, space_word_with_key(leaf, key));
	}
}

/* *link is the child that `cut` is of. */
static void space_fill_node(struct space_fill *fill, _Atomic uint64_t *link,
			    const struct space_cut *cut)
{
	uint64_t child = atomic_load_explicit(link, memory_order_relaxed);
	unsigned int added = cut->high - cut->low + 1;
	struct space_cut part;

	if (child & SPACE_SPARSE) {
		added -= cut->low_part && space_node_get(child, cut->low);
		added -= cut->high_part && space_node_get(child, cut->high);
		if (space_node_used(child) + added > SPACE_SPARSE_WIDTH)
			space_fill_promote(fill, link, cut);
		child = atomic_load_explicit(link, memory_order_relaxed);
	}
	if (cut->high_part) {
		part = space_cut_high(cut);
		space_fill_part(fill, child, cut->high, &part);
	}
	if (!space_cut_is_empty(cut))
		space_fill_leaves(fill, child, cut);
	if (cut->low_part) {
		part = space_cut_low(cut);
		space_fill_part(fill, child, cut->low, &part);
	}
}

/* Puts nodes with one word above the root, up to the level. They are dense, as is a new root: each
 * lookup goes through there, and a dense node is the faster one. */
static void space_fill_above(struct space *space, uint64_t root, unsigned int level)
{
	for (unsigned int above = space_word_key(root) + 1; above <= level; above++) {
		uint64_t child = space_fill_child(space, SPACE_DENSE_WIDTH, above);

		space_node_put(child, space_word_with_key(root, 0));
		root = child;
		atomic_store_explicit(&space->root, root, memory_order_release);
	}
}

static void space_fill(struct space_fill *fill, const struct space_cut *cut)
{
	struct space *space = fill->space;
	uint64_t root = atomic_load_explicit(&space->root, memory_order_relaxed);
	_Atomic uint64_t fresh;

	if (root) {
		space_fill_above(space, root, cut->level);
		space_fill_node(fill, &space->root, cut);
		return;
	}
	atomic_init(&fresh, space_fill_child(space, SPACE_DENSE_WIDTH, cut->level));
	space_fill_node(fill, &fresh, cut);
	atomic_store_explicit(&space->root, atomic_load_explicit(&fresh, memory_order_relaxed),
			      memory_order_release);
}

/* --- both ------------------------------------------------------------------------------------- */

/* The level that the root needs, so that a mapping of all its pages is one leaf above it. */
static unsigned int space_root_level(uint64_t root, uint64_t first, uint64_t last)
{
	unsigned int level = space_word_key(root);

	while (level + 1 < SPACE_LEVELS &&
	       (last > space_level_mask(level + 1) ||
		(first == 0 && last == space_level_mask(level + 1))))
		level++;
	return level;
}

/* Memory that waits for readers who have left since is made use of as well. */
static int space_reserve(struct space *space, const struct space_plan *plan)
{
	int error = space_pool_reserve(space->memory, plan->dense, plan->sparse);

	if (error && space->retired_count) {
		space_reclaim(space);
		error = space_pool_reserve(space->memory, plan->dense, plan->sparse);
	}
	return error;
}

static bool space_is_valid(uint64_t first, uint64_t pages, uint64_t entry)
{
	if (pages == 0 || first >= SPACE_PAGES || pages > SPACE_PAGES - first)
		return false;
	return entry & SPACE_MESSAGE || pages <= SPACE_FILE_PAGES - space_entry_page(entry);
}

int space_insert(struct space *space, uint64_t first, uint64_t pages, uint64_t entry)
{
	struct space_fill fill = { space, first, entry & ~(SPACE_KEYS | SPACE_FIRST) };
	struct space_plan plan = { 0 };
	struct space_cut cut;
	int error;

	if (!space_is_valid(first, pages, entry))
		return -EINVAL;
	space_retire_free(space, SPACE_RETIRE_STEP);
	plan.root = atomic_load_explicit(&space->root, memory_order_relaxed);
	plan.root_level = space_word_key(plan.root);
	plan.level = space_root_level(plan.root, first, first + pages - 1);
	if (plan.root)
		plan.dense = plan.level - plan.root_level; /* wherever in there the mapping goes */
	cut = space_cut(plan.level, first, first + pages - 1);
	error = space_plan_node(&plan, plan.root, &cut);
	if (error)
		return error;
	if (space->count >= space->quota.mappings)
		return -ENOSPC;
	error = space_reserve(space, &plan);
	if (error)
		return error;
	space_fill(&fill, &cut);
	space->count++;
	return 0;
}

/* --- in the place of another ------------------------------------------------------------------ */

/* All nodes are there; each word is stored over the one that it replaces. */
static void space_swap(const struct space_fill *fill, uint64_t child, const struct space_cut *cut)
{
	struct space_cut part;

	if (cut->low_part) {
		part = space_cut_low(cut);
		space_swap(fill, space_node_get(child, cut->low), &part);
	}
	if (!space_cut_is_empty(cut))
		space_fill_leaves(fill, child, cut);
	if (cut->high_part) {
		part = space_cut_high(cut);
		space_swap(fill, space_node_get(child, cut->high), &part);
	}
}

int space_replace(struct space *space, uint64_t first, uint64_t pages, uint64_t entry,
		  uint64_t *old)
{
	const struct space_fill fill = { space, first, entry & ~(SPACE_KEYS | SPACE_FIRST) };
	struct space_cut cut;
	uint64_t found = space_exact(space, first, pages, &cut);

	if (!found)
		return -ENOENT;
	if (!space_is_valid(first, pages, entry))
		return -EINVAL;
	space_swap(&fill, atomic_load_explicit(&space->root, memory_order_relaxed), &cut);
	*old = found;
	return 0;
}
