/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_cut.h - how a run of pages falls on the words of a node.
 *
 * Some words are covered whole, in a row; those become leaves. In front of and behind them there
 * may be one each that is covered in part; that one has to be a child, whose node is cut in turn.
 */
#ifndef SPACE_CUT_H
#define SPACE_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "space_node.h"

struct space_cut {
	unsigned int level;		/* of the node */
	uint64_t first, last;		/* the pages that fall on it */
	unsigned int low, high;		/* keys of their words, all that are touched */
	bool low_part, high_part;	/* the word at `low`, at `high` is touched in part */
	unsigned int from, to;		/* the words that are covered; from > to: none */
};

static inline struct space_cut space_cut(unsigned int level, uint64_t first, uint64_t last)
{
	uint64_t mask = space_level_mask(level);
	struct space_cut cut = { .level = level, .first = first, .last = last };
	bool ends = (last & mask) == mask;

	cut.low = space_level_key(level, first);
	cut.high = space_level_key(level, last);
	cut.low_part = (first & mask) != 0 || (cut.low == cut.high && !ends);
	cut.high_part = !ends && cut.low != cut.high;
	cut.from = cut.low + cut.low_part;
	cut.to = cut.high - cut.high_part;
	return cut;
}

/* That of the child at `low`, which is touched in part. */
static inline struct space_cut space_cut_low(const struct space_cut *cut)
{
	uint64_t end = cut->first | space_level_mask(cut->level);

	return space_cut(cut->level - 1, cut->first, end < cut->last ? end : cut->last);
}

/* The same at `high`. */
static inline struct space_cut space_cut_high(const struct space_cut *cut)
{
	return space_cut(cut->level - 1, cut->last & ~space_level_mask(cut->level), cut->last);
}

/* The entry of the mapping of exactly these pages, and in *cut how it falls on the root; or 0. */
uint64_t space_exact(const struct space *space, uint64_t first, uint64_t pages,
		     struct space_cut *cut);

static inline bool space_cut_is_empty(const struct space_cut *cut)
{
	return cut->from > cut->to;
}

#endif
