/* SPDX-License-Identifier: BSD-3-Clause */
/* minimize.c - see minimize.h. A pass tries one kind of change in all places. */
#include "minimize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct minimize {
	const struct minimize_options *options;
	struct minimize_result *result;
	struct program *best;
	struct program *trial;
	bool helped;		/* something in this round */
	int error;
};

static bool minimize_over(const struct minimize *m)
{
	return m->error || (m->options->most && m->result->tried >= m->options->most);
}

/* Does the trial show it, often enough? */
static bool minimize_shows(struct minimize *m)
{
	const struct minimize_options *o = m->options;
	uint32_t shown = 0;

	for (uint32_t run = 0; run < o->runs; run++) {
		int result;

		/* Ends as soon as it is decided. */
		if (shown >= o->wanted || o->runs - run < o->wanted - shown || minimize_over(m))
			break;
		result = o->shows(o->arg, m->trial);
		m->result->tried++;
		if (result < 0)
			m->error = result;
		shown += result > 0;
	}
	return shown >= o->wanted && !m->error;
}

/* Takes the trial, if it is another program and still shows it. */
static bool minimize_take(struct minimize *m)
{
	program_fix(m->trial);
	if (minimize_over(m) || program_equal(m->trial, m->best) || !minimize_shows(m))
		return false;
	program_copy(m->best, m->trial);
	m->helped = true;
	if (m->options->smaller)
		m->options->smaller(m->options->arg, m->best);
	return true;
}

static void minimize_steps(struct minimize *m)
{
	for (uint32_t size = m->best->count / 2 ? m->best->count / 2 : 1; size; size /= 2) {
		/* From the end, as what stands there depends on what stands before. */
		for (uint32_t end = m->best->count; end > 0;) {
			uint32_t at = end > size ? end - size : 0;

			program_copy(m->trial, m->best);
			program_remove(m->trial, at, end - at);
			minimize_take(m);
			end = at;
		}
	}
}

/* A change to one step of the trial; false when there is nothing left to change. */
struct minimize_change {
	bool (*change)(struct program *program, struct program_step *step, uint32_t number);
	uint32_t count;		/* of the numbers to try, each as long as it helps */
};

static bool minimize_repeat(struct program *program, struct program_step *step, uint32_t number)
{
	(void)program;
	if (step->repeat <= 1)
		return false;
	step->repeat = number ? step->repeat / 2 : 1;
	return true;
}

static bool minimize_fd(struct program *program, struct program_step *step, uint32_t number)
{
	(void)program;
	if (number >= step->nfds)
		return false;
	step->nfds--;
	memmove(&step->fd[number], &step->fd[number + 1],
		(step->nfds - number) * sizeof(step->fd[0]));
	return true;
}

static bool minimize_times(struct program *program, struct program_step *step, uint32_t number)
{
	(void)program;
	if (number >= step->nfds || step->fd[number].times <= 1)
		return false;
	step->fd[number].times /= 2;
	return true;
}

static bool minimize_piece(struct program *program, struct program_step *step, uint32_t number)
{
	(void)program;
	if (number >= step->npieces)
		return false;
	step->npieces--;
	memmove(&step->piece[number], &step->piece[number + 1],
		(step->npieces - number) * sizeof(step->piece[0]));
	return true;
}

static bool minimize_property(struct program *program, struct program_step *step,
			      uint32_t number)
{
	(void)program;
	if (!(step->properties >> number & 1))
		return false;
	step->properties &= (uint8_t)~(1u << number);
	return true;
}

/* Where it is from: another connection or lane, seals, what the step expects. */
static bool minimize_plain(struct program *program, struct program_step *step, uint32_t number)
{
	struct program_step before = *step;

	(void)program;
	if (number == 0)
		step->lane = 0;
	else if (number == 1)
		step->connection = 0;
	else if (number == 2)
		step->seals = 0;
	else
		step->expect = PROGRAM_ANYTHING;
	return before.lane != step->lane || before.connection != step->connection ||
	       before.seals != step->seals || before.expect != step->expect;
}

static bool minimize_field(struct program *program, struct program_step *step, uint32_t number)
{
	(void)program;
	if (!(step->set >> number & 1))
		return false;
	step->set &= (uint16_t)~(1u << number);
	return true;
}

/* A field that has to be something: a plain number, then a small one. */
static bool minimize_value(struct program *program, struct program_step *step, uint32_t number)
{
	struct program_value *value = &step->field[number % PROGRAM_FIELDS];
	uint64_t before = value->number;

	(void)program;
	if (!(step->set >> number % PROGRAM_FIELDS & 1))
		return false;
	if (number >= PROGRAM_FIELDS)
		value->number = value->number > 4096 ? 4096 : value->number > 1 ? 1 : 0;
	else if (value->base != PROGRAM_NUMBER && value->number)
		value->number = 0;
	return before != value->number;
}

static bool minimize_number(struct program *program, struct program_step *step, uint32_t number)
{
	uint64_t *at = &step->number[number];

	(void)program;
	if (!*at)
		return false;
	*at = *at > 4096 ? 4096 : 0;
	return true;
}

/* Data shorter: nothing, half of it, a byte less; or of one byte only. */
static bool minimize_data(struct program *program, struct program_step *step, uint32_t number)
{
	struct program_data *data = &step->data;

	if (!data->size)
		return false;
	switch (number) {
	case 0:
		data->size = 0;
		return true;
	case 1:
		data->size /= 2;
		return true;
	case 2:
		data->size--;
		return true;
	default:
		if (data->filled)
			return false;
		*data = (struct program_data){
			.size = data->size,
			.filled = true,
			.fill = program->bytes[data->at],
		};
		return true;
	}
}

static const struct minimize_change minimize_changes[] = {
	{ minimize_repeat, 2 },
	{ minimize_fd, PROGRAM_FDS },
	{ minimize_times, PROGRAM_FDS },
	{ minimize_piece, PROGRAM_PIECES },
	{ minimize_property, 8 },
	{ minimize_plain, 4 },
	{ minimize_field, PROGRAM_FIELDS },
	{ minimize_value, 2 * PROGRAM_FIELDS },
	{ minimize_number, 3 },
	{ minimize_data, 4 },
};

static void minimize_pass(struct minimize *m, const struct minimize_change *change)
{
	for (uint32_t i = 0; i < m->best->count && !minimize_over(m); i++) {
		for (uint32_t number = 0; number < change->count; number++) {
			do
				program_copy(m->trial, m->best);
			while (change->change(m->trial, &m->trial->step[i], number) &&
			       minimize_take(m));
		}
	}
}

static void minimize_all(struct minimize *m)
{
	do {
		m->helped = false;
		minimize_steps(m);
		for (size_t i = 0; i < sizeof(minimize_changes) / sizeof(minimize_changes[0]); i++)
			minimize_pass(m, &minimize_changes[i]);
	} while (m->helped && !minimize_over(m));
}

/* How often the program at the end shows it. */
static void minimize_measure(struct minimize *m)
{
	m->result->shown = 0;
	for (uint32_t run = 0; run < m->options->runs && !m->error; run++) {
		int result = m->options->shows(m->options->arg, m->best);

		m->result->tried++;
		if (result < 0)
			m->error = result;
		m->result->shown += result > 0;
	}
}

int minimize(struct program *program, const struct minimize_options *options,
	     struct minimize_result *result)
{
	struct minimize m = { .options = options, .result = result, .best = program };

	*result = (struct minimize_result){ 0 };
	m.trial = malloc(sizeof(*m.trial));
	if (!m.trial)
		return -ENOMEM;
	program_copy(m.trial, program);
	if (!minimize_shows(&m) && !m.error)
		m.error = -ENOENT;
	if (!m.error)
		minimize_all(&m);
	if (!m.error)
		minimize_measure(&m);
	free(m.trial);
	return m.error;
}
