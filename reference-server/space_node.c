/* SPDX-License-Identifier: BSD-3-Clause */
/* space_node.c - see space_node.h. */
#include "space_node.h"

static uint64_t space_node_load(const _Atomic uint64_t *place)
{
	return atomic_load_explicit(place, memory_order_relaxed);
}

unsigned int space_node_used(uint64_t child)
{
	if (!(child & SPACE_SPARSE))
		return *space_pool_used(space_word_node(child));
	return space_node_count(child, 0, SPACE_DENSE_WIDTH - 1, 0, 0);
}

unsigned int space_node_count(uint64_t child, unsigned int low, unsigned int high, uint64_t mask,
			      uint64_t value)
{
	const _Atomic uint64_t *node = space_word_node(child);
	bool sparse = child & SPACE_SPARSE;
	unsigned int from = sparse ? 0 : low, to = sparse ? SPACE_SPARSE_WIDTH - 1 : high;
	unsigned int count = 0;

	for (unsigned int i = from; i <= to; i++) {
		uint64_t word = space_node_load(&node[i]);
		unsigned int key = space_word_key(word);

		count += space_word_is(word) && key >= low && key <= high && (word & mask) == value;
	}
	return count;
}

uint64_t space_node_lowest(uint64_t child, unsigned int low, unsigned int high)
{
	const _Atomic uint64_t *node = space_word_node(child);
	uint64_t lowest = 0;

	if (child & SPACE_SPARSE) {
		for (unsigned int i = 0; i < SPACE_SPARSE_WIDTH; i++) {
			uint64_t word = space_node_load(&node[i]);

			if (space_word_is(word) && space_word_key(word) >= low &&
			    space_word_key(word) <= high &&
			    (!lowest || space_word_key(word) < space_word_key(lowest)))
				lowest = word;
		}
		return lowest;
	}
	for (unsigned int i = low; i <= high; i++) {
		lowest = space_node_load(&node[i]);
		if (space_word_is(lowest))
			return lowest;
	}
	return 0;
}

void space_node_put(uint64_t child, uint64_t word)
{
	_Atomic uint64_t *node = space_word_node(child);
	_Atomic uint64_t *place = space_node_place(child, space_word_key(word));

	if (!place) {
		place = &node[space_word_key(word)];
		if (child & SPACE_SPARSE)
			place = space_node_gap(child, 1);
		else
			++*space_pool_used(node);
	}
	atomic_store_explicit(place, word, memory_order_release);
}

void space_node_drop(uint64_t child, unsigned int low, unsigned int high)
{
	_Atomic uint64_t *node = space_word_node(child);
	bool sparse = child & SPACE_SPARSE;
	unsigned int from = sparse ? 0 : low, to = sparse ? SPACE_SPARSE_WIDTH - 1 : high;
	uint16_t dropped = 0;

	for (unsigned int i = from; i <= to; i++) {
		uint64_t word = space_node_load(&node[i]);
		unsigned int key = space_word_key(word);

		if (!space_word_is(word) || key < low || key > high)
			continue;
		atomic_store_explicit(&node[i], 0, memory_order_release);
		dropped++;
	}
	if (!sparse)
		*space_pool_used(node) = (uint16_t)(*space_pool_used(node) - dropped);
}

void space_node_copy(uint64_t to, uint64_t from)
{
	const _Atomic uint64_t *node = space_word_node(from);

	for (unsigned int i = 0; i < space_node_width(from); i++) {
		uint64_t word = space_node_load(&node[i]);

		if (space_word_is(word))
			space_node_put(to, word);
	}
}

_Atomic uint64_t *space_node_gap(uint64_t child, unsigned int count)
{
	_Atomic uint64_t *node = space_word_node(child);
	unsigned int row = 0;

	for (unsigned int i = 0; i < space_node_width(child); i++) {
		row = space_word_is(space_node_load(&node[i])) ? 0 : row + 1;
		if (row == count)
			return &node[i + 1 - count];
	}
	return NULL;
}
