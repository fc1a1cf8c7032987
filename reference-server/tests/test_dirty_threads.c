/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dirty_threads.c - that nothing is lost where several threads mark, and one reports. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "logging.h"

#define THREADS UINT64_C(3)
#define SHARED_PAGES UINT64_C(4032)	/* 64 and THREADS divide it */

/* Writers bump the number of a page, and then mark it. */
static _Atomic uint32_t numbers[SHARED_PAGES];
static _Atomic uint64_t running;
static pthread_barrier_t barrier;

struct writer {
	struct dirty *dirty;
	pthread_t thread;
	uint64_t first;		/* page of the file */
	uint64_t stride;
	uint64_t count;
	uint64_t step;		/* in the order of pages: prime to the count */
	unsigned int rounds;
	unsigned int sessions;
};

static void *write_pages(void *arg)
{
	const struct writer *writer = arg;

	for (unsigned int session = 0; session < writer->sessions; session++) {
		pthread_barrier_wait(&barrier);
		for (uint64_t i = 0; i < writer->rounds * writer->count; i++) {
			uint64_t at = i * writer->step % writer->count;
			uint64_t page = writer->first + at * writer->stride;

			if (page < SHARED_PAGES)
				atomic_fetch_add(&numbers[page], 1);
			dirty_mark(writer->dirty, 0, page, page);
		}
		atomic_fetch_sub(&running, 1);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* The writers differ in their first page, and in the order of the others. */
static void start_writers(struct writer *writers, const struct writer *with, uint64_t apart)
{
	static const uint64_t steps[THREADS] = { 11, 13, 17 };

	memset(numbers, 0, sizeof(numbers));
	assert_int_equal(pthread_barrier_init(&barrier, NULL, (unsigned int)THREADS + 1), 0);
	for (uint64_t i = 0; i < THREADS; i++) {
		writers[i] = *with;
		writers[i].first += i * apart;
		writers[i].step = steps[i];
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_pages,
						&writers[i]), 0);
	}
}

static void let_them_write(void)
{
	atomic_store(&running, THREADS);
	pthread_barrier_wait(&barrier);
}

static void join_writers(struct writer *writers)
{
	for (uint64_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
	pthread_barrier_destroy(&barrier);
}

/* Copies the numbers of the pages that are reported, as a client does after each report. */
static void follow(struct dirty *dirty, uint32_t *copy)
{
	uint64_t words[WORDS] = { 0 };

	assert_int_equal(report(dirty, 0, SHARED_PAGES * PAGE, PAGE, words), SHARED_PAGES / 64);
	for (uint64_t page = 0; page < SHARED_PAGES; page++) {
		if (words[page / 64] >> page % 64 & 1)
			copy[page] = atomic_load(&numbers[page]);
	}
}

/* Follows the writers to their end: then it all has to be there. Returns the pages that are not. */
static unsigned int follow_to_the_end(struct dirty *dirty, uint32_t *copy)
{
	unsigned int lost = 0;

	while (atomic_load(&running))
		follow(dirty, copy);
	pthread_barrier_wait(&barrier);
	follow(dirty, copy);
	for (uint64_t page = 0; page < SHARED_PAGES; page++)
		lost += copy[page] != atomic_load(&numbers[page]);
	return lost;
}

/* The pages of different writers are neighbours in the same words; each is written once. */
static void no_bit_is_lost_between_writers_and_reports(void **state)
{
	enum { SESSIONS = 300 };
	struct dirty *dirty = *state;
	const struct writer with = { .dirty = dirty, .stride = THREADS, .rounds = 1,
				     .count = SHARED_PAGES / THREADS, .sessions = SESSIONS };
	struct writer writers[THREADS];
	uint32_t copy[SHARED_PAGES] = { 0 };
	unsigned int lost = 0;

	map(0, 0, SHARED_PAGES);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	start_writers(writers, &with, 1);
	for (int session = 0; session < SESSIONS; session++) {
		let_them_write();
		lost += follow_to_the_end(dirty, copy);
	}
	join_writers(writers);
	assert_int_equal(lost, 0);
	assert_int_equal(copy[0], SESSIONS);
}

static void no_bit_is_lost_between_writers(void **state)
{
	enum { SESSIONS = 1500 };
	struct dirty *dirty = *state;
	const struct writer with = { .dirty = dirty, .stride = THREADS, .rounds = 1,
				     .count = SHARED_PAGES / THREADS, .sessions = SESSIONS };
	struct writer writers[THREADS];
	unsigned int lost = 0;

	map(0, 0, SHARED_PAGES);
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	start_writers(writers, &with, 1);
	for (int session = 0; session < SESSIONS; session++) {
		uint64_t words[WORDS] = { 0 };

		let_them_write();
		pthread_barrier_wait(&barrier);
		lost += report(dirty, 0, SHARED_PAGES * PAGE, PAGE, words) != SHARED_PAGES / 64;
		for (size_t word = 0; word < SHARED_PAGES / 64; word++)
			lost += words[word] != UINT64_MAX;
	}
	join_writers(writers);
	assert_int_equal(lost, 0);
}

/* A client that starts copies everything first, while the device goes on. */
static void starts_and_stops_under_load_lose_nothing(void **state)
{
	enum { SESSIONS = 100 };
	struct dirty *dirty = *state;
	const struct writer with = { .dirty = dirty, .stride = 1, .rounds = 2,
				     .count = SHARED_PAGES, .sessions = SESSIONS };
	struct writer writers[THREADS];
	uint32_t copy[SHARED_PAGES] = { 0 };
	unsigned int lost = 0;

	map(0, 0, SHARED_PAGES);
	start_writers(writers, &with, 0);
	for (int session = 0; session < SESSIONS; session++) {
		let_them_write();
		dirty_stop(dirty);
		lost += start(dirty, PAGE, 0, NULL) != (int)PAGE;
		for (uint64_t page = 0; page < SHARED_PAGES; page++)
			copy[page] = atomic_load(&numbers[page]);
		lost += follow_to_the_end(dirty, copy);
	}
	join_writers(writers);
	assert_int_equal(lost, 0);
}

/* All make the log and the same blocks at once. */
static void threads_share_the_blocks_that_they_make(void **state)
{
	enum { BLOCKS = 200 };
	struct dirty *dirty = *state;
	const struct writer with = { .dirty = dirty, .first = SHARED_PAGES, .stride = BLOCK_PAGES,
				     .count = BLOCKS, .rounds = 1, .sessions = 1 };
	struct writer writers[THREADS];
	uint64_t words[WORDS] = { 0 };

	map(0, 0, BLOCKS * BLOCK_PAGES);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
		start_writers(writers, &with, 64);
		let_them_write();
		pthread_barrier_wait(&barrier);
		join_writers(writers);
		for (uint64_t i = 0; i < BLOCKS; i++) {
			uint64_t address = (i * BLOCK_PAGES + SHARED_PAGES) * PAGE;

			assert_int_equal(report(dirty, address, THREADS * 64 * PAGE, PAGE, words),
					 THREADS);
			for (uint64_t n = 0; n < THREADS; n++)
				assert_int_equal(words[n], 1);
		}
		assert_false(atomic_load(&dirty->lost));
		dirty_end(dirty);
		assert_int_equal(atomic_load(&dirty->bytes), 0);
	}
}

/* The quota is found out by several at once; then everything counts as written. */
static void threads_meet_the_quota(void **state)
{
	struct dirty *dirty = *state;
	const struct writer with = { .dirty = dirty, .stride = BLOCK_PAGES, .count = 100,
				     .rounds = 2, .sessions = 1 };
	struct writer writers[THREADS];
	uint64_t words[WORDS] = { 0 };

	map(0, 0, 100 * BLOCK_PAGES);
	dirty->quota = (size_t)128 << 10;
	assert_int_equal(start(dirty, PAGE, 0, NULL), PAGE);
	start_writers(writers, &with, 0);
	let_them_write();
	pthread_barrier_wait(&barrier);
	join_writers(writers);
	assert_true(atomic_load(&dirty->lost));
	assert_in_range(atomic_load(&dirty->bytes), 1, dirty->quota);
	assert_int_equal(report(dirty, 0, 100 * BLOCK_PAGES * PAGE, BLOCK_PAGES * PAGE, words), 2);
	assert_true(words[0] == UINT64_MAX);
	assert_true(words[1] == UINT64_MAX >> 28);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(no_bit_is_lost_between_writers),
		CASE(no_bit_is_lost_between_writers_and_reports),
		CASE(starts_and_stops_under_load_lose_nothing),
		CASE(threads_share_the_blocks_that_they_make),
		CASE(threads_meet_the_quota),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
