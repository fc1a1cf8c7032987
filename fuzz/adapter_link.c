/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adapter_link.c - link.h with whatever library comes as an adapter (adapter.h).
 *
 * Without ADAPTER_WAITS everything happens in this thread: the server is stepped after each piece
 * that is sent, and when nothing has come; time passes for it as the link says. With it, the server
 * has a thread, and this one waits on sockets, in real time.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "account_process.h"
#include "adapter.h"
#include "client.h"
#include "link.h"

/* So much goes out before the server is stepped: less than a socket takes. */
#define ADAPTER_CHUNK ((size_t)32 << 10)
/* Times that the server is looked at while one time-out passes. */
#define ADAPTER_LOOKS 16
/*
 * In real ms, where the server has a thread: for a step without anything to do; for a glance at
 * what may have come; for a look, as nobody else knows whether something will; and the longest.
 */
#define ADAPTER_REST 5
#define ADAPTER_GLANCE 1
#define ADAPTER_SHORT 20
#define ADAPTER_LONG 2000

/* Adapters may have been built before what stands behind this was added. */
#define ADAPTER_LEAST (offsetof(struct adapter, stop) + sizeof(((struct adapter *)NULL)->stop))

static struct adapter_link {
	const struct adapter *adapter;
	void *server;
	struct client *clients[PROGRAM_CONNECTIONS];
	struct account_process process;
	pthread_t thread;
	pthread_mutex_t lock;	/* for what follows, and held in a step */
	pthread_cond_t free;
	bool wanted;		/* the driver wants the lock */
	bool ends;		/* the process does: no more steps */
	int failed;
} adapter_link = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.free = PTHREAD_COND_INITIALIZER,
};

static bool adapter_waits(void)
{
	return adapter_link.adapter->flags & ADAPTER_WAITS;
}

static int adapter_real(int timeout_ms)
{
	if (timeout_ms <= 0)
		return ADAPTER_GLANCE;
	if (timeout_ms < ADAPTER_SHORT)
		return ADAPTER_SHORT;
	return timeout_ms < ADAPTER_LONG ? timeout_ms : ADAPTER_LONG;
}

static void *adapter_run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&adapter_link.lock);
	while (!adapter_link.failed && !__atomic_load_n(&adapter_link.ends, __ATOMIC_ACQUIRE)) {
		adapter_link.failed = adapter_link.adapter->step(adapter_link.server,
								 ADAPTER_REST);
		while (__atomic_load_n(&adapter_link.wanted, __ATOMIC_ACQUIRE))
			pthread_cond_wait(&adapter_link.free, &adapter_link.lock);
	}
	pthread_mutex_unlock(&adapter_link.lock);
	return NULL;
}

/* Lets time pass for a server that has no thread. */
static void adapter_step(uint64_t ms)
{
	if (!adapter_waits() && !adapter_link.failed)
		adapter_link.failed = adapter_link.adapter->step(adapter_link.server, ms);
}

static void adapter_disconnect(void *link, uint32_t connection)
{
	(void)link;
	client_free(adapter_link.clients[connection]);
	adapter_link.clients[connection] = NULL;
	adapter_step(0);
}

static int adapter_connect(void *link, uint32_t connection)
{
	int fd, error;

	adapter_disconnect(link, connection);
	fd = adapter_link.adapter->connect(adapter_link.server);
	/* It may not have seen yet that the client before has left. */
	for (int ms = 0; fd == -EBUSY && adapter_waits() && ms < ADAPTER_LONG; ms += ADAPTER_REST) {
		poll(NULL, 0, ADAPTER_REST);
		fd = adapter_link.adapter->connect(adapter_link.server);
	}
	if (fd < 0)
		return fd;
	error = client_adopt(fd, &adapter_link.clients[connection]);
	if (error)
		close(fd);
	adapter_step(0);
	return error;
}

static void adapter_shutdown(void *link, uint32_t connection)
{
	struct client *client = adapter_link.clients[connection];

	(void)link;
	if (client)
		shutdown(client_fd(client, CLIENT_MAIN), SHUT_WR);
	adapter_step(0);
}

/* One piece, in chunks that the socket takes although the server does not read meanwhile. */
static int adapter_send_piece(struct client *client, const struct client_send *what,
			      struct client_part done, struct client_part piece)
{
	struct client_send chunk = {
		.fds = piece.nfds ? what->fds + done.nfds : NULL,
		.nfds = piece.nfds,
		.channel = what->channel,
		.timeout_ms = adapter_waits() ? ADAPTER_LONG : 0,
	};
	int error = 0;

	for (size_t at = done.end; at < piece.end && !error; at += chunk.size) {
		chunk.bytes = (const uint8_t *)what->bytes + at;
		chunk.size = piece.end - at < ADAPTER_CHUNK ? piece.end - at : ADAPTER_CHUNK;
		error = client_send(client, &chunk);
		chunk.nfds = 0;
		adapter_step(0);
	}
	return error;
}

static int adapter_send(void *link, uint32_t connection, const struct client_send *what)
{
	struct client *client = adapter_link.clients[connection];
	const struct client_part whole = { (uint32_t)what->size, (uint32_t)what->nfds };
	const struct client_part *parts = what->nparts ? what->parts : &whole;
	struct client_part done = { 0, 0 };
	int error = client ? 0 : -ENOTCONN;

	(void)link;
	for (size_t i = 0; i < (what->nparts ? what->nparts : 1) && !error; i++) {
		struct client_part piece = parts[i];

		if (piece.end <= done.end || piece.end > what->size ||
		    piece.nfds > what->nfds - done.nfds)
			return -EINVAL;
		error = adapter_send_piece(client, what, done, piece);
		done = (struct client_part){ piece.end, done.nfds + piece.nfds };
	}
	return error;
}

/* What is there on a channel, or on any of them, in so many ms of real time. */
static int adapter_take(struct client *client, uint32_t channel, int timeout_ms,
			struct message **out)
{
	int n = -ETIMEDOUT;

	if (channel != CLIENT_CHANNELS)
		return client_recv(client, channel, timeout_ms, out);
	if (client_fd(client, CLIENT_TWIN) >= 0)
		n = client_recv(client, CLIENT_TWIN, 0, out);
	return n == 1 ? n : client_recv(client, CLIENT_MAIN, timeout_ms, out);
}

static int adapter_recv(void *link, uint32_t connection, uint32_t channel, int timeout_ms,
			struct message **out)
{
	struct client *client = adapter_link.clients[connection];
	uint64_t look = (uint64_t)(timeout_ms > 0 ? timeout_ms : 0) / ADAPTER_LOOKS + 1;
	int n;

	(void)link;
	if (!client)
		return -ENOTCONN;
	if (adapter_waits())
		return adapter_take(client, channel, adapter_real(timeout_ms), out);
	n = adapter_take(client, channel, 0, out);
	for (int i = 0; i <= ADAPTER_LOOKS && n == -ETIMEDOUT; i++) {
		adapter_step(i ? look : 0);
		n = adapter_take(client, channel, 0, out);
		if (timeout_ms <= 0)
			break;
	}
	return n;
}

static int adapter_adopt_twin(void *link, uint32_t connection, int fd)
{
	struct client *client = adapter_link.clients[connection];
	int error = client ? client_adopt_twin(client, fd) : -ENOTCONN;

	(void)link;
	if (error)
		close(fd);
	return error;
}

static int adapter_socket(void *link, uint32_t connection)
{
	struct client *client = adapter_link.clients[connection];

	(void)link;
	return client ? client_fd(client, CLIENT_MAIN) : -ENOTCONN;
}

static int adapter_tick(void *link, uint64_t ms)
{
	(void)link;
	adapter_step(ms);
	return 0;
}

static const struct exec_link_ops adapter_ops = {
	.connect = adapter_connect,
	.disconnect = adapter_disconnect,
	.shutdown = adapter_shutdown,
	.send = adapter_send,
	.recv = adapter_recv,
	.adopt_twin = adapter_adopt_twin,
	.socket = adapter_socket,
	.tick = adapter_tick,
};

/* A library that does not come back from a step is left as it is. */
static bool adapter_join(void)
{
	struct timespec end;

	if (!adapter_waits())
		return true;
	__atomic_store_n(&adapter_link.ends, true, __ATOMIC_RELEASE);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += ADAPTER_LONG / 1000;
	return pthread_timedjoin_np(adapter_link.thread, NULL, &end) == 0;
}

static void adapter_exit(void)
{
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		client_free(adapter_link.clients[i]);
		adapter_link.clients[i] = NULL;
	}
	if (adapter_join() && adapter_link.adapter->stop)
		adapter_link.adapter->stop(adapter_link.server);
}

static int adapter_start(void)
{
	const struct adapter_options options = { sizeof(options), PROGRAM_CONNECTIONS };
	const struct adapter *adapter = adapter_get();
	int error;

	if (adapter->version != ADAPTER_VERSION || adapter->size < ADAPTER_LEAST)
		return -EPROTONOSUPPORT;
	error = adapter->start(&options, &adapter_link.server);
	if (error)
		return error;
	adapter_link.adapter = adapter;
	if (adapter_waits() && pthread_create(&adapter_link.thread, NULL, adapter_run, NULL))
		return -EAGAIN;
	atexit(adapter_exit);
	return account_process(&adapter_link.process);
}

/* Who wrote the library may have read the specification in another way. */
uint64_t link_readings(void)
{
	return 0;
}

int link_open(struct exec_link *out)
{
	*out = (struct exec_link){ &adapter_ops, &adapter_link };
	return adapter_link.adapter ? 0 : adapter_start();
}

int link_renew(struct link_left *left)
{
	const struct adapter *adapter = adapter_link.adapter;
	int error;

	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		if (adapter_link.clients[i])
			adapter_disconnect(NULL, i);
	}
	__atomic_store_n(&adapter_link.wanted, true, __ATOMIC_RELEASE);
	pthread_mutex_lock(&adapter_link.lock);
	error = adapter_link.failed;
	left->rule = error ? NULL : &account_anything;
	if (error)
		snprintf(left->text, sizeof(left->text), "the server has ended: %s",
			 strerror(-error));
	else if (adapter->renew)
		error = adapter->renew(adapter_link.server, left->text, sizeof(left->text));
	__atomic_store_n(&adapter_link.wanted, false, __ATOMIC_RELEASE);
	pthread_cond_signal(&adapter_link.free);
	pthread_mutex_unlock(&adapter_link.lock);
	if (error ||
	    account_same_process(&adapter_link.process, left->text, sizeof(left->text)))
		return error;
	account_process(&adapter_link.process);
	return -EAGAIN;
}
