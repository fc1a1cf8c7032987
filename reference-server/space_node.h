/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_node.h - the words of a table, and the two kinds of node that they stand in.
 *
 * A word is a leaf (bit 0: see space.h), a child (bit 1 and not bit 0), or nothing, whatever its
 * other bits say; so the writer may leave notes in a node that readers can still be in. Bits 5 to
 * 13 are the word's key, its place among the 512 of its node. In a sparse node a word stands
 * anywhere, in a dense one at its key. The root is a child whose key is its level.
 *
 * A node of level n has words for 512^n pages each. One thread changes nodes; each word that
 * readers may see is stored with release.
 */
#ifndef SPACE_NODE_H
#define SPACE_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "space.h"
#include "space_pool.h"

#define SPACE_LEVELS 6
#define SPACE_KEYS UINT64_C(0x3fe0)

enum space_word {
	SPACE_CHILD = 2,
	SPACE_SPARSE = 4,	/* the kind of the child */
};

static inline uint64_t space_word_child(_Atomic uint64_t *node, bool sparse, unsigned int key)
{
	return (uint64_t)(uintptr_t)node << 7 | (uint64_t)key << 5 |
	       (sparse ? SPACE_SPARSE | SPACE_CHILD : SPACE_CHILD);
}

static inline _Atomic uint64_t *space_word_node(uint64_t child)
{
	return (_Atomic uint64_t *)(uintptr_t)(child >> 7 & ~UINT64_C(127));
}

static inline unsigned int space_word_key(uint64_t word)
{
	return (unsigned int)(word >> 5) & (SPACE_DENSE_WIDTH - 1);
}

static inline uint64_t space_word_with_key(uint64_t word, unsigned int key)
{
	return (word & ~SPACE_KEYS) | (uint64_t)key << 5;
}

/* A leaf or a child. */
static inline bool space_word_is(uint64_t word)
{
	return (word & (SPACE_LEAF | SPACE_CHILD)) != 0;
}

/* Pages of a word of a node of this level, less one: a mask of the bits of a page in it. */
static inline uint64_t space_level_mask(unsigned int level)
{
	return (UINT64_C(1) << 9 * level) - 1;
}

static inline unsigned int space_level_key(unsigned int level, uint64_t page)
{
	return (unsigned int)(page >> 9 * level) & (SPACE_DENSE_WIDTH - 1);
}

static inline unsigned int space_node_width(uint64_t child)
{
	return child & SPACE_SPARSE ? SPACE_SPARSE_WIDTH : SPACE_DENSE_WIDTH;
}

/* The place of the word with this key; NULL: none there. */
static inline _Atomic uint64_t *space_node_place(uint64_t child, unsigned int key)
{
	_Atomic uint64_t *node = space_word_node(child);
	uint64_t word;

	if (!(child & SPACE_SPARSE)) {
		word = atomic_load_explicit(&node[key], memory_order_acquire);
		return space_word_is(word) ? &node[key] : NULL;
	}
	for (unsigned int i = 0; i < SPACE_SPARSE_WIDTH; i++) {
		word = atomic_load_explicit(&node[i], memory_order_acquire);
		if (space_word_key(word) == key && space_word_is(word))
			return &node[i];
	}
	return NULL;
}

/* The word with this key; 0: none. */
static inline uint64_t space_node_get(uint64_t child, unsigned int key)
{
	_Atomic uint64_t *node = space_word_node(child);
	uint64_t word;

	if (!(child & SPACE_SPARSE)) {
		word = atomic_load_explicit(&node[key], memory_order_acquire);
		return space_word_is(word) ? word : 0;
	}
	for (unsigned int i = 0; i < SPACE_SPARSE_WIDTH; i++) {
		word = atomic_load_explicit(&node[i], memory_order_acquire);
		if (space_word_key(word) == key && space_word_is(word))
			return word;
	}
	return 0;
}

/* The rest is the writer's alone. */

/* Words in the node. */
unsigned int space_node_used(uint64_t child);

/* Words with keys from `low` to `high` whose bits in `mask` are `value`; 0, 0: any. */
unsigned int space_node_count(uint64_t child, unsigned int low, unsigned int high, uint64_t mask,
			      uint64_t value);

/* The word with the lowest key from `low` to `high`; 0: none. */
uint64_t space_node_lowest(uint64_t child, unsigned int low, unsigned int high);

/* Adds a word, or replaces the one with its key. A sparse node has room for it. */
void space_node_put(uint64_t child, uint64_t word);

/* Empties the places with keys from `low` to `high`, upwards in a dense node. */
void space_node_drop(uint64_t child, unsigned int low, unsigned int high);

/* Copies all words into an empty node. */
void space_node_copy(uint64_t to, uint64_t from);

/* The first of `count` places in a row without a word; NULL: there are none. */
_Atomic uint64_t *space_node_gap(uint64_t child, unsigned int count);

#endif
