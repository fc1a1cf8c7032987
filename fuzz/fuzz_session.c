/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_session.c - programs on the server in this process, judged by the model and the accounts.
 *
 * An input is a packed program (pack.h); `vuc print` shows it as text, and whatever it finds can
 * be run against any server by `vuc run`.
 */
#include <stddef.h>
#include <stdint.h>

#include "pack.h"
#include "runner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The most bytes that one operation of the test device moves, and how often. */
#define SESSION_LENGTH 0x1ffffu
#define SESSION_COUNT 7u

/* An operation may take as long as the device was told to; here it is not told to take long. */
static void session_shorten(struct program_step *step)
{
	int length = program_field(step, "len"), count = program_field(step, "count");

	if (step->op != PROGRAM_SLOT)
		return;
	step->field[length].base = PROGRAM_NUMBER;
	step->field[length].number &= SESSION_LENGTH;
	step->field[count].base = PROGRAM_NUMBER;
	step->field[count].number &= SESSION_COUNT;
	if (step->stride_field == length || step->stride_field == count)
		step->stride = 0;
}

/* Whoever changes programs at random expects nothing of them: the model judges. */
static void session_tame(struct program *program)
{
	for (uint32_t i = 0; i < program->count; i++) {
		struct program_step *step = &program->step[i];

		step->expect = PROGRAM_ANYTHING;
		step->expect_errno = 0;
		if (step->op == PROGRAM_DOOR)
			step->number[1] = step->number[2] = PROGRAM_ANY;
		if (step->op == PROGRAM_CHECK || step->op == PROGRAM_GUARD)
			step->op = PROGRAM_BARRIER;
		session_shorten(step);
	}
	program_fix(program);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct program program;

	pack_parse(&program, data, size);
	session_tame(&program);
	runner_run(&program);
	return 0;
}
