/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutator.c - harness/mutate.h for the engines: libFuzzer's hooks, linked with an entry, and those
 * of AFL++, in a library of their own.
 *
 * What an engine has is unpacked, changed as a program, and packed again. Sometimes it is replaced
 * by one that is made up.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "mutate.h"
#include "pack.h"

/* So often of a hundred a program is made up. */
#define MUTATOR_NEW 20

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
				 size_t size2, uint8_t *out, size_t max_out, unsigned int seed);
void *afl_custom_init(void *afl, unsigned int seed);
size_t afl_custom_fuzz(void *state, uint8_t *data, size_t size, uint8_t **out, uint8_t *add,
		       size_t add_size, size_t max_size);
void afl_custom_deinit(void *state);

/* Programs are large. */
static struct program mutator_program, mutator_other, mutator_crossed;

static void mutator_change(struct generate *generate, const uint8_t *data, size_t size)
{
	if (size < 2 || generate_chance(generate, MUTATOR_NEW)) {
		generate_program(generate, &mutator_program, 1 + generate_below(generate, 8));
		return;
	}
	pack_parse(&mutator_program, data, size);
	mutate_program(generate, &mutator_program);
}

/* Without room for it, the program loses steps. */
static size_t mutator_pack(struct program *program, uint8_t *out, size_t size)
{
	int packed = pack_program(program, out, size);

	while (packed < 0 && program->count) {
		program_remove(program, program->count - 1, 1);
		program_compact(program);
		packed = pack_program(program, out, size);
	}
	return packed > 0 ? (size_t)packed : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	struct generate generate;

	generate_seed(&generate, seed);
	mutator_change(&generate, data, size);
	return mutator_pack(&mutator_program, data, max_size);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
				 size_t size2, uint8_t *out, size_t max_out, unsigned int seed)
{
	struct generate generate;

	generate_seed(&generate, seed);
	pack_parse(&mutator_program, data1, size1);
	pack_parse(&mutator_other, data2, size2);
	mutate_cross(&generate, &mutator_program, &mutator_other, &mutator_crossed);
	return mutator_pack(&mutator_crossed, out, max_out);
}

struct mutator {
	struct generate generate;
	uint8_t out[PACK_SIZE];
};

void *afl_custom_init(void *afl, unsigned int seed)
{
	struct mutator *mutator = malloc(sizeof(*mutator));

	(void)afl;
	if (mutator)
		generate_seed(&mutator->generate, seed);
	return mutator;
}

size_t afl_custom_fuzz(void *state, uint8_t *data, size_t size, uint8_t **out, uint8_t *add,
		       size_t add_size, size_t max_size)
{
	struct mutator *mutator = state;
	struct program *program = &mutator_program;

	mutator_change(&mutator->generate, data, size);
	if (add_size > 1 && generate_chance(&mutator->generate, 20)) {
		pack_parse(&mutator_other, add, add_size);
		mutate_cross(&mutator->generate, &mutator_program, &mutator_other,
			     &mutator_crossed);
		program = &mutator_crossed;
	}
	*out = mutator->out;
	return mutator_pack(program, mutator->out,
			    max_size < sizeof(mutator->out) ? max_size : sizeof(mutator->out));
}

void afl_custom_deinit(void *state)
{
	free(state);
}
