/* SPDX-License-Identifier: BSD-3-Clause */
/* text_value.c - see text_value.h. */
#include "text_value.h"

#include <ctype.h>
#include <string.h>

#include "text_words.h"

static bool text_constant_value(struct text_guess *guess, const char *set, uint64_t *out)
{
	const struct schema_constant *rows;
	size_t count = text_set(set, &rows);
	const struct text_part *part;

	for (size_t i = 0; i < count; i++) {
		if (text_try(guess, rows[i].name, false)) {
			*out = rows[i].value;
			return true;
		}
	}
	for (size_t i = 0; (part = text_part(set, i)) != NULL; i++)
		if (text_constant_value(guess, part->set, out))
			return true;
	return false;
}

/* Behind the word: a PASID that is valid, in an attribute word. */
static bool text_pasid(struct text_scan *scan, uint64_t *out)
{
	uint64_t pasid;

	if (!text_want(scan, '(') ||
	    !text_number(scan, WIRE_ATTR_PASID_MASK >> WIRE_ATTR_PASID_SHIFT, &pasid))
		return false;
	*out = WIRE_ATTR_PASID_VALID | pasid << WIRE_ATTR_PASID_SHIFT;
	return text_want(scan, ')');
}

/* A number or a constant; what else the word may be has been tried. */
static bool text_term(struct text_scan *scan, const char *set, struct text_guess *guess,
		      uint64_t most, uint64_t *out)
{
	uint64_t value;

	if (guess->word.size == 0) {
		if (!text_number(scan, most, &value))
			return false;
	} else if (text_is_attribute(set) && text_try(guess, "PASID", false)) {
		if (!text_pasid(scan, &value))
			return false;
	} else if (!set || !text_constant_value(guess, set, &value)) {
		return text_unknown(scan, guess, "value");
	} else if (value > most) {
		return text_fail(scan, guess->word.at, "%llu is above %llu",
				 (unsigned long long)value, (unsigned long long)most);
	}
	*out |= value;
	return true;
}

static bool text_terms(struct text_scan *scan, const char *set, struct text_guess *guess,
		       uint64_t most, uint64_t *out)
{
	*out = 0;
	do {
		if (!text_term(scan, set, guess, most, out))
			return false;
		if (!text_eat(scan, '|'))
			return true;
		text_guess(scan, guess);
	} while (true);
}

bool text_plain(struct text_scan *scan, const char *set, uint64_t most, uint64_t *out)
{
	struct text_guess guess;

	text_guess(scan, &guess);
	return text_terms(scan, set, &guess, most, out);
}

bool text_value(struct text_scan *scan, struct program_step *step, uint32_t index)
{
	struct program_value *value = &step->field[index];
	const struct schema_field *rows;
	bool negative = text_eat(scan, '-');
	struct text_guess guess;
	uint64_t most;

	text_guess(scan, &guess);
	program_fields(step, &rows);
	most = rows[index].width < 8 ? (UINT64_C(1) << 8 * rows[index].width) - 1 : UINT64_MAX;
	*value = (struct program_value){ 0 };
	for (uint32_t base = 1; guess.word.size && base < PROGRAM_BASES && !value->base; base++)
		if (text_try(&guess, program_base_name(base), false))
			value->base = (uint8_t)base;
	if (value->base) {
		if (negative)
			return text_fail(scan, guess.word.at, "a number is wanted");
		negative = text_eat(scan, '-');
		if (!negative && !text_eat(scan, '+'))
			return true;
		guess.word.size = 0;
	}
	if (negative || value->base) {
		if (!text_number(scan, most, &value->number))
			return false;
		value->number = (negative ? 0 - value->number : value->number) & most;
		return true;
	}
	return text_terms(scan, text_field_set(step, index), &guess, most, &value->number);
}

/* ---- data ---- */

static bool text_append(struct text_scan *scan, struct program *program, const void *bytes,
			size_t size)
{
	struct program_data *data = &program->step[program->count - 1].data;

	if (size > PROGRAM_BYTES - program->nbytes)
		return text_fail(scan, scan->at, "more than %u bytes of data in all steps",
				 PROGRAM_BYTES);
	if (data->size == 0)
		data->at = program->nbytes;
	memcpy(program->bytes + program->nbytes, bytes, size);
	program->nbytes += (uint32_t)size;
	data->size += (uint32_t)size;
	return true;
}

static int text_hex(char character)
{
	if (!isxdigit((unsigned char)character))
		return -1;
	return isdigit((unsigned char)character) ? character - '0' :
		tolower((unsigned char)character) - 'a' + 10;
}

static bool text_escape(struct text_scan *scan, uint8_t *out)
{
	static const char names[] = "nrt\"\\", values[] = "\n\r\t\"\\";
	size_t left = scan->size - scan->at;
	const char *at = scan->text + scan->at;
	const char *found = left > 1 && at[1] ? strchr(names, at[1]) : NULL;
	int high = -1, low = -1;

	if (found) {
		*out = (uint8_t)values[found - names];
		scan->at += 2;
		return true;
	}
	if (left >= 4 && at[1] == 'x') {
		high = text_hex(at[2]);
		low = text_hex(at[3]);
	}
	if (high < 0 || low < 0)
		return text_fail(scan, scan->at, "\\n, \\r, \\t, \\\", \\\\ or \\x00 is wanted");
	*out = (uint8_t)(high * 16 + low);
	scan->at += 4;
	return true;
}

static bool text_string(struct text_scan *scan, struct program *program)
{
	size_t begin = scan->at;

	if (!text_want(scan, '"'))
		return false;
	while (scan->at < scan->size && scan->text[scan->at] != '\n') {
		uint8_t byte = (uint8_t)scan->text[scan->at];

		if (byte == '"') {
			scan->at++;
			return true;
		}
		if (byte != '\\')
			scan->at++;
		else if (!text_escape(scan, &byte))
			return false;
		if (!text_append(scan, program, &byte, 1))
			return false;
	}
	return text_fail(scan, begin, "the text has no end on its line");
}

/* u32(1, 2): numbers as they go over the wire. */
static bool text_integers(struct text_scan *scan, struct program *program)
{
	struct text_guess guess;
	uint32_t width;

	text_guess(scan, &guess);
	width = text_try(&guess, "u8", false) ? 1 : text_try(&guess, "u16", false) ? 2 :
		text_try(&guess, "u32", false) ? 4 : text_try(&guess, "u64", false) ? 8 : 0;
	if (width == 0)
		return text_unknown(scan, &guess, "kind of data");
	if (!text_want(scan, '('))
		return false;
	do {
		uint64_t most = width < 8 ? (UINT64_C(1) << 8 * width) - 1 : UINT64_MAX;
		uint64_t eight;
		uint32_t four;
		uint16_t two;
		uint8_t one;
		const void *bytes;

		if (!text_number(scan, most, &eight))
			return false;
		four = (uint32_t)eight;
		two = (uint16_t)eight;
		one = (uint8_t)eight;
		bytes = width == 8 ? (const void *)&eight : width == 4 ? (const void *)&four :
			width == 2 ? (const void *)&two : &one;
		if (!text_append(scan, program, bytes, width))
			return false;
	} while (text_eat(scan, ','));
	return text_want(scan, ')');
}

static bool text_filled(struct text_scan *scan, struct program_step *step)
{
	uint64_t fill, size;

	if (!text_number(scan, UINT8_MAX, &fill) || !text_want(scan, '*') ||
	    !text_number(scan, PROGRAM_FILLED, &size))
		return false;
	step->data = (struct program_data){ .filled = true, .fill = (uint8_t)fill,
					    .size = (uint32_t)size };
	return true;
}

bool text_data(struct text_scan *scan, struct program *program)
{
	if (isdigit((unsigned char)text_peek(scan)))
		return text_filled(scan, &program->step[program->count - 1]);
	do {
		bool quoted = text_peek(scan) == '"';

		if (quoted ? !text_string(scan, program) : !text_integers(scan, program))
			return false;
	} while (text_eat(scan, '+'));
	return true;
}

bool text_caps(struct text_scan *scan, struct program *program)
{
	size_t length;

	text_peek(scan);
	length = text_braces(scan->text + scan->at, scan->size - scan->at);
	if (length == 0)
		return text_fail(scan, scan->at, "braces around text on one line are wanted");
	if (!text_append(scan, program, scan->text + scan->at, length))
		return false;
	scan->at += length;
	return text_append(scan, program, "", 1);
}

/* ---- descriptors ---- */

static bool text_fd(struct text_scan *scan, struct program_step *step)
{
	struct program_fd *fd = &step->fd[step->nfds];
	uint64_t times = 1;

	text_peek(scan);
	if (step->nfds == PROGRAM_FDS)
		return text_fail(scan, scan->at, "more than %u different handles", PROGRAM_FDS);
	if (!text_numbered(scan, 'r', PROGRAM_HANDLES, &fd->handle))
		return false;
	if (text_eat(scan, '*')) {
		size_t at = scan->at;

		if (!text_number(scan, UINT8_MAX, &times))
			return false;
		if (times == 0)
			return text_fail(scan, at, "at least once is wanted");
	}
	fd->times = (uint8_t)times;
	step->nfds++;
	return true;
}

bool text_fds(struct text_scan *scan, struct program_step *step)
{
	if (!text_eat(scan, '['))
		return text_fd(scan, step);
	if (text_eat(scan, ']'))
		return true;
	do {
		if (!text_fd(scan, step))
			return false;
	} while (text_eat(scan, ','));
	return text_want(scan, ']');
}
