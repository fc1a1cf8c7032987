/* SPDX-License-Identifier: BSD-3-Clause */
/* stream.c - see stream.h. */
#include "stream.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"

#define STREAM_HEADER sizeof(struct wire_header)

union stream_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(STREAM_MAX_FDS * sizeof(int))];
};

void stream_open(struct stream *stream, int fd, uint32_t channel)
{
	*stream = (struct stream){ .fd = fd, .channel = channel };
	stream->end = fd < 0 ? -ENOTCONN : 1;
}

void stream_close(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	fds_close(&stream->fds);
	message_free(stream->message);
	*stream = (struct stream){ .fd = -1, .end = -ENOTCONN };
}

/* Take over the descriptors of one recvmsg, however many control messages they came in. */
static int stream_keep_fds(struct stream *stream, struct msghdr *msg)
{
	int error = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		int fd[STREAM_MAX_FDS];
		size_t size = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fd, CMSG_DATA(c), size);
		if (fds_add(&stream->fds, fd, size / sizeof(*fd)))
			error = -ENOMEM;
	}
	return msg->msg_flags & MSG_CTRUNC ? -EMFILE : error;
}

/* One read of at most `size` bytes: a count, 0 at the end, -errno. */
static int64_t stream_read(struct stream *stream, void *bytes, size_t size)
{
	union stream_control control;
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t got;
	int error;

	do {
		got = recvmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ECONNRESET ? 0 : -errno;
	error = stream_keep_fds(stream, &msg);
	return error ? error : got;
}

/* The header is complete: make the message that it announces. */
static int stream_begin(struct stream *stream)
{
	struct buf_reader reader = buf_reader_over(stream->header, STREAM_HEADER);
	struct wire_header header;

	buf_read(&reader, &header, sizeof(header));
	if (header.msg_size < STREAM_HEADER || header.msg_size > STREAM_MAX_MESSAGE)
		return -EPROTO;
	stream->message = message_new(&header, stream->channel);
	return stream->message ? 0 : -ENOMEM;
}

static struct message *stream_finish(struct stream *stream)
{
	struct message *message = stream->message;

	message_own(message, &stream->fds);
	stream->message = NULL;
	stream->got = 0;
	return message;
}

/* Read a piece of the header or of the body. 1 = went on, else as stream_pull. */
static int stream_step(struct stream *stream)
{
	uint8_t *to;
	size_t size;
	int64_t got;

	if (!stream->message) {
		to = stream->header + stream->got;
		size = STREAM_HEADER - stream->got;
	} else {
		to = stream->message->storage + (stream->got - STREAM_HEADER);
		size = stream->message->msg_size - stream->got;
	}
	got = stream_read(stream, to, size);
	if (got < 0)
		return (int)got;
	if (got == 0)
		return stream->got ? -EPROTO : 0;
	stream->got += (size_t)got;
	return 1;
}

int stream_pull(struct stream *stream, struct message **out)
{
	int result = stream->end;

	while (result == 1) {
		if (!stream->message && stream->got == STREAM_HEADER) {
			result = stream_begin(stream);
			if (result)
				break;
		}
		if (stream->message && stream->got == stream->message->msg_size) {
			*out = stream_finish(stream);
			return 1;
		}
		result = stream_step(stream);
	}
	if (result != -EAGAIN && result != -ENOMEM)
		stream->end = result;
	return result;
}

static void stream_attach(struct msghdr *msg, void *control, const int32_t *fds, size_t nfds)
{
	size_t size = nfds * sizeof(*fds);
	struct cmsghdr *c;

	memset(control, 0, CMSG_SPACE(size));
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(size);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), fds, size);
}

int64_t stream_push(struct stream *stream, const void *bytes, size_t size, const int32_t *fds,
		    size_t nfds)
{
	union stream_control control;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (nfds)
		stream_attach(&msg, control.bytes, fds, nfds);
	do {
		sent = sendmsg(stream->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
}

int stream_unread(const struct stream *stream)
{
	int unread;

	/* Also named SIOCOUTQ. No other way tells that the peer has read what was sent. */
	if (ioctl(stream->fd, TIOCOUTQ, &unread) < 0)
		return -errno;
	return unread;
}
