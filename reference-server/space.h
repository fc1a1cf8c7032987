/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.h - the table of an address space: which ranges are mapped, and to what.
 *
 * Ranges in a space never overlap. Every operation on one range costs O(log n); a mapping costs
 * one node of 64 bytes. No I/O and no protocol here: what stands behind a mapping is the owner's.
 */
#ifndef SPACE_H
#define SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "range.h"
#include "window.h"

struct space_mapping {
	struct range range;
	struct window window;
	uint32_t access;	/* enum window_access: what the device may do */
};

struct space_node;

struct space {
	struct space_node *root;
	size_t count;
	uint32_t random;
};

/* An empty space. */
void space_init(struct space *space);

/* Frees the table; the owner has closed what its mappings name. */
void space_clear(struct space *space);

size_t space_count(const struct space *space);

/* Adds a copy. 0; -EEXIST if it overlaps a mapping, -ENOMEM; then nothing has changed. */
int space_insert(struct space *space, const struct space_mapping *mapping);

/* Takes out the mapping of exactly this range: 0 and *out, or -ENOENT and nothing changed. */
int space_remove(struct space *space, struct range range, struct space_mapping *out);

/* The lowest mapping that overlaps the range, valid until the next change; NULL if none does. */
const struct space_mapping *space_find(const struct space *space, struct range range);

/* Calls `visit` for each mapping that overlaps the range, in ascending order. */
void space_walk(struct space *space, struct range range,
		void (*visit)(struct space_mapping *mapping, void *arg), void *arg);

#endif
