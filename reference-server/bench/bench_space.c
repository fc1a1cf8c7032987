/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_space.c - what the table of an address space costs, in time and in bytes per mapping.
 *
 *     bench_space [RUNS [MOST [terabyte]]]
 *
 * For 16 to MOST (16 M) mappings of a page, in four patterns: dense (neighbours), far (anywhere in
 * the 64 bits), step (one in 2 MiB) and worst (nodes that are just not sparse, above chains).
 * Beside it, where the pattern permits, the same in a flat array and in a sorted binary tree with a
 * node for each mapping. With `terabyte` also 1 TiB of single pages, built once.
 *
 * Each line of the output is a JSON object: name is WHAT.STRUCTURE.PATTERN.MAPPINGS, median and
 * spread (highest less lowest) are over n runs, of processor time. lookup is in random order,
 * reference the same with a hazard published before and cleared after; insert and remove are in
 * the order of the pattern.
 */
#include <inttypes.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "space.h"

#define RUNS_MOST 31
#define LOOKUPS (1U << 20)
#define TERABYTE (UINT64_C(1) << 28) /* pages of 4 KiB */

enum what { INSERT, LOOKUP, REFERENCE, REMOVE, BYTES, WHATS };

static const struct {
	const char *name, *unit;
} whats[WHATS] = {
	[INSERT] = { "insert", "ns" },       [LOOKUP] = { "lookup", "ns" },
	[REFERENCE] = { "reference", "ns" }, [REMOVE] = { "remove", "ns" },
	[BYTES] = { "bytes", "B/mapping" },
};

struct figures {
	double value[WHATS][RUNS_MOST];
};

/* The pages of a pattern, and an order to look them up in. */
struct load {
	uint64_t *page, *order;
	size_t count;
};

struct structure {
	const char *name;
	bool only_dense;
	size_t most; /* mappings, beyond that it takes too long or too much */
	void (*run)(const struct load *load, struct figures *figures, size_t run);
};

struct pattern {
	const char *name;
	size_t most;
	uint64_t (*page)(uint64_t i, uint64_t count);
};

static volatile uint64_t sink; /* keeps what is looked up from being optimised away */

/* Time that this process was given, so that what else the machine does counts for less. */
static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void fail(const char *what)
{
	fprintf(stderr, "bench_space: %s failed\n", what);
	exit(1);
}

static void *get(size_t size)
{
	void *at = malloc(size);

	if (!at)
		fail("malloc");
	return at;
}

/* Invertible, so that different numbers stay different (splitmix64's finish). */
static uint64_t scatter(uint64_t value)
{
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

/* --- patterns --------------------------------------------------------------------------------- */

static uint64_t page_dense(uint64_t i, uint64_t count)
{
	(void)count;
	return (UINT64_C(1) << 20) + i;
}

/* Two may meet by chance: 2^52 places. The second is left out of the load. */
static uint64_t page_far(uint64_t i, uint64_t count)
{
	(void)count;
	return scatter(i + 1) >> 12;
}

static uint64_t page_step(uint64_t i, uint64_t count)
{
	(void)count;
	return i << 9;
}

/* Nodes with 17 words, one more than are sparse, as far up as there is room for all; and below each
 * word a chain of nodes with one. */
static uint64_t page_worst(uint64_t i, uint64_t count)
{
	unsigned int shift = count <= UINT64_C(128) * 17 ? 36 : 27;

	return (i % 17) << shift | (i / 17) << (shift + 9);
}

static const struct pattern patterns[] = {
	{ "dense", 1 << 24, page_dense },
	{ "far", 1 << 20, page_far },
	{ "step", 1 << 20, page_step },
	{ "worst", 1 << 20, page_worst },
};

static void load_make(struct load *load, const struct pattern *pattern, size_t count)
{
	load->count = count;
	load->page = get(count * sizeof(*load->page));
	load->order = get(LOOKUPS * sizeof(*load->order));
	for (size_t i = 0; i < count; i++)
		load->page[i] = pattern->page(i, count);
	for (size_t i = 0; i < LOOKUPS; i++)
		load->order[i] = load->page[scatter(i) % count];
}

static void load_free(struct load *load)
{
	free(load->page);
	free(load->order);
}

/* --- the table -------------------------------------------------------------------------------- */

static double table_insert(struct space *space, const struct load *load)
{
	double start = now();

	for (size_t i = 0; i < load->count; i++) {
		if (space_insert(space, load->page[i], 1, space_entry(SPACE_READ, 1, i)) != 0)
			fail("space_insert");
	}
	return (now() - start) / (double)load->count;
}

static double table_remove(struct space *space, const struct load *load)
{
	uint64_t entry;
	double start = now();

	for (size_t i = 0; i < load->count; i++) {
		if (space_remove(space, load->page[i], 1, &entry) != 0)
			fail("space_remove");
	}
	return (now() - start) / (double)load->count;
}

static double table_look_up(struct space *space, const struct load *load, bool publish)
{
	uint64_t run, sum = 0;
	double start = now();

	for (size_t i = 0; i < LOOKUPS; i++) {
		uint64_t page = load->order[i];

		if (publish)
			hazard_publish(space->hazards, 0, page, page);
		sum += space_find(space, page, 1, &run);
		if (publish)
			hazard_clear(space->hazards, 0);
	}
	sink = sum;
	return (now() - start) / LOOKUPS;
}

static void table_run(const struct load *load, struct figures *figures, size_t run)
{
	struct hazard_set hazards;
	struct space space;

	if (hazard_init(&hazards) != 0)
		fail("hazard_init");
	space_init(&space, &hazards, (struct space_quota){ SIZE_MAX, SIZE_MAX });
	figures->value[INSERT][run] = table_insert(&space, load);
	figures->value[BYTES][run] = (double)space_bytes(&space) / (double)load->count;
	figures->value[LOOKUP][run] = table_look_up(&space, load, false);
	figures->value[REFERENCE][run] = table_look_up(&space, load, true);
	figures->value[REMOVE][run] = table_remove(&space, load);
	if (space_bytes(&space) != 0)
		fail("giving all memory back");
	space_clear(&space);
	hazard_end(&hazards);
}

/* --- a flat array, what can not be beaten ----------------------------------------------------- */

static void flat_run(const struct load *load, struct figures *figures, size_t run)
{
	size_t size = load->count * sizeof(uint64_t);
	uint64_t *flat =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t base = load->page[0], sum = 0;
	double start = now();

	if (flat == MAP_FAILED)
		fail("mmap");
	for (size_t i = 0; i < load->count; i++)
		((volatile uint64_t *)flat)[load->page[i] - base] = space_entry(SPACE_READ, 1, i);
	figures->value[INSERT][run] = (now() - start) / (double)load->count;
	figures->value[BYTES][run] = sizeof(uint64_t);
	start = now();
	for (size_t i = 0; i < LOOKUPS; i++)
		sum += flat[load->order[i] - base];
	figures->value[LOOKUP][run] = (now() - start) / LOOKUPS;
	start = now();
	for (size_t i = 0; i < load->count; i++)
		((volatile uint64_t *)flat)[load->page[i] - base] = 0;
	figures->value[REMOVE][run] = (now() - start) / (double)load->count;
	sink = sum;
	munmap(flat, size);
}

/* --- a sorted tree, what one writes first ----------------------------------------------------- */

struct leaf {
	uint64_t first, pages, entry;
};

static int leaf_compare(const void *one, const void *other)
{
	const struct leaf *a = one, *b = other;

	if (a->first + a->pages <= b->first)
		return -1;
	return a->first >= b->first + b->pages;
}

static void tree_insert(void **tree, struct leaf *leaves, const struct load *load)
{
	for (size_t i = 0; i < load->count; i++) {
		leaves[i] = (struct leaf){ load->page[i], 1, space_entry(SPACE_READ, 1, i) };
		if (!tsearch(&leaves[i], tree, leaf_compare))
			fail("tsearch");
	}
}

/* A node of the C library's tree is a key, two children and a colour in a block of 32 bytes. */
static void tree_run(const struct load *load, struct figures *figures, size_t run)
{
	struct leaf *leaves = get(load->count * sizeof(*leaves));
	void *tree = NULL;
	uint64_t sum = 0;
	double start = now();

	tree_insert(&tree, leaves, load);
	figures->value[INSERT][run] = (now() - start) / (double)load->count;
	figures->value[BYTES][run] = sizeof(struct leaf) + 32;
	start = now();
	for (size_t i = 0; i < LOOKUPS; i++) {
		struct leaf key = { load->order[i], 1, 0 };

		sum += (*(struct leaf *const *)tfind(&key, &tree, leaf_compare))->entry;
	}
	figures->value[LOOKUP][run] = (now() - start) / LOOKUPS;
	start = now();
	for (size_t i = 0; i < load->count; i++)
		tdelete(&leaves[i], &tree, leaf_compare);
	figures->value[REMOVE][run] = (now() - start) / (double)load->count;
	sink = sum;
	free(leaves);
}

static const struct structure structures[] = {
	{ "table", false, 1 << 24, table_run },
	{ "flat", true, 1 << 24, flat_run },
	{ "tree", false, 1 << 20, tree_run },
};

/* --- output ----------------------------------------------------------------------------------- */

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

static void print(const char *name, const char *unit, double *values, size_t runs)
{
	qsort(values, runs, sizeof(*values), compare);
	printf("{\"name\": \"%s\", \"unit\": \"%s\", \"median\": %.2f, \"spread\": %.2f, "
	       "\"n\": %zu}\n",
	       name, unit, values[runs / 2], values[runs - 1] - values[0], runs);
	fflush(stdout);
}

static void bench(const struct structure *structure, const struct pattern *pattern, size_t count,
		  size_t runs)
{
	struct figures figures = { 0 };
	struct load load;
	char name[80];

	load_make(&load, pattern, count);
	for (size_t run = 0; run < runs; run++)
		structure->run(&load, &figures, run);
	for (size_t what = 0; what < WHATS; what++) {
		if (what == REFERENCE && structure->run != table_run)
			continue;
		snprintf(name, sizeof(name), "%s.%s.%s.%zu", whats[what].name, structure->name,
			 pattern->name, count);
		print(name, whats[what].unit, figures.value[what], runs);
	}
	load_free(&load);
}

static void bench_terabyte(void)
{
	struct hazard_set hazards;
	struct space space;
	struct load load = { .count = TERABYTE };
	double seconds, value;

	if (hazard_init(&hazards) != 0)
		fail("hazard_init");
	space_init(&space, &hazards, (struct space_quota){ SIZE_MAX, SIZE_MAX });
	seconds = now();
	for (uint64_t i = 0; i < TERABYTE; i++) {
		if (space_insert(&space, i, 1, space_entry(SPACE_READ, 1, i)) != 0)
			fail("space_insert");
	}
	seconds = (now() - seconds) / 1e9;
	print("build.table.terabyte", "s", &seconds, 1);
	value = (double)space_bytes(&space) / (1 << 30);
	print("bytes.table.terabyte", "GiB", &value, 1);
	load.order = get(LOOKUPS * sizeof(*load.order));
	for (size_t i = 0; i < LOOKUPS; i++)
		load.order[i] = scatter(i) % TERABYTE;
	value = table_look_up(&space, &load, false);
	print("lookup.table.terabyte", "ns", &value, 1);
	free(load.order);
	space_clear(&space);
	hazard_end(&hazards);
}

int main(int argc, char **argv)
{
	size_t runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 5;
	size_t most = argc > 2 ? strtoul(argv[2], NULL, 10) : SIZE_MAX;

	if (runs < 1 || runs > RUNS_MOST || most < 1 ||
	    (argc > 3 && strcmp(argv[3], "terabyte") != 0)) {
		fprintf(stderr, "usage: bench_space [RUNS (1 to %d) [MOST [terabyte]]]\n",
			RUNS_MOST);
		return 2;
	}
	for (size_t p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
		size_t end = most < patterns[p].most ? most : patterns[p].most;

		for (size_t count = 16; count <= end; count *= 16) {
			for (size_t s = 0; s < sizeof(structures) / sizeof(structures[0]); s++) {
				if (count <= structures[s].most &&
				    (!structures[s].only_dense || p == 0))
					bench(&structures[s], &patterns[p], count, runs);
			}
		}
	}
	if (argc > 3)
		bench_terabyte();
	return 0;
}
