/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_search.c - see explore_search.h. */
#include "explore_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A state on the way: what is possible in it, by bit. */
struct search_frame {
	struct explore_event event[EXPLORE_EVENTS];
	uint32_t count;
	uint32_t apart[EXPLORE_EVENTS];	/* of each, those that do not depend on it */
	uint32_t sleep;
	uint32_t done;
	uint32_t chosen;
};

static struct {
	struct search_frame frame[EXPLORE_DEPTH + 1];
	uint32_t depth;
	const struct explore_options *options;
	struct explore_schedule *schedule;
	struct explore_count count;
	uint64_t *sums;		/* an open hash table; 0: empty */
	uint64_t room;
} search;

static bool search_same(struct explore_event a, struct explore_event b)
{
	return a.kind == b.kind && a.who == b.who && a.cut == b.cut;
}

/* ---- sums ---- */

static bool search_put(uint64_t *sums, uint64_t room, uint64_t sum)
{
	uint64_t at = sum * UINT64_C(0x9e3779b97f4a7c15) % room;

	while (sums[at] && sums[at] != sum)
		at = (at + 1) % room;
	if (sums[at] == sum)
		return false;
	sums[at] = sum;
	return true;
}

static int search_grow(void)
{
	uint64_t room = search.room ? 4 * search.room : 4096;
	uint64_t *sums = calloc(room, sizeof(*sums));

	if (!sums)
		return -ENOMEM;
	for (uint64_t i = 0; i < search.room; i++) {
		if (search.sums[i])
			search_put(sums, room, search.sums[i]);
	}
	free(search.sums);
	search.sums = sums;
	search.room = room;
	return 0;
}

static int search_add(uint64_t sum)
{
	int error = 2 * (search.count.states + 1) > search.room ? search_grow() : 0;

	if (!error)
		search.count.states += search_put(search.sums, search.room, sum ? sum : 1);
	return error;
}

static int search_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t explore_sum(uint64_t index)
{
	return search.sums[search.room - search.count.states + index];
}

/* ---- frames ---- */

/* Who slept before, or was tried, and does not depend on what has happened, still sleeps. */
static void search_inherit(struct search_frame *frame, const struct search_frame *before)
{
	uint32_t asleep = (before->sleep | before->done) & before->apart[before->chosen];

	for (uint32_t i = 0; i < before->count; i++) {
		uint32_t k = 0;

		if (!(asleep & 1u << i))
			continue;
		while (k < frame->count && !search_same(frame->event[k], before->event[i]))
			k++;
		if (k == frame->count)
			explore_violation("explore: an event that depends on nothing is gone");
		frame->sleep |= 1u << k;
	}
}

static void search_relate(struct search_frame *frame)
{
	for (uint32_t i = 0; i < frame->count; i++) {
		for (uint32_t k = i + 1; k < frame->count; k++) {
			if (!explore_independent(frame->event[i], frame->event[k]))
				continue;
			frame->apart[i] |= 1u << k;
			frame->apart[k] |= 1u << i;
		}
	}
}

/* The state behind the events so far; false if nothing is possible in it. */
static bool search_enter(uint32_t depth)
{
	struct search_frame *frame = &search.frame[depth];

	memset(frame, 0, sizeof(*frame));
	frame->count = explore_enabled(frame->event);
	if (search.options->reduces && depth < search.options->bound) {
		search_relate(frame);
		if (depth)
			search_inherit(frame, frame - 1);
	}
	search.depth = depth + 1;
	return frame->count;
}

/* The next one to be tried; false if all others sleep or were. */
static bool search_choose(struct search_frame *frame)
{
	for (uint32_t i = 0; i < frame->count; i++) {
		if ((frame->sleep | frame->done) & 1u << i)
			continue;
		frame->chosen = i;
		return true;
	}
	return false;
}

static void search_execute(const struct search_frame *frame)
{
	struct explore_schedule *schedule = search.schedule;

	schedule->event[schedule->count++] = frame->event[frame->chosen];
	search.count.events++;
	explore_happen(frame->event[frame->chosen]);
}

/* ---- schedules ---- */

static bool search_is_full(void)
{
	const struct explore_schedule *schedule = search.schedule;

	if (schedule->count >= EXPLORE_DEPTH)
		explore_violation("there is no end");
	return search.options->length && schedule->count >= search.options->length;
}

/* The schedule as a line: its scenario, its events. */
static void search_print(const struct explore_scenario *scenario)
{
	const struct explore_schedule *schedule = search.schedule;
	char name[16];

	if (!search.options->print)
		return;
	fputs(scenario->name, search.options->print);
	for (uint32_t i = 0; i < schedule->count; i++) {
		explore_name(schedule->event[i], name, sizeof(name));
		fprintf(search.options->print, " %s", name);
	}
	fputc('\n', search.options->print);
}

/* From where the choices end to the end of the schedule. 0 or -ENOMEM. */
static int search_go_on(const struct explore_scenario *scenario)
{
	for (;;) {
		bool possible = search_enter(search.schedule->count);

		if (possible && search_is_full()) {
			search.count.cut++;
			search.depth--;
			return 0;
		}
		if (!possible) {
			search.count.schedules++;
			search_print(scenario);
			search.depth--;
			return search_add(explore_finish());
		}
		if (!search_choose(&search.frame[search.depth - 1])) {
			search.count.pruned++;
			return 0;
		}
		search_execute(&search.frame[search.depth - 1]);
	}
}

static int search_run(const struct explore_scenario *scenario)
{
	uint32_t repeated = search.depth;
	int error;

	search.schedule->count = 0;
	explore_begin(scenario);
	for (uint32_t i = 0; i < repeated; i++)
		search_execute(&search.frame[i]);
	error = search_go_on(scenario);
	if (search.schedule->count > search.count.longest)
		search.count.longest = search.schedule->count;
	explore_close();
	return error;
}

/* Back to the last choice that has another way; false if there is none. */
static bool search_step_back(void)
{
	while (search.depth) {
		struct search_frame *frame = &search.frame[search.depth - 1];

		frame->done |= 1u << frame->chosen;
		if (search.depth <= search.options->bound && search_choose(frame))
			return true;
		search.depth--;
	}
	return false;
}

int explore_search(const struct explore_scenario *scenario, const struct explore_options *options,
		   struct explore_schedule *schedule, struct explore_count *out)
{
	int error;

	search.options = options;
	search.schedule = schedule;
	search.count = (struct explore_count){ 0 };
	search.depth = 0;
	if (search.room)
		memset(search.sums, 0, search.room * sizeof(*search.sums));
	do {
		error = search_run(scenario);
		if (options->most && search.count.schedules >= options->most)
			search.count.stopped = true;
	} while (!error && !search.count.stopped && search_step_back());
	*out = search.count;
	if (search.room)
		qsort(search.sums, search.room, sizeof(*search.sums), search_compare);
	return error;
}
