/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport.h - a stream socket as a sequence of messages, both ways, without ever blocking.
 *
 * Input: bytes arrive in any pieces, and descriptors with any piece of a message. They belong to
 * the message whose bytes they came with; when one piece holds several messages, to the one whose
 * bytes begin it ("Socket Based Transport"). The kernel does not say where in a read the piece
 * with the descriptors began, so the transport looks first (MSG_PEEK) and, when descriptors are
 * ahead, reads up to the end of one message at a time; behind such a message it does not look but
 * reads a header alone, as more of the kind may follow. Without descriptors one read takes as many
 * messages as are there. The size of a message is checked before memory is taken for it.
 *
 * Output: replies are built in place at the end of one queue and sent in batches. A reply with
 * descriptors begins a sendmsg() of its own. The queue is bounded: when it is full, the owner
 * stops reading (transport_takes_more()). When the peer does not take bytes any more, the rest is
 * dropped, so that the commands that it sent before it left are still executed.
 *
 * The transport owns its socket, its buffers and all descriptors in them.
 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

/* Queued output at which no further command is taken. */
#define TRANSPORT_OUT_LIMIT ((size_t)4 << 20)
#define TRANSPORT_OUT_LEAST 512u	/* room for output begins with that */
#define TRANSPORT_OUT_KEPT ((size_t)5 << 19)	/* and so much stays when all is sent */
/* Queued replies with descriptors at which no further command is taken. */
#define TRANSPORT_OUT_FDS 16
/* Descriptors of one reply. */
#define TRANSPORT_REPLY_FDS 4

struct transport_buffer {
	uint8_t *bytes;
	size_t capacity;
	size_t begin;
	size_t end;
};

/* Descriptors that travel with the byte `at` of the output queue. */
struct transport_fds {
	size_t at;
	unsigned int count;
	int fd[TRANSPORT_REPLY_FDS];
};

struct transport {
	int fd;
	size_t max_message;
	bool eof;			/* the peer sends nothing more */
	bool out_lost;			/* the peer takes nothing more */
	struct transport_buffer in;
	struct msg msg;			/* the one that is arriving; descriptors gather here */
	bool fds_ahead;			/* the last message had descriptors; so may have the next */
	struct transport_buffer out;
	struct transport_fds out_fds[TRANSPORT_OUT_FDS];
	unsigned int out_fds_count;
	uint64_t partial_since;		/* first byte of an incomplete message, or CLOCK_NEVER */
	uint64_t stalled_since;		/* output waits for the peer since, or CLOCK_NEVER */
};

/*
 * Takes over the connected stream socket `fd`, closed by transport_close(). Messages of more than
 * `max_message` bytes break the connection.
 */
void transport_open(struct transport *t, int fd, size_t max_message);

/* Closes the socket and every descriptor, frees the buffers. */
void transport_close(struct transport *t);

/*
 * Reads once; to be called only when transport_next() has returned 0. The number of bytes, 0 at
 * the end of the stream (also when the connection was reset), -EAGAIN when nothing is there,
 * -ENOMEM.
 */
int transport_fill(struct transport *t);

/*
 * The next complete message: 1 and *out, which stays the transport's (the caller calls msg_free()
 * on it before the next call), 0 when more bytes are needed, -EPROTO when msg_size cannot be
 * trusted.
 */
int transport_next(struct transport *t, struct msg **out);

/* Whether the output queue has room for the replies to further commands. */
bool transport_takes_more(const struct transport *t);

/* Bytes in the output queue. Positions in it count from its front and hold until a flush. */
size_t transport_queued(const struct transport *t);

/* `size` bytes more at the end of the queue, to be filled in at once; NULL without memory. */
void *transport_append(struct transport *t, size_t size);

/* The byte at a position. */
void *transport_at(struct transport *t, size_t position);

/* Takes back everything behind a position. */
void transport_truncate(struct transport *t, size_t position);

/*
 * Sends `count` (at most TRANSPORT_REPLY_FDS) descriptors with the byte at `position` and closes
 * them afterwards. Positions ascend. The caller asked transport_takes_more() before this reply.
 */
void transport_attach(struct transport *t, size_t position, const int *fd, unsigned int count);

/* Sends as much as the peer takes now. */
void transport_flush(struct transport *t);

#endif
