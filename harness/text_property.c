/* SPDX-License-Identifier: BSD-3-Clause */
/* text_property.c - see text_property.h. */
#include "text_property.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "text_value.h"
#include "text_words.h"

#define STRIDE "stride."

/* A property with a value, which an op has if it has the part. */
struct property {
	const char *name;
	uint32_t part;
	bool (*parse)(struct text_scan *scan, struct program_step *step);
};

static bool text_expect(struct text_scan *scan, struct program_step *step)
{
	struct text_guess guess;
	uint64_t number;

	text_guess(scan, &guess);
	for (uint32_t expect = PROGRAM_OK; expect <= PROGRAM_SILENCE && !step->expect; expect++)
		if (text_try(&guess, text_expect_name(expect), false))
			step->expect = (uint8_t)expect;
	if (!step->expect)
		return text_unknown(scan, &guess, "outcome");
	if (step->expect != PROGRAM_ERROR || !isalnum((unsigned char)text_peek(scan)))
		return true;
	if (!text_plain(scan, "ERRNO", UINT16_MAX, &number))
		return false;
	step->expect_errno = (uint16_t)number;
	return true;
}

static bool text_counted(struct text_scan *scan, uint64_t most, uint32_t *out)
{
	uint64_t number;
	size_t at;

	text_peek(scan);
	at = scan->at;
	if (!text_number(scan, most, &number))
		return false;
	if (number == 0)
		return text_fail(scan, at, "at least 1 is wanted");
	*out = (uint32_t)number;
	return true;
}

static bool text_repeat(struct text_scan *scan, struct program_step *step)
{
	return text_counted(scan, PROGRAM_REPEAT, &step->repeat);
}

static bool text_cut(struct text_scan *scan, struct program_step *step)
{
	step->properties |= PROGRAM_CUT;
	return text_counted(scan, UINT32_MAX, &step->cut);
}

static bool text_pieces(struct text_scan *scan, struct program_step *step)
{
	uint32_t before = 0;

	while (step->npieces < PROGRAM_PIECES && isdigit((unsigned char)text_peek(scan))) {
		struct program_piece *piece = &step->piece[step->npieces++];
		size_t at = scan->at;
		uint64_t nfds = 0;

		if (!text_counted(scan, PROGRAM_END - 1, &piece->end))
			return false;
		if (piece->end <= before)
			return text_fail(scan, at, "a piece has to end behind the one before");
		if (text_eat(scan, '/') && !text_number(scan, UINT8_MAX, &nfds))
			return false;
		piece->nfds = (uint8_t)nfds;
		before = piece->end;
	}
	if (step->npieces == 0)
		return text_fail(scan, scan->at, "a number is wanted");
	if (isdigit((unsigned char)text_peek(scan)))
		return text_fail(scan, scan->at, "more than %d pieces", PROGRAM_PIECES);
	return true;
}

static bool text_lane(struct text_scan *scan, struct program_step *step)
{
	uint64_t lane;

	if (!text_number(scan, PROGRAM_LANES - 1, &lane))
		return false;
	step->lane = (uint8_t)lane;
	return true;
}

static bool text_on(struct text_scan *scan, struct program_step *step)
{
	return text_numbered(scan, 'c', PROGRAM_CONNECTIONS, &step->connection);
}

static const struct property text_with_value[] = {
	{ "expect", PROGRAM_JUDGED, text_expect },
	{ "repeat", PROGRAM_REPEATED, text_repeat },
	{ "pieces", PROGRAM_WITH_PIECES, text_pieces },
	{ "lane", PROGRAM_IN_LANE, text_lane },
	{ "on", PROGRAM_ON, text_on },
};

/* What the op has of the parts that are written as properties. */
static uint32_t text_parts_of(const struct program_step *step)
{
	uint32_t parts = program_parts(step->op);

	if (step->op == PROGRAM_CONNECT || step->op == PROGRAM_DISCONNECT ||
	    step->op == PROGRAM_SHUTDOWN)
		parts &= ~(uint32_t)PROGRAM_ON;
	if (step->op == PROGRAM_OPEN && step->kind == PROGRAM_SELF)
		parts |= PROGRAM_ON;
	return parts;
}

static bool text_stride(struct text_scan *scan, struct program_step *step,
			const struct text_word *word)
{
	struct text_guess guess = { .word = *word };
	const struct schema_field *rows;
	size_t count = program_fields(step, &rows);
	size_t skip = strlen(STRIDE);
	char name[48] = "";
	int index = -ENOENT;

	guess.word.text += skip;
	guess.word.size -= skip;
	guess.word.at += skip;
	if (guess.word.size < sizeof(name)) {
		memcpy(name, guess.word.text, guess.word.size);
		index = program_field(step, name);
	}
	if (index < 0) {
		for (size_t i = 0; i < count; i++)
			text_try(&guess, rows[i].name, false);
		return text_unknown(scan, &guess, "field");
	}
	step->stride_field = (uint8_t)index;
	return text_want(scan, ':') &&
	       text_plain(scan, NULL, rows[index].width < 8 ?
			  (UINT64_C(1) << 8 * rows[index].width) - 1 : UINT64_MAX, &step->stride);
}

static bool text_bare(struct text_guess *guess, struct program_step *step)
{
	uint32_t allowed = program_properties(step->op);

	if (step->op == PROGRAM_OPEN && step->kind != PROGRAM_MEMFD)
		allowed = 0;
	for (uint32_t bit = 1; bit <= PROGRAM_HELD; bit <<= 1) {
		const char *name = allowed & bit ? text_property_name(bit) : NULL;

		if (name && text_try(guess, name, false)) {
			step->properties |= (uint8_t)bit;
			return true;
		}
	}
	return false;
}

static bool text_property(struct text_scan *scan, struct program_step *step, uint32_t *given)
{
	struct text_guess guess;
	uint32_t parts = text_parts_of(step);

	text_guess(scan, &guess);
	if ((program_parts(step->op) & PROGRAM_WITH_FIELDS) && guess.word.size > strlen(STRIDE) &&
	    strncmp(guess.word.text, STRIDE, strlen(STRIDE)) == 0)
		return text_stride(scan, step, &guess.word);
	if (text_bare(&guess, step))
		return true;
	if ((program_properties(step->op) & PROGRAM_CUT) && text_try(&guess, "cut", false))
		return text_want(scan, ':') && text_cut(scan, step);
	for (uint32_t i = 0; i < sizeof(text_with_value) / sizeof(*text_with_value); i++) {
		const struct property *property = &text_with_value[i];

		if (!(parts & property->part) || !text_try(&guess, property->name, false))
			continue;
		if (*given & property->part)
			return text_fail(scan, guess.word.at, "\"%s\" is given twice",
					 property->name);
		*given |= property->part;
		return text_want(scan, ':') && property->parse(scan, step);
	}
	return text_unknown(scan, &guess, "property");
}

bool text_properties(struct text_scan *scan, struct program_step *step)
{
	uint32_t given = 0;
	size_t at;

	text_peek(scan);
	at = scan->at;
	if (!text_eat(scan, '('))
		return true;
	do {
		if (!text_property(scan, step, &given))
			return false;
	} while (text_eat(scan, ','));
	if (!text_want(scan, ')'))
		return false;
	if (step->stride && step->repeat == 1)
		return text_fail(scan, at, "a stride without repeat");
	return true;
}
