/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_world.h - what of the world is shown when a schedule is printed; see explore.h. */
#ifndef EXPLORE_WORLD_H
#define EXPLORE_WORLD_H

#include "explore.h"

/* The step that a thread of the client does next. */
const struct explore_step *world_next(uint32_t thread);

/* The next one of which nothing was sent, or NULL. */
const struct explore_step *world_rest(uint32_t thread);

/* Whether a part of it was sent. */
bool world_is_cut(uint32_t thread);

/* When time passes, so long in ms; UINT64_MAX: nothing is due. */
uint64_t world_due(void);

#endif
