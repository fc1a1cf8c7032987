/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_note.h - writes down what goes over a connection, as a program (note.h). Part of client.c.
 *
 * A message is a step with its fields, and a reply to a request of the server that is still due one
 * that answers; anything else is bytes. A step whose answer came behind something else that was
 * sent does not wait for it, and one that was not answered at all need not be. Of a long write, and
 * of a long answer to DMA_READ, the first byte stands for all of them. What has no room is
 * left out with all that comes behind it, and so are pieces beyond those of a step, which are sent
 * with the last one.
 */
#ifndef CLIENT_NOTE_H
#define CLIENT_NOTE_H

#include <stddef.h>

#include "client.h"
#include "message.h"

struct client_note;

/* NULL without memory. NULL is fine for client_note_free. */
struct client_note *client_note_new(void);
void client_note_free(struct client_note *note);

/* This goes out next, with its descriptors; this came; nothing more is sent. */
void client_note_sends(struct client_note *note, const struct client_send *what);
void client_note_came(struct client_note *note, const struct message *message);
void client_note_ends(struct client_note *note);

/*
 * The program as text with a NUL, to be asked for at the end; behind it as a comment what was left
 * out. The length without the NUL, or -ENOSPC: room for TEXT_SIZE and CLIENT_NOTE_COMMENT is
 * enough.
 */
#define CLIENT_NOTE_COMMENT 128
int client_note_print(struct client_note *note, char *out, size_t size);

#endif
