/* SPDX-License-Identifier: BSD-3-Clause */
/* verdict.c - takes down what happens while a program runs; see verdict.h. */
#include "verdict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "pack.h"
#include "text.h"
#include "verdict_state.h"
#include "wire.h"

#define VERDICT_BYTES (32u << 10)	/* of a message that is shown */

int verdict_new(const struct program *program, enum verdict_gate gate, struct verdict **out)
{
	struct verdict *verdict = calloc(1, sizeof(*verdict));

	if (!verdict)
		return -ENOMEM;
	verdict->program = program;
	verdict->gate = gate;
	verdict->scratch = calloc(1, sizeof(*verdict->scratch));
	verdict->bytes = malloc(VERDICT_BYTES);
	if (!verdict->scratch || !verdict->bytes) {
		verdict_free(verdict);
		return -ENOMEM;
	}
	*out = verdict;
	return 0;
}

void verdict_free(struct verdict *verdict)
{
	if (!verdict)
		return;
	for (size_t i = 0; i < verdict->count; i++)
		free(verdict->line[i].text);
	free(verdict->line);
	free(verdict->attached);
	free(verdict->scratch);
	free(verdict->bytes);
	free(verdict);
}

static bool verdict_grow(struct verdict *verdict)
{
	size_t room = verdict->room ? verdict->room * 2 : 64;
	struct verdict_line *larger;

	if (verdict->count < verdict->room)
		return true;
	larger = realloc(verdict->line, room * sizeof(*larger));
	if (!larger)
		return false;
	verdict->line = larger;
	verdict->room = room;
	return true;
}

static struct verdict_tally *verdict_tally(struct verdict *verdict, uint32_t step)
{
	return &verdict->tally[step < PROGRAM_STEPS ? step : PROGRAM_STEPS];
}

/* How many lines a step may have. */
static uint32_t verdict_most(const struct verdict *verdict, uint32_t step)
{
	const struct program *program = verdict->program;

	return step < program->count && program->step[step].repeat > VERDICT_REPEATED ?
		VERDICT_REPEATED : VERDICT_SHOWN;
}

/* Adds a line below a step. False when it has enough. */
static bool verdict_add(struct verdict *verdict, uint32_t step, const char *text)
{
	struct verdict_tally *tally = verdict_tally(verdict, step);
	char *copy;

	if (tally->shown >= verdict_most(verdict, step))
		return false;
	copy = verdict_grow(verdict) ? strdup(text) : NULL;
	if (!copy) {
		verdict->cut = true;
		return false;
	}
	tally->shown++;
	verdict->line[verdict->count++] = (struct verdict_line){ step, copy };
	return true;
}

void verdict_allowed(struct verdict *verdict, uint32_t step, const struct model_expect *expect)
{
	char allowed[120], line[VERDICT_LINE];
	struct buf_writer text = buf_text_over(line, sizeof(line));

	if (verdict_tally(verdict, step)->allowed++)
		return;
	model_expect_text(expect, allowed, sizeof(allowed));
	buf_text(&text, "allowed: %s", allowed);
	if (expect->why[0])
		buf_text(&text, " (%s%s%s)", expect->why, expect->requirement[0] ? "; " : "",
			 expect->requirement);
	verdict_add(verdict, step, line);
}

static void verdict_error_text(const struct wire_header *header, struct buf_writer *text)
{
	const char *name = text_errno(header->error);

	if (name)
		buf_text(text, "came:    error %s", name);
	else
		buf_text(text, "came:    error %u", header->error);
}

/* A message as the step that would send it; false for one that can not be shown so. */
static bool verdict_message_text(struct verdict *verdict, const struct model_message *message,
				 struct buf_writer *out)
{
	struct program *scratch = verdict->scratch;
	size_t size = sizeof(*message->header) + message->size;
	struct program_step *step;
	char text[VERDICT_LINE];
	int error;

	if (size > VERDICT_BYTES)
		return false;
	memcpy(verdict->bytes, message->header, sizeof(*message->header));
	memcpy(verdict->bytes + sizeof(*message->header), message->body, message->size);
	program_clear(scratch);
	step = program_insert(scratch, 0);
	if (!step || pack_unmessage(scratch, step, verdict->bytes, size))
		return false;
	error = text_print_step(scratch, step, text, sizeof(text));
	buf_text(out, "%s%s", text, error < 0 ? "..." : "");
	return true;
}

void verdict_came(struct verdict *verdict, uint32_t step, const struct model_message *message)
{
	const struct wire_header *header = message->header;
	bool reply = (header->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY;
	bool error = reply && header->flags & WIRE_ERROR;
	struct verdict_tally *tally = verdict_tally(verdict, step);
	char line[VERDICT_LINE];
	struct buf_writer text = buf_text_over(line, sizeof(line));

	if (!reply)
		tally->requests++;
	else if (error)
		tally->errors++;
	else
		tally->successes++;
	if (tally->shown >= verdict_most(verdict, step)) {
		tally->hidden++;
		return;
	}
	if (error) {
		verdict_error_text(header, &text);
	} else {
		buf_text(&text, "came:    %s", reply ? "success: " : "");
		if (!verdict_message_text(verdict, message, &text))
			buf_text(&text, "command %u, %zu bytes", header->command, message->size);
		if (message->nfds)
			buf_text(&text, " with %zu descriptor%s", message->nfds,
				 message->nfds == 1 ? "" : "s");
	}
	verdict_add(verdict, step, line);
}

void verdict_note(struct verdict *verdict, uint32_t step, const char *format, ...)
{
	char line[VERDICT_LINE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	verdict_add(verdict, step, line);
}

void verdict_found(struct verdict *verdict, uint32_t step, const struct model_finding *finding)
{
	uint32_t number = verdict->findings++;

	verdict->failed = verdict->failed || verdict_fails(finding, verdict->gate);
	if (number < VERDICT_FOUND)
		verdict->entry[number] = (struct verdict_entry){ *finding, step };
}

void verdict_attach(struct verdict *verdict, const char *title, const char *text)
{
	char *all;

	if (asprintf(&all, "%s%s:\n\n%s%s\n", verdict->attached ? verdict->attached : "", title,
		     text, *text && text[strlen(text) - 1] != '\n' ? "\n" : "") < 0) {
		verdict->cut = true;
		return;
	}
	free(verdict->attached);
	verdict->attached = all;
}

void verdict_none(struct verdict *verdict, enum verdict_word word, const char *why)
{
	struct buf_writer text = buf_text_over(verdict->why, sizeof(verdict->why));

	verdict->none = word;
	buf_text(&text, "%s", why);
}

const char *verdict_why(const struct verdict *verdict)
{
	return verdict->why;
}

enum verdict_word verdict_word(const struct verdict *verdict)
{
	if (verdict->failed)
		return VERDICT_FAIL;
	if (verdict->none != VERDICT_PASS)
		return verdict->none;
	return verdict->findings ? VERDICT_DEVIATES : VERDICT_PASS;
}

uint32_t verdict_findings(const struct verdict *verdict, uint32_t index, struct model_finding *out)
{
	if (index < verdict_kept(verdict))
		*out = verdict->entry[index].what;
	return verdict->findings;
}

uint32_t verdict_kept(const struct verdict *verdict)
{
	return verdict->findings < VERDICT_FOUND ? verdict->findings : VERDICT_FOUND;
}

uint32_t verdict_alike(const struct verdict *verdict, uint32_t index, uint32_t *more)
{
	char wanted[128], other[128];
	uint32_t before = 0;

	*more = 0;
	verdict_signature(&verdict->entry[index].what, wanted, sizeof(wanted));
	for (uint32_t i = 0; i < verdict_kept(verdict); i++) {
		verdict_signature(&verdict->entry[i].what, other, sizeof(other));
		if (i == index || strcmp(wanted, other) != 0)
			continue;
		before += i < index;
		*more += i > index;
	}
	return before;
}

void verdict_step_text(const struct verdict *verdict, uint32_t step, char *text, size_t size)
{
	const struct program *program = verdict->program;

	if (step >= program->count) {
		snprintf(text, size, "(all of it)");
		return;
	}
	if (text_print_step(program, &program->step[step], text, size) < 0 && size > 4)
		memcpy(text + size - 4, "...", 4);
}
