/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.h - one client: its phase, the limits that were negotiated, and the building of replies.
 *
 * A session begins CONNECTED, where VERSION is the only command; becomes NEGOTIATED; and is
 * CLOSING when nothing more is read and the connection ends as soon as the queued replies are
 * sent. A reply is built in place in the output queue and either committed or taken back.
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport.h"

enum session_phase {
	SESSION_CONNECTED,
	SESSION_NEGOTIATED,
	SESSION_CLOSING,
};

enum session_event {
	SESSION_AGREED,		/* VERSION succeeded */
	SESSION_REFUSED,	/* a command failed before that */
	SESSION_BROKEN,		/* framing or memory lost, or the peer is gone */
};

/*
 * What both sides may do. Keys that the client did not propose are not announced to it, so the
 * defaults of the specification hold for them.
 */
struct session_limits {
	uint32_t client_max_msg_fds;	/* descriptors that we may send in one message */
	uint32_t max_data_xfer_size;	/* bytes of one access by the client */
	uint32_t max_dma_maps;
};

struct session {
	struct transport transport;
	enum session_phase phase;
	struct session_limits limits;
};

/* Takes over the socket `fd`; max_message as in transport_open(). */
void session_open(struct session *session, int fd, size_t max_message);
void session_close(struct session *session);

/* Moves to the phase that follows from the event. */
void session_advance(struct session *session, enum session_event event);

/*
 * A reply under construction. It owns the descriptors given to it. Errors are sticky: `error` is
 * 0 or the negative errno that the command has to fail with.
 */
struct session_reply {
	struct session *session;
	size_t start;		/* of the header, in the output queue */
	int error;
	unsigned int count;
	int fd[TRANSPORT_REPLY_FDS];
};

/* Begins a reply with room for its header. One reply at a time. */
void session_reply_begin(struct session_reply *reply, struct session *session);

/* `size` bytes more of payload to fill in at once, or NULL: -ENOMEM is kept. */
void *session_reply_space(struct session_reply *reply, size_t size);

/* Appends a copy of `data`; failure is kept. */
void session_reply_put(struct session_reply *reply, const void *data, size_t size);

/*
 * Sends a duplicate of `fd` along; failure is kept (-EMFILE). When the client takes no (more)
 * descriptors, none is sent and nothing fails: with max_msg_fds 0 a region keeps its MMAP flag
 * and comes without descriptor, as no other answer would be more true ("max_msg_fds").
 */
void session_reply_fd(struct session_reply *reply, int fd);

/* Takes back payload and descriptors; the header stays. */
void session_reply_clear(struct session_reply *reply);

/* Takes back everything: nothing is sent. */
void session_reply_drop(struct session_reply *reply);

/* Fills in msg_size, and queues the reply with this header. */
void session_reply_commit(struct session_reply *reply, struct wire_header header);

#endif
