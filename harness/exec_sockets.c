/* SPDX-License-Identifier: BSD-3-Clause */
/* exec_sockets.c - the link over sockets: a client for each connection; see exec.h. */
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deadline.h"

struct exec_sockets {
	struct client *client[PROGRAM_CONNECTIONS];
	int timeout_ms;
	int (*dial)(void *arg);		/* NULL: by the path */
	void *arg;
	char path[];
};

static int exec_sockets_dial(struct exec_sockets *sockets, struct client **out)
{
	int fd = sockets->dial(sockets->arg);
	int error = fd < 0 ? fd : client_adopt(fd, out);

	if (fd >= 0 && error)
		close(fd);
	return error;
}

static int exec_sockets_connect(void *link, uint32_t connection)
{
	struct exec_sockets *sockets = link;

	if (sockets->dial)
		return exec_sockets_dial(sockets, &sockets->client[connection]);
	return client_connect(sockets->path, sockets->timeout_ms, &sockets->client[connection]);
}

static void exec_sockets_disconnect(void *link, uint32_t connection)
{
	struct exec_sockets *sockets = link;

	client_free(sockets->client[connection]);
	sockets->client[connection] = NULL;
}

static void exec_sockets_shutdown(void *link, uint32_t connection)
{
	struct exec_sockets *sockets = link;

	/* Fails only when the server has closed, which the next receive tells. */
	(void)shutdown(client_fd(sockets->client[connection], CLIENT_MAIN), SHUT_WR);
}

static int exec_sockets_send(void *link, uint32_t connection, const struct client_send *what)
{
	struct exec_sockets *sockets = link;

	return client_send(sockets->client[connection], what);
}

/* Whatever comes first on two channels. The end is that of the main one. */
static int exec_sockets_any(struct client *client, int timeout_ms, struct message **out)
{
	struct deadline deadline = deadline_in(timeout_ms);
	int twin = client_fd(client, CLIENT_TWIN);

	for (;;) {
		struct pollfd ready[] = {
			{ .fd = client_fd(client, CLIENT_MAIN), .events = POLLIN },
			{ .fd = twin, .events = POLLIN },
		};
		int left = deadline_left_ms(deadline);
		int result = client_recv(client, CLIENT_TWIN, 0, out);

		if (result == 1)
			return 1;
		if (result != -ETIMEDOUT)
			ready[1].fd = -1;
		result = client_recv(client, CLIENT_MAIN, 0, out);
		if (result != -ETIMEDOUT || !left)
			return result;
		if (poll(ready, 2, left) < 0 && errno != EINTR)
			return -errno;
	}
}

static int exec_sockets_recv(void *link, uint32_t connection, uint32_t channel, int timeout_ms,
			     struct message **out)
{
	struct exec_sockets *sockets = link;
	struct client *client = sockets->client[connection];

	if (channel == CLIENT_CHANNELS)
		return exec_sockets_any(client, timeout_ms, out);
	return client_recv(client, channel, timeout_ms, out);
}

static int exec_sockets_adopt_twin(void *link, uint32_t connection, int fd)
{
	struct exec_sockets *sockets = link;
	int error = client_adopt_twin(sockets->client[connection], fd);

	if (error)
		close(fd);
	return error;
}

static int exec_sockets_socket(void *link, uint32_t connection)
{
	struct exec_sockets *sockets = link;

	return client_fd(sockets->client[connection], CLIENT_MAIN);
}

static void exec_sockets_watch(void *link, uint32_t connection, int fd[CLIENT_CHANNELS])
{
	struct exec_sockets *sockets = link;

	for (uint32_t i = 0; i < CLIENT_CHANNELS; i++) {
		int known = client_fd(sockets->client[connection], i);

		fd[i] = known < 0 ? -1 : known;
	}
}

/* Time passes by itself; nothing of a client happens meanwhile. */
static int exec_sockets_tick(void *link, uint64_t ms)
{
	struct deadline deadline = deadline_in((int)ms);
	int left;

	(void)link;
	while ((left = deadline_left_ms(deadline)) > 0)
		poll(NULL, 0, left);
	return 0;
}

static const struct exec_link_ops exec_sockets_ops = {
	.connect = exec_sockets_connect,
	.disconnect = exec_sockets_disconnect,
	.shutdown = exec_sockets_shutdown,
	.send = exec_sockets_send,
	.recv = exec_sockets_recv,
	.adopt_twin = exec_sockets_adopt_twin,
	.socket = exec_sockets_socket,
	.tick = exec_sockets_tick,
	.watch = exec_sockets_watch,
};

int exec_sockets_new(const char *path, int timeout_ms, struct exec_sockets **out)
{
	size_t size = strlen(path) + 1;

	*out = calloc(1, sizeof(**out) + size);
	if (!*out)
		return -ENOMEM;
	(*out)->timeout_ms = timeout_ms;
	memcpy((*out)->path, path, size);
	return 0;
}

int exec_sockets_dialled(int (*dial)(void *arg), void *arg, struct exec_sockets **out)
{
	int error = exec_sockets_new("", 0, out);

	if (error)
		return error;
	(*out)->dial = dial;
	(*out)->arg = arg;
	return 0;
}

void exec_sockets_free(struct exec_sockets *sockets)
{
	if (!sockets)
		return;
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++)
		client_free(sockets->client[i]);
	free(sockets);
}

struct exec_link exec_sockets_link(struct exec_sockets *sockets)
{
	return (struct exec_link){ .ops = &exec_sockets_ops, .state = sockets };
}
