/* SPDX-License-Identifier: BSD-3-Clause */
/* post.c - see post.h. */
#include "post.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "subject.h"

#define BUFFER ((size_t)1 << 20)

static struct post {
	uint8_t out[BUFFER], in[BUFFER];
	size_t out_begin, out_end, in_end;
} post;

bool post_send(void)
{
	ssize_t n;

	if (!post.out_end)
		return false;
	n = send(subject_fd(), post.out + post.out_begin, post.out_end - post.out_begin,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		subject_fail("send: %s", strerror(errno));
	post.out_begin += n > 0 ? (size_t)n : 0;
	if (post.out_begin == post.out_end)
		post.out_begin = post.out_end = 0;
	return post.out_end;
}

void post_put(const void *message, size_t size)
{
	struct pollfd room = { subject_fd(), POLLOUT, 0 };

	while (post.out_end + size > BUFFER) {
		if (poll(&room, 1, SUBJECT_WAIT_MS) <= 0)
			subject_fail("the server does not read");
		post_send();
	}
	memcpy(post.out + post.out_end, message, size);
	post.out_end += size;
}

void post_receive(void (*take)(const struct wire_header *header, const uint8_t *body))
{
	ssize_t n = recv(subject_fd(), post.in + post.in_end, BUFFER - post.in_end, MSG_DONTWAIT);
	struct wire_header header;
	size_t at = 0;

	if (n == 0 || (n < 0 && errno != EAGAIN))
		subject_fail("the server has closed the connection");
	post.in_end += n > 0 ? (size_t)n : 0;
	for (; post.in_end - at >= sizeof(header); at += header.msg_size) {
		memcpy(&header, post.in + at, sizeof(header));
		if (header.msg_size < sizeof(header) || header.msg_size > BUFFER)
			subject_fail("a message of %u bytes", header.msg_size);
		if (header.msg_size > post.in_end - at)
			break;
		take(&header, post.in + at + sizeof(header));
	}
	post.in_end -= at;
	memmove(post.in, post.in + at, post.in_end);
}
