/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * holder.h - a helper process that holds and releases a descriptor and a mapping on command, the
 * stand-in for a server in the self-test of the oracles.
 *
 * It has none of our descriptors but standard input, output and error, so what it is to be asked
 * about has to be created after it, or it would not be told from what it inherited.
 */
#ifndef HOLDER_H
#define HOLDER_H

#include <sys/types.h>

#define HOLDER_SIZE 8192	/* of the mapping */

enum holder_command {
	HOLDER_TAKE,	/* the descriptor that comes along */
	HOLDER_MAP,	/* it, shared and writable */
	HOLDER_CLOSE,	/* it; the mapping stays */
	HOLDER_UNMAP,
};

struct holder {
	pid_t pid;
	int socket;
};

/* 0 and a helper to be ended by holder_end; -EMFILE, -ENFILE, -EAGAIN, -ENOMEM. */
int holder_start(struct holder *holder);

/* Kill it, whatever it holds, and reap it. */
void holder_end(struct holder *holder);

/*
 * Send a command, with a descriptor unless `fd` is -1, and wait until it has been done. 0; -EIO
 * when the helper could not do it; -EPIPE or -ETIMEDOUT when it does not answer; -errno.
 */
int holder_command(const struct holder *holder, enum holder_command command, int fd);

#endif
