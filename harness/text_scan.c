/* SPDX-License-Identifier: BSD-3-Clause */
/* text_scan.c - see text_scan.h. */
#include "text_scan.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool text_fail(struct text_scan *scan, size_t at, const char *format, ...)
{
	struct text_error *error = scan->error;
	va_list args;

	if (error->line)
		return false;
	error->line = scan->line;
	error->column = (uint32_t)(at - scan->line_at) + 1;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return false;
}

char text_peek(struct text_scan *scan)
{
	while (scan->at < scan->size && (scan->text[scan->at] == ' ' ||
					 scan->text[scan->at] == '\t' ||
					 scan->text[scan->at] == '\r'))
		scan->at++;
	if (scan->at == scan->size || scan->text[scan->at] == '\n')
		return 0;
	return scan->text[scan->at];
}

bool text_eat(struct text_scan *scan, char what)
{
	if (text_peek(scan) != what)
		return false;
	scan->at++;
	return true;
}

bool text_want(struct text_scan *scan, char what)
{
	char next = text_peek(scan);

	if (text_eat(scan, what))
		return true;
	if (next > ' ' && next <= '~')
		return text_fail(scan, scan->at, "'%c' where '%c' is wanted", next, what);
	return text_fail(scan, scan->at, "'%c' is wanted", what);
}

struct text_word text_word(struct text_scan *scan)
{
	char first = text_peek(scan);
	struct text_word word = { .text = scan->text + scan->at, .at = scan->at };

	if (!isalpha((unsigned char)first) && first != '_')
		return word;
	while (scan->at < scan->size) {
		unsigned char next = (unsigned char)scan->text[scan->at];

		if (!isalnum(next) && next != '_' && next != '.')
			break;
		scan->at++;
	}
	word.size = scan->at - word.at;
	return word;
}

void text_guess(struct text_scan *scan, struct text_guess *guess)
{
	guess->word = text_word(scan);
	guess->count = 0;
}

static int text_digit(char character, uint32_t radix)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = memchr(digits, tolower((unsigned char)character), radix);

	return found ? (int)(found - digits) : -1;
}

bool text_number(struct text_scan *scan, uint64_t most, uint64_t *out)
{
	uint64_t number = 0;
	uint32_t radix = 10;
	size_t begin, first;

	text_peek(scan);
	begin = scan->at;
	if (scan->size - begin > 2 && scan->text[begin] == '0' && scan->text[begin + 1] == 'x') {
		radix = 16;
		scan->at += 2;
	}
	first = scan->at;
	for (; scan->at < scan->size; scan->at++) {
		int digit = text_digit(scan->text[scan->at], radix);

		if (digit < 0)
			break;
		if (number > (UINT64_MAX - (uint64_t)digit) / radix)
			return text_fail(scan, begin, "a number of more than 64 bits");
		number = number * radix + (uint64_t)digit;
	}
	if (scan->at == first)
		return text_fail(scan, begin, "a number is wanted");
	if (number > most)
		return text_fail(scan, begin, "%llu is above %llu", (unsigned long long)number,
				 (unsigned long long)most);
	*out = number;
	return true;
}

bool text_numbered(struct text_scan *scan, char letter, uint32_t count, uint8_t *out)
{
	uint64_t number = 0;

	text_peek(scan);
	if (scan->at < scan->size && scan->text[scan->at] == letter) {
		scan->at++;
		if (scan->at < scan->size && isdigit((unsigned char)scan->text[scan->at])) {
			if (!text_number(scan, count - 1, &number))
				return false;
			*out = (uint8_t)number;
			return true;
		}
		scan->at--;
	}
	return text_fail(scan, scan->at, "%c0 to %c%u is wanted", letter, letter, count - 1);
}

static uint32_t text_least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static char text_letter(const char *name, size_t at, bool lower)
{
	return lower ? (char)tolower(name[at]) : name[at];
}

/* Characters to add, to leave out or to change; long words are as far from all as can be. */
static uint32_t text_distance(const struct text_word *word, const char *name, bool lower)
{
	uint32_t row[64] = { 0 };

	if (word->size >= sizeof(row) / sizeof(*row))
		return UINT32_MAX;
	for (uint32_t i = 0; i <= word->size; i++)
		row[i] = i;
	for (uint32_t j = 1; name[j - 1]; j++) {
		uint32_t corner = row[0];
		char letter = text_letter(name, j - 1, lower);

		row[0] = j;
		for (uint32_t i = 1; i <= word->size; i++) {
			uint32_t changed = corner + (word->text[i - 1] != letter);

			corner = row[i];
			row[i] = text_least(changed, 1 + text_least(row[i], row[i - 1]));
		}
	}
	return row[word->size];
}

bool text_try(struct text_guess *guess, const char *name, bool lower)
{
	const struct text_word *word = &guess->word;
	size_t same = 0;

	while (same < word->size && name[same] &&
	       text_letter(name, same, lower) == word->text[same])
		same++;
	if (same == word->size && same && !name[same])
		return true;
	if (guess->count < TEXT_NAMES) {
		guess->lower[guess->count] = lower;
		guess->name[guess->count++] = name;
	}
	return false;
}

/* The nearest name, as it is written; "" if none is near. */
static void text_nearest(const struct text_guess *guess, char *out, size_t size)
{
	uint32_t near = 1 + (uint32_t)guess->word.size / 3;

	out[0] = '\0';
	for (uint32_t i = 0; i < guess->count; i++) {
		const char *name = guess->name[i];
		uint32_t distance = text_distance(&guess->word, name, guess->lower[i]);
		size_t length = strlen(name);

		if (distance > near || (out[0] && distance == near) || length >= size)
			continue;
		near = distance;
		for (size_t k = 0; k <= length; k++)
			out[k] = text_letter(name, k, guess->lower[i]);
	}
}

bool text_unknown(struct text_scan *scan, const struct text_guess *guess, const char *what)
{
	const struct text_word *word = &guess->word;
	int size = word->size < 48 ? (int)word->size : 48;
	char name[48];

	if (size == 0)
		return text_fail(scan, word->at, "%s %s is wanted",
				 strchr("aeiou", what[0]) ? "an" : "a", what);
	text_nearest(guess, name, sizeof(name));
	if (name[0])
		return text_fail(scan, word->at, "no %s \"%.*s\"; did you mean \"%s\"?", what, size,
				 word->text, name);
	return text_fail(scan, word->at, "no %s \"%.*s\"", what, size, word->text);
}
