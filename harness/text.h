/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text.h - programs as text, the notation of cases, seeds and reports: corpus/README.md.
 *
 * Printing a valid program and parsing the text gives the same program. Parsing any text and
 * printing the program gives the one text that stands for it; comments and blank lines are lost.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "program.h"

/* Room for the text of any program, its NUL included. */
#define TEXT_SIZE ((size_t)PROGRAM_BYTES * 4 + (size_t)PROGRAM_STEPS * 1536)

/* What is wrong, and where it begins. */
struct text_error {
	uint32_t line;		/* both from 1 */
	uint32_t column;	/* in bytes */
	char text[160];
};

/*
 * Parse to a valid program. 0; -EINVAL and *error for what is no program, or one that is too
 * large: the program is empty then.
 */
int text_parse(struct program *program, const char *text, size_t size, struct text_error *error);

/*
 * Print a valid program, a line per step, with a NUL behind it. The length without it, or -ENOSPC:
 * then the text is cut.
 */
int text_print(const struct program *program, char *out, size_t size);

/* The same for one step, without the end of its line. */
int text_print_step(const struct program *program, const struct program_step *step, char *out,
		    size_t size);

/* EINVAL for 22; NULL for a number that has no name here. */
const char *text_errno(uint32_t number);

/* AT_ONCE for that way to answer page requests; NULL for a number that is none. */
const char *text_pages(uint32_t how);

/* HELD for that enum program_state; "none" for a number that is none. */
const char *text_slot_state(uint32_t state);

#endif
