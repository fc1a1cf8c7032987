/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * call.h - calls a command's handler as dispatch does, and keeps what it replied. The session has
 * a real socket pair behind it; nothing is sent.
 */
#ifndef CALL_H
#define CALL_H

#include <dirent.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dispatch.h"

#define CALL_MAX_REPLY 8192

struct call {
	struct session session;
	int peer;
	uint8_t reply[CALL_MAX_REPLY];	/* payload of the last reply */
	size_t size;
	unsigned int fds;	/* descriptors of the last reply; they are closed already */
};

static inline unsigned int call_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static inline int call_open(struct call *call)
{
	int fd[2];

	memset(call, 0, sizeof(*call));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		return -1;
	session_open(&call->session, fd[0], 1 << 20);
	call->peer = fd[1];
	return 0;
}

static inline void call_close(struct call *call)
{
	session_close(&call->session);
	close(call->peer);
}

/* Calls with this message, and frees it; the handler's result, or its reply's error. */
static inline int call_message(struct call *call, dispatch_handler handler, void *owner,
			       struct msg *msg)
{
	struct session_reply reply;
	int error;

	session_reply_begin(&reply, &call->session);
	error = handler(owner, msg, &reply);
	if (!error)
		error = reply.error;
	call->size = transport_queued(&call->session.transport) - sizeof(struct wire_header);
	if (call->size <= sizeof(call->reply))
		memcpy(call->reply,
		       transport_at(&call->session.transport, sizeof(struct wire_header)),
		       call->size);
	call->fds = reply.count;
	session_reply_drop(&reply);
	msg_free(msg);
	return error;
}

static inline int call_handler(struct call *call, dispatch_handler handler, void *owner,
			       const void *body, size_t size)
{
	static struct msg msg;

	msg_init(&msg);
	msg.body = body;
	msg.size = size;
	return call_message(call, handler, owner, &msg);
}

#endif
