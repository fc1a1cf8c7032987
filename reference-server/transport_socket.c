/* SPDX-License-Identifier: BSD-3-Clause */
/* transport_socket.c - see transport_socket.h. */
#include "transport_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"

/* What one read takes when the messages are small. */
#define TRANSPORT_CHUNK ((size_t)64 << 10)

/* Room for the credentials too, which an inherited socket may have switched on. */
union transport_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(MSG_MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

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

ssize_t transport_send(struct transport *t)
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

void transport_hang_up(struct transport *t)
{
	close(t->fd);
}
