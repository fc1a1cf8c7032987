/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * probe.c - a pipe that tells when the last copy of its write end is closed.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "deadline.h"

struct probe {
	int in;
	int out;	/* -1 once closed */
	int64_t bytes;
};

int probe_create(struct probe **out)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	int ends[2], ret;

	if (!probe)
		return -ENOMEM;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		ret = -errno;
		free(probe);
		return ret;
	}
	probe->in = ends[0];
	probe->out = ends[1];
	*out = probe;
	return 0;
}

void probe_free(struct probe *probe)
{
	if (!probe)
		return;
	probe_close_fd(probe);
	close(probe->in);
	free(probe);
}

int probe_fd(struct probe *probe)
{
	return probe->out < 0 ? -EBADF : probe->out;
}

void probe_close_fd(struct probe *probe)
{
	if (probe->out >= 0)
		close(probe->out);
	probe->out = -1;
}

int probe_released(struct probe *probe, int timeout_ms)
{
	struct deadline deadline = deadline_in(timeout_ms);
	/* No events: hang-up is reported anyway, and bytes in the pipe must not end the wait. */
	struct pollfd poller = { .fd = probe->in };
	int ret;

	if (probe->out >= 0)
		return -EBUSY;
	do {
		ret = poll(&poller, 1, deadline_left_ms(deadline));
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return (poller.revents & POLLHUP) != 0;
}

int64_t probe_bytes(struct probe *probe)
{
	char chunk[4096];
	ssize_t n;

	for (;;) {
		n = read(probe->in, chunk, sizeof(chunk));
		if (n == 0 || (n < 0 && errno == EAGAIN))
			return probe->bytes;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			probe->bytes += n;
	}
}
