/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_generate.c - programs that are made up and changed: valid, the same for the same seed, and
 * with an eye to what came before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "generate.h"
#include "mutate.h"
#include "pack.h"

#define SEEDS 300

static struct program program, other, copy;

static void assert_valid(const struct program *p)
{
	program_copy(&copy, p);
	program_fix(&copy);
	assert_true(program_equal(&copy, p));
}

static void same_seed_same_program(void **state)
{
	struct generate generate;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		generate_seed(&generate, seed);
		generate_program(&generate, &program, 6);
		generate_seed(&generate, seed);
		generate_program(&generate, &other, 6);
		assert_true(program_equal(&program, &other));
		assert_valid(&program);
		assert_true(program.count > 0);
	}
}

static void sketch_knows_what_is_mapped(void **state)
{
	struct generate_sketch sketch;
	struct generate generate;
	uint32_t maps = 0, handles = 0, negotiated = 0;

	(void)state;
	generate_seed(&generate, 1);
	for (int i = 0; i < SEEDS; i++) {
		generate_program(&generate, &program, 6);
		generate_sketch(&program, program.count, &sketch);
		maps += sketch.nmaps;
		negotiated += sketch.negotiated & 1;
		for (int k = 0; k < PROGRAM_HANDLES; k++)
			handles += sketch.handle[k].open;
		generate_sketch(&program, 0, &sketch);
		assert_int_equal(sketch.nmaps, 0);
		assert_int_equal(sketch.negotiated, 0);
	}
	assert_true(negotiated > SEEDS * 8 / 10);
	assert_true(maps > SEEDS / 2);
	assert_true(handles > SEEDS / 2);
}

/* Of what is unmapped most is what is mapped. */
static void unmaps_match(void **state)
{
	struct generate_sketch sketch;
	struct generate generate;
	uint32_t unmaps = 0, matches = 0;

	(void)state;
	generate_seed(&generate, 2);
	for (int i = 0; i < SEEDS; i++) {
		generate_program(&generate, &program, 12);
		for (uint32_t k = 0; k < program.count; k++) {
			uint32_t before;

			if (program.step[k].op != PROGRAM_SEND ||
			    program.step[k].command != WIRE_DMA_UNMAP)
				continue;
			generate_sketch(&program, k, &sketch);
			before = sketch.nmaps;
			generate_sketch(&program, k + 1, &sketch);
			unmaps += before > 0;
			matches += sketch.nmaps < before;
		}
	}
	assert_true(unmaps > 100);
	assert_true(matches > unmaps / 2);
}

static void changes_leave_it_valid(void **state)
{
	struct generate generate;
	uint32_t changed = 0;

	(void)state;
	generate_seed(&generate, 3);
	generate_program(&generate, &program, 4);
	for (int i = 0; i < 20 * SEEDS; i++) {
		program_copy(&other, &program);
		mutate_program(&generate, &program);
		assert_valid(&program);
		changed += !program_equal(&program, &other);
		if (program.count > 60)
			generate_program(&generate, &program, 4);
	}
	assert_true(changed > 20 * SEEDS / 2);
}

static void crossing_takes_of_both(void **state)
{
	static struct program crossed;
	struct generate generate;

	(void)state;
	generate_seed(&generate, 4);
	for (int i = 0; i < SEEDS; i++) {
		generate_program(&generate, &program, 6);
		generate_program(&generate, &other, 6);
		mutate_cross(&generate, &program, &other, &crossed);
		assert_valid(&crossed);
		assert_true(crossed.count <= program.count + other.count);
	}
}

static void what_is_made_up_can_be_packed(void **state)
{
	static uint8_t bytes[PACK_SIZE];
	struct generate generate;

	(void)state;
	generate_seed(&generate, 5);
	for (int i = 0; i < SEEDS; i++) {
		int size;

		generate_program(&generate, &program, 8);
		size = pack_program(&program, bytes, sizeof(bytes));
		assert_true(size > 0);
		pack_parse(&other, bytes, (size_t)size);
		assert_true(program_equal(&program, &other));
	}
}

static uint32_t count_of(const struct program *p, uint16_t command)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->count; i++)
		count += p->step[i].op == PROGRAM_SEND && p->step[i].command == command;
	return count;
}

static uint32_t count_of_op(const struct program *p, enum program_op op)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < p->count; i++)
		count += p->step[i].op == op;
	return count;
}

/* Where something is told, it is used; where there is memory, it is worked on. */
static void stories_lead_somewhere(void **state)
{
	struct generate generate;
	uint32_t regions = 0, irqs = 0, slots = 0, clients = 0;

	(void)state;
	generate_seed(&generate, 6);
	for (int i = 0; i < SEEDS; i++) {
		struct generate_sketch sketch;

		generate_program(&generate, &program, 1);
		generate_sketch(&program, program.count, &sketch);
		assert_true(generate_story(&generate, &program, program.count, &sketch));
		program_fix(&program);
		assert_valid(&program);
		regions += count_of(&program, WIRE_DEVICE_GET_REGION_INFO) &&
			   count_of(&program, WIRE_REGION_READ);
		irqs += count_of(&program, WIRE_DEVICE_GET_IRQ_INFO) &&
			count_of(&program, WIRE_DEVICE_SET_IRQS);
		slots += count_of(&program, WIRE_DMA_MAP) && count_of_op(&program, PROGRAM_SLOT);
		clients += count_of_op(&program, PROGRAM_CONNECT) > 1;
	}
	assert_true(regions > SEEDS / 20);
	assert_true(irqs > SEEDS / 20);
	assert_true(slots > SEEDS / 10);
	assert_true(clients > 0);
}

/* Who offers the vIOMMU extension maps in spaces, has its device ask for pages, and answers. */
static void an_extension_that_is_offered_is_used(void **state)
{
	struct generate generate;
	uint32_t offers = 0, spaces = 0, asks = 0, answers = 0, others = 0;

	(void)state;
	generate_seed(&generate, 8);
	for (int i = 0; i < SEEDS; i++) {
		struct generate_sketch sketch;
		bool spaced = false;

		generate_program(&generate, &program, 6);
		assert_valid(&program);
		generate_sketch(&program, program.count, &sketch);
		for (uint32_t k = 0; k < sketch.nmaps; k++)
			spaced = spaced || sketch.map[k].attr;
		offers += sketch.extended & 1;
		spaces += sketch.extended & 1 && spaced;
		asks += count_of_op(&program, PROGRAM_PAGES) && count_of_op(&program, PROGRAM_SLOT);
		answers += count_of(&program, WIRE_PAGE_RESPONSE) > 0;
		others += !sketch.extended && count_of_op(&program, PROGRAM_PAGES);
	}
	assert_in_range(offers, SEEDS / 5, SEEDS / 2);
	assert_true(spaces > SEEDS / 20);
	assert_true(asks > SEEDS / 20);
	assert_true(answers > SEEDS / 50);
	assert_true(others < SEEDS / 100);
}

/* A program without room for a story is as good as one with. */
static void story_may_find_no_room(void **state)
{
	struct generate_sketch sketch;
	struct generate generate;

	(void)state;
	generate_seed(&generate, 7);
	program_clear(&program);
	while (program_insert(&program, program.count))
		continue;
	program_fix(&program);
	generate_sketch(&program, program.count, &sketch);
	for (int i = 0; i < SEEDS; i++)
		generate_story(&generate, &program, program.count, &sketch);
	program_fix(&program);
	assert_valid(&program);
	assert_int_equal(program.count, PROGRAM_STEPS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed_same_program),
		cmocka_unit_test(sketch_knows_what_is_mapped),
		cmocka_unit_test(unmaps_match),
		cmocka_unit_test(changes_leave_it_valid),
		cmocka_unit_test(crossing_takes_of_both),
		cmocka_unit_test(what_is_made_up_can_be_packed),
		cmocka_unit_test(stories_lead_somewhere),
		cmocka_unit_test(an_extension_that_is_offered_is_used),
		cmocka_unit_test(story_may_find_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
