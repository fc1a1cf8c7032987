/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * message.h - one received message: header, body and the descriptors that came with it.
 *
 * A message owns its descriptors from arrival; message_take_fd hands one out and message_free
 * closes the rest. All fields are in host byte order.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdint.h>

#include "fds.h"
#include "wire.h"

/* The fields up to `channel` have the layout of struct vuc_message. */
struct message {
	uint16_t id;
	uint16_t command;
	uint32_t msg_size;	/* header included */
	uint32_t flags;
	uint32_t error;
	const uint8_t *body;	/* msg_size - sizeof(struct wire_header) bytes: `storage` */
	const int32_t *fds;	/* -1 where taken */
	uint32_t nfds;
	uint32_t channel;

	struct message *next;	/* in a queue */
	struct fds owned;
	uint8_t *storage;	/* of the body, to be filled in by whoever receives it */
};

/*
 * A message with that header, a body still to be filled in, and no descriptors. The caller has
 * checked msg_size, at least the header, against its limit. NULL without memory.
 */
struct message *message_new(const struct wire_header *header, uint32_t channel);

/* Move the descriptors of `list` into the message; the list is empty afterwards. */
void message_own(struct message *message, struct fds *list);

/* Hand out descriptor `index`, the caller's from then on. -ENOENT if there is none. */
int message_take_fd(struct message *message, uint32_t index);

/* The header as it came; with the size that was announced. */
struct wire_header message_header(const struct message *message);

/* Close what was not taken and free. NULL is fine. */
void message_free(struct message *message);

/* Messages in the order of their arrival. A zeroed struct is empty. */
struct message_queue {
	struct message *first;
	struct message *last;
};

/* Append; the message is the queue's from then on. */
void message_push(struct message_queue *queue, struct message *message);

/* Remove `message`, which stands behind `before` (NULL: first); the caller's from then on. */
void message_unlink(struct message_queue *queue, struct message *before, struct message *message);

/* Free all. */
void message_free_all(struct message_queue *queue);

#endif
