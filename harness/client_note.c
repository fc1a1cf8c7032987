/* SPDX-License-Identifier: BSD-3-Clause */
/* client_note.c - see client_note.h. */
#include "client_note.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "note.h"
#include "pack.h"
#include "stream.h"
#include "text.h"
#include "wire.h"

#define CLIENT_NOTE_LONG 256u	/* bytes to be moved; more become one byte many times */
#define CLIENT_NOTE_ASKED 1024	/* commands or requests without an answer; more are not followed */

/* Where a row of messages stands: in a header, in a body, or nowhere any more. */
struct client_note_row {
	uint8_t header[sizeof(struct wire_header)];
	size_t have;		/* of the header */
	size_t left;		/* of the body */
	bool lost;
};

struct client_note_asked {
	uint16_t id;
	uint16_t command;
	uint16_t step;		/* of a command of ours */
};

/* What still has to be answered, in the order that it was sent. */
struct client_note_list {
	uint32_t count;
	struct client_note_asked asked[CLIENT_NOTE_ASKED];
};

struct client_note {
	struct program program;
	struct note note;
	struct client_note_row row[CLIENT_CHANNELS];
	struct client_note_list commands;
	struct client_note_list requests;
	uint16_t counted;	/* the last id that was not one out of order */
	uint32_t left_out;
};

struct client_note *client_note_new(void)
{
	struct client_note *note = calloc(1, sizeof(*note));

	if (note)
		note->note.program = &note->program;
	return note;
}

void client_note_free(struct client_note *note)
{
	free(note);
}

/* ---- what waits for an answer ---- */

static void client_note_ask(struct client_note_list *list, const struct wire_header *header,
			    int step)
{
	if (list->count < CLIENT_NOTE_ASKED)
		list->asked[list->count++] = (struct client_note_asked){
			header->id, header->command, (uint16_t)step,
		};
}

static bool client_note_asks(const struct client_note_list *list, uint32_t index, uint16_t id,
			     uint16_t command)
{
	return index < list->count && list->asked[index].id == id &&
	       list->asked[index].command == command;
}

static void client_note_answered(struct client_note_list *list, uint16_t id, uint16_t command)
{
	uint32_t i = 0;

	while (i < list->count && !client_note_asks(list, i, id, command))
		i++;
	if (i == list->count)
		return;
	list->count--;
	memmove(&list->asked[i], &list->asked[i + 1], (list->count - i) * sizeof(list->asked[0]));
}

static void client_note_mark(struct client_note *note, uint8_t property)
{
	for (uint32_t i = 0; i < note->commands.count; i++)
		note->program.step[note->commands.asked[i].step].properties |= property;
}

/* ---- what a row of bytes holds ---- */

/* A header is whole: what has to be answered, and what is. */
static void client_note_header(struct client_note *note, struct client_note_row *row, int step)
{
	struct wire_header header;

	memcpy(&header, row->header, sizeof(header));
	row->have = 0;
	row->lost = header.msg_size < sizeof(header) || header.msg_size > STREAM_MAX_MESSAGE;
	row->left = row->lost ? 0 : header.msg_size - sizeof(header);
	if ((header.flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY)
		client_note_answered(&note->requests, header.id, header.command);
	else if (!(header.flags & WIRE_NO_REPLY))
		client_note_ask(&note->commands, &header, step);
}

/* Goes on in the row with what a step has sent. */
static void client_note_walk(struct client_note *note, uint32_t channel, int step,
			     const struct client_send *what)
{
	struct client_note_row *row = &note->row[channel];
	const uint8_t *bytes = what->bytes;
	size_t size = what->size;

	while (size && !row->lost) {
		bool body = row->left;
		size_t want = body ? row->left : sizeof(row->header) - row->have;
		size_t n = want < size ? want : size;

		if (body)
			row->left -= n;
		else
			memcpy(row->header + row->have, bytes, n);
		row->have += body ? 0 : n;
		bytes += n;
		size -= n;
		if (row->have == sizeof(row->header))
			client_note_header(note, row, step);
	}
}

/*
 * Is it to be written down by its fields? One message or the beginning of one, which either begins
 * where one has to; a reply is to what has waited longest.
 */
static bool client_note_whole(const struct client_note *note, const struct client_send *what,
			      struct wire_header *header)
{
	const struct client_note_row *row = &note->row[what->channel];

	if (row->have || row->left || row->lost || what->size < sizeof(*header))
		return false;
	memcpy(header, what->bytes, sizeof(*header));
	if (header->msg_size >= sizeof(*header) && header->msg_size < what->size)
		return false;
	return (header->flags & WIRE_TYPE_MASK) != WIRE_TYPE_REPLY ||
	       client_note_asks(&note->requests, 0, header->id, header->command);
}

/* ---- steps ---- */

/* An id that does not go on counting is given; a reply has that of what it answers. */
static void client_note_id(struct client_note *note, struct program_step *step, uint16_t id)
{
	if (step->op != PROGRAM_SEND)
		return;
	if (id == (uint16_t)(note->counted + 1)) {
		note->counted = id;
		return;
	}
	step->set |= 1;
	step->field[0].number = id;
}

static void client_note_pieces(struct program_step *step, const struct client_send *what)
{
	for (size_t i = 0; i + 1 < what->nparts && step->npieces < PROGRAM_PIECES; i++)
		step->piece[step->npieces++] = (struct program_piece){
			what->parts[i].end, (uint8_t)what->parts[i].nfds,
		};
}

/* Where the bytes begin that a message just moves, whatever they are; 0: not in this one. */
static size_t client_note_moved(const struct wire_header *header)
{
	bool reply = (header->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY;

	if (header->command == WIRE_REGION_WRITE && !reply)
		return sizeof(*header) + sizeof(struct wire_region_access);
	if (header->command == WIRE_DMA_READ && reply)
		return sizeof(*header) + sizeof(struct wire_dma_access);
	return 0;
}

/* Has a long message move one byte many times. A copy, to be freed; NULL where it stays. */
static uint8_t *client_note_level(struct note_message *message, const struct wire_header *header)
{
	size_t at = message->raw ? 0 : client_note_moved(header);
	uint8_t *copy;

	if (!at || message->size < at + CLIENT_NOTE_LONG)
		return NULL;
	copy = malloc(message->size);
	if (!copy)
		return NULL;
	memcpy(copy, message->bytes, at);
	memset(copy + at, message->bytes[at], message->size - at);
	message->bytes = copy;
	return copy;
}

void client_note_sends(struct client_note *note, const struct client_send *what)
{
	struct wire_header header = { 0 };
	struct note_message message = {
		.bytes = what->bytes,
		.size = what->size,
		.fds = what->fds,
		.nfds = what->nfds,
		.raw = !client_note_whole(note, what, &header),
		.twin = what->channel == CLIENT_TWIN,
	};
	uint8_t *level = client_note_level(&message, &header);
	int step = note->left_out ? -ENOSPC : note_add(&note->note, &message);

	free(level);
	if (step < 0) {
		note->left_out++;
		return;
	}
	if (!message.raw)
		client_note_id(note, &note->program.step[step], header.id);
	client_note_pieces(&note->program.step[step], what);
	pack_unslot(&note->program, &note->program.step[step]);
	client_note_mark(note, PROGRAM_NOWAIT);
	client_note_walk(note, what->channel, step, what);
}

void client_note_came(struct client_note *note, const struct message *message)
{
	const struct wire_header header = { .id = message->id, .command = message->command };

	if ((message->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY)
		client_note_answered(&note->commands, message->id, message->command);
	else if (!(message->flags & WIRE_NO_REPLY))
		client_note_ask(&note->requests, &header, 0);
}

void client_note_ends(struct client_note *note)
{
	struct program_step *step = note->left_out ? NULL :
		program_insert(&note->program, note->program.count);

	if (step)
		step->op = PROGRAM_SHUTDOWN;
}

/* The end of a program closes by itself. */
static void client_note_finish(struct client_note *note)
{
	struct program *program = &note->program;

	while (program->count && program->step[program->count - 1].op == PROGRAM_SHUTDOWN)
		program_remove(program, program->count - 1, 1);
	client_note_mark(note, PROGRAM_MAYBE);
	program_fix(program);
}

int client_note_print(struct client_note *note, char *out, size_t size)
{
	int length, more;

	client_note_finish(note);
	length = text_print(&note->program, out, size);
	if (length < 0 || !note->left_out)
		return length;
	more = snprintf(out + length, size - (size_t)length,
			"# left out for want of room: what was sent from here on, %u times\n",
			note->left_out);
	return more < 0 || (size_t)more >= size - (size_t)length ? -ENOSPC : length + more;
}
