/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_race.c - programs with lanes on the server with its threads: unmapping under running DMA.
 *
 * An input is a packed program (pack.h). Its lanes run side by side, and so do the loop of the
 * server and three threads of DMA; the seed of the program perturbs the schedule. Where a program
 * has no lanes its steps are dealt to two. PASIDs come and go, and page requests are answered at
 * random, where the vIOMMU extension is negotiated. Judges are the model, canaries in what was
 * unmapped, the accounts of the server after each program, and the sanitizer that this is built
 * with. The same input need not do the same again: campaigns say in how many of how many runs.
 */
#include <stddef.h>
#include <stdint.h>

#include "pack.h"
#include "runner.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Called before the sanitizer has begun. */
const char *__tsan_default_options(void) __attribute__((no_sanitize("thread")));
const char *__tsan_default_suppressions(void) __attribute__((no_sanitize("thread")));

#define RACE_LONG_MS 5000	/* a server that does not answer for so long never will */
#define RACE_SHORT_MS 2
#define RACE_LENGTH 0x1ffffu	/* the most bytes of one iteration of a slot, */
#define RACE_COUNT 63u		/* and iterations */
#define RACE_REPEAT 32u
#define RACE_HOLDS 0x7fu	/* of ctl: nobody would release a slot that is held */
#define RACE_MS 2u
#define RACE_MSG_SIZE 2u	/* index of that field of a header */

const char *__tsan_default_options(void)
{
	return "halt_on_error=1";
}

/* Counters of coverage, which threads share and nobody protects; so their section is called. */
const char *__tsan_default_suppressions(void)
{
	return "race:__TMC_END__";
}

static void race_limit(struct program_step *step, const char *name, uint64_t mask)
{
	int field = program_field(step, name);

	step->field[field].base = PROGRAM_NUMBER;
	step->field[field].number &= mask;
	if (step->stride_field == field)
		step->stride = 0;
}

/* Other entries are about these; here they would take real time, or leave nothing to be judged. */
static bool race_is_elsewhere(const struct program_step *step)
{
	return step->op == PROGRAM_CHECK || step->op == PROGRAM_RAW || step->op == PROGRAM_REPLY ||
	       step->op == PROGRAM_DOOR;
}

/* Whoever changes programs at random expects nothing of them, and nothing takes long. */
static void race_tame(struct program_step *step)
{
	step->expect = PROGRAM_ANYTHING;
	step->expect_errno = 0;
	step->properties &= (uint8_t)~PROGRAM_CUT;
	if (step->op == PROGRAM_SEND)
		step->set &= (uint16_t)~(1u << RACE_MSG_SIZE);
	if (race_is_elsewhere(step))
		step->op = PROGRAM_TICK;
	if (step->op == PROGRAM_AWAIT)
		step->number[0] = step->number[1] = 0;
	/* An operation that waits for a page for ever is nothing that races. */
	if (step->op == PROGRAM_PAGES && step->number[0] == PROGRAM_NEVER)
		step->number[0] = PROGRAM_RANDOM;
	if (step->op == PROGRAM_TICK && step->number[0] > RACE_MS)
		step->number[0] = RACE_MS;
	if (step->repeat > RACE_REPEAT)
		step->repeat = RACE_REPEAT;
	if (step->op != PROGRAM_SLOT)
		return;
	race_limit(step, "len", RACE_LENGTH);
	race_limit(step, "count", RACE_COUNT);
	race_limit(step, "ctl", ~(uint64_t)RACE_HOLDS);
}

static bool race_has_lanes(const struct program *program)
{
	for (uint32_t i = 0; i < program->count; i++)
		if (program->step[i].lane)
			return true;
	return false;
}

/* What comes before the first operation of the device is for one lane, what maps for another. */
static void race_deal(struct program *program)
{
	struct program_step *barrier;
	uint32_t first = 0;

	while (first < program->count && program->step[first].op != PROGRAM_SLOT)
		first++;
	if (first == program->count)
		return;
	for (uint32_t i = first; i < program->count; i++) {
		struct program_step *step = &program->step[i];

		step->lane = step->op != PROGRAM_SLOT && step->op != PROGRAM_POKE;
	}
	barrier = program_insert(program, first);
	if (barrier)
		barrier->op = PROGRAM_BARRIER;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct exec_options options = {
		.model.fresh = true,
		.stop = true,
		.keep = true,
		.guard = true,
		.long_ms = RACE_LONG_MS,
		.short_ms = RACE_SHORT_MS,
	};
	static struct program program;

	runner_options(&options);
	pack_parse(&program, data, size);
	for (uint32_t i = 0; i < program.count; i++)
		race_tame(&program.step[i]);
	program_fix(&program);
	if (!race_has_lanes(&program))
		race_deal(&program);
	program_fix(&program);
	runner_run(&program);
	return 0;
}
