/* SPDX-License-Identifier: BSD-3-Clause */
/* test_space.c - random operations on a space, beside a model that is a plain array of pages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "space.h"

#define PAGES 64
#define STEPS 200000
/* The model's last page is the last of the address space. */
#define BASE (UINT64_MAX - (uint64_t)PAGES * 4096 + 1)

struct model {
	int start[PAGES];	/* first page of the mapping over this page, -1: none */
	int length[PAGES];	/* of the mapping that begins here */
	size_t count;
};

static uint32_t random_state = 20230117;

static int pick(int below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (int)((random_state >> 8) % (uint32_t)below);
}

static struct range pages(int first, int count)
{
	struct range range;

	assert_int_equal(range_make(BASE + (uint64_t)first * 4096, (uint64_t)count * 4096, &range),
			 0);
	return range;
}

static int model_first(const struct model *model, int first, int count)
{
	for (int i = first; i < first + count; i++) {
		if (model->start[i] >= 0)
			return model->start[i];
	}
	return -1;
}

static void insert_step(struct space *space, struct model *model, int first, int count)
{
	struct space_mapping mapping = { .range = pages(first, count), .access = (uint32_t)first };
	int expected = model_first(model, first, count) >= 0 ? -EEXIST : 0;

	assert_int_equal(space_insert(space, &mapping), expected);
	if (expected)
		return;
	for (int i = first; i < first + count; i++)
		model->start[i] = first;
	model->length[first] = count;
	model->count++;
}

static void remove_step(struct space *space, struct model *model, int first, int count)
{
	int matches = model->start[first] == first && model->length[first] == count;
	struct space_mapping out;

	assert_int_equal(space_remove(space, pages(first, count), &out), matches ? 0 : -ENOENT);
	if (!matches)
		return;
	assert_int_equal(out.access, first);
	assert_true(range_equal(out.range, pages(first, count)));
	for (int i = first; i < first + count; i++)
		model->start[i] = -1;
	model->count--;
}

static void find_step(const struct space *space, const struct model *model, int first, int count)
{
	const struct space_mapping *found = space_find(space, pages(first, count));
	int expected = model_first(model, first, count);

	if (expected < 0) {
		assert_null(found);
		return;
	}
	assert_non_null(found);
	assert_int_equal(found->access, expected);
}

struct visited {
	uint32_t last;
	size_t count;
};

static void visit(struct space_mapping *mapping, void *arg)
{
	struct visited *visited = arg;

	assert_true(visited->count == 0 || mapping->access > visited->last);
	visited->last = mapping->access;
	visited->count++;
}

static void walk_step(struct space *space, const struct model *model, int first, int count)
{
	struct visited visited = { 0 };
	size_t expected = 0;
	int before = -1;

	for (int i = first; i < first + count; i++) {
		if (model->start[i] >= 0 && model->start[i] != before)
			expected++;
		before = model->start[i];
	}
	space_walk(space, pages(first, count), visit, &visited);
	assert_int_equal(visited.count, expected);
}

static void random_operations_agree_with_the_model(void **state)
{
	struct space space;
	struct model model = { .count = 0 };

	(void)state;
	space_init(&space);
	memset(model.start, -1, sizeof(model.start));
	for (int step = 0; step < STEPS; step++) {
		int first = pick(PAGES), count = 1 + pick(PAGES - first < 6 ? PAGES - first : 6);

		switch (pick(4)) {
		case 0:
			insert_step(&space, &model, first, count);
			break;
		case 1:
			/* Mostly what is there, so that removals succeed. */
			if (model.start[first] == first && pick(4))
				count = model.length[first];
			remove_step(&space, &model, first, count);
			break;
		case 2:
			find_step(&space, &model, first, count);
			break;
		default:
			walk_step(&space, &model, first, count);
			break;
		}
		assert_int_equal(space_count(&space), model.count);
	}
	space_clear(&space);
	assert_int_equal(space_count(&space), 0);
}

/* Would take minutes, and the stack, if the tree degenerated. */
static void ascending_order_stays_fast(void **state)
{
	struct space space;
	struct space_mapping mapping = { .access = 1 }, out;

	(void)state;
	space_init(&space);
	for (uint64_t i = 0; i < 200000; i++) {
		assert_int_equal(range_make(i * 4096, 4096, &mapping.range), 0);
		assert_int_equal(space_insert(&space, &mapping), 0);
	}
	for (uint64_t i = 0; i < 200000; i += 2) {
		assert_int_equal(range_make(i * 4096, 4096, &mapping.range), 0);
		assert_int_equal(space_remove(&space, mapping.range, &out), 0);
	}
	assert_int_equal(space_count(&space), 100000);
	space_clear(&space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_the_model),
		cmocka_unit_test(ascending_order_stays_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
