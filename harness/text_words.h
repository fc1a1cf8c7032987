/* SPDX-License-Identifier: BSD-3-Clause */
/* text_words.h - the words of the notation that text_parse.c reads and text_print.c writes. */
#ifndef TEXT_WORDS_H
#define TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

/* Numbers that are part of a set of bits: those of `set` stand under `mask`. */
struct text_part {
	const char *of;		/* the set of bits */
	const char *set;
	uint64_t mask;
};

/* The constants of a set: their number, and the first of them. */
size_t text_set(const char *set, const struct schema_constant **out);

/* The name of a value of a set, or NULL. */
const char *text_constant_name(const char *set, uint64_t value);

/* The parts of a set of bits, from 0 on; NULL behind the last. */
const struct text_part *text_part(const char *set, size_t index);

/* The set of constants of a field, or NULL. */
const char *text_field_set(const struct program_step *step, uint32_t index);

/* Is it the set of an attribute word, which may have a PASID? It is written PASID(number). */
bool text_is_attribute(const char *set);

/* The set of constants of number[index] of a step, or NULL. */
const char *text_number_set(const struct program_step *step, uint32_t index);

/* The name of a property without a value, a single bit of enum program_property, or NULL. */
const char *text_property_name(uint32_t bit);

const char *text_expect_name(uint32_t expect);

/*
 * The length of the text in braces at the beginning, which may have braces inside, and quoted text
 * with any; 0 if they do not end, or if there is anything but printable ASCII between them.
 */
size_t text_braces(const char *text, size_t size);

#endif
