/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client.h - one connection to a server: the main socket and, once adopted, its twin.
 *
 * Bytes go out as they are given, in the pieces that are asked for; messages come in whole, with
 * the descriptors of their bytes, judged by the envelope checker in the order of their arrival. A
 * call that waits for one message keeps the others for later calls, each channel in its order.
 *
 * While it waits to send, the client also takes in what the server sends, so that two sides that
 * both write first do not wait for each other. What is kept is bounded: at CLIENT_KEPT bytes a
 * receiving call fails with -ENOBUFS and a sending one stops taking in.
 *
 * Sockets are used with MSG_DONTWAIT, so that the flags of an adopted description do not matter;
 * all descriptors are close-on-exec. A client is used by one thread at a time.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "envelope.h"
#include "message.h"
#include "model.h"

#define CLIENT_KEPT (128u << 20)

enum client_channel {
	CLIENT_MAIN = 0,
	CLIENT_TWIN = 1,
	CLIENT_CHANNELS = 2,
};

enum client_send_flags {
	CLIENT_SEND_PACED = 1,
	CLIENT_SEND_MAYBE = 2,
};

/* Layout of struct vuc_part. */
struct client_part {
	uint32_t end;		/* the piece ends before this byte */
	uint32_t nfds;		/* it carries the next nfds descriptors, on its first byte */
};

/* Layout of struct vuc_send. */
struct client_send {
	const void *bytes;
	size_t size;
	const int32_t *fds;	/* stay the caller's */
	size_t nfds;
	const struct client_part *parts;
	size_t nparts;		/* 0 = one piece with all descriptors */
	uint32_t channel;
	uint32_t flags;
	int32_t timeout_ms;
};

struct client;

/*
 * Connect to the socket at `path`. Where the backlog is full the kernel wakes us when there is
 * room. 0 and *out, to be freed by client_free; -ETIMEDOUT; -ENAMETOOLONG; what connect() says
 * (-ENOENT, -ECONNREFUSED); -ENOMEM, -EMFILE.
 */
int client_connect(const char *path, int timeout_ms, struct client **out);

/* A client over a connected socket, which becomes the client's on success. -ENOMEM, -EBADF. */
int client_adopt(int fd, struct client **out);

/* Close the sockets, free what was kept. NULL is fine. */
void client_free(struct client *client);

/* Make `fd` the twin socket; the client's on success. -EBUSY when there is one; -EBADF. */
int client_adopt_twin(struct client *client, int fd);

/* The socket of a channel, still the client's. -ENOTCONN without one, -EINVAL for no channel. */
int client_fd(const struct client *client, uint32_t channel);

/* What was announced as max_msg_fds; 1 until then. */
void client_set_max_fds(struct client *client, uint32_t max_msg_fds);

/* What was negotiated as page_requests of the vIOMMU extension; 0 until then. */
void client_set_page_requests(struct client *client, uint32_t pages);

/* The poc dialect of that extension is spoken. */
void client_set_poc(struct client *client);

/* 0 when the server has read all that was sent on the main channel, else a positive measure. */
int client_unread(const struct client *client);

/*
 * Send. 0; -EPIPE when the server has closed (what it sent before can still be received);
 * -ETIMEDOUT when it does not read; -EINVAL for no bytes, pieces that do not add up, or one with
 * more than STREAM_MAX_FDS descriptors; -ENOTCONN without that channel; -EBADF for a descriptor;
 * -ENOMEM.
 *
 * CLIENT_SEND_PACED: each piece but the last is waited for until the server has read it. No event
 * tells that, so it is asked for every millisecond.
 */
int client_send(struct client *client, const struct client_send *what);

/*
 * Receive the next message of a channel; the reply to (id, command) on any channel; the next
 * server command on any channel. Returns 1 and *out, to be freed by message_free; -ETIMEDOUT;
 * -ENOBUFS when too much else came. When nothing more can come: 0 if the server has closed between
 * two messages, -EPROTO if framing was lost, -EMFILE if this process could not take in the
 * descriptors of a message. Replies end with the main channel, commands with the twin if there is
 * one. -EINVAL or -ENOTCONN for a channel that does not exist; -ENOMEM.
 */
int client_recv(struct client *client, uint32_t channel, int timeout_ms, struct message **out);
int client_recv_reply(struct client *client, uint16_t id, uint16_t command, int timeout_ms,
		      struct message **out);
int client_recv_request(struct client *client, int timeout_ms, struct message **out);

/* Say that nothing more comes, and keep receiving. */
int client_shutdown(struct client *client);

/*
 * From now on, which has to be before anything was sent, a model (model.h) judges what goes over
 * the connection; `strict` names the ambiguities that it reads strictly, NULL behind the last.
 * -EBUSY when it does already; -EINVAL for a name that is none; -ENOMEM.
 */
int client_judged(struct client *client, const char *const *strict);

/* Something goes over the sockets that the client does not see: the model judges no more. */
void client_unjudged(struct client *client);

/* As model_findings; none without a model. */
uint32_t client_findings(const struct client *client, uint32_t index, struct model_finding *out);

/*
 * From now on what goes over the connection is written down (client_note.h). -EBUSY when it is
 * already; -ENOMEM. What is printed of it then is to be asked for at the end, and is nothing
 * without it: as client_note_print.
 */
int client_recorded(struct client *client);
int client_program(struct client *client, char *text, size_t size);

/* What the envelope checker found (envelope.h). */
const struct envelope *client_envelope(const struct client *client);

#endif
