/* SPDX-License-Identifier: BSD-3-Clause */
/* mutate.c - see mutate.h. */
#include "mutate.h"

#include <string.h>

#include "wire.h"
#include "wire_ext.h"

#define MUTATE_MOST 4		/* changes at a time */

struct mutate {
	struct generate *generate;
	struct program *program;
};

static uint32_t mutate_below(const struct mutate *mutate, uint32_t end)
{
	return generate_below(mutate->generate, end);
}

/* Any step of the program, which has one. */
static uint32_t mutate_index(const struct mutate *mutate)
{
	return mutate_below(mutate, mutate->program->count);
}

/* A step that sends bytes, by preference; else any. */
static struct program_step *mutate_sender(const struct mutate *mutate)
{
	struct program_step *step = NULL;

	for (int i = 0; i < 8; i++) {
		step = &mutate->program->step[mutate_index(mutate)];
		if (program_parts(step->op) & PROGRAM_WITH_DATA)
			break;
	}
	return step;
}

/* ---- steps ---- */

static void mutate_insert(const struct mutate *mutate)
{
	generate_step(mutate->generate, mutate->program,
		      mutate_below(mutate, mutate->program->count + 1));
}

static void mutate_append(const struct mutate *mutate)
{
	generate_step(mutate->generate, mutate->program, mutate->program->count);
}

static void mutate_remove(const struct mutate *mutate)
{
	uint32_t count = generate_chance(mutate->generate, 80) ? 1 : 1 + mutate_below(mutate, 4);

	program_remove(mutate->program, mutate_index(mutate), count);
}

/* Copies a step of `from` to `at`; its data come along. */
static void mutate_copy(struct program *to, uint32_t at, const struct program *from,
			const struct program_step *source)
{
	const struct program_step kept = *source;
	uint8_t bytes[4096];
	struct program_step *step;
	uint32_t size = kept.data.filled ? 0 : kept.data.size;

	if (size > sizeof(bytes))
		size = sizeof(bytes);
	memcpy(bytes, from->bytes + kept.data.at, size);
	step = program_insert(to, at);
	if (!step)
		return;
	*step = kept;
	step->line = 0;
	if (kept.data.filled)
		return;
	step->data = (struct program_data){ 0 };
	/* Without room the step is one without data. */
	(void)program_set_data(to, step, bytes, size);
}

static void mutate_duplicate(const struct mutate *mutate)
{
	struct program *program = mutate->program;
	uint32_t from = mutate_index(mutate);
	uint32_t to = generate_chance(mutate->generate, 50) ?
		from + 1 : mutate_below(mutate, program->count + 1);

	mutate_copy(program, to, program, &program->step[from]);
}

static void mutate_swap(const struct mutate *mutate)
{
	struct program *program = mutate->program;
	uint32_t a = mutate_index(mutate), b = mutate_index(mutate);
	struct program_step step = program->step[a];

	program->step[a] = program->step[b];
	program->step[b] = step;
}

static void mutate_move(const struct mutate *mutate)
{
	struct program_step *step = &mutate->program->step[mutate_index(mutate)];

	step->connection = (uint8_t)mutate_below(mutate, PROGRAM_CONNECTIONS);
}

/* ---- fields ---- */

/* A field that the step has; the header's, whose change mostly ends a session, less often. */
static uint32_t mutate_field(const struct mutate *mutate, const struct program_step *step)
{
	const struct schema_field *rows;
	uint32_t count = (uint32_t)program_fields(step, &rows);

	if (!count)
		return PROGRAM_FIELDS;
	if (step->op == PROGRAM_SLOT)
		return mutate_below(mutate, count);
	if (count > PROGRAM_HEADER && generate_chance(mutate->generate, 85))
		return PROGRAM_HEADER + mutate_below(mutate, count - PROGRAM_HEADER);
	return mutate_below(mutate, PROGRAM_HEADER);
}

/* To a boundary of its role, or something that other steps speak of. */
static void mutate_value(const struct mutate *mutate)
{
	uint32_t at = mutate_index(mutate), index;
	struct program_step *step = &mutate->program->step[at];
	struct generate_sketch sketch;

	index = mutate_field(mutate, step);
	if (index == PROGRAM_FIELDS)
		return;
	generate_sketch(mutate->program, at, &sketch);
	step->set |= (uint16_t)(1u << index);
	step->field[index] = generate_value(mutate->generate, step, index, &sketch);
}

/* A little more or less, or another bit. */
static void mutate_nudge(const struct mutate *mutate)
{
	static const uint64_t by[] = { 1, 4, 8, 16, GENERATE_PAGE };
	struct program_step *step = &mutate->program->step[mutate_index(mutate)];
	uint32_t index = mutate_field(mutate, step);
	struct program_value *value;

	if (index == PROGRAM_FIELDS)
		return;
	value = &step->field[index];
	step->set |= (uint16_t)(1u << index);
	switch (mutate_below(mutate, 4)) {
	case 0:
		value->number ^= UINT64_C(1) << mutate_below(mutate, 64);
		break;
	case 1:
		value->number -= by[mutate_below(mutate, 5)];
		break;
	case 2:
		value->base = (uint8_t)mutate_below(mutate, PROGRAM_BASES);
		break;
	default:
		value->number += by[mutate_below(mutate, 5)];
	}
}

/* Back to what it is by itself. */
static void mutate_forget(const struct mutate *mutate)
{
	struct program_step *step = &mutate->program->step[mutate_index(mutate)];

	step->set &= (uint16_t)~(1u << mutate_below(mutate, PROGRAM_FIELDS));
}

/* The same value as the field of that name in another step. */
static void mutate_relate(const struct mutate *mutate)
{
	const struct program_step *from = mutate_sender(mutate);
	struct program_step *step = mutate_sender(mutate);
	const struct schema_field *rows;
	uint32_t index = mutate_field(mutate, step);
	int other;

	if (index >= program_fields(step, &rows))
		return;
	other = program_field(from, rows[index].name);
	if (other < 0 || !(from->set >> other & 1))
		return;
	step->set |= (uint16_t)(1u << index);
	step->field[index] = from->field[other];
}

/* Another space, or another form: bits of an attribute word of the vIOMMU extension. */
static void mutate_attribute(const struct mutate *mutate)
{
	static const uint32_t bits[] = {
		WIRE_ATTR_PASID_VALID, WIRE_DMA_MAP_REPLACE, WIRE_DMA_MAP_BACKING,
		WIRE_DMA_MAP_INDIRECT, WIRE_DMA_UNMAP_ALL, 1u << WIRE_ATTR_PASID_SHIFT,
	};
	struct program_step *step = mutate_sender(mutate);
	int index = program_field(step, step->op == PROGRAM_SLOT ? "cmd" : "flags");

	if (index < 0 || (step->op == PROGRAM_SEND && step->command != WIRE_DMA_MAP &&
			  step->command != WIRE_DMA_UNMAP))
		return;
	step->set |= (uint16_t)(1u << index);
	step->field[index].number ^= bits[mutate_below(mutate, sizeof(bits) / sizeof(*bits))];
}

static void mutate_number(const struct mutate *mutate)
{
	struct program_step *step = &mutate->program->step[mutate_index(mutate)];

	step->number[mutate_below(mutate, 3)] =
		(uint64_t)mutate_below(mutate, 8) * (generate_chance(mutate->generate, 60) ?
						     GENERATE_PAGE : 1);
	if (step->op == PROGRAM_OPEN && generate_chance(mutate->generate, 30))
		step->kind = (uint8_t)mutate_below(mutate, PROGRAM_KINDS);
	if (step->op == PROGRAM_OPEN && generate_chance(mutate->generate, 30))
		step->seals ^= 1u << mutate_below(mutate, 5);
}

/* ---- data, descriptors, manner ---- */

static void mutate_bytes(const struct mutate *mutate, uint8_t *bytes, uint32_t size)
{
	uint32_t at = mutate_below(mutate, size);

	switch (mutate_below(mutate, 3)) {
	case 0:
		bytes[at] = (uint8_t)generate_random(mutate->generate);
		break;
	case 1:
		bytes[at] ^= (uint8_t)(1u << mutate_below(mutate, 8));
		break;
	default:
		memset(bytes + at, generate_chance(mutate->generate, 50) ? 0xff : 0,
		       size - at < 8 ? size - at : 8);
	}
}

static void mutate_data(const struct mutate *mutate)
{
	struct program_step *step = mutate_sender(mutate);

	if (!(program_parts(step->op) & PROGRAM_WITH_DATA))
		return;
	if (step->data.size && !step->data.filled && generate_chance(mutate->generate, 70)) {
		mutate_bytes(mutate, mutate->program->bytes + step->data.at, step->data.size);
	} else if (step->data.size && generate_chance(mutate->generate, 60)) {
		step->data.size -= 1 + mutate_below(mutate, step->data.size);
	} else if (!step->data.size || step->data.filled) {
		step->data.filled = true;
		step->data.fill = (uint8_t)mutate_below(mutate, 256);
		step->data.size = 1u << mutate_below(mutate, 14);
	}
}

static void mutate_fds(const struct mutate *mutate)
{
	struct program_step *step = mutate_sender(mutate);
	uint32_t at = mutate_below(mutate, PROGRAM_FDS);

	if (!(program_parts(step->op) & PROGRAM_WITH_FDS))
		return;
	switch (mutate_below(mutate, 4)) {
	case 0:
		step->nfds = (uint8_t)at;
		break;
	case 1:
		step->fd[at].times = (uint8_t)(1 + mutate_below(mutate, 18));
		break;
	case 2:
		if (step->nfds < PROGRAM_FDS)
			step->nfds++;
		break;
	default:
		step->fd[at % 2].handle = (uint8_t)mutate_below(mutate, 4);
	}
}

static void mutate_pieces(const struct mutate *mutate)
{
	struct program_step *step = mutate_sender(mutate);
	uint32_t end = 0;

	step->npieces = (uint8_t)mutate_below(mutate, PROGRAM_PIECES + 1);
	for (uint32_t i = 0; i < step->npieces; i++) {
		end += 1 + mutate_below(mutate, 24);
		step->piece[i].end = end;
		step->piece[i].nfds = (uint8_t)mutate_below(mutate, 3);
	}
}

static bool mutate_has_lanes(const struct mutate *mutate)
{
	for (uint32_t i = 0; i < mutate->program->count; i++)
		if (mutate->program->step[i].lane)
			return true;
	return false;
}

static void mutate_manner(const struct mutate *mutate)
{
	static const uint8_t bits[] = { PROGRAM_NOWAIT, PROGRAM_NO_REPLY, PROGRAM_TWIN,
					PROGRAM_NOWAIT, PROGRAM_CUT };
	struct program_step *step = mutate_sender(mutate);

	/* Most programs are about one order. */
	if (mutate_has_lanes(mutate) && generate_chance(mutate->generate, 50)) {
		step->lane = (uint8_t)mutate_below(mutate, PROGRAM_LANES);
		mutate->program->seed = (uint32_t)generate_random(mutate->generate);
		return;
	}
	step->properties ^= bits[mutate_below(mutate, sizeof(bits))];
	step->cut = mutate_below(mutate, 64);
}

static void mutate_repeat(const struct mutate *mutate)
{
	struct program_step *step = mutate_sender(mutate);

	/* Floods have an entry of their own. */
	step->repeat = generate_chance(mutate->generate, 70) ?
		1 : 1u << mutate_below(mutate, generate_chance(mutate->generate, 3) ? 9 : 5);
	step->stride_field = (uint8_t)mutate_field(mutate, step);
	step->stride = generate_chance(mutate->generate, 70) ? GENERATE_PAGE : 1;
}

/* Those that come more often stand here more often. */
static void (*const mutate_ways[])(const struct mutate *mutate) = {
	mutate_insert, mutate_insert, mutate_append, mutate_append, mutate_append, mutate_remove,
	mutate_remove, mutate_duplicate, mutate_swap, mutate_move, mutate_value, mutate_value,
	mutate_value, mutate_nudge, mutate_nudge, mutate_forget, mutate_relate, mutate_relate,
	mutate_number, mutate_data, mutate_data, mutate_fds, mutate_pieces, mutate_manner,
	mutate_repeat, mutate_attribute,
};
#define MUTATE_WAYS (sizeof(mutate_ways) / sizeof(*mutate_ways))

void mutate_program(struct generate *generate, struct program *program)
{
	const struct mutate mutate = { generate, program };
	uint32_t times = generate_chance(generate, 60) ? 1 : 1 + generate_below(generate,
										 MUTATE_MOST);

	for (uint32_t i = 0; i < times; i++) {
		if (program->count)
			mutate_ways[generate_below(generate, MUTATE_WAYS)](&mutate);
		else
			generate_program(generate, program, 4);
		program_fix(program);
	}
}

void mutate_cross(struct generate *generate, const struct program *a, const struct program *b,
		  struct program *out)
{
	uint32_t first = generate_below(generate, a->count + 1);
	uint32_t second = generate_below(generate, b->count + 1);

	program_clear(out);
	out->seed = a->seed;
	for (uint32_t i = 0; i < first; i++)
		mutate_copy(out, out->count, a, &a->step[i]);
	for (uint32_t i = second; i < b->count; i++)
		mutate_copy(out, out->count, b, &b->step[i]);
	program_fix(out);
}
