/* SPDX-License-Identifier: BSD-3-Clause */
/* generate_draft.c - see generate_draft.h. */
#include "generate_draft.h"

struct program_step *generate_next(struct generate_draft *draft, enum program_op op)
{
	struct program_step *step = program_insert(draft->program, draft->at);

	draft->full = draft->full || !step;
	draft->at += !!step;
	draft->step = step ? step : &draft->spare;
	*draft->step = (struct program_step){ .op = (uint8_t)op, .repeat = 1 };
	draft->step->connection = draft->connection;
	return draft->step;
}

struct program_step *generate_send(struct generate_draft *draft, uint16_t command)
{
	struct program_step *step = generate_next(draft, PROGRAM_SEND);

	step->command = command;
	return step;
}

void generate_count(const struct generate_draft *draft, const char *name, enum program_base base,
		    uint64_t number)
{
	struct program_step *step = draft->step;
	int index = program_field(step, name);

	if (index < 0)
		return;
	step->set |= (uint16_t)(1u << index);
	step->field[index] = (struct program_value){ .number = number, .base = (uint8_t)base };
}

void generate_give(const struct generate_draft *draft, const char *name, uint64_t number)
{
	generate_count(draft, name, PROGRAM_NUMBER, number);
}

void generate_data(const struct generate_draft *draft, const void *data, size_t size)
{
	(void)program_set_data(draft->program, draft->step, data, (uint32_t)size);
}
