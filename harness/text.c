/* SPDX-License-Identifier: BSD-3-Clause */
/* text.c - text to programs, a line at a time; see text.h. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "text_property.h"
#include "text_value.h"
#include "text_words.h"

/* Arguments that have been given; those that are fields have their own bits. */
enum given {
	GIVEN_DATA = 1,
	GIVEN_FDS = 2,
	GIVEN_SEALS = 4,
	GIVEN_NUMBER = 8,	/* the first of three */
};

struct parse {
	struct text_scan scan;
	struct program *program;
	struct program_step *step;
	uint32_t given;
};

/* ---- arguments ---- */

static bool text_once(struct parse *parse, const struct text_word *word, uint32_t bit)
{
	if (parse->given & bit)
		return text_fail(&parse->scan, word->at, "\"%.*s\" is given twice",
				 (int)word->size, word->text);
	parse->given |= bit;
	return true;
}

static uint64_t text_most(const struct program_step *step, uint32_t index)
{
	if ((step->op == PROGRAM_FILL || step->op == PROGRAM_CHECK) && index == 1)
		return PROGRAM_FILLED;
	if (step->op == PROGRAM_TICK)
		return PROGRAM_MS;
	if (step->op == PROGRAM_PAGES)
		return PROGRAM_PAGES_WAYS - 1;
	if (step->op == PROGRAM_AWAIT)
		return PROGRAM_REQUESTS;
	if (step->op == PROGRAM_DOOR && index > 0)
		return PROGRAM_STATES - 1;
	return step->op == PROGRAM_POKE || step->op == PROGRAM_DOOR ? UINT32_MAX : UINT64_MAX;
}

static bool text_seals(struct text_scan *scan, uint32_t *out)
{
	const struct schema_constant *rows;
	size_t count = text_set("SEALS", &rows);
	uint64_t all = 0, seals;
	size_t at;

	for (size_t i = 0; i < count; i++)
		all |= rows[i].value;
	text_peek(scan);
	at = scan->at;
	if (!text_plain(scan, "SEALS", UINT32_MAX, &seals))
		return false;
	if (seals & ~all)
		return text_fail(scan, at, "no such seals");
	*out = (uint32_t)seals;
	return true;
}

static bool text_field(struct parse *parse, const struct text_word *word, uint32_t index)
{
	uint16_t bit = (uint16_t)(1u << index);

	if (parse->step->set & bit)
		return text_fail(&parse->scan, word->at, "\"%.*s\" is given twice",
				 (int)word->size, word->text);
	parse->step->set |= bit;
	return text_want(&parse->scan, '=') && text_value(&parse->scan, parse->step, index);
}

/* An argument that is no field: 1 if it was one, 0 if the word is none, -EINVAL for an error. */
static int text_other(struct parse *parse, struct text_guess *guess)
{
	const struct text_word *word = &guess->word;
	struct text_scan *scan = &parse->scan;
	struct program_step *step = parse->step;
	uint32_t parts = program_parts(step->op);
	bool fine = false;

	if ((parts & PROGRAM_WITH_DATA) && text_try(guess, "data", false)) {
		fine = text_once(parse, word, GIVEN_DATA) && text_want(scan, '=') &&
		       text_data(scan, parse->program);
		return fine ? 1 : -EINVAL;
	}
	if ((parts & PROGRAM_WITH_DATA) && text_try(guess, "caps", false)) {
		fine = text_once(parse, word, GIVEN_DATA) && text_want(scan, '=') &&
		       text_caps(scan, parse->program);
		return fine ? 1 : -EINVAL;
	}
	if ((parts & PROGRAM_WITH_FDS) &&
	    (text_try(guess, "fd", false) || text_try(guess, "fds", false))) {
		fine = text_once(parse, word, GIVEN_FDS) && text_want(scan, '=') &&
		       text_fds(scan, step);
		return fine ? 1 : -EINVAL;
	}
	if (step->op == PROGRAM_OPEN && step->kind == PROGRAM_MEMFD &&
	    text_try(guess, "seals", false)) {
		fine = text_once(parse, word, GIVEN_SEALS) && text_want(scan, '=') &&
		       text_seals(scan, &step->seals);
		return fine ? 1 : -EINVAL;
	}
	for (uint32_t i = 0; i < program_numbers(step); i++) {
		if (!text_try(guess, program_number_name(step, i), false))
			continue;
		fine = text_once(parse, word, (uint32_t)GIVEN_NUMBER << i) &&
		       text_want(scan, '=') &&
		       text_plain(scan, text_number_set(step, i), text_most(step, i),
				  &step->number[i]);
		return fine ? 1 : -EINVAL;
	}
	return 0;
}

static bool text_argument(struct parse *parse)
{
	struct text_guess guess;
	const struct schema_field *rows;
	size_t count = program_fields(parse->step, &rows);
	char name[48] = "";
	int index = -ENOENT, other;

	text_guess(&parse->scan, &guess);
	if (guess.word.size < sizeof(name)) {
		memcpy(name, guess.word.text, guess.word.size);
		index = program_field(parse->step, name);
	}
	if (index >= 0)
		return text_field(parse, &guess.word, (uint32_t)index);
	for (size_t i = 0; i < count; i++)
		text_try(&guess, rows[i].name, false);
	other = text_other(parse, &guess);
	return other > 0 || (other == 0 && text_unknown(&parse->scan, &guess, "argument"));
}

/* ---- what a step is about ---- */

static bool text_command(struct text_guess *guess, uint16_t *out)
{
	const struct schema_command *rows;
	size_t count = schema_commands(&rows);

	for (size_t i = 0; i < count; i++) {
		if (rows[i].number < SCHEMA_NESTED && text_try(guess, rows[i].name, true)) {
			*out = (uint16_t)rows[i].number;
			return true;
		}
	}
	return false;
}

static bool text_command_number(struct text_scan *scan, uint16_t most, uint16_t *out)
{
	uint64_t number;

	if (!text_number(scan, most, &number))
		return false;
	*out = (uint16_t)number;
	return true;
}

/* The command of a reply, which may be missing. *first: nothing stands before the next argument. */
static bool text_replied(struct parse *parse, bool *first)
{
	struct text_scan *scan = &parse->scan;
	struct text_guess guess;
	size_t at;

	*first = false;
	if (isdigit((unsigned char)text_peek(scan)))
		return text_command_number(scan, UINT16_MAX, &parse->step->command);
	at = scan->at;
	text_guess(scan, &guess);
	if (guess.word.size && text_peek(scan) != '=')
		return text_command(&guess, &parse->step->command) ||
		       text_unknown(scan, &guess, "command");
	scan->at = at;
	*first = true;
	return true;
}

/* `named`: the command was the name of the step. */
static bool text_subject(struct parse *parse, bool named, bool *first)
{
	struct program_step *step = parse->step;
	struct text_scan *scan = &parse->scan;

	*first = false;
	switch ((enum program_op)step->op) {
	case PROGRAM_SEND:
		*first = named;
		return named || text_command_number(scan, UINT16_MAX, &step->command);
	case PROGRAM_REPLY:
		return text_replied(parse, first);
	case PROGRAM_CLOSE:
	case PROGRAM_TRUNCATE:
	case PROGRAM_PUNCH:
	case PROGRAM_FILL:
	case PROGRAM_CHECK:
		return text_numbered(scan, 'r', PROGRAM_HANDLES, &step->handle);
	case PROGRAM_CONNECT:
	case PROGRAM_DISCONNECT:
	case PROGRAM_SHUTDOWN:
		return text_numbered(scan, 'c', PROGRAM_CONNECTIONS, &step->connection);
	case PROGRAM_SLOT:
	case PROGRAM_POKE:
	case PROGRAM_DOOR:
		return text_command_number(scan, PROGRAM_SLOTS - 1, &step->command);
	case PROGRAM_RAW:
	case PROGRAM_AWAIT:
	case PROGRAM_OPEN:
	case PROGRAM_TICK:
	case PROGRAM_BARRIER:
	case PROGRAM_PAGES:
	case PROGRAM_GUARD:
	case PROGRAM_OPS:
		break;
	}
	*first = true;
	return true;
}

static bool text_arguments(struct parse *parse, bool named)
{
	bool first;

	if (!text_want(&parse->scan, '(') || !text_subject(parse, named, &first))
		return false;
	while (!text_eat(&parse->scan, ')')) {
		if (!first && !text_want(&parse->scan, ','))
			return false;
		if (!text_argument(parse))
			return false;
		first = false;
	}
	return true;
}

/* ---- steps ---- */

/* Behind "r0 =". */
static bool text_open(struct parse *parse)
{
	struct text_guess guess;

	text_guess(&parse->scan, &guess);
	for (uint32_t kind = 0; kind < PROGRAM_KINDS; kind++) {
		if (!text_try(&guess, program_kind_name(kind), false))
			continue;
		parse->step->op = PROGRAM_OPEN;
		parse->step->kind = (uint8_t)kind;
		return text_arguments(parse, false);
	}
	return text_unknown(&parse->scan, &guess, "kind of descriptor");
}

static bool text_handle(struct parse *parse, const struct text_word *word)
{
	struct text_scan *scan = &parse->scan;
	size_t end = word->at + word->size;

	scan->at = word->at;
	if (!text_numbered(scan, 'r', PROGRAM_HANDLES, &parse->step->handle))
		return false;
	if (scan->at != end)
		return text_fail(scan, scan->at, "r0 to r%u is wanted", PROGRAM_HANDLES - 1);
	return text_want(scan, '=') && text_open(parse);
}

static bool text_step(struct parse *parse, struct text_guess *guess)
{
	if (text_peek(&parse->scan) == '=')
		return text_handle(parse, &guess->word);
	if (text_command(guess, &parse->step->command)) {
		parse->step->op = PROGRAM_SEND;
		return text_arguments(parse, true);
	}
	for (uint32_t op = 0; op < PROGRAM_OPS; op++) {
		if (op == PROGRAM_OPEN || !text_try(guess, program_op_name(op), false))
			continue;
		parse->step->op = (uint8_t)op;
		return text_arguments(parse, false);
	}
	return text_unknown(&parse->scan, guess, "step");
}

static bool text_seed(struct parse *parse)
{
	uint64_t seed;

	if (!text_want(&parse->scan, '(') || !text_number(&parse->scan, UINT32_MAX, &seed))
		return false;
	parse->program->seed = (uint32_t)seed;
	return text_want(&parse->scan, ')');
}

static bool text_statement(struct parse *parse)
{
	struct text_guess guess;

	text_guess(&parse->scan, &guess);
	if (text_try(&guess, "seed", false))
		return text_seed(parse);
	parse->given = 0;
	parse->step = program_insert(parse->program, parse->program->count);
	if (!parse->step)
		return text_fail(&parse->scan, guess.word.at, "more than %u steps", PROGRAM_STEPS);
	parse->step->line = parse->scan.line;
	return text_step(parse, &guess) && text_properties(&parse->scan, parse->step);
}

/* Behind a step, or at the beginning of a line that has none. */
static bool text_end_line(struct text_scan *scan)
{
	if (text_peek(scan) == '#')
		while (scan->at < scan->size && scan->text[scan->at] != '\n')
			scan->at++;
	if (scan->at < scan->size && scan->text[scan->at] != '\n')
		return text_fail(scan, scan->at, "the end of the line is wanted");
	scan->at += scan->at < scan->size;
	scan->line++;
	scan->line_at = scan->at;
	return true;
}

int text_parse(struct program *program, const char *text, size_t size, struct text_error *error)
{
	struct parse parse = {
		.scan = { .text = text, .size = size, .line = 1, .error = error },
		.program = program,
	};
	bool fine = true;

	*error = (struct text_error){ 0 };
	program_clear(program);
	while (fine && parse.scan.at < size) {
		char next = text_peek(&parse.scan);

		fine = (next == 0 || next == '#' || text_statement(&parse)) &&
		       text_end_line(&parse.scan);
	}
	if (!fine)
		program_clear(program);
	program_fix(program);
	return fine ? 0 : -EINVAL;
}
