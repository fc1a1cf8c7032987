/* SPDX-License-Identifier: BSD-3-Clause */
/* session.c - see session.h. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"

static const enum session_phase session_next_phase[3][3] = {
	[SESSION_CONNECTED] = {
		[SESSION_AGREED] = SESSION_NEGOTIATED,
		[SESSION_REFUSED] = SESSION_CLOSING,
		[SESSION_BROKEN] = SESSION_CLOSING,
	},
	[SESSION_NEGOTIATED] = {
		[SESSION_AGREED] = SESSION_NEGOTIATED,
		[SESSION_REFUSED] = SESSION_NEGOTIATED,
		[SESSION_BROKEN] = SESSION_CLOSING,
	},
	[SESSION_CLOSING] = {
		[SESSION_AGREED] = SESSION_CLOSING,
		[SESSION_REFUSED] = SESSION_CLOSING,
		[SESSION_BROKEN] = SESSION_CLOSING,
	},
};

void session_open(struct session *session, int fd, size_t max_message)
{
	transport_open(&session->transport, fd, max_message);
	session->phase = SESSION_CONNECTED;
	if (fault_on(FAULT_limits_outlive_the_client) && session->limits.max_dma_maps)
		return;
	session->limits = (struct session_limits){
		.client_max_msg_fds = WIRE_DEFAULT_MAX_MSG_FDS,
		.max_data_xfer_size = WIRE_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_dma_maps = WIRE_DEFAULT_MAX_DMA_MAPS,
	};
}

void session_close(struct session *session)
{
	transport_close(&session->transport);
}

void session_advance(struct session *session, enum session_event event)
{
	session->phase = session_next_phase[session->phase][event];
}

void session_reply_begin(struct session_reply *reply, struct session *session)
{
	reply->session = session;
	reply->start = transport_queued(&session->transport);
	reply->error = 0;
	reply->count = 0;
	session_reply_space(reply, sizeof(struct wire_header));
}

void *session_reply_space(struct session_reply *reply, size_t size)
{
	void *space = NULL;

	if (!reply->error)
		space = transport_append(&reply->session->transport, size);
	if (!space && !reply->error)
		reply->error = -ENOMEM;
	return space;
}

void session_reply_put(struct session_reply *reply, const void *data, size_t size)
{
	void *space = session_reply_space(reply, size);

	if (space)
		memcpy(space, data, size);
}

void session_reply_fd(struct session_reply *reply, int fd)
{
	uint32_t limit = reply->session->limits.client_max_msg_fds;
	int copy;

	if (fault_on(FAULT_reply_fds_without_limit))
		limit = TRANSPORT_REPLY_FDS;
	if (reply->error || reply->count >= limit || reply->count >= TRANSPORT_REPLY_FDS)
		return;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		reply->error = -errno;
	else
		reply->fd[reply->count++] = copy;
}

static void session_reply_close_fds(struct session_reply *reply)
{
	for (unsigned int i = 0; i < reply->count; i++)
		close(reply->fd[i]);
	reply->count = 0;
}

void session_reply_clear(struct session_reply *reply)
{
	size_t end = reply->start + sizeof(struct wire_header);

	session_reply_close_fds(reply);
	if (transport_queued(&reply->session->transport) > end)
		transport_truncate(&reply->session->transport, end);
}

void session_reply_drop(struct session_reply *reply)
{
	session_reply_close_fds(reply);
	transport_truncate(&reply->session->transport, reply->start);
}

void session_reply_commit(struct session_reply *reply, struct wire_header header)
{
	struct transport *transport = &reply->session->transport;
	size_t size = transport_queued(transport) - reply->start;

	if (size < sizeof(header)) {
		/* Not even the header found memory: without its reply the session is lost. */
		session_reply_drop(reply);
		session_advance(reply->session, SESSION_BROKEN);
		return;
	}
	header.msg_size = (uint32_t)size;
	memcpy(transport_at(transport, reply->start), &header, sizeof(header));
	if (reply->count)
		transport_attach(transport, reply->start, reply->fd, reply->count);
	reply->count = 0;
}
