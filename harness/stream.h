/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.h - one AF_UNIX stream socket: bytes and descriptors out, whole messages in.
 *
 * Nothing in here waits. Every read stops at the end of the message that it is reading: the
 * kernel tells which read brought descriptors, but not at which byte of it, so that only a read
 * that stays within one message says for certain whose they are (FD-PASS-001). Descriptors that
 * the peer attached to a byte of another message than the one they were meant for are therefore
 * seen with that other message.
 */
#ifndef STREAM_H
#define STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "fds.h"
#include "message.h"
#include "wire.h"

#define STREAM_MAX_FDS 253		/* SCM_MAX_FD of the kernel */
#define STREAM_MAX_MESSAGE (64u << 20)	/* larger ones are taken for lost framing */

struct stream {
	int fd;				/* owned; -1 = there is no such channel */
	uint32_t channel;		/* goes into its messages */
	int end;			/* 1 while it lasts; then what stream_pull says for ever */
	uint8_t header[sizeof(struct wire_header)];
	size_t got;			/* bytes of the message that is being read */
	struct message *message;	/* that message, once its header is complete */
	struct fds fds;			/* that came with it so far */
};

/* A stream over `fd`, which becomes the stream's; with -1 one that says -ENOTCONN. */
void stream_open(struct stream *stream, int fd, uint32_t channel);

/* Close the socket and drop a half-received message. A stream with fd -1 is fine. */
void stream_close(struct stream *stream);

/*
 * Read on. 1 and a whole message, the caller's; 0 when the peer has closed between two messages;
 * -EAGAIN when the rest has not come yet; -EPROTO when framing is lost: msg_size below the header
 * or above STREAM_MAX_MESSAGE, or the peer has closed inside a message; -EMFILE when this
 * process could not take in the descriptors; -ENOMEM. But for -EAGAIN and -ENOMEM the stream says
 * the same from then on.
 */
int stream_pull(struct stream *stream, struct message **out);

/*
 * Send a first part of `size` >= 1 bytes, and at most STREAM_MAX_FDS descriptors, which stay the
 * caller's, with the first byte. Returns the number of bytes that went out, all descriptors with
 * them; -EAGAIN when nothing fits now; -EPIPE when the peer has closed; -errno as the kernel says,
 * for instance -EBADF for a descriptor.
 */
int64_t stream_push(struct stream *stream, const void *bytes, size_t size, const int32_t *fds,
		    size_t nfds);

/* What the peer has not read yet; 0 = it has read everything. In units of the kernel's own. */
int stream_unread(const struct stream *stream);

#endif
