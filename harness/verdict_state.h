/* SPDX-License-Identifier: BSD-3-Clause */
/* verdict_state.h - what a verdict keeps; shared by its parts. */
#ifndef VERDICT_STATE_H
#define VERDICT_STATE_H

#include "verdict.h"

#define VERDICT_LINE 400	/* bytes of a line of the listing */
#define VERDICT_SHOWN 12u	/* lines of a step; what comes beyond is counted */
#define VERDICT_REPEATED 3u	/* of one that is repeated */
#define VERDICT_FOUND 128u	/* findings that are kept */

/* A line below a step: "allowed: ...", "came: ...", or what happened. */
struct verdict_line {
	uint32_t step;
	char *text;
};

struct verdict_tally {
	uint32_t shown;
	uint32_t allowed;	/* times that something was allowed: messages sent */
	uint32_t successes;
	uint32_t errors;
	uint32_t requests;
	uint32_t hidden;	/* of them, not among the lines */
};

struct verdict_entry {
	struct model_finding what;
	uint32_t step;
};

struct verdict {
	const struct program *program;
	enum verdict_gate gate;
	enum verdict_word none;		/* SKIP, BROKEN or FAIL, else PASS */
	char why[200];
	bool cut;			/* memory was short */
	char *attached;			/* lines, or NULL */
	struct verdict_line *line;
	size_t count;
	size_t room;
	uint32_t findings;
	bool failed;
	struct verdict_entry entry[VERDICT_FOUND];
	struct verdict_tally tally[PROGRAM_STEPS + 1];
	struct program *scratch;	/* for messages that came, as steps */
	uint8_t *bytes;			/* of such a message */
};

/* The text of a step; "(nothing was sent)" for one that the program does not have. */
void verdict_step_text(const struct verdict *verdict, uint32_t step, char *text, size_t size);

/* How many findings of before have the signature of entry `index`; those behind it in *more. */
uint32_t verdict_alike(const struct verdict *verdict, uint32_t index, uint32_t *more);

/* Findings that are kept. */
uint32_t verdict_kept(const struct verdict *verdict);

#endif
