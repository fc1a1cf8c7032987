/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adapter_reference.c - adapter.h for the reference server, over sockets and in virtual time.
 *
 * So the server's own transport is in the loop, with its system calls; apart from that it is what
 * loopback.c is.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "account.h"
#include "adapter.h"

static struct adapter_reference {
	struct inproc inproc;
	struct account before;
} adapter_reference;

/* The events of poll() and epoll have the same numbers. */
static uint32_t adapter_events(const struct transport *transport)
{
	struct pollfd pollfd = { .fd = transport->fd, .events = POLLIN | POLLRDHUP };

	if (transport_queued(transport))
		pollfd.events |= POLLOUT;
	return poll(&pollfd, 1, 0) == 1 ? (uint32_t)pollfd.revents : 0;
}

static int adapter_start(const struct adapter_options *options, void **state)
{
	int error = inproc_open(&adapter_reference.inproc, adapter_events);

	(void)options;
	*state = &adapter_reference;
	if (!error)
		account_take(&adapter_reference.inproc, &adapter_reference.before);
	return error;
}

static int adapter_connect(void *state)
{
	struct adapter_reference *adapter = state;
	int pair[2], device;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	device = inproc_connect(&adapter->inproc, pair[1]);
	if (device >= 0)
		return pair[0];
	close(pair[0]);
	close(pair[1]);
	return device;
}

static int adapter_step(void *state, uint64_t ms)
{
	struct adapter_reference *adapter = state;
	uint64_t end = adapter->inproc.now + ms;

	while (inproc_wait(&adapter->inproc, end))
		continue;
	return 0;
}

static int adapter_renew(void *state, char *text, size_t size)
{
	struct adapter_reference *adapter = state;
	struct account after;

	inproc_renew(&adapter->inproc, INPROC_ANYTHING);
	account_take(&adapter->inproc, &after);
	return account_equal(&adapter->before, &after, text, size) ? 0 : -EUCLEAN;
}

static void adapter_stop(void *state)
{
	struct adapter_reference *adapter = state;

	inproc_close(&adapter->inproc);
}

static const struct adapter adapter_of_reference = {
	.version = ADAPTER_VERSION,
	.size = sizeof(adapter_of_reference),
	.name = "reference server",
	.start = adapter_start,
	.connect = adapter_connect,
	.step = adapter_step,
	.renew = adapter_renew,
	.stop = adapter_stop,
};

const struct adapter *adapter_get(void)
{
	return &adapter_of_reference;
}
