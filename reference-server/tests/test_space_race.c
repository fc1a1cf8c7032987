/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_space_race.c - readers in a table that changes under them.
 *
 * One writer maps and unmaps places, readers look them up and use them under a hazard. Between the
 * moment when an unmap could be replied to and the next map of the place nobody may write to it,
 * and what a reader finds has to be the mapping that is there now. Both are checked by canaries.
 *
 * In a build with faults the same runs with hazards that are not published, in processes of their
 * own: there it has to be noticed.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "atc.h"
#include "fault.h"
#include "space.h"

#define READERS 3
#define PLACES 96
#define CHANGES 80000
#define QUIET UINT64_C(0x5ca1ab1e0ddba115)	/* in the memory of a place that is not mapped */

/* What stands behind a place; a reader writes to a word of its own. */
struct place {
	uint64_t first, pages;
	_Atomic uint64_t generation;	/* of the mapping; 0: replied to as unmapped */
	_Atomic uint64_t memory[READERS];
};

struct race {
	struct hazard_set hazards;
	struct space space;
	struct place place[PLACES];
	unsigned int readers;
	_Atomic bool over;
	_Atomic uint64_t hits, cached, violations;
};

struct reader {
	struct race *race;
	unsigned int number;
	pthread_t thread;
};

static uint64_t random_next(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

/* Around the width of a sparse node, so that nodes change their kind all the time; alone in their
 * nodes; of several words. */
static void race_lay_out(struct race *race)
{
	for (uint64_t i = 0; i < PLACES; i++) {
		struct place *place = &race->place[i];

		place->pages = 1;
		if (i < 24)
			place->first = i;
		else if (i < 48)
			place->first = ((i % 24) << 18) + (UINT64_C(1) << 30);
		else if (i < 72)
			place->first = (i * UINT64_C(0x9e3779b97f4a7c15)) >> 12;
		else
			place->first = (i << 12) - 3;
		if (i >= 72)
			place->pages = 515 + i % 3;
		for (size_t reader = 0; reader < READERS; reader++)
			atomic_init(&place->memory[reader], QUIET);
	}
}

static void race_violation(struct race *race)
{
	atomic_fetch_add_explicit(&race->violations, 1, memory_order_relaxed);
}

/* The use of what was found: for a while the reader writes, and the mapping has to stay. */
static void race_use(struct race *race, unsigned int i, uint64_t entry, uint64_t page,
		     unsigned int number)
{
	struct place *place = &race->place[i];
	uint64_t generation = space_entry_page(entry) - (page - place->first);

	if (space_entry_window(entry) != i)
		race_violation(race);
	for (int round = 0; round < 8; round++) {
		atomic_store_explicit(&place->memory[number], page + (uint64_t)round,
				      memory_order_relaxed);
		if (round == 4 && page % 8 == 0)
			sched_yield();
		if (atomic_load_explicit(&place->generation, memory_order_relaxed) != generation)
			race_violation(race);
	}
	atomic_fetch_add_explicit(&race->hits, 1, memory_order_relaxed);
}

static void *race_read(void *arg)
{
	const struct reader *reader = arg;
	struct race *race = reader->race;
	uint64_t random = reader->number + 1;
	struct atc atc = { 0 };
	struct atc_found found;

	while (!atomic_load_explicit(&race->over, memory_order_relaxed)) {
		unsigned int i = (unsigned int)(random_next(&random) % PLACES);
		const struct place *place = &race->place[i];
		uint64_t page = place->first + random_next(&random) % place->pages;

		hazard_publish(&race->hazards, reader->number, page, page + 7);
		found = atc_find(reader->number % 2 ? NULL : &atc, &race->space, page, 8);
		atomic_fetch_add_explicit(&race->cached, found.hit, memory_order_relaxed);
		if (found.entry)
			race_use(race, i, found.entry, page, reader->number);
		if (found.run > 8 || (!found.entry && found.run))
			race_violation(race);
		if (page % 16 == 0)
			hazard_narrow(&race->hazards, reader->number, page);
		hazard_clear(&race->hazards, reader->number);
	}
	return NULL;
}

/* Until nobody uses the place; every second time asleep, so that a kick that is lost is noticed. */
static void race_wait(struct race *race, const struct place *place, uint64_t change)
{
	uint64_t last = place->first + place->pages - 1;
	struct pollfd kick = { .fd = race->hazards.kick, .events = POLLIN };

	if (change % 2 == 0) {
		while (hazard_overlaps(&race->hazards, place->first, last))
			sched_yield();
		return;
	}
	while (hazard_await(&race->hazards, place->first, last)) {
		if (poll(&kick, 1, 10000) != 1) {
			fprintf(stderr, "a kick was lost\n");
			abort();
		}
		hazard_kicked(&race->hazards);
	}
}

static void race_map(struct race *race, unsigned int i, uint64_t generation)
{
	struct place *place = &race->place[i];

	for (unsigned int reader = 0; reader < READERS; reader++) {
		if (atomic_load_explicit(&place->memory[reader], memory_order_relaxed) != QUIET)
			race_violation(race);
	}
	atomic_store_explicit(&place->generation, generation, memory_order_relaxed);
	assert_int_equal(space_insert(&race->space, place->first, place->pages,
				      space_entry(SPACE_READ | SPACE_WRITE, i, generation)), 0);
}

static void race_unmap(struct race *race, unsigned int i, uint64_t change)
{
	struct place *place = &race->place[i];
	uint64_t entry;

	assert_int_equal(space_remove(&race->space, place->first, place->pages, &entry), 0);
	race_wait(race, place, change);
	atomic_store_explicit(&place->generation, 0, memory_order_relaxed);
	for (unsigned int reader = 0; reader < READERS; reader++)
		atomic_store_explicit(&place->memory[reader], QUIET, memory_order_relaxed);
}

static void race_write(struct race *race)
{
	uint64_t random = 99;

	for (uint64_t change = 1; change <= CHANGES; change++) {
		unsigned int i = (unsigned int)(random_next(&random) % PLACES);

		if (atomic_load_explicit(&race->place[i].generation, memory_order_relaxed))
			race_unmap(race, i, change);
		else
			race_map(race, i, change << 12);
		if (change % 64 == 0)
			sched_yield();
	}
	for (unsigned int i = 0; i < PLACES; i++) {
		if (atomic_load_explicit(&race->place[i].generation, memory_order_relaxed))
			race_unmap(race, i, i);
	}
}

/* How often something was not as it has to be. */
static uint64_t race_run(unsigned int readers)
{
	static struct race race;
	struct reader reader[READERS];
	const struct space_quota quota = { SIZE_MAX, SIZE_MAX };

	assert_int_equal(hazard_init(&race.hazards), 0);
	space_init(&race.space, &race.hazards, quota);
	race_lay_out(&race);
	atomic_init(&race.over, false);
	atomic_init(&race.hits, 0);
	atomic_init(&race.cached, 0);
	atomic_init(&race.violations, 0);
	for (unsigned int i = 0; i < readers; i++) {
		reader[i] = (struct reader){ .race = &race, .number = i };
		assert_int_equal(pthread_create(&reader[i].thread, NULL, race_read, &reader[i]), 0);
	}
	race_write(&race);
	atomic_store_explicit(&race.over, true, memory_order_relaxed);
	for (unsigned int i = 0; i < readers; i++)
		pthread_join(reader[i].thread, NULL);
	printf("%u readers: %llu hits, %llu of them cached, %llu violations\n", readers,
	       (unsigned long long)race.hits, (unsigned long long)race.cached,
	       (unsigned long long)race.violations);
	assert_true(race.cached > 0);
	fflush(stdout);
	assert_int_equal(space_reclaim(&race.space), 0);
	assert_int_equal(space_bytes(&race.space), 0);
	space_clear(&race.space);
	hazard_end(&race.hazards);
	return race.violations;
}

static void test_what_a_reader_uses_stays(void **state)
{
	(void)state;
	for (unsigned int readers = 1; readers <= READERS; readers++)
		assert_int_equal(race_run(readers), 0);
}

#ifdef VUC_FAULTS

#define CONTROLS 10

/* One run in a process of its own, which a wild pointer may end. */
static bool control_notices(unsigned int readers)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	assert_int_not_equal(child, -1);
	if (child == 0) {
		assert_int_equal(fault_select("hazards_are_not_published"), 0);
		_exit(race_run(readers) != 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void test_control_without_hazards_is_noticed(void **state)
{
	unsigned int noticed = 0;

	(void)state;
	for (unsigned int i = 0; i < CONTROLS; i++)
		noticed += control_notices(1 + i % READERS);
	printf("noticed in %u of %u runs\n", noticed, CONTROLS);
	assert_true(noticed > CONTROLS / 2);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_reader_uses_stays),
#ifdef VUC_FAULTS
		cmocka_unit_test(test_control_without_hazards_is_noticed),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
