/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dispatch.h - from a message to its handler, by a table; and the one place where a reply is sent.
 *
 * Shape and state are checked here once: type, descriptors, phase, size of the body. A handler
 * gets the state of its own module, reads the body, takes the descriptors that it wants and fills
 * in the reply. It returns 0 or a negative errno; then its reply is discarded, and the errno,
 * made positive, goes out in a header without payload and descriptors ("Header"). One that has to
 * wait returns -EINPROGRESS, and is called again with the same message by dispatch_resume().
 */
#ifndef DISPATCH_H
#define DISPATCH_H

#include <stdint.h>

#include "session.h"

typedef int (*dispatch_handler)(void *owner, struct msg *msg, struct session_reply *reply);

struct dispatch_command {
	const char *name;	/* NULL: the number is not a command */
	uint32_t min_size;	/* of the body */
	uint32_t max_size;
	uint32_t max_fds;
	enum session_phase phase;	/* the only one in which it is executed */
	unsigned int owner;	/* index of the handler's state */
	dispatch_handler handler;	/* NULL: goes the other way, from server to client */
};

struct dispatch {
	const struct dispatch_command *commands;	/* indexed by command number */
	uint32_t count;
	uint32_t max_msg_fds;		/* what we announce; no message may bring more */
	struct session *session;
	void *const *owners;		/* the states, indexed by dispatch_command.owner */
};

/*
 * Executes one message and queues its reply, if it gets one; frees what the handler left in it. A
 * reply-type message goes to the request that it answers. When the handler has to wait, the
 * session is `deferred`, and no message may be executed before dispatch_resume() has answered.
 */
void dispatch_message(const struct dispatch *dispatch, struct msg *msg);

/* One message of the twin socket: replies as above; commands belong on the main one, -EINVAL. */
void dispatch_twin(const struct dispatch *dispatch, struct msg *msg);

/* Executes the command that was deferred again: what it waited for may be over. */
void dispatch_resume(const struct dispatch *dispatch);

#endif
