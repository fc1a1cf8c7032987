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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed_same_program),
		cmocka_unit_test(sketch_knows_what_is_mapped),
		cmocka_unit_test(unmaps_match),
		cmocka_unit_test(changes_leave_it_valid),
		cmocka_unit_test(crossing_takes_of_both),
		cmocka_unit_test(what_is_made_up_can_be_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
