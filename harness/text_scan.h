/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * text_scan.h - a cursor over the text of a program, which keeps the first error.
 *
 * Blanks before what is asked for are skipped; a line ends where '\n' stands. What returns bool
 * says whether it was there; where it must be, false means that the error has been written down.
 */
#ifndef TEXT_SCAN_H
#define TEXT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

struct text_scan {
	const char *text;
	size_t size;
	size_t at;
	uint32_t line;
	size_t line_at;		/* where the line begins */
	struct text_error *error;
};

/* Letters, digits, '_' and '.', beginning with no digit; size 0: there was none. */
struct text_word {
	const char *text;
	size_t size;
	size_t at;
};

#define TEXT_NAMES 96

/* A word, and the names that it was compared with: one of them may have been meant. */
struct text_guess {
	struct text_word word;
	uint32_t count;
	const char *name[TEXT_NAMES];
	bool lower[TEXT_NAMES];
};

/* Writes an error at that place down; false. */
bool text_fail(struct text_scan *scan, size_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The next character, 0 at the end of the line or the text. */
char text_peek(struct text_scan *scan);

/* Takes that character, if it is the next one; takes it or fails. */
bool text_eat(struct text_scan *scan, char what);
bool text_want(struct text_scan *scan, char what);

struct text_word text_word(struct text_scan *scan);

/* Takes a word and begins to compare it. */
void text_guess(struct text_scan *scan, struct text_guess *guess);

/* Takes a number of at most `most`, decimal or with 0x, or fails. */
bool text_number(struct text_scan *scan, uint64_t most, uint64_t *out);

/* Takes a letter and a number below `count` ("r3"), or fails. */
bool text_numbered(struct text_scan *scan, char letter, uint32_t count, uint8_t *out);

/* Compares with a name, in lower case if so asked; what is not equal is kept for text_unknown. */
bool text_try(struct text_guess *guess, const char *name, bool lower);

/* Fails for a word that no name was equal to: "no field "sise"; did you mean "size"?" */
bool text_unknown(struct text_scan *scan, const struct text_guess *guess, const char *what);

#endif
