/* SPDX-License-Identifier: BSD-3-Clause */
/* transport.c - see transport.h: messages and queues. The socket is in transport_socket.c. */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "transport_socket.h"

void transport_open(struct transport *t, int fd, size_t max_message)
{
	memset(t, 0, sizeof(*t));
	t->fd = fd;
	t->max_message = max_message;
	t->partial_since = CLOCK_NEVER;
	t->stalled_since = CLOCK_NEVER;
	msg_init(&t->msg);
}

static void transport_close_fds(struct transport_fds *fds)
{
	for (unsigned int i = 0; i < fds->count; i++)
		close(fds->fd[i]);
}

static void transport_drop_output(struct transport *t)
{
	for (unsigned int i = 0; i < t->out_fds_count; i++)
		transport_close_fds(&t->out_fds[i]);
	t->out_fds_count = 0;
	t->out.begin = 0;
	t->out.end = 0;
	t->stalled_since = CLOCK_NEVER;
}

void transport_close(struct transport *t)
{
	transport_drop_output(t);
	if (!fault_on(FAULT_half_messages_keep_their_fds))
		msg_free(&t->msg);
	free(t->in.bytes);
	free(t->out.bytes);
	transport_hang_up(t);
}

size_t transport_used(const struct transport_buffer *buffer)
{
	return buffer->end - buffer->begin;
}

int transport_room(struct transport_buffer *buffer, size_t size)
{
	size_t used = transport_used(buffer);
	uint8_t *bytes;

	if (buffer->capacity - buffer->begin >= size && buffer->bytes)
		return 0;
	if (buffer->bytes && buffer->begin) {
		memmove(buffer->bytes, buffer->bytes + buffer->begin, used);
		buffer->begin = 0;
		buffer->end = used;
	}
	if (buffer->capacity >= size)
		return 0;
	bytes = realloc(buffer->bytes, size);
	if (!bytes && fault_on(FAULT_no_memory_is_fatal))
		abort();
	if (!bytes)
		return -ENOMEM;
	buffer->bytes = bytes;
	buffer->capacity = size;
	return 0;
}

size_t transport_head_size(const struct transport *t, size_t used)
{
	struct wire_header header;

	if (used < TRANSPORT_HEADER)
		return 0;
	memcpy(&header, t->in.bytes + t->in.begin, sizeof(header));
	if (header.msg_size < TRANSPORT_HEADER && fault_on(FAULT_short_msg_size_is_taken))
		return TRANSPORT_HEADER;
	return header.msg_size;
}

static int transport_bad_size(const struct transport *t, size_t size)
{
	if (fault_on(FAULT_msg_size_is_trusted))
		return size < TRANSPORT_HEADER;
	return size < TRANSPORT_HEADER || size > t->max_message;
}

/* Keeps the time of the first byte of a message whose end has not come. */
static int transport_incomplete(struct transport *t, size_t used)
{
	if (used == 0) {
		t->in.begin = 0;
		t->in.end = 0;
	} else if (t->partial_since == CLOCK_NEVER) {
		t->partial_since = clock_now();
	}
	return 0;
}

int transport_next(struct transport *t, struct msg **out)
{
	size_t used = transport_used(&t->in);
	size_t size = transport_head_size(t, used);

	if (used < TRANSPORT_HEADER)
		return transport_incomplete(t, used);
	if (transport_bad_size(t, size))
		return -EPROTO;
	if (used < size && fault_on(FAULT_body_must_come_whole))
		return -EPROTO;
	if (used < size)
		return transport_incomplete(t, used);
	t->partial_since = CLOCK_NEVER;
	t->fds_ahead = t->msg.count > 0;
	memcpy(&t->msg.header, t->in.bytes + t->in.begin, TRANSPORT_HEADER);
	t->msg.body = t->in.bytes + t->in.begin + TRANSPORT_HEADER;
	t->msg.size = size - TRANSPORT_HEADER;
	t->in.begin += size;
	if (t->msg.header.command >= 64 && fault_on(FAULT_unknown_body_is_not_skipped))
		t->in.begin -= t->msg.size;
	if (fault_on(FAULT_one_message_per_read))
		t->in.begin = t->in.end;
	*out = &t->msg;
	return 1;
}

bool transport_takes_more(const struct transport *t)
{
	if (fault_on(FAULT_replies_pile_up))
		return t->out_fds_count < TRANSPORT_OUT_FDS;
	return transport_queued(t) < TRANSPORT_OUT_LIMIT && t->out_fds_count < TRANSPORT_OUT_FDS;
}

size_t transport_queued(const struct transport *t)
{
	return transport_used(&t->out);
}

void *transport_append(struct transport *t, size_t size)
{
	size_t queued = transport_queued(t), need = queued + size;
	uint8_t *bytes;

	/*
	 * Grows in few and large steps, so that many small replies cost few copies; to twice what
	 * it holds and no more, however long the peer keeps it from running empty.
	 */
	if (need > t->out.capacity - t->out.begin && fault_on(FAULT_queue_grows_by_its_history))
		need += 3 * t->out.capacity;
	else if (need > t->out.capacity - t->out.begin && 2 * need > t->out.capacity)
		need *= 2;
	if (need < TRANSPORT_OUT_LEAST)
		need = TRANSPORT_OUT_LEAST;
	if (transport_room(&t->out, need))
		return NULL;
	bytes = t->out.bytes + t->out.end;
	t->out.end += size;
	return bytes;
}

void *transport_at(struct transport *t, size_t position)
{
	return t->out.bytes + t->out.begin + position;
}

void transport_truncate(struct transport *t, size_t position)
{
	t->out.end = t->out.begin + position;
}

void transport_attach(struct transport *t, size_t position, const int *fd, unsigned int count)
{
	struct transport_fds *fds = &t->out_fds[t->out_fds_count++];

	fds->at = position;
	fds->count = count;
	memcpy(fds->fd, fd, count * sizeof(*fd));
}

/* Moves the front of the queue past `size` bytes that were sent, with their descriptors. */
static void transport_sent(struct transport *t, size_t size)
{
	if (t->out_fds_count && t->out_fds[0].at == 0) {
		transport_close_fds(&t->out_fds[0]);
		t->out_fds_count--;
		memmove(t->out_fds, t->out_fds + 1, t->out_fds_count * sizeof(t->out_fds[0]));
	}
	for (unsigned int i = 0; i < t->out_fds_count; i++)
		t->out_fds[i].at -= size;
	t->out.begin += size;
	t->stalled_since = CLOCK_NEVER;
}

/* What a peer that read slowly has made an empty queue grow to goes back. */
static void transport_shrink(struct transport_buffer *empty)
{
	if (empty->capacity <= TRANSPORT_OUT_KEPT || fault_on(FAULT_queue_keeps_its_room))
		return;
	free(empty->bytes);
	empty->bytes = NULL;
	empty->capacity = 0;
}

void transport_flush(struct transport *t)
{
	while (transport_queued(t) && !t->out_lost) {
		ssize_t n = transport_send(t);

		if (n > 0) {
			transport_sent(t, (size_t)n);
		} else if (n == -EAGAIN) {
			if (t->stalled_since == CLOCK_NEVER)
				t->stalled_since = clock_now();
			return;
		} else if (n != -EINTR) {
			t->out_lost = true;
		}
	}
	transport_drop_output(t);
	transport_shrink(&t->out);
}
