/* SPDX-License-Identifier: BSD-3-Clause */
/* msg.c - see msg.h. */
#include "msg.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* All messages belong to one thread. */
static unsigned int msg_fds_owned;

void msg_init(struct msg *msg)
{
	msg->header = (struct wire_header){ 0 };
	msg->body = NULL;
	msg->size = 0;
	msg->count = 0;
	msg->fds_lost = false;
}

int msg_add(struct msg *msg, int fd)
{
	if (msg->count == MSG_MAX_FDS) {
		close(fd);
		msg->fds_lost = true;
		return -ENOSPC;
	}
	msg->fd[msg->count++] = fd;
	msg_fds_owned++;
	return 0;
}

int msg_take(struct msg *msg, unsigned int index)
{
	int fd;

	if (index >= msg->count)
		return -1;
	fd = msg->fd[index];
	msg->fd[index] = -1;
	if (fd >= 0)
		msg_fds_owned--;
	return fd;
}

void msg_read(const struct msg *msg, void *out, size_t size)
{
	memcpy(out, msg->body, size);
}

void msg_free(struct msg *msg)
{
	for (unsigned int i = 0; i < msg->count; i++) {
		if (msg->fd[i] >= 0) {
			close(msg->fd[i]);
			msg_fds_owned--;
		}
	}
	msg_init(msg);
}

unsigned int msg_owned(void)
{
	return msg_fds_owned;
}
