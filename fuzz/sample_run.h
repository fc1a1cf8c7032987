/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sample_run.h - one schedule of a scenario on a server that is somewhere else; see sample.c.
 *
 * Operations are put in order by their hold points: a step of one is to let it go on from where it
 * is held to where it is held next.
 */
#ifndef SAMPLE_RUN_H
#define SAMPLE_RUN_H

#include "explore.h"

#define SAMPLE_EVENTS 256u	/* of one schedule */

struct sample_schedule {
	const char *path;	/* of the server's socket */
	uint64_t seed;
	const struct explore_event *follow;	/* NULL: the seed chooses */
	uint32_t count;		/* of them */
	uint64_t events;	/* that happened */
};

/* Executes it to its end. What must not be is a violation. */
void sample_run(const struct explore_scenario *scenario, struct sample_schedule *schedule);

/* The next step of a thread of which nothing was sent, or NULL. */
const struct explore_step *sample_rest(uint32_t thread);

#endif
