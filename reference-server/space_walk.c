/* SPDX-License-Identifier: BSD-3-Clause */
/* space_walk.c - what looks into a table and changes nothing; see space.h. */
#include "fault.h"
#include "space_node.h"

/*
 * The leaf over a page, and the level of its node; 0 if there is none. A node is only gone into
 * for a page that it stands for, so what keeps the page published keeps the node.
 */
static uint64_t space_leaf_at(const struct space *space, uint64_t page, struct space_spot *spot)
{
	uint64_t word = atomic_load_explicit(&space->root, memory_order_acquire);

	spot->level = space_word_key(word);
	if (!word || page > space_level_mask(spot->level + 1))
		return 0;
	for (;;) {
		spot->child = word;
		word = space_node_get(word, space_level_key(spot->level, page));
		if (!word || word & SPACE_LEAF)
			return word;
		spot->level--;
	}
}

static uint64_t space_leaf(const struct space *space, uint64_t page, unsigned int *level)
{
	struct space_spot spot;
	uint64_t leaf = space_leaf_at(space, page, &spot);

	*level = spot.level;
	return leaf;
}

/* The entry that a leaf of this level has for a page. */
static uint64_t space_part(uint64_t leaf, unsigned int level, uint64_t page, uint64_t *rest)
{
	uint64_t offset = page & space_level_mask(level);

	*rest = space_level_mask(level) - offset + 1;
	if (offset)
		leaf &= ~(uint64_t)SPACE_FIRST;
	if (fault_on(FAULT_large_leaf_is_a_page))
		offset = 0;
	return (leaf & ~SPACE_KEYS) + (offset << 26);
}

/* The entry of this page, and in *rest how many pages its leaf has from there on; 0: none. */
static uint64_t space_look_up(const struct space *space, uint64_t page, uint64_t *rest)
{
	unsigned int level;
	uint64_t leaf = space_leaf(space, page, &level);

	return leaf ? space_part(leaf, level, page, rest) : 0;
}

uint64_t space_find(const struct space *space, uint64_t page, uint64_t max_pages, uint64_t *run)
{
	struct space_spot spot = { .child = 0 };

	return space_find_from(space, &spot, page, max_pages, run);
}

uint64_t space_find_from(const struct space *space, struct space_spot *spot, uint64_t page,
			 uint64_t max_pages, uint64_t *run)
{
	uint64_t leaf = 0, rest = 0, entry, linear;

	if (spot->child)
		leaf = space_node_get(spot->child, space_level_key(spot->level, page));
	if (!(leaf & SPACE_LEAF))
		leaf = space_leaf_at(space, page, spot);
	entry = leaf ? space_part(leaf, spot->level, page, &rest) : 0;
	linear = entry & ~(uint64_t)SPACE_FIRST;
	*run = rest;
	while (entry && *run < max_pages &&
	       space_look_up(space, page + *run, &rest) == linear + (*run << 26))
		*run += rest;
	if (*run > max_pages)
		*run = max_pages;
	return entry;
}

/*
 * The lowest leaf over the pages from `page` to `last`, in the node that begins at *first <= last;
 * there is one, or the result is false. *first becomes the first page of the leaf.
 */
static bool space_seek(uint64_t child, unsigned int level, uint64_t page, uint64_t last,
		       uint64_t *first)
{
	uint64_t mask = space_level_mask(level), base = *first, word;
	uint64_t high = (last - base) / (mask + 1);
	unsigned int key = page > base ? space_level_key(level, page) : 0;
	unsigned int end = high < SPACE_DENSE_WIDTH ? (unsigned int)high : SPACE_DENSE_WIDTH - 1;

	for (; key <= end; key = space_word_key(word) + 1) {
		word = space_node_lowest(child, key, end);
		if (!word)
			return false;
		*first = base + space_word_key(word) * (mask + 1);
		if (word & SPACE_LEAF || space_seek(word, level - 1, page, last, first))
			return true;
	}
	return false;
}

/* The first page of the mapping whose leaf, or one of them, begins at this page. */
static uint64_t space_begin(const struct space *space, uint64_t page)
{
	unsigned int level;

	while (!(space_leaf(space, page, &level) & SPACE_FIRST)) {
		space_leaf(space, page - 1, &level);
		page = (page - 1) & ~space_level_mask(level);
	}
	return page;
}

bool space_next(const struct space *space, uint64_t page, struct space_mapping *mapping)
{
	return space_overlap(space, page, SPACE_PAGES - 1, mapping);
}

bool space_overlap(const struct space *space, uint64_t page, uint64_t last,
		   struct space_mapping *mapping)
{
	uint64_t root = atomic_load_explicit(&space->root, memory_order_relaxed), first = 0;
	unsigned int level = space_word_key(root);

	for (volatile uint64_t i = 0;
	     fault_on(FAULT_range_costs_its_length) && i < 1 << 18 && i < (last - page) >> 10; i++)
		continue;
	if (!root || page > space_level_mask(level + 1) ||
	    !space_seek(root, level, page, last, &first))
		return false;
	mapping->first = space_begin(space, first);
	mapping->entry = space_find(space, mapping->first, SPACE_PAGES, &mapping->pages);
	return true;
}
