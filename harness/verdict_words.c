/* SPDX-License-Identifier: BSD-3-Clause */
/* verdict_words.c - what findings are called, and which of them fail a run; see verdict.h. */
#include <ctype.h>
#include <string.h>

#include "buf.h"
#include "schema.h"
#include "verdict.h"

/* Failure codes, the same as those of the cases (harness/vuc/failure.py). */
static const struct {
	const char *code;
	const char *meaning;
} verdict_code_rows[] = {
	{ "server.crash", "a signal ended the server" },
	{ "server.exit", "the server ended by itself, or did not come up" },
	{ "server.hang", "the server lives and does not answer, or does not end when it has to" },
	{ "server.sanitizer", "a sanitizer of the server's build reported something" },
	{ "server.leak-fds", "the server keeps descriptors when all connections are closed" },
	{ "channel.framing", "what came is no message: the stream is out of step" },
	{ "channel.not-closed", "the connection stays open where it has to be closed" },
	{ "reply.missing", "no reply came" },
	{ "reply.closed", "the connection was closed instead of a reply" },
	{ "reply.unexpected", "something came where nothing was due" },
	{ "reply.unexpected-success", "a success came where an error is due" },
	{ "reply.unexpected-error", "an error came where a success is due" },
	{ "reply.errno", "an error came with another errno than the one that is fixed" },
	{ "reply.field", "a field of the reply, or its size, is wrong" },
	{ "request.range", "a command of the server reaches outside of what it may use" },
	{ "request.field", "a field of a command of the server, or its size, is wrong" },
	{ "effect", "what the command had to do was not done, or something else was" },
	{ "envelope.unexpected-reply", "a reply came that no command waits for" },
	{ "envelope.wrong-command", "a reply has another command than the one with its id" },
	{ "envelope.reply-to-no-reply", "a reply came to a command that is not to be answered" },
	{ "envelope.error-with-payload", "an error reply is more than its header" },
	{ "envelope.payload-size", "a success reply is shorter than its structure" },
	{ "envelope.", "a message is wrong in itself: header, size, or descriptors" },
};

#define VERDICT_CODES (sizeof(verdict_code_rows) / sizeof(verdict_code_rows[0]))

const char *verdict_code_at(size_t index)
{
	return index < VERDICT_CODES ? verdict_code_rows[index].code : NULL;
}

const char *verdict_code(const char *code)
{
	for (size_t i = 0; i < VERDICT_CODES; i++) {
		const char *row = verdict_code_rows[i].code;
		size_t length = strlen(row);

		if (strcmp(row, code) == 0 ||
		    (row[length - 1] == '.' && strncmp(row, code, length) == 0))
			return verdict_code_rows[i].meaning;
	}
	return NULL;
}

const struct verdict_clause *verdict_clause(const char *id)
{
	for (size_t i = 0; i < verdict_nclauses; i++)
		if (strcasecmp(verdict_clauses[i].id, id) == 0)
			return &verdict_clauses[i];
	return NULL;
}

const char *verdict_word_name(enum verdict_word word)
{
	static const char *const names[] = {
		[VERDICT_PASS] = "PASS",
		[VERDICT_FAIL] = "FAIL",
		[VERDICT_DEVIATES] = "DEVIATES",
		[VERDICT_SKIP] = "SKIP",
		[VERDICT_BROKEN] = "BROKEN",
	};

	return names[word];
}

bool verdict_ends(const char *code)
{
	return strncmp(code, "server.", 7) == 0 && strcmp(code, "server.leak-fds") != 0;
}

bool verdict_fails(const struct model_finding *finding, enum verdict_gate gate)
{
	const struct verdict_clause *clause = verdict_clause(finding->requirement);

	if (gate == VERDICT_ALL || !clause || strcmp(clause->level, "MUST") == 0)
		return true;
	if (strncmp(finding->code, "server.", 7) == 0 ||
	    strcmp(finding->code, "channel.framing") == 0)
		return true;
	return gate == VERDICT_SHOULD && strcmp(clause->level, "SHOULD") == 0;
}

static void verdict_command(uint16_t number, struct buf_writer *text)
{
	const struct schema_command *row = schema_command(number);

	/* A number that is no command may be any: it does not tell findings apart. */
	buf_text(text, row ? " " : " -");
	for (const char *at = row ? row->name : ""; *at; at++)
		buf_text(text, "%c", tolower((unsigned char)*at));
}

void verdict_signature(const struct model_finding *finding, char *text, size_t size)
{
	struct buf_writer out = buf_text_over(text, size);

	buf_text(&out, "%s %s", finding->code,
		 finding->requirement[0] ? finding->requirement : "-");
	verdict_command(finding->command, &out);
}

void verdict_finding(struct model_finding *out, const char *code, const char *requirement,
		     uint16_t command, const char *text)
{
	struct buf_writer words;

	*out = (struct model_finding){ .command = command };
	words = buf_text_over(out->code, sizeof(out->code));
	buf_text(&words, "%s", code);
	words = buf_text_over(out->requirement, sizeof(out->requirement));
	buf_text(&words, "%s", requirement);
	words = buf_text_over(out->text, sizeof(out->text));
	buf_text(&words, "%s", text);
}
