/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * random_program.h - for the unit tests of program, text and pack: any valid program, made from a
 * number. What is made first is everything, then program_fix brings it into range.
 */
#ifndef RANDOM_PROGRAM_H
#define RANDOM_PROGRAM_H

#include <string.h>

#include "program.h"

#define RANDOM_STEPS 5u

static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Often small, sometimes just below or at a power of two, sometimes anything. */
static inline uint64_t random_number(uint64_t *state)
{
	uint64_t any = random_next(state);
	uint64_t power = UINT64_C(1) << (any >> 8 & 63);

	switch (any & 3) {
	case 0:
		return any >> 16 & 15;
	case 1:
		return power - (any >> 16 & 1);
	case 2:
		return any >> (any >> 8 & 63);
	}
	return any >> 60 ? 0 : UINT64_MAX;
}

static inline void random_data(struct program *program, struct program_step *step, uint64_t *state)
{
	static const char caps[] = "{\"capabilities\":{\"max_msg_fds\":8,\"}\\\"\":{}}}";
	uint64_t any = random_next(state);
	uint8_t bytes[24];

	if ((any & 3) == 0)
		return;
	if ((any & 3) == 1) {
		step->data.filled = true;
		step->data.fill = (uint8_t)(any >> 8);
		step->data.size = (uint32_t)random_number(state);
	} else if ((any & 12) == 0) {
		program_set_data(program, step, caps, sizeof(caps) - (any >> 8 & 1));
	} else {
		for (uint32_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(any >> 4 & 1 ? random_next(state) & 0x7f :
					     random_next(state));
		program_set_data(program, step, bytes, (uint32_t)(any >> 8) % sizeof(bytes));
	}
}

static inline void random_lists(struct program_step *step, uint64_t *state)
{
	uint64_t any = random_next(state);

	step->nfds = any & 1 ? (uint8_t)(any >> 8) : 0;
	step->npieces = any & 2 ? (uint8_t)(any >> 16) : 0;
	for (uint32_t i = 0; i < PROGRAM_FDS; i++) {
		step->fd[i].handle = (uint8_t)random_next(state);
		step->fd[i].times = (uint8_t)(random_next(state) & 3);
	}
	for (uint32_t i = 0; i < PROGRAM_PIECES; i++) {
		step->piece[i].end = (uint32_t)random_number(state);
		step->piece[i].nfds = (uint8_t)(random_next(state) & 1);
	}
}

static inline void random_step(struct program *program, struct program_step *step, uint64_t *state)
{
	uint64_t any = random_next(state), more = random_next(state);

	step->op = any & 1 ? PROGRAM_SEND : (uint8_t)(any >> 8);
	step->connection = (uint8_t)(any >> 16 & 3);
	step->lane = (uint8_t)(any >> 18 & 3);
	step->handle = (uint8_t)(any >> 24);
	step->kind = (uint8_t)(any >> 32);
	step->properties = (uint8_t)(any >> 40 & any >> 48);
	step->expect = (uint8_t)(any >> 56);
	step->command = more & 15 ? (uint16_t)(more >> 8 & 31) : (uint16_t)(more >> 8);
	step->expect_errno = more >> 24 & 1 ? (uint16_t)(more >> 25 & 63) : (uint16_t)(more >> 25);
	step->seals = (uint32_t)(more >> 44);
	step->set = (uint16_t)random_next(state);
	step->set &= (uint16_t)random_next(state);
	step->cut = (uint32_t)random_number(state);
	step->repeat = more >> 48 & 1 ? (uint32_t)random_number(state) : 1;
	step->stride_field = (uint8_t)(more >> 56);
	step->stride = random_number(state);
	for (uint32_t i = 0; i < 3; i++)
		step->number[i] = random_number(state);
	for (uint32_t i = 0; i < PROGRAM_FIELDS; i++) {
		step->field[i].number = random_number(state);
		if ((random_next(state) & 7) == 0)
			step->field[i].base = (uint8_t)random_next(state);
	}
	random_lists(step, state);
	random_data(program, step, state);
}

static inline void random_program(struct program *program, uint64_t seed)
{
	uint64_t state = seed;
	uint32_t count = (uint32_t)(random_next(&state) % (RANDOM_STEPS + 1));

	program_clear(program);
	program->seed = seed & 3 ? 0 : (uint32_t)random_next(&state);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = (uint32_t)random_next(&state) % (program->count + 1);

		random_step(program, program_insert(program, at), &state);
	}
	program_fix(program);
}

#endif
