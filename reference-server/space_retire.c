/* SPDX-License-Identifier: BSD-3-Clause */
/* space_retire.c - see space_retire.h. */
#include "space_retire.h"

#include <stdatomic.h>

#include "space_node.h"
#include "space_pool.h"

/* The words of a note; bits 0 and 1 of each are 0. */
enum {
	RETIRE_NEXT,	/* address of the next note */
	RETIRE_COVER,	/* a page shifted by 5, a level shifted by 2 */
	RETIRE_NODE,	/* address of the node, and flags */
	RETIRE_WORDS,
};

enum {
	RETIRE_SPARSE = 4,	/* the node is */
	RETIRE_APART = 8,	/* the note stands in a sparse node of its own */
};

static void space_retire_note(_Atomic uint64_t *note, unsigned int word, uint64_t value)
{
	atomic_store_explicit(&note[word], value, memory_order_relaxed);
}

static uint64_t space_retire_word(const _Atomic uint64_t *note, unsigned int word)
{
	return atomic_load_explicit(&note[word], memory_order_relaxed);
}

static void space_retire_append(struct space *space, _Atomic uint64_t *note)
{
	space_retire_note(note, RETIRE_NEXT, 0);
	if (space->retired)
		space_retire_note(space->retired_last, RETIRE_NEXT, (uint64_t)(uintptr_t)note);
	else
		space->retired = note;
	space->retired_last = note;
	space->retired_count++;
}

void space_retire(struct space *space, uint64_t child, unsigned int level, uint64_t page)
{
	_Atomic uint64_t *note = space_node_gap(child, RETIRE_WORDS);
	uint64_t flags = child & SPACE_SPARSE ? RETIRE_SPARSE : 0;

	hazard_put_aside(space->hazards);
	if (!note) {
		note = space_pool_take(space->memory, true);
		flags |= RETIRE_APART;
	}
	space_retire_note(note, RETIRE_COVER, page << 5 | (uint64_t)level << 2);
	space_retire_note(note, RETIRE_NODE, (uint64_t)(uintptr_t)space_word_node(child) | flags);
	space_retire_append(space, note);
}

static _Atomic uint64_t *space_retire_shift(struct space *space)
{
	_Atomic uint64_t *note = space->retired;

	space->retired = (_Atomic uint64_t *)(uintptr_t)space_retire_word(note, RETIRE_NEXT);
	space->retired_count--;
	return note;
}

static bool space_retire_is_read(struct space *space, const _Atomic uint64_t *note)
{
	uint64_t cover = space_retire_word(note, RETIRE_COVER), page = cover >> 5;
	uint64_t mask = space_level_mask(((unsigned int)cover >> 2 & 7) + 1);

	return hazard_overlaps_in(space->hazards, space->number, page & ~mask, page | mask);
}

void space_retire_free(struct space *space, size_t count)
{
	if (count > space->retired_count)
		count = space->retired_count;
	while (count-- > 0) {
		_Atomic uint64_t *note = space_retire_shift(space);
		uint64_t node = space_retire_word(note, RETIRE_NODE);
		_Atomic uint64_t *at = (_Atomic uint64_t *)(uintptr_t)(node & ~UINT64_C(127));

		if (space_retire_is_read(space, note)) {
			space_retire_append(space, note);
			continue;
		}
		if (node & RETIRE_APART)
			space_pool_give(space->memory, note, true);
		space_pool_give(space->memory, at, node & RETIRE_SPARSE);
	}
}
