/* SPDX-License-Identifier: BSD-3-Clause */
/* transport.c - see transport.h. */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"

/* What one read takes when the messages are small. */
#define TRANSPORT_CHUNK ((size_t)64 << 10)

#define TRANSPORT_HEADER sizeof(struct wire_header)

/* Room for the credentials too, which an inherited socket may have switched on. */
union transport_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(MSG_MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

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
	msg_free(&t->msg);
	free(t->in.bytes);
	free(t->out.bytes);
	close(t->fd);
}

static size_t transport_used(const struct transport_buffer *buffer)
{
	return buffer->end - buffer->begin;
}

/* Makes room for `size` bytes in all, counted from `begin`. */
static int transport_room(struct transport_buffer *buffer, size_t size)
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
	if (!bytes)
		return -ENOMEM;
	buffer->bytes = bytes;
	buffer->capacity = size;
	return 0;
}

/* The msg_size of the message at the front of `used` input bytes; 0 if it is not there yet. */
static size_t transport_head_size(const struct transport *t, size_t used)
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

/*
 * The bytes that the next read may take: all that has no descriptors, or what is of one message;
 * and whether there are any descriptors with them.
 */
static ssize_t transport_peek(struct transport *t, bool *fds)
{
	size_t used = transport_used(&t->in), size;
	struct iovec iov = { t->in.bytes + t->in.end, t->in.capacity - t->in.end };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = recvmsg(t->fd, &msg, MSG_PEEK | MSG_DONTWAIT);

	*fds = false;
	if (n <= 0 || !(msg.msg_flags & MSG_CTRUNC))
		return n < 0 ? -errno : n;
	*fds = true;
	size = transport_head_size(t, used + (size_t)n);
	if (size == 0)
		size = TRANSPORT_HEADER;
	if (size > used && size - used < (size_t)n)
		n = (ssize_t)(size - used);
	return n;
}

/* Takes over the descriptors of one recvmsg(), however many control messages they came in. */
static void transport_keep_fds(struct transport *t, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			msg_add(&t->msg, fd);
		}
	}
	if (msg->msg_flags & MSG_CTRUNC)
		t->msg.fds_lost = true;
}

/* Where it is known that no descriptors come, a call that does not ask for any costs less. */
static ssize_t transport_receive(struct transport *t, size_t size, bool fds)
{
	union transport_control control;
	struct iovec iov = { t->in.bytes + t->in.end, size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int wait = fault_on(FAULT_rest_is_awaited) ? MSG_WAITALL : MSG_DONTWAIT;
	ssize_t n;

	if (fds)
		n = recvmsg(t->fd, &msg, wait | MSG_CMSG_CLOEXEC);
	else
		n = recv(t->fd, iov.iov_base, iov.iov_len, wait);
	if (n < 0)
		return -errno;
	if (fds)
		transport_keep_fds(t, &msg);
	t->in.end += (size_t)n;
	return n;
}

int transport_fill(struct transport *t)
{
	size_t used = transport_used(&t->in);
	size_t size = transport_head_size(t, used);
	bool fds = true;
	ssize_t n;

	if (transport_room(&t->in, size > TRANSPORT_CHUNK ? size : TRANSPORT_CHUNK))
		return -ENOMEM;
	if (size)
		n = (ssize_t)(size - used);
	else
		n = t->fds_ahead ? (ssize_t)(TRANSPORT_HEADER - used) : transport_peek(t, &fds);
	if (n > 0)
		n = transport_receive(t, (size_t)n, fds);
	if (n > 0)
		return (int)n;
	if (n == -EAGAIN || n == -EINTR)
		return -EAGAIN;
	if (n < 0)
		log_debug("connection lost: %s", strerror((int)-n));
	if (used && fault_on(FAULT_end_inside_a_message_crashes))
		abort();
	t->eof = true;
	return 0;
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

	/* Grows in few and large steps, so that many small replies cost few copies. */
	if (need > t->out.capacity - t->out.begin && need < 4 * t->out.capacity)
		need = 4 * t->out.capacity;
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

/* Sends that many bytes with the first descriptors of the queue. */
static ssize_t transport_send_fds(struct transport *t, size_t size)
{
	size_t fds_size = t->out_fds[0].count * sizeof(int);
	struct iovec iov = { t->out.bytes + t->out.begin, size };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(TRANSPORT_REPLY_FDS * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(fds_size),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(fds_size);
	memcpy(CMSG_DATA(&control.header), t->out_fds[0].fd, fds_size);
	return sendmsg(t->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Sends up to the next reply with descriptors, once. */
static ssize_t transport_send(struct transport *t)
{
	bool with = t->out_fds_count && t->out_fds[0].at == 0;
	unsigned int next = with ? 1 : 0;
	size_t size = next < t->out_fds_count ? t->out_fds[next].at : transport_queued(t);
	ssize_t n;

	if (with)
		n = transport_send_fds(t, size);
	else
		n = send(t->fd, t->out.bytes + t->out.begin, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
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
}
