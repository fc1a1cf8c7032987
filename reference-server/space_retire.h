/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_retire.h - nodes that are out of the table and that readers may still be in.
 *
 * The note that a node waits stands in the node itself, in three words that readers take for
 * nothing; only a node without room for it needs a sparse node more, which the caller has reserved.
 */
#ifndef SPACE_RETIRE_H
#define SPACE_RETIRE_H

#include "space.h"

/* The node of `child`, of that level, stood for `page` among others. Needs no memory if three
 * places in a row are empty in it, else one sparse node out of what was reserved. */
void space_retire(struct space *space, uint64_t child, unsigned int level, uint64_t page);

/* How many an operation tries to free by the way. An unmap puts aside a dozen at the most, and few
 * as a rule, so they do not pile up. */
#define SPACE_RETIRE_STEP 16

/* Frees those of the oldest `count` that no reader can be in; the others are the youngest then. */
void space_retire_free(struct space *space, size_t count);

#endif
