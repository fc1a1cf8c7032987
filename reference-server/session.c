/* SPDX-License-Identifier: BSD-3-Clause */
/* session.c - see session.h. */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"

/* The largest errno that a client can mean. */
#define SESSION_MAX_ERRNO 4095u

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

static void session_forget(struct session *session)
{
	memset(session->waiting, 0, sizeof(session->waiting));
	session->waiting_count = 0;
}

void session_open(struct session *session, int fd, size_t max_message)
{
	transport_open(&session->transport, fd, max_message);
	session->twinned = false;
	session->phase = SESSION_CONNECTED;
	session->deferred = NULL;
	session->next_id = 1;
	session_forget(session);
	if (fault_on(FAULT_limits_outlive_the_client) && session->limits.max_dma_maps)
		return;
	session->limits = (struct session_limits){
		.client_max_msg_fds = WIRE_DEFAULT_MAX_MSG_FDS,
		.client_max_data_xfer_size = WIRE_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_data_xfer_size = WIRE_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_dma_maps = WIRE_DEFAULT_MAX_DMA_MAPS,
	};
}

void session_close(struct session *session)
{
	session->deferred = NULL;
	transport_close(&session->transport);
	if (session->twinned)
		transport_close(&session->twin);
	session->twinned = false;
	session_forget(session);
}

void session_add_twin(struct session *session, int fd)
{
	transport_open(&session->twin, fd, session->transport.max_message);
	session->twinned = true;
}

void session_advance(struct session *session, enum session_event event)
{
	session->phase = session_next_phase[session->phase][event];
}

static void session_reply_start(struct session_reply *reply, struct session *session,
				struct transport *transport)
{
	reply->session = session;
	reply->transport = transport;
	reply->start = transport_queued(transport);
	reply->error = 0;
	reply->count = 0;
	session_reply_space(reply, sizeof(struct wire_header));
}

void session_reply_begin(struct session_reply *reply, struct session *session)
{
	session_reply_start(reply, session, &session->transport);
}

void session_reply_begin_twin(struct session_reply *reply, struct session *session)
{
	session_reply_start(reply, session, &session->twin);
}

void *session_reply_space(struct session_reply *reply, size_t size)
{
	void *space = NULL;

	if (!reply->error)
		space = transport_append(reply->transport, size);
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
	if (transport_queued(reply->transport) > end)
		transport_truncate(reply->transport, end);
}

void session_reply_drop(struct session_reply *reply)
{
	session_reply_close_fds(reply);
	transport_truncate(reply->transport, reply->start);
}

void session_reply_commit(struct session_reply *reply, struct wire_header header)
{
	struct transport *transport = reply->transport;
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

static struct transport *session_request_channel(struct session *session)
{
	if (session->twinned && !fault_on(FAULT_twin_is_not_used))
		return &session->twin;
	return &session->transport;
}

static struct session_waiting *session_find(struct session *session, uint16_t id)
{
	for (int i = 0; i < SESSION_REQUESTS; i++) {
		if (session->waiting[i].used && session->waiting[i].id == id)
			return &session->waiting[i];
	}
	return NULL;
}

static struct session_waiting *session_free_place(struct session *session)
{
	for (int i = 0; i < SESSION_REQUESTS; i++) {
		if (!session->waiting[i].used)
			return &session->waiting[i];
	}
	return NULL;
}

int session_send(struct session *session, struct session_request *request,
		 const struct wire_dma_access *access, const void *data, size_t size)
{
	struct transport *channel = session_request_channel(session);
	struct session_waiting *waiting = session_free_place(session);
	struct wire_header header = { .command = request->command };
	uint8_t *bytes;

	if (session->phase != SESSION_NEGOTIATED)
		return -ENOTCONN;
	if (!waiting || !transport_takes_more(channel))
		return -EAGAIN;
	bytes = transport_append(channel, sizeof(header) + sizeof(*access) + size);
	if (!bytes)
		return -ENOMEM;
	while (session_find(session, session->next_id))
		session->next_id++;
	header.id = session->next_id++;
	header.msg_size = (uint32_t)(sizeof(header) + sizeof(*access) + size);
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), access, sizeof(*access));
	if (size)
		memcpy(bytes + sizeof(header) + sizeof(*access), data, size);
	*waiting = (struct session_waiting){ true, header.id, header.command,
					     clock_now() + session->t_dma, request };
	session->waiting_count++;
	return 0;
}

int session_post(struct session *session, uint16_t command, const void *body, size_t size,
		 struct session_reply *reply)
{
	struct transport *channel = session_request_channel(session);
	struct wire_header header = { .command = command, .flags = WIRE_NO_REPLY };
	bool before = reply && reply->transport == channel;
	uint8_t *bytes;

	if (session->phase != SESSION_NEGOTIATED)
		return -ENOTCONN;
	if (before)
		session_reply_drop(reply);
	bytes = transport_append(channel, sizeof(header) + size);
	if (bytes) {
		header.id = session->next_id++;
		header.msg_size = (uint32_t)(sizeof(header) + size);
		memcpy(bytes, &header, sizeof(header));
		memcpy(bytes + sizeof(header), body, size);
	}
	if (before)
		session_reply_start(reply, session, channel);
	return bytes ? 0 : -ENOMEM;
}

size_t session_posted(struct session *session)
{
	return transport_queued(session_request_channel(session));
}

void session_give_up(struct session *session, const struct session_request *request)
{
	for (int i = 0; i < SESSION_REQUESTS; i++) {
		if (session->waiting[i].request != request)
			continue;
		session->waiting[i].request = NULL;
		session->waiting[i].used = !fault_on(FAULT_given_up_messages_are_forgotten);
	}
}

/* 0 if it succeeded, else the errno that the client gives; without one, -EIO. */
static int session_reply_error(const struct wire_header *header)
{
	if (!(header->flags & WIRE_ERROR))
		return 0;
	if (header->error == 0 || header->error > SESSION_MAX_ERRNO)
		return -EIO;
	return -(int)header->error;
}

void session_take_reply(struct session *session, bool twin, const struct msg *msg)
{
	struct session_waiting *waiting = session_find(session, msg->header.id);
	struct session_request *request;
	int error = session_reply_error(&msg->header);

	if (fault_on(FAULT_any_dma_reply_will_do) && session->waiting[0].used)
		waiting = &session->waiting[0];
	if (!waiting || waiting->command != msg->header.command ||
	    twin != (session_request_channel(session) == &session->twin)) {
		log_debug("a reply to nothing is dropped");
		return;
	}
	request = waiting->request;
	*waiting = (struct session_waiting){ .used = false };
	session->waiting_count--;
	if (request)
		request->answered(request, error, error ? NULL : msg);
}

uint64_t session_expire(struct session *session, uint64_t now)
{
	uint64_t next = CLOCK_NEVER;

	for (int i = 0; i < SESSION_REQUESTS && session->waiting_count; i++) {
		struct session_waiting *waiting = &session->waiting[i];
		struct session_request *request = waiting->request;

		if (!waiting->used)
			continue;
		if (waiting->deadline > now) {
			next = waiting->deadline < next ? waiting->deadline : next;
			continue;
		}
		*waiting = (struct session_waiting){ .used = false };
		session->waiting_count--;
		if (request)
			request->answered(request, -EIO, NULL);
	}
	return next;
}
