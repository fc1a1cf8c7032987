/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.h - one client: its phase, the limits that were negotiated, the building of replies, and
 * the commands that the server sends.
 *
 * A session begins CONNECTED, where VERSION is the only command; becomes NEGOTIATED; and is
 * CLOSING when nothing more is read and the connection ends as soon as the queued replies are
 * sent. A reply is built in place in the output queue and either committed or taken back.
 *
 * A command that has to wait is deferred: its message is kept where it arrived, and no further
 * command of this client is taken until it has been answered, so that order holds without a queue.
 *
 * Requests are commands of the server: on the twin socket if there is one, else on the main one.
 * Some get no reply (session_post).
 * They have message ids of their own and are matched by id and command on that socket alone. Their
 * number is bounded; one that was given up counts until its reply comes or its time is over.
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

/* What was agreed on the vIOMMU extension (viommu.rst); `version` 0: nothing, and all is 0. */
struct session_viommu {
	uint32_t version;
	uint32_t pasid_bits;	/* both 0, or neither */
	uint32_t max_pasids;
	uint32_t address_bits;
	uint32_t page_requests;	/* pages that may be outstanding; 0: none is requested */
	bool unmap_range;
	bool replace;
	bool backing;
	bool poc;		/* the poc dialect is spoken; `version` is 0 then */
};

/*
 * What both sides may do. Keys that the client did not propose are not announced to it, so the
 * defaults of the specification hold for them.
 */
struct session_limits {
	uint32_t client_max_msg_fds;	/* descriptors that we may send in one message */
	uint32_t client_max_data_xfer_size;	/* bytes of one access by us */
	uint32_t max_data_xfer_size;	/* bytes of one access by the client */
	uint32_t max_dma_maps;
	bool write_multiple;	/* REGION_WRITE_MULTI may be used */
	struct session_viommu viommu;
	struct session_viommu latent;	/* takes its place with the first PASID, if `poc` */
};

/* Requests that may be without reply. */
#define SESSION_REQUESTS 16

struct session_request;

/*
 * A request is over: `msg` is its reply and stays the caller's, or NULL and `error` is the
 * negative errno: what the client said (-EIO if it said nothing), or -EIO if it said nothing in
 * time. The request may be used again.
 */
typedef void (*session_answered)(struct session_request *request, int error,
				 const struct msg *msg);

/* One request, in memory of its sender, which must not move until it is over. */
struct session_request {
	uint16_t command;
	session_answered answered;
	void *owner;		/* for `answered` */
};

/* A request that is on its way, also when nobody waits for it any more. */
struct session_waiting {
	bool used;
	uint16_t id;
	uint16_t command;
	uint64_t deadline;
	struct session_request *request;	/* NULL: given up */
};

struct session {
	struct transport transport;
	struct transport twin;		/* only if `twinned` */
	bool twinned;
	enum session_phase phase;
	struct session_limits limits;
	uint64_t t_dma;			/* ms that a request may wait for its reply */
	struct msg *deferred;		/* the command that waits for its reply; the transport's */
	uint16_t next_id;
	uint32_t waiting_count;		/* places of `waiting` in use */
	struct session_waiting waiting[SESSION_REQUESTS];
};

/* Takes over the socket `fd`; max_message as in transport_open(). */
void session_open(struct session *session, int fd, size_t max_message);

/* Closes both sockets; requests are forgotten without a word to their senders. */
void session_close(struct session *session);

/* Makes `fd` our end of the twin socket; the session's from now on. */
void session_add_twin(struct session *session, int fd);

/* Moves to the phase that follows from the event. */
void session_advance(struct session *session, enum session_event event);

/*
 * A reply under construction. It owns the descriptors given to it. Errors are sticky: `error` is
 * 0 or the negative errno that the command has to fail with.
 */
struct session_reply {
	struct session *session;
	struct transport *transport;	/* the one that the command came by */
	size_t start;		/* of the header, in the output queue */
	int error;
	unsigned int count;
	int fd[TRANSPORT_REPLY_FDS];
};

/* Begins a reply with room for its header, on the main socket or its twin. One at a time. */
void session_reply_begin(struct session_reply *reply, struct session *session);
void session_reply_begin_twin(struct session_reply *reply, struct session *session);

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

/*
 * Queues a request: 32 bytes of header and `access`, and `size` bytes behind them. Not to be
 * called while a reply is under construction. 0: `request` will be answered once; -EAGAIN: too
 * many are without reply, or the client reads nothing; -ENOTCONN without a client; -ENOMEM.
 */
int session_send(struct session *session, struct session_request *request,
		 const struct wire_dma_access *access, const void *data, size_t size);

/*
 * Queues a command that gets no reply: a header and `size` bytes of body. A reply that is under
 * construction, and empty, comes behind it; else NULL. 0, -ENOTCONN without a client, -ENOMEM.
 */
int session_post(struct session *session, uint16_t command, const void *body, size_t size,
		 struct session_reply *reply);

/* Bytes that the client has not taken yet, where the commands of the server go. */
size_t session_posted(struct session *session);

/* Gives a request up; its reply will be dropped. Nothing happens to one that is over. */
void session_give_up(struct session *session, const struct session_request *request);

/* Takes a message of type reply; one that answers nothing on this socket is dropped. */
void session_take_reply(struct session *session, bool twin, const struct msg *msg);

/* Ends the requests that are overdue; when the next one will be, or CLOCK_NEVER. */
uint64_t session_expire(struct session *session, uint64_t now);

#endif
