/* SPDX-License-Identifier: BSD-3-Clause */
/* program.c - steps and their data; see program.h. */
#include "program.h"

#include <errno.h>
#include <string.h>

void program_clear(struct program *program)
{
	program->seed = 0;
	program->count = 0;
	program->nbytes = 0;
}

void program_copy(struct program *to, const struct program *from)
{
	to->seed = from->seed;
	to->count = from->count;
	to->nbytes = from->nbytes;
	memcpy(to->step, from->step, from->count * sizeof(*from->step));
	memcpy(to->bytes, from->bytes, from->nbytes);
}

static bool program_same_data(const struct program *a, const struct program_data *x,
			      const struct program *b, const struct program_data *y)
{
	if (x->size != y->size || x->filled != y->filled || x->fill != y->fill)
		return false;
	return x->filled || memcmp(a->bytes + x->at, b->bytes + y->at, x->size) == 0;
}

static bool program_same_fields(const struct program_step *a, const struct program_step *b)
{
	if (a->set != b->set || a->stride_field != b->stride_field || a->stride != b->stride)
		return false;
	for (uint32_t i = 0; i < PROGRAM_FIELDS; i++)
		if (a->set >> i & 1 && (a->field[i].number != b->field[i].number ||
					a->field[i].base != b->field[i].base))
			return false;
	return true;
}

static bool program_same_lists(const struct program_step *a, const struct program_step *b)
{
	if (a->nfds != b->nfds || a->npieces != b->npieces)
		return false;
	for (uint32_t i = 0; i < a->nfds; i++)
		if (a->fd[i].handle != b->fd[i].handle || a->fd[i].times != b->fd[i].times)
			return false;
	for (uint32_t i = 0; i < a->npieces; i++)
		if (a->piece[i].end != b->piece[i].end || a->piece[i].nfds != b->piece[i].nfds)
			return false;
	return true;
}

static bool program_same_plain(const struct program_step *a, const struct program_step *b)
{
	return a->op == b->op && a->connection == b->connection && a->lane == b->lane &&
	       a->handle == b->handle && a->kind == b->kind && a->properties == b->properties &&
	       a->expect == b->expect && a->expect_errno == b->expect_errno &&
	       a->command == b->command && a->seals == b->seals && a->cut == b->cut &&
	       a->repeat == b->repeat && memcmp(a->number, b->number, sizeof(a->number)) == 0;
}

bool program_equal(const struct program *a, const struct program *b)
{
	if (a->seed != b->seed || a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct program_step *x = &a->step[i], *y = &b->step[i];

		if (!program_same_plain(x, y) || !program_same_fields(x, y) ||
		    !program_same_lists(x, y) || !program_same_data(a, &x->data, b, &y->data))
			return false;
	}
	return true;
}

struct program_step *program_insert(struct program *program, uint32_t at)
{
	struct program_step *step;

	if (program->count >= PROGRAM_STEPS)
		return NULL;
	if (at > program->count)
		at = program->count;
	step = &program->step[at];
	memmove(step + 1, step, (program->count - at) * sizeof(*step));
	program->count++;
	memset(step, 0, sizeof(*step));
	step->op = PROGRAM_TICK;
	step->repeat = 1;
	return step;
}

void program_remove(struct program *program, uint32_t at, uint32_t count)
{
	struct program_step *step;

	if (at >= program->count)
		return;
	if (count > program->count - at)
		count = program->count - at;
	step = &program->step[at];
	memmove(step, step + count, (program->count - at - count) * sizeof(*step));
	program->count -= count;
}

/* Bytes that the data of a step takes in program->bytes. */
static uint32_t program_room(const struct program_step *step)
{
	return step->data.filled ? 0 : step->data.size;
}

int program_set_data(struct program *program, struct program_step *step, const void *data,
		     uint32_t size)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < program->count; i++)
		used += &program->step[i] == step ? 0 : program_room(&program->step[i]);
	if (size > PROGRAM_BYTES || used > PROGRAM_BYTES - size)
		return -ENOSPC;
	step->data = (struct program_data){ 0 };
	if (size > PROGRAM_BYTES - program->nbytes)
		program_compact(program);
	if (size == 0)
		return 0;
	step->data.at = program->nbytes;
	step->data.size = size;
	memcpy(program->bytes + program->nbytes, data, size);
	program->nbytes += size;
	return 0;
}

static bool program_is_compact(const struct program *program)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < program->count; i++) {
		const struct program_step *step = &program->step[i];

		if (step->data.at != (program_room(step) ? at : 0))
			return false;
		at += program_room(step);
	}
	return at == program->nbytes;
}

void program_compact(struct program *program)
{
	uint8_t old[PROGRAM_BYTES];
	uint32_t at = 0;

	if (program_is_compact(program))
		return;
	memcpy(old, program->bytes, program->nbytes);
	for (uint32_t i = 0; i < program->count; i++) {
		struct program_step *step = &program->step[i];
		uint32_t size = program_room(step);

		if (size > PROGRAM_BYTES - at) {
			size = PROGRAM_BYTES - at;
			step->data.size = size;
		}
		memcpy(program->bytes + at, old + step->data.at, size);
		step->data.at = size ? at : 0;
		at += size;
	}
	program->nbytes = at;
}
