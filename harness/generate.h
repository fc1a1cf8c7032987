/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generate.h - programs that are made up, with an eye to what came before in them.
 *
 * A step is chosen in view of the steps in front of it: what they map, open and agree on, as far
 * as it can be told without running them (struct generate_sketch). Most fields are as a client
 * would have them, some are beside the limits that their role in the schema has. All randomness
 * comes from one number, so that the same number gives the same program.
 */
#ifndef GENERATE_H
#define GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "program.h"
#include "schema.h"

#define GENERATE_MAPS 32
#define GENERATE_PAGE 4096u

/* A source of numbers. */
struct generate {
	uint64_t state;
};

struct generate_map {
	uint64_t address;
	uint64_t size;
	uint32_t attr;		/* its space: an attribute word of the vIOMMU extension */
	uint8_t connection;
};

struct generate_handle {
	bool open;
	uint8_t kind;		/* enum program_kind */
	uint64_t size;
};

/* What the first steps of a program come to if the server does what they ask for. */
struct generate_sketch {
	uint32_t open;		/* connections, by bit */
	uint32_t negotiated;	/* by bit */
	uint32_t twins;		/* by bit: with a twin socket */
	uint32_t extended;	/* by bit: with the vIOMMU extension */
	bool slots;		/* the test device was told to do something */
	uint32_t state;		/* of migration */
	uint32_t nmaps;
	struct generate_map map[GENERATE_MAPS];
	struct generate_handle handle[PROGRAM_HANDLES];
};

/* The same seed gives the same numbers. */
void generate_seed(struct generate *generate, uint64_t seed);

uint64_t generate_random(struct generate *generate);

/* Less than `end`, which is not 0. */
uint32_t generate_below(struct generate *generate, uint32_t end);

/* True so many times in a hundred. */
bool generate_chance(struct generate *generate, uint32_t percent);

/* What the steps in front of `end` come to. */
void generate_sketch(const struct program *program, uint32_t end, struct generate_sketch *out);

/*
 * A value for field `index` of a step: at or beside a limit that the field's role has, or related
 * to something in the sketch.
 */
struct program_value generate_value(struct generate *generate, const struct program_step *step,
				    uint32_t index, const struct generate_sketch *sketch);

/*
 * Puts a new step at `at`, or two where it takes a descriptor that is not there yet. False when the
 * program is full. The program is valid afterwards.
 */
bool generate_step(struct generate *generate, struct program *program, uint32_t at);

/* A whole program, most often of `messages` messages behind VERSION. */
void generate_program(struct generate *generate, struct program *program, uint32_t messages);

/*
 * Steps that belong together: a few that bring a server somewhere, or have it tell something, and
 * what comes of that (generate_story.c). False when the program is full.
 */
bool generate_story(struct generate *generate, struct program *program, uint32_t at,
		    const struct generate_sketch *sketch);

/* For generate.c: a message that is no more than put at `at` (generate_message.c). */
bool generate_message(struct generate *generate, struct program *program, uint32_t at,
		      const struct generate_sketch *sketch);
bool generate_version(struct generate *generate, struct program *program, uint32_t at,
		      uint8_t connection);

#endif
