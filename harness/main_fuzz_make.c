/* SPDX-License-Identifier: BSD-3-Clause */
/* main_fuzz_make.c - the programs of `vuc fuzz`: made up, or seeds that are changed. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "main_fuzz.h"
#include "mutate.h"

#define MAIN_FUZZ_MESSAGES 12
#define MAIN_FUZZ_CHANGES 4
#define MAIN_FUZZ_TICK 2	/* ms: they pass for real */
#define MAIN_FUZZ_REPEAT 64

static int main_fuzz_wanted(const struct dirent *entry)
{
	const char *end = strrchr(entry->d_name, '.');

	return end && strcmp(end, ".prog") == 0;
}

static int main_fuzz_seed(struct main_fuzz *fuzz, const char *directory, const char *name)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", directory, name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return main_error("%s: too long", directory);
	if (fuzz->nseeds == MAIN_FUZZ_SEEDS)
		return main_error("%s: more than %d seeds", directory, MAIN_FUZZ_SEEDS);
	if (main_load(path, &fuzz->seeds[fuzz->nseeds]))
		return MAIN_USAGE;
	fuzz->nseeds++;
	return 0;
}

int main_fuzz_corpus(struct main_fuzz *fuzz, const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, main_fuzz_wanted, alphasort);
	int error = 0;

	if (count < 0)
		return main_error("%s: %s", directory, strerror(errno));
	if (!count)
		error = main_error("%s: no program", directory);
	for (int i = 0; i < count; i++) {
		if (!error)
			error = main_fuzz_seed(fuzz, directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return error;
}

/* What the server can not do, what takes too long, and what only a whole program may expect. */
static void main_fuzz_fit(const struct main_fuzz *fuzz, struct program *program)
{
	for (uint32_t i = program->count; i-- > 0;) {
		struct program_step *step = &program->step[i];
		bool device = program_has_slot(step);

		step->expect = PROGRAM_ANYTHING;
		step->expect_errno = 0;
		if (step->repeat > MAIN_FUZZ_REPEAT)
			step->repeat = MAIN_FUZZ_REPEAT;
		if (step->op == PROGRAM_TICK && step->number[0] > MAIN_FUZZ_TICK)
			step->number[0] = MAIN_FUZZ_TICK;
		if (step->op == PROGRAM_AWAIT || step->op == PROGRAM_DOOR)
			memset(step->number, 0, sizeof(step->number));
		if (step->op == PROGRAM_CHECK || (device && !fuzz->server.device) ||
		    (step->op == PROGRAM_CONNECT && fuzz->server.once))
			program_remove(program, i, 1);
	}
	program_fix(program);
}

static const struct program *main_fuzz_any(const struct main_fuzz *fuzz,
					   struct generate *generate)
{
	return fuzz->seeds[generate_below(generate, (uint32_t)fuzz->nseeds)];
}

void main_fuzz_make(struct main_fuzz *fuzz, uint64_t number)
{
	struct generate generate;
	uint32_t changes, way;

	/* Stirred once, as the numbers of neighbours would else be the same, one further. */
	generate_seed(&generate, fuzz->seed);
	generate_seed(&generate, generate_random(&generate) ^ number);
	generate_seed(&generate, generate_random(&generate));
	way = fuzz->nseeds ? generate_below(&generate, 10) : 0;
	changes = 1 + generate_below(&generate, MAIN_FUZZ_CHANGES);
	if (way < 5) {
		generate_program(&generate, fuzz->made,
				 2 + generate_below(&generate, MAIN_FUZZ_MESSAGES));
		changes = generate_chance(&generate, 30);
	} else if (way < 9) {
		program_copy(fuzz->made, main_fuzz_any(fuzz, &generate));
	} else {
		const struct program *a = main_fuzz_any(fuzz, &generate);

		mutate_cross(&generate, a, main_fuzz_any(fuzz, &generate), fuzz->made);
	}
	for (uint32_t i = 0; i < changes; i++)
		mutate_program(&generate, fuzz->made);
	main_fuzz_fit(fuzz, fuzz->made);
}
