/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verdict.h - what came of a program, told to somebody who does not know this project.
 *
 * A verdict is told what happens while a program runs and keeps a line for each message, a few per
 * step; the rest is counted. It prints the program in its own notation, with what was allowed and
 * what came as comments below each step, so that the listing is a program again; then what the
 * server did wrong, each with the clause that says so. Where memory is short, lines are missing and
 * the listing says so; findings are kept first.
 */
#ifndef VERDICT_H
#define VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model.h"
#include "program.h"

/* One row of the register of requirements; made from cases/requirements*.toml. */
struct verdict_clause {
	const char *id;		/* "DMA-UNMAP-004" */
	const char *level;	/* "MUST", "SHOULD", "MAY", "UNSPECIFIED" */
	const char *heading;	/* of the specification */
	const char *text;	/* what holds, in words */
};

extern const struct verdict_clause verdict_clauses[];
extern const size_t verdict_nclauses;

/* The row with that id, or NULL. */
const struct verdict_clause *verdict_clause(const char *id);

/* It in the rows of a summary: id, level, heading, and what holds. */
void verdict_print_clause(const struct verdict_clause *clause, FILE *out);

/* What a failure code means ("reply.missing": "no reply came"), or NULL for an unknown one. */
const char *verdict_code(const char *code);

/* The codes, for whoever lists them: number `index`, or NULL behind the last. */
const char *verdict_code_at(size_t index);

enum verdict_word {
	VERDICT_PASS = 0,
	VERDICT_FAIL = 1,
	VERDICT_DEVIATES = 2,	/* only requirements below the gate were broken */
	VERDICT_SKIP = 3,	/* did not run: something is missing here */
	VERDICT_BROKEN = 4,	/* this side failed: says nothing about the server */
};

const char *verdict_word_name(enum verdict_word word);

/* Does a finding with that code say that the server is no more, or of no use? */
bool verdict_ends(const char *code);

/* Which findings fail a run: those about the levels up to the gate, and some at every level. */
enum verdict_gate {
	VERDICT_MUST = 0,
	VERDICT_SHOULD = 1,
	VERDICT_ALL = 2,
};

bool verdict_fails(const struct model_finding *finding, enum verdict_gate gate);

/*
 * What makes two findings the same: "reply.unexpected-success DMA-UNMAP-004 dma_unmap", with "-"
 * for a part that there is none of. Cut to size - 1.
 */
void verdict_signature(const struct model_finding *finding, char *text, size_t size);

/*
 * A finding from its parts; `command` is that of the message it is about, or 0. The text is cut
 * to what there is room for.
 */
void verdict_finding(struct model_finding *out, const char *code, const char *requirement,
		     uint16_t command, const char *text);

struct verdict;

/* A verdict over a program, which must outlive it. 0 and *out; -ENOMEM. */
int verdict_new(const struct program *program, enum verdict_gate gate, struct verdict **out);
void verdict_free(struct verdict *verdict);

/* What happens, in the order of time, each with the index of its step. */
void verdict_allowed(struct verdict *verdict, uint32_t step, const struct model_expect *expect);
void verdict_came(struct verdict *verdict, uint32_t step, const struct model_message *message);
void verdict_note(struct verdict *verdict, uint32_t step, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void verdict_found(struct verdict *verdict, uint32_t step, const struct model_finding *finding);

/* Text that belongs to it and is no program: what the server has written, where it hangs. */
void verdict_attach(struct verdict *verdict, const char *title, const char *text);

/*
 * The run was none: the word (SKIP or BROKEN) and why. FAIL: what no message has shown was wrong,
 * which verdict_attach() was told.
 */
void verdict_none(struct verdict *verdict, enum verdict_word word, const char *why);

enum verdict_word verdict_word(const struct verdict *verdict);

/* Why it was none; "" if it was one. */
const char *verdict_why(const struct verdict *verdict);

/* Number of findings; fills *out with number `index` if it was kept. */
uint32_t verdict_findings(const struct verdict *verdict, uint32_t index,
			  struct model_finding *out);

/* The listing and the summary, as text; with `brief` the summary alone. */
void verdict_print(const struct verdict *verdict, bool brief, FILE *out);

/* Everything as one JSON object without a newline; `name` is that of the program. */
void verdict_json(const struct verdict *verdict, const char *name, FILE *out);

#endif
