/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of minimize: what it drops, what it keeps, and when it gives up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "minimize.h"
#include "wire.h"

/* Shows it when the program still maps with a descriptor, in every `rarely`th run. */
struct subject {
	uint32_t rarely;
	uint32_t runs;
	uint32_t told;
	int error;
};

static bool wanted(const struct program *program)
{
	for (uint32_t i = 0; i < program->count; i++) {
		const struct program_step *step = &program->step[i];

		if (step->op == PROGRAM_SEND && step->command == WIRE_DMA_MAP && step->nfds &&
		    step->data.size >= 3)
			return true;
	}
	return false;
}

static int shows(void *arg, const struct program *program)
{
	struct subject *subject = arg;

	if (subject->error)
		return subject->error;
	return subject->runs++ % subject->rarely == 0 && wanted(program);
}

static void smaller(void *arg, const struct program *program)
{
	struct subject *subject = arg;

	assert_true(wanted(program));
	subject->told++;
}

static struct program_step *add(struct program *program, uint16_t command)
{
	struct program_step *step = program_insert(program, program->count);

	assert_non_null(step);
	step->op = PROGRAM_SEND;
	step->command = command;
	return step;
}

/* A large program with one step that matters. */
static struct program *make(void)
{
	struct program *program = calloc(1, sizeof(*program));
	struct program_step *step;

	assert_non_null(program);
	for (int i = 0; i < 20; i++)
		add(program, WIRE_DEVICE_GET_INFO);
	step = add(program, WIRE_DMA_MAP);
	step->nfds = 3;
	for (int i = 0; i < 3; i++)
		step->fd[i] = (struct program_fd){ 1, 9 };
	step->repeat = 77;
	step->properties = PROGRAM_NOWAIT;
	step->npieces = 1;
	step->piece[0].end = 8;
	step->set = 1u << PROGRAM_HEADER | 1u << (PROGRAM_HEADER + 3);
	step->field[PROGRAM_HEADER].number = 7;
	step->field[PROGRAM_HEADER + 3].number = 0x10000;
	step->expect = PROGRAM_OK;
	assert_int_equal(program_set_data(program, step, "abcdefgh", 8), 0);
	for (int i = 0; i < 20; i++)
		add(program, WIRE_REGION_READ);
	program_fix(program);
	return program;
}

static struct minimize_options over(struct subject *subject)
{
	return (struct minimize_options){
		.shows = shows,
		.smaller = smaller,
		.arg = subject,
		.wanted = 1,
		.runs = 1,
	};
}

static void what_does_not_matter_is_dropped(void **state)
{
	struct subject subject = { .rarely = 1 };
	struct minimize_options options = over(&subject);
	struct program *program = make();
	struct minimize_result result;
	const struct program_step *step = &program->step[0];

	(void)state;
	assert_int_equal(minimize(program, &options, &result), 0);
	assert_int_equal(program->count, 1);
	assert_int_equal(step->command, WIRE_DMA_MAP);
	assert_int_equal(step->nfds, 1);
	assert_int_equal(step->fd[0].times, 1);
	assert_int_equal(step->repeat, 1);
	assert_int_equal(step->properties, 0);
	assert_int_equal(step->npieces, 0);
	assert_int_equal(step->set, 0);
	assert_int_equal(step->expect, PROGRAM_ANYTHING);
	assert_int_equal(step->data.size, 3);
	assert_int_equal(result.shown, 1);
	assert_int_equal(result.tried, subject.runs);
	assert_true(subject.told > 5);
	free(program);
}

static void what_shows_nothing_is_left_alone(void **state)
{
	struct subject subject = { .rarely = 1 };
	struct minimize_options options = over(&subject);
	struct program *program = make();
	struct minimize_result result;

	(void)state;
	program->step[20].nfds = 0;
	program_fix(program);
	assert_int_equal(minimize(program, &options, &result), -ENOENT);
	assert_int_equal(program->count, 41);
	assert_int_equal(subject.runs, 1);
	free(program);
}

static void a_rare_failure_takes_several_runs(void **state)
{
	struct subject subject = { .rarely = 3 };
	struct minimize_options options = over(&subject);
	struct program *program = make();
	struct minimize_result result;

	(void)state;
	options.runs = 9;
	options.wanted = 3;
	assert_int_equal(minimize(program, &options, &result), 0);
	assert_int_equal(program->count, 1);
	assert_int_equal(result.shown, 3);
	free(program);
}

static void the_number_of_runs_is_bounded(void **state)
{
	struct subject subject = { .rarely = 1 };
	struct minimize_options options = over(&subject);
	struct program *program = make();
	struct minimize_result result;

	(void)state;
	options.most = 4;
	assert_int_equal(minimize(program, &options, &result), 0);
	assert_true(program->count < 41);
	assert_true(wanted(program));
	assert_int_equal(result.tried, 4 + 1);
	free(program);
}

static void an_error_stops_it(void **state)
{
	struct subject subject = { .rarely = 1, .error = -EINTR };
	struct minimize_options options = over(&subject);
	struct program *program = make();
	struct minimize_result result;

	(void)state;
	assert_int_equal(minimize(program, &options, &result), -EINTR);
	assert_true(wanted(program));
	free(program);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_matter_is_dropped),
		cmocka_unit_test(what_shows_nothing_is_left_alone),
		cmocka_unit_test(a_rare_failure_takes_several_runs),
		cmocka_unit_test(the_number_of_runs_is_bounded),
		cmocka_unit_test(an_error_stops_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
