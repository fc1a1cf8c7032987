/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of program: steps come and go with their data; whatever is in them can be fixed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "random_program.h"

#define PROGRAMS 20000

static struct program one, two;

static struct program_step *add(struct program *program, uint8_t op, uint16_t command)
{
	struct program_step *step = program_insert(program, program->count);

	assert_non_null(step);
	step->op = op;
	step->command = command;
	return step;
}

static void a_new_step_does_nothing_and_is_valid(void **state)
{
	(void)state;
	program_clear(&one);
	assert_non_null(program_insert(&one, 0));
	program_copy(&two, &one);
	program_fix(&two);
	assert_true(program_equal(&one, &two));
	assert_int_equal(one.step[0].op, PROGRAM_TICK);
	assert_int_equal(one.step[0].number[0], 0);
	assert_int_equal(one.step[0].repeat, 1);
}

static void steps_are_inserted_and_removed_in_order(void **state)
{
	(void)state;
	program_clear(&one);
	for (uint16_t i = 0; i < 4; i++)
		program_insert(&one, i)->command = i;
	program_insert(&one, 1)->command = 9;
	program_insert(&one, 1000)->command = 8;
	assert_int_equal(one.count, 6);
	assert_int_equal(one.step[1].command, 9);
	assert_int_equal(one.step[2].command, 1);
	assert_int_equal(one.step[5].command, 8);
	program_remove(&one, 1, 2);
	assert_int_equal(one.count, 4);
	assert_int_equal(one.step[1].command, 2);
	program_remove(&one, 4, 1);
	assert_int_equal(one.count, 4);
	program_remove(&one, 2, UINT32_MAX);
	assert_int_equal(one.count, 2);
}

static void a_full_program_takes_no_step(void **state)
{
	(void)state;
	program_clear(&one);
	for (uint32_t i = 0; i < PROGRAM_STEPS; i++)
		assert_non_null(program_insert(&one, 0));
	assert_null(program_insert(&one, 0));
	assert_int_equal(one.count, PROGRAM_STEPS);
}

static void data_that_does_not_fit_changes_nothing(void **state)
{
	static uint8_t bytes[PROGRAM_BYTES + 1];
	struct program_step *first, *second;

	(void)state;
	program_clear(&one);
	first = add(&one, PROGRAM_RAW, 0);
	second = add(&one, PROGRAM_RAW, 0);
	assert_int_equal(program_set_data(&one, first, "abc", 3), 0);
	assert_int_equal(program_set_data(&one, second, "xyz", 3), 0);
	program_copy(&two, &one);
	assert_int_equal(program_set_data(&one, second, bytes, PROGRAM_BYTES - 2), -ENOSPC);
	assert_int_equal(program_set_data(&one, second, bytes, PROGRAM_BYTES + 1), -ENOSPC);
	assert_true(program_equal(&one, &two));
	/* With what it had before given back there is room. */
	assert_int_equal(program_set_data(&one, second, bytes, PROGRAM_BYTES - 3), 0);
	assert_int_equal(one.nbytes, PROGRAM_BYTES);
	assert_memory_equal(one.bytes + first->data.at, "abc", 3);
	assert_int_equal(program_set_data(&one, second, NULL, 0), 0);
	program_compact(&one);
	assert_int_equal(one.nbytes, 3);
}

static void compact_puts_data_in_the_order_of_steps(void **state)
{
	(void)state;
	program_clear(&one);
	for (uint32_t i = 0; i < 3; i++)
		program_insert(&one, 0)->op = PROGRAM_RAW;
	program_set_data(&one, &one.step[2], "cc", 2);
	program_set_data(&one, &one.step[0], "aaa", 3);
	program_set_data(&one, &one.step[1], "b", 1);
	program_set_data(&one, &one.step[2], "dd", 2);
	program_compact(&one);
	assert_int_equal(one.nbytes, 6);
	assert_memory_equal(one.bytes, "aaabdd", 6);
	assert_int_equal(one.step[2].data.at, 4);
}

static void equal_looks_at_what_is_done(void **state)
{
	(void)state;
	program_clear(&one);
	add(&one, PROGRAM_RAW, 0);
	program_set_data(&one, &one.step[0], "old", 3);
	program_set_data(&one, &one.step[0], "new", 3);
	program_copy(&two, &one);
	program_compact(&two);
	two.step[0].line = 7;
	assert_true(program_equal(&one, &two));
	two.bytes[0] = 'N';
	assert_false(program_equal(&one, &two));
	program_copy(&two, &one);
	two.step[0].repeat = 2;
	assert_false(program_equal(&one, &two));
	program_copy(&two, &one);
	two.seed = 1;
	assert_false(program_equal(&one, &two));
}

static void fields_are_those_of_header_and_payload(void **state)
{
	struct program_step step = { .op = PROGRAM_SEND, .command = WIRE_DMA_MAP };
	const struct schema_field *rows;

	(void)state;
	assert_int_equal(program_fields(&step, &rows), 10);
	assert_string_equal(rows[0].name, "id");
	assert_string_equal(rows[4].name, "error");
	assert_string_equal(rows[9].name, "size");
	assert_int_equal(program_field(&step, "flags"), 6);
	assert_int_equal(program_field(&step, "header.flags"), 3);
	assert_int_equal(program_field(&step, "id"), 0);
	assert_int_equal(program_field(&step, "header.size"), -ENOENT);
	assert_int_equal(program_field(&step, "count"), -ENOENT);
	step.command = 14;
	assert_int_equal(program_fields(&step, &rows), PROGRAM_HEADER);
	step.command = UINT16_MAX;
	assert_int_equal(program_fields(&step, &rows), PROGRAM_HEADER);
	step.op = PROGRAM_REPLY;
	step.command = WIRE_DMA_READ;
	assert_int_equal(program_fields(&step, &rows), 7);
	assert_int_equal(rows[6].in_reply, 1);
	step.op = PROGRAM_SLOT;
	assert_int_equal(program_fields(&step, &rows), 10);
	assert_int_equal(program_field(&step, "cmd"), 0);
	assert_int_equal(program_field(&step, "header.cmd"), -ENOENT);
	step.op = PROGRAM_RAW;
	assert_int_equal(program_fields(&step, &rows), 0);
	assert_int_equal(program_field(&step, "id"), -ENOENT);
}

static void every_command_has_its_rows(void **state)
{
	const struct schema_command *commands;
	const struct schema_field *all, *rows;
	size_t ncommands = schema_commands(&commands), nall = schema_fields(&all);

	(void)state;
	for (size_t i = 0; i < 2 * ncommands; i++) {
		struct program_step step = { .op = i & 1 ? PROGRAM_REPLY : PROGRAM_SEND,
					     .command = (uint16_t)commands[i / 2].number };
		size_t count = program_fields(&step, &rows), at = PROGRAM_HEADER;

		if (commands[i / 2].number >= SCHEMA_NESTED)
			continue;
		for (size_t k = 0; k < nall; k++) {
			if (all[k].command != step.command || all[k].in_reply != (i & 1) ||
			    all[k].width == 0)
				continue;
			assert_true(at < count);
			assert_memory_equal(&rows[at++], &all[k], sizeof(all[k]));
		}
		assert_int_equal(at, count);
	}
}

static void names_end_where_the_enums_do(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PROGRAM_OPS; i++)
		assert_non_null(program_op_name(i));
	for (uint32_t i = 0; i < PROGRAM_KINDS; i++)
		assert_non_null(program_kind_name(i));
	for (uint32_t i = 0; i < PROGRAM_BASES; i++)
		assert_non_null(program_base_name(i));
	assert_null(program_op_name(PROGRAM_OPS));
	assert_null(program_kind_name(PROGRAM_KINDS));
	assert_null(program_base_name(PROGRAM_BASES));
	assert_int_equal(program_parts(PROGRAM_OPS), 0);
}

static void fix_brings_into_range(void **state)
{
	struct program_step *step;

	(void)state;
	program_clear(&one);
	step = add(&one, PROGRAM_SEND, WIRE_DMA_MAP);
	step->repeat = UINT32_MAX;
	step->stride = 1;
	step->stride_field = 13;
	step->connection = PROGRAM_CONNECTIONS + 1;
	step->lane = PROGRAM_LANES + 2;
	step->set = UINT16_MAX;
	step->field[6] = (struct program_value){ UINT64_MAX, PROGRAM_BASES + 1 };
	step->nfds = 1;
	step->npieces = 2;
	step->piece[0].end = UINT32_MAX;
	step->data = (struct program_data){ .at = 5, .size = 9 };
	step->properties = UINT8_MAX;
	program_fix(&one);
	assert_int_equal(step->repeat, PROGRAM_REPEAT);
	assert_int_equal(step->stride_field, 3);
	assert_int_equal(step->connection, 1);
	assert_int_equal(step->lane, 2);
	assert_int_equal(step->set, 0x3ff);
	assert_int_equal(step->field[6].number, UINT32_MAX);
	assert_int_equal(step->field[6].base, 1);
	assert_int_equal(step->fd[0].times, 1);
	assert_true(step->piece[0].end < step->piece[1].end);
	assert_true(step->piece[1].end < PROGRAM_END);
	assert_int_equal(step->data.size, 0);
	assert_false(step->properties & PROGRAM_HELD);
	assert_int_equal(step->cut, 1);
	step = add(&one, PROGRAM_DOOR, PROGRAM_SLOTS + 1);
	step->number[0] = UINT64_MAX;
	step->number[1] = PROGRAM_STATES + 1;
	step->number[2] = PROGRAM_STATES;
	step = add(&one, PROGRAM_AWAIT, 1);
	step->number[0] = PROGRAM_REQUESTS + 1;
	program_fix(&one);
	assert_int_equal(step[-1].command, 1);
	assert_int_equal(step[-1].number[0], UINT32_MAX);
	assert_int_equal(step[-1].number[1], 1);
	assert_int_equal(step[-1].number[2], 0);
	assert_int_equal(step->command, 0);
	assert_int_equal(step->number[0], PROGRAM_REQUESTS);
}

static void fix_of_anything_is_stable(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < PROGRAMS; seed++) {
		random_program(&one, seed);
		program_copy(&two, &one);
		program_fix(&two);
		assert_true(program_equal(&one, &two));
		for (uint32_t i = 0; i < one.count; i++)
			assert_memory_equal(&one.step[i], &two.step[i], sizeof(one.step[i]));
	}
}

static void fix_of_garbage_is_stable(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		uint8_t *at = (uint8_t *)&one;

		/* All but the booleans, which have two values only. */
		for (size_t i = 0; i < sizeof(one); i++)
			at[i] = (uint8_t)random_next(&random);
		for (uint32_t i = 0; i < PROGRAM_STEPS; i++) {
			bool filled = random_next(&random) & 1;

			memcpy(&one.step[i].data.filled, &filled, sizeof(filled));
		}
		program_fix(&one);
		program_copy(&two, &one);
		program_fix(&two);
		assert_true(program_equal(&one, &two));
		assert_true(one.nbytes <= PROGRAM_BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_step_does_nothing_and_is_valid),
		cmocka_unit_test(steps_are_inserted_and_removed_in_order),
		cmocka_unit_test(a_full_program_takes_no_step),
		cmocka_unit_test(data_that_does_not_fit_changes_nothing),
		cmocka_unit_test(compact_puts_data_in_the_order_of_steps),
		cmocka_unit_test(equal_looks_at_what_is_done),
		cmocka_unit_test(fields_are_those_of_header_and_payload),
		cmocka_unit_test(every_command_has_its_rows),
		cmocka_unit_test(names_end_where_the_enums_do),
		cmocka_unit_test(fix_brings_into_range),
		cmocka_unit_test(fix_of_anything_is_stable),
		cmocka_unit_test(fix_of_garbage_is_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
