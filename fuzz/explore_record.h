/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_record.h - a schedule as a program that `vuc run` judges; see explore.h and
 * corpus/README.md.
 *
 * While it is on, what happens is written down: messages as they are sent, with what they have to
 * be answered with; where an operation is held, and when it goes on; page requests that have to
 * come before something else does; time. Behind a violation comes the rest of what the client does,
 * and what a program can see of it: that all is answered, and that no slot waits for nothing.
 *
 * What a thread of the device does between two hold points, and what a round of the loop does, has
 * no step of its own: there the server chooses, and a program may have to run more than once.
 */
#ifndef EXPLORE_RECORD_H
#define EXPLORE_RECORD_H

#include "explore_message.h"
#include "message.h"

#define RECORD_PACE 40u		/* real ms for one of a scenario that has no threads */

/* From now on, in all processes that are forked from this one, too; and no longer. */
void record_on(void);
void record_off(void);
bool record_is_on(void);

/* The client of a scenario: what a program has in front of everything else. */
void record_begin(const struct explore_scenario *scenario);

/* Messages of a step are sent; `cut` bytes first, or 0, and then the rest whenever that is. */
void record_sends(const struct explore_message *message, size_t cut);

/* This came; and the reply that came is the one that has to: with that errno, or 0. */
void record_came(const struct message *message);
void record_expects(uint32_t error);

/* A slot goes on. */
void record_door(uint32_t slot, uint32_t code);

/*
 * An operation that nobody holds moves on, or ends; and it comes to a hold point (enum slot_hold):
 * there the program holds it, if something else happens before it moves on.
 */
void record_moves(uint32_t slot, bool ends);
void record_stands(uint32_t slot, uint32_t point);

void record_time(uint64_t ms);
void record_leaves(void);

/* A violation: that slot should not be in that state; or it should have stayed in that one. */
void record_blames(uint32_t slot, uint32_t state);
void record_wants(uint32_t slot, uint32_t state);

/* A violation, the first: all that is left; `rest` gives the next step of a thread, or NULL. */
void record_rest(const struct explore_step *(*rest)(uint32_t thread));

/* The program as text; its length, or -errno. */
int record_print(char *text, size_t size);

#endif
