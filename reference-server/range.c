/* SPDX-License-Identifier: BSD-3-Clause */
/* range.c - see range.h. */
#include "range.h"

#include <errno.h>

int range_make(uint64_t first, uint64_t size, struct range *out)
{
	if (size == 0 || size - 1 > UINT64_MAX - first)
		return -EINVAL;
	out->first = first;
	out->end = first + size;
	return 0;
}

uint64_t range_last(struct range range)
{
	return range.end - 1;
}

uint64_t range_size(struct range range)
{
	return range.end - range.first;
}

bool range_overlaps(struct range a, struct range b)
{
	return a.first <= range_last(b) && b.first <= range_last(a);
}

bool range_contains(struct range outer, struct range inner)
{
	return outer.first <= inner.first && range_last(inner) <= range_last(outer);
}
