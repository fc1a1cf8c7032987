/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_search.h - a search for all orders of the events of a scenario.
 *
 * Stateless: nothing is saved, a schedule is executed from its beginning each time. With sleep sets
 * (P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032,
 * Springer 1996, section 5) of all schedules that differ only in the order of neighbours which do
 * not depend on one another, one is executed to its end. Such schedules are of the same length and
 * have the same events, so this also holds of those up to a bound, in events of any kind.
 */
#ifndef EXPLORE_SEARCH_H
#define EXPLORE_SEARCH_H

#include <stdio.h>

#include "explore.h"

struct explore_options {
	uint32_t bound;		/* behind so many events the first possible one is taken */
	uint32_t length;	/* schedules end here, as they are; 0: at their end */
	bool reduces;
	uint64_t most;		/* schedules; 0: any number */
	FILE *print;		/* each schedule is a line here; NULL: nowhere */
};

struct explore_count {
	uint64_t events;	/* executed, those of repeated beginnings included */
	uint64_t schedules;
	uint64_t pruned;	/* left where all that was possible slept */
	uint64_t cut;		/* ended by `length` */
	uint64_t states;	/* different sums at the end */
	uint32_t longest;
	bool stopped;		/* by `most` */
};

/* What is being executed; a violation ends the process in its middle. */
struct explore_schedule {
	uint32_t count;
	struct explore_event event[EXPLORE_DEPTH];
};

/*
 * Executes the schedules of a scenario; keeps `schedule` up to date. The sums at their ends are
 * explore_sum() of 0 to states - 1, in ascending order, until the next call. 0 or -ENOMEM.
 */
int explore_search(const struct explore_scenario *scenario, const struct explore_options *options,
		   struct explore_schedule *schedule, struct explore_count *out);
uint64_t explore_sum(uint64_t index);

#endif
