/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adapter.c - fuzz/adapter.h for the test device on libvfio-user.
 *
 * The library makes the socket itself, so there is one, in a folder of its own, and a client
 * connects to it. There is one client at a time, and within a message the library waits for it.
 */
#include "adapter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "port.h"

static struct lvu_adapter {
	char folder[64];
	struct sockaddr_un address;
} lvu_adapter;

static int lvu_start(const struct adapter_options *options, void **state)
{
	struct lvu_adapter *lvu = &lvu_adapter;

	(void)options;
	*state = lvu;
	signal(SIGPIPE, SIG_IGN);
	snprintf(lvu->folder, sizeof(lvu->folder), "%s", "/tmp/lvu-XXXXXX");
	if (!mkdtemp(lvu->folder))
		return -errno;
	lvu->address.sun_family = AF_UNIX;
	snprintf(lvu->address.sun_path, sizeof(lvu->address.sun_path), "%s/socket", lvu->folder);
	return vdma_open(lvu->address.sun_path, false);
}

static int lvu_connect(void *state)
{
	const struct lvu_adapter *lvu = state;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&lvu->address, sizeof(lvu->address)) == 0)
		return fd;
	error = errno == EAGAIN ? -EBUSY : -errno;
	close(fd);
	return error;
}

static int lvu_step(void *state, uint64_t ms)
{
	(void)state;
	if (vdma_wait(-1, (int)ms))
		vdma_step();
	vdma_settle();
	return 0;
}

static void lvu_stop(void *state)
{
	const struct lvu_adapter *lvu = state;

	vdma_close();
	unlink(lvu->address.sun_path);
	rmdir(lvu->folder);
}

static const struct adapter lvu_of_library = {
	.version = ADAPTER_VERSION,
	.size = sizeof(lvu_of_library),
	.name = "libvfio-user",
	.flags = ADAPTER_WAITS,
	.start = lvu_start,
	.connect = lvu_connect,
	.step = lvu_step,
	.stop = lvu_stop,
};

const struct adapter *adapter_get(void)
{
	return &lvu_of_library;
}
