/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main_note.h - a session between a client and a server as a program, judged while it goes on.
 *
 * What the client sends becomes steps (note.h). What does not fit any more is left out and counted,
 * and still judged.
 */
#ifndef MAIN_NOTE_H
#define MAIN_NOTE_H

#include <stdint.h>

#include "message.h"
#include "model.h"
#include "note.h"
#include "program.h"
#include "verdict.h"

struct main_note {
	struct program *program;
	struct note note;		/* of the program */
	struct verdict *verdict;
	struct model *model;
	struct envelope *envelope;
	uint32_t taken[2];		/* findings of model and envelope so far */
	uint32_t left_out;		/* messages */
	uint16_t step[UINT16_MAX + 1];	/* that has sent an id last */
};

/* 0, to be freed by main_note_free; -ENOMEM: nothing to be freed. */
int main_note_new(const struct model_options *options, enum verdict_gate gate,
		  struct main_note **out);
void main_note_free(struct main_note *note);

/* The client has sent this, or the server has; the message still has its descriptors. */
int main_note_sent(struct main_note *note, const struct message *message);
int main_note_came(struct main_note *note, const struct message *message);

/* The server has closed. */
void main_note_closed(struct main_note *note);

#endif
