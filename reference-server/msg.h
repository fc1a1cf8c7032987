/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * msg.h - one received message: header, body and the descriptors that came with it.
 *
 * The message owns its descriptors from the moment they arrive. Whoever wants one takes it out;
 * msg_free() closes the rest, on every path. The body belongs to the transport and is valid until
 * that reads again.
 */
#ifndef MSG_H
#define MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* The most that one sendmsg() carries (SCM_MAX_FD of the kernel). */
#define MSG_MAX_FDS 253

struct msg {
	struct wire_header header;
	const uint8_t *body;
	size_t size;		/* of the body */
	unsigned int count;	/* of descriptors that arrived, the taken ones included */
	bool fds_lost;		/* some could not be received: our table of them is full */
	int fd[MSG_MAX_FDS];	/* -1 when taken */
};

/* An empty message: no body, no descriptors. */
void msg_init(struct msg *msg);

/*
 * Gives `fd` to the message. 0, or -ENOSPC if it holds MSG_MAX_FDS already: then `fd` is closed
 * and fds_lost is set.
 */
int msg_add(struct msg *msg, int fd);

/* Descriptor `index`, which is the caller's from now on; -1 if there is none (any more). */
int msg_take(struct msg *msg, unsigned int index);

/*
 * Copies the first `size` bytes of the body: how handlers read their structure. The caller has
 * seen to it that they exist (dispatch checks the minimum of each command).
 */
void msg_read(const struct msg *msg, void *out, size_t size);

/* Closes what was not taken and leaves an empty message. */
void msg_free(struct msg *msg);

/* Descriptors that all messages of the process own, for who looks for leaks. */
unsigned int msg_owned(void);

#endif
