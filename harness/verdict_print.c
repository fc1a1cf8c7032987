/* SPDX-License-Identifier: BSD-3-Clause */
/* verdict_print.c - the listing, the summary, and both as JSON; see verdict.h. */
#include <stdarg.h>
#include <string.h>

#include "verdict_state.h"

#define VERDICT_COLUMNS 98
#define VERDICT_INDENT 13

static void verdict_counted(const struct verdict_tally *tally, FILE *out)
{
	if (!tally->hidden)
		return;
	fprintf(out, "        # ... %u messages in all: %u successes, %u errors, %u requests\n",
		tally->successes + tally->errors + tally->requests, tally->successes,
		tally->errors, tally->requests);
}

/* A line of a listing stays one, whatever stands in it. */
static void verdict_comment(const char *text, FILE *out)
{
	fputs("        # ", out);
	for (; *text; text++)
		fputc(*text == '\n' ? ' ' : *text, out);
	fputc('\n', out);
}

static void verdict_listing(const struct verdict *verdict, FILE *out)
{
	if (verdict->program->seed)
		fprintf(out, "seed(%u)\n", verdict->program->seed);
	for (uint32_t step = 0; step < verdict->program->count; step++) {
		char text[VERDICT_LINE];

		verdict_step_text(verdict, step, text, sizeof(text));
		fprintf(out, "%s\n", text);
		for (size_t i = 0; i < verdict->count; i++)
			if (verdict->line[i].step == step)
				verdict_comment(verdict->line[i].text, out);
		verdict_counted(&verdict->tally[step], out);
		for (uint32_t i = 0; i < verdict_kept(verdict); i++)
			if (verdict->entry[i].step == step)
				fprintf(out, "        # WRONG:   %s: %s\n",
					verdict->entry[i].what.code, verdict->entry[i].what.text);
	}
	if (verdict->cut)
		fprintf(out, "# memory was short: lines are missing\n");
	fputc('\n', out);
}

/* Words, in lines of VERDICT_COLUMNS; the first begins at column VERDICT_INDENT. */
static void verdict_wrapped(const char *words, FILE *out)
{
	size_t column = VERDICT_INDENT;

	while (*words) {
		size_t length = strcspn(words, " ");

		if (column > VERDICT_INDENT && column + 1 + length > VERDICT_COLUMNS) {
			fprintf(out, "\n%*s", VERDICT_INDENT, "");
			column = VERDICT_INDENT;
		} else if (column > VERDICT_INDENT) {
			fputc(' ', out);
			column++;
		}
		fwrite(words, 1, length, out);
		column += length;
		words += length;
		words += strspn(words, " ");
	}
	fputc('\n', out);
}

static void verdict_row(const char *name, const char *words, FILE *out)
{
	fprintf(out, "   %-10s", name);
	verdict_wrapped(words, out);
}

void verdict_print_clause(const struct verdict_clause *clause, FILE *out)
{
	bool silent = strcmp(clause->level, "UNSPECIFIED") == 0;
	char head[240];

	snprintf(head, sizeof(head), "%s, %s%s %s, under \"%s\":", clause->id,
		 silent ? "" : "a ", silent ? "level UNSPECIFIED:" : clause->level,
		 silent ? "left open by the specification" : "of the specification",
		 clause->heading);
	verdict_row("clause", head, out);
	verdict_row("", clause->text, out);
}

static void verdict_entry_print(const struct verdict *verdict, uint32_t index, uint32_t number,
				FILE *out)
{
	const struct verdict_entry *entry = &verdict->entry[index];
	const struct verdict_clause *clause = verdict_clause(entry->what.requirement);
	const char *meaning = verdict_code(entry->what.code);
	char text[VERDICT_LINE];
	uint32_t more;

	verdict_alike(verdict, index, &more);
	fprintf(out, "%u. %s: %s%s\n", number, entry->what.code, meaning ? meaning : "",
		verdict_fails(&entry->what, verdict->gate) ? "" : " (below the gate)");
	verdict_step_text(verdict, entry->step, text, sizeof(text));
	verdict_row(verdict_ends(entry->what.code) ? "last step" : "sent", text, out);
	verdict_row("seen", entry->what.text, out);
	if (clause)
		verdict_print_clause(clause, out);
	verdict_signature(&entry->what, text, sizeof(text));
	verdict_row("signature", text, out);
	if (more)
		fprintf(out, "   and %u more with this signature\n", more);
	fputc('\n', out);
}

static void verdict_summary(const struct verdict *verdict, FILE *out)
{
	uint32_t number = 0;
	uint32_t more;

	if (verdict->findings)
		fprintf(out, "What the server did wrong:\n\n");
	for (uint32_t i = 0; i < verdict_kept(verdict); i++)
		if (!verdict_alike(verdict, i, &more))
			verdict_entry_print(verdict, i, ++number, out);
	if (verdict->attached)
		fputs(verdict->attached, out);
	fprintf(out, "verdict: %s", verdict_word_name(verdict_word(verdict)));
	if (verdict->findings)
		fprintf(out, " (%u finding%s, %u different)", verdict->findings,
			verdict->findings == 1 ? "" : "s", number);
	if (verdict->none != VERDICT_PASS)
		fprintf(out, " (%s)", verdict->why);
	fputc('\n', out);
}

void verdict_print(const struct verdict *verdict, bool brief, FILE *out)
{
	if (!brief)
		verdict_listing(verdict, out);
	verdict_summary(verdict, out);
}

static void verdict_string(const char *text, FILE *out)
{
	fputc('"', out);
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at < 0x20 || *at >= 0x7f)
			fprintf(out, "\\u%04x", *at);
		else
			fputc(*at, out);
	}
	fputc('"', out);
}

/* "key": "text", with a comma in front unless it is the first. */
static void verdict_pair(const char *key, const char *text, bool first, FILE *out)
{
	fprintf(out, "%s\"%s\": ", first ? "" : ", ", key);
	verdict_string(text, out);
}

static void verdict_json_entry(const struct verdict *verdict, const struct verdict_entry *entry,
			       FILE *out)
{
	const struct verdict_clause *clause = verdict_clause(entry->what.requirement);
	const struct program *program = verdict->program;
	char text[VERDICT_LINE];

	fputc('{', out);
	verdict_pair("code", entry->what.code, true, out);
	verdict_pair("requirement", entry->what.requirement, false, out);
	verdict_pair("level", clause ? clause->level : "", false, out);
	verdict_pair("statement", clause ? clause->text : "", false, out);
	verdict_pair("text", entry->what.text, false, out);
	verdict_signature(&entry->what, text, sizeof(text));
	verdict_pair("signature", text, false, out);
	verdict_step_text(verdict, entry->step, text, sizeof(text));
	verdict_pair("step", text, false, out);
	fprintf(out, ", \"index\": %u, \"line\": %u}", entry->step,
		entry->step < program->count ? program->step[entry->step].line : 0);
}

static void verdict_json_step(const struct verdict *verdict, uint32_t step, FILE *out)
{
	char text[VERDICT_LINE];
	bool first = true;

	fputc('{', out);
	verdict_step_text(verdict, step, text, sizeof(text));
	verdict_pair("text", text, true, out);
	fprintf(out, ", \"successes\": %u, \"errors\": %u, \"requests\": %u, \"lines\": [",
		verdict->tally[step].successes, verdict->tally[step].errors,
		verdict->tally[step].requests);
	for (size_t i = 0; i < verdict->count; i++) {
		if (verdict->line[i].step != step)
			continue;
		fputs(first ? "" : ", ", out);
		verdict_string(verdict->line[i].text, out);
		first = false;
	}
	fputs("]}", out);
}

void verdict_json(const struct verdict *verdict, const char *name, FILE *out)
{
	fputc('{', out);
	verdict_pair("program", name, true, out);
	verdict_pair("verdict", verdict_word_name(verdict_word(verdict)), false, out);
	verdict_pair("reason", verdict->why, false, out);
	fprintf(out, ", \"count\": %u, \"findings\": [", verdict->findings);
	for (uint32_t i = 0; i < verdict_kept(verdict); i++) {
		fputs(i ? ", " : "", out);
		verdict_json_entry(verdict, &verdict->entry[i], out);
	}
	fputc(']', out);
	verdict_pair("attached", verdict->attached ? verdict->attached : "", false, out);
	fputs(", \"steps\": [", out);
	for (uint32_t step = 0; step < verdict->program->count; step++) {
		fputs(step ? ", " : "", out);
		verdict_json_step(verdict, step, out);
	}
	fputs("]}", out);
}
