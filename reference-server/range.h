/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * range.h - a checked range of 64-bit addresses, [first, end).
 *
 * A range is never empty and never wraps. It may end at 2^64, which `end` cannot hold: there it
 * is 0. So nobody compares `end`; ask the helpers, which compare the last address. Only
 * range_make() makes a range.
 */
#ifndef RANGE_H
#define RANGE_H

#include <stdbool.h>
#include <stdint.h>

struct range {
	uint64_t first;
	uint64_t end;	/* 0 stands for 2^64 */
};

/* 0, or -EINVAL and *out untouched if size is 0 or first + size passes 2^64. */
int range_make(uint64_t first, uint64_t size, struct range *out);

/* The last address inside. */
uint64_t range_last(struct range range);

/* The number of addresses; it fits, as no call can make a range of 2^64. */
uint64_t range_size(struct range range);

bool range_overlaps(struct range a, struct range b);

/* Whether all of `inner` lies in `outer`. */
bool range_contains(struct range outer, struct range inner);

#endif
