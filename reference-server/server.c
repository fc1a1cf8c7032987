/* SPDX-License-Identifier: BSD-3-Clause */
/* server.c - see server.h. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "server_turn.h"

#define SERVER_EVENTS (3 * SERVER_MAX_DEVICES + 2)
#define SERVER_READ ((uint32_t)EPOLLIN | EPOLLRDHUP)

struct server {
	struct server_options options;
	int epoll;
	int reserve;		/* given up for a moment to refuse a connection (EMFILE) */
	bool done;
	bool accepts;		/* the listener is polled */
	struct server_instance **instances;
	struct server_instance *lost;	/* whose threads have not come back */
};

/* Marks the two descriptors that are no connection. */
static char server_listener, server_stop;

static int server_watch(const struct server *server, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	return epoll_ctl(server->epoll, op, fd, &event) ? -errno : 0;
}

static int server_open_instance(struct server *server, unsigned int number)
{
	struct server_instance *instance;
	int error = server_instance_open(&instance, &server->options, number);

	if (error)
		return error;
	error = server_watch(server, EPOLL_CTL_ADD, dma_wake_fd(&instance->dma), EPOLLIN,
			     &instance->wake);
	if (error)
		server_instance_close(instance);
	else
		server->instances[number] = instance;
	return error;
}

/* Hands the socket to a free instance. -EBUSY if there is none; the socket is taken anyway. */
static int server_begin(struct server *server, int fd)
{
	struct server_instance *instance = NULL;

	for (uint32_t i = 0; i < server->options.devices && !instance; i++) {
		if (server->instances[i]->phase == SERVER_FREE)
			instance = server->instances[i];
	}
	if (!instance || server_watch(server, EPOLL_CTL_ADD, fd, SERVER_READ, &instance->main)) {
		if (!fault_on(FAULT_refused_clients_stay))
			close(fd);
		return -EBUSY;
	}
	server_instance_begin(instance, fd, &server->options);
	instance->main.watched = true;
	instance->main.events = SERVER_READ;
	instance->twin.watched = false;
	return 0;
}

/* The client is gone. */
static void server_end(struct server *server, struct server_instance *instance)
{
	server_instance_end(instance);
	if (server->options.connected)
		server->done = true;
}

/* Waits for what a socket needs next. 0 or -errno. */
static int server_await(const struct server *server, struct server_channel *channel,
			const struct transport *transport, bool reads)
{
	int op = channel->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	uint32_t events = 0;

	if (reads && transport_takes_more(transport))
		events |= SERVER_READ;
	if (transport_queued(transport))
		events |= EPOLLOUT;
	if (channel->watched && events == channel->events)
		return 0;
	channel->watched = true;
	channel->events = events;
	return server_watch(server, op, transport->fd, events, channel);
}

/* A client that has left has nothing to say until its command has been executed. */
static int server_ignore(const struct server *server, struct server_channel *channel,
			 const struct transport *transport)
{
	if (!channel->watched)
		return 0;
	channel->watched = false;
	return server_watch(server, EPOLL_CTL_DEL, transport->fd, 0, NULL);
}

/* Closes the connection if it is over, and else waits for what it needs next. */
static void server_settle(struct server *server, struct server_instance *instance)
{
	struct session *session = &instance->session;
	bool reads = session->phase != SESSION_CLOSING;
	int error;

	if (server_is_over(session)) {
		server_end(server, instance);
		return;
	}
	if (session->deferred && instance->hung)
		error = server_ignore(server, &instance->main, &session->transport);
	else
		error = server_await(server, &instance->main, &session->transport,
				     reads && !session->deferred);
	if (!error && session->twinned)
		error = server_await(server, &instance->twin, &session->twin, reads);
	if (error)
		server_end(server, instance);
}

/* Accepts without room for the descriptor: frees one for it, so that the peer can be refused. */
static void server_refuse(struct server *server)
{
	int fd;

	log_info("no descriptors left for a connection");
	close(server->reserve);
	fd = accept4(server->options.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	server->reserve = open("/", O_PATH | O_CLOEXEC);
}

static void server_accept(struct server *server)
{
	int fd = accept4(server->options.fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		server_refuse(server);
	else if (fd >= 0 && server_begin(server, fd))
		log_info("no free device for a connection (--devices)");
}

/* One instance with a client: when it has to be looked at again. */
static uint64_t server_tick(struct server *server, struct server_instance *instance, uint64_t now)
{
	uint64_t next;

	server_advance(instance, now);
	server_settle(server, instance);
	if (instance->phase == SERVER_BUSY &&
	    server_deadline(instance, &server->options) <= now && server_expire(instance))
		server_end(server, instance);
	if (instance->phase != SERVER_BUSY)
		return now;
	next = server_deadline(instance, &server->options);
	next = server_earlier(next, session_expire(&instance->session, now));
	return server_earlier(next, device_due(&instance->device));
}

/* One instance without: another takes the place of one that is lost. */
static uint64_t server_wind(struct server *server, struct server_instance *instance, uint64_t now)
{
	uint64_t next = server_instance_wind(instance, now);

	if (!server_instance_is_lost(instance, now))
		return next;
	if (server_open_instance(server, instance->number))
		return now + 1;
	server_instance_retire(&server->lost, instance);
	return CLOCK_NEVER;
}

/* Lets time pass and closes what is overdue; the time to wait for the rest, in ms, or -1. */
static int server_timers(struct server *server)
{
	uint64_t now = clock_now(), next = CLOCK_NEVER;

	server_instance_reap(&server->lost);
	for (uint32_t i = 0; i < server->options.devices; i++) {
		struct server_instance *instance = server->instances[i];

		if (instance->phase == SERVER_BUSY)
			next = server_earlier(next, server_tick(server, instance, now));
		else if (instance->phase == SERVER_WINDING)
			next = server_earlier(next, server_wind(server, instance, now));
	}
	if (next == CLOCK_NEVER)
		return -1;
	if (next <= now)
		return 0;
	return next - now > INT_MAX ? INT_MAX : (int)(next - now);
}

/* Whether an instance is in that phase. */
static bool server_has(const struct server *server, enum server_phase phase)
{
	for (uint32_t i = 0; i < server->options.devices; i++) {
		if (server->instances[i]->phase == phase)
			return true;
	}
	return false;
}

/*
 * Whether a client may be taken now. The next one's VERSION reply says that the last one's DMA has
 * ended, so nobody is taken while an instance winds down, or soon will, unless its memory is
 * fenced; and nobody is refused because the device that is to become free is not quite.
 */
static bool server_may_accept(const struct server *server)
{
	bool room = false, winding = false;

	for (uint32_t i = 0; i < server->options.devices; i++) {
		const struct server_instance *instance = server->instances[i];

		if (instance->hung || (instance->phase == SERVER_WINDING && !instance->fenced))
			return false;
		room |= instance->phase == SERVER_FREE;
		winding |= instance->phase == SERVER_WINDING;
	}
	return room || !winding;
}

/* Polls the listener, or does not. */
static int server_gate(struct server *server)
{
	bool accepts = !server->done && server_may_accept(server);

	if (server->options.fd < 0 || accepts == server->accepts)
		return 0;
	server->accepts = accepts;
	return server_watch(server, EPOLL_CTL_MOD, server->options.fd, accepts ? EPOLLIN : 0,
			    &server_listener);
}

/* What a socket has for us. */
static void server_turn(struct server *server, const struct server_channel *channel,
			uint32_t events)
{
	struct server_instance *instance = channel->instance;

	if (instance != server->instances[0] && server->instances[0]->session.deferred &&
	    fault_on(FAULT_waiting_unmap_stops_all))
		return;
	if (channel == &instance->twin)
		server_serve_twin(instance);
	else
		server_serve(instance, events);
	server_settle(server, instance);
}

/* What epoll has found out. */
static void server_take(struct server *server, const struct epoll_event *event, bool *accepting)
{
	struct server_channel *channel = event->data.ptr;

	if (event->data.ptr == &server_stop)
		server->done = !fault_on(FAULT_sigterm_waits_for_the_client) ||
			       server->instances[0]->phase != SERVER_BUSY;
	else if (event->data.ptr == &server_listener)
		*accepting = true;
	else if (channel == &channel->instance->wake)
		dma_awake(&channel->instance->dma);
	else if (channel->instance->phase == SERVER_BUSY)
		server_turn(server, channel, event->events);
}

/* One round. Connections first, so that their devices are free for whoever is accepted. */
static int server_round(struct server *server)
{
	struct epoll_event events[SERVER_EVENTS];
	int wait = fault_on(FAULT_server_polls_busily) ? 0 : server_timers(server);
	int n, error = server_gate(server);
	bool accepting = false;

	if (error)
		return error;
	/* What this round was waited for may have come in the last lines. */
	if (server->done && !server_has(server, SERVER_WINDING))
		return 0;
	n = epoll_wait(server->epoll, events, SERVER_EVENTS, wait);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++)
		server_take(server, &events[i], &accepting);
	if (accepting && !server->done && server_may_accept(server))
		server_accept(server);
	return 0;
}

/* The end: all clients go, and the threads that worked for them. */
static int server_finish(struct server *server)
{
	int error = 0;

	for (uint32_t i = 0; i < server->options.devices; i++) {
		if (server->instances[i]->phase == SERVER_BUSY)
			server_end(server, server->instances[i]);
	}
	while (!error && server_has(server, SERVER_WINDING))
		error = server_round(server);
	return error;
}

int server_run(struct server *server, int stop_fd)
{
	int error = server_watch(server, EPOLL_CTL_ADD, stop_fd, EPOLLIN, &server_stop);

	while (!error && !server->done)
		error = server_round(server);
	server->done = true;
	if (!error)
		error = server_watch(server, EPOLL_CTL_DEL, stop_fd, 0, NULL);
	return error ? error : server_finish(server);
}

static int server_start(struct server *server)
{
	int flags;

	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	server->reserve = open("/", O_PATH | O_CLOEXEC);
	if (server->epoll < 0 || server->reserve < 0)
		return -errno;
	server->instances = calloc(server->options.devices, sizeof(struct server_instance *));
	if (!server->instances)
		return -ENOMEM;
	for (uint32_t i = 0; i < server->options.devices; i++) {
		int error = server_open_instance(server, i);

		if (error)
			return error;
	}
	if (server->options.connected) {
		int fd = server->options.fd;

		server->options.fd = -1;
		return server_begin(server, fd);
	}
	flags = fcntl(server->options.fd, F_GETFL);
	if (flags < 0 || fcntl(server->options.fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	server->accepts = true;
	return server_watch(server, EPOLL_CTL_ADD, server->options.fd, EPOLLIN, &server_listener);
}

int server_open(struct server **out, const struct server_options *options)
{
	struct server *server = calloc(1, sizeof(*server));
	int error;

	if (!server) {
		close(options->fd);
		return -ENOMEM;
	}
	server->options = *options;
	server->epoll = -1;
	server->reserve = -1;
	error = server_start(server);
	if (error) {
		server_close(server);
		return error;
	}
	*out = server;
	return 0;
}

struct server_instance *server_instance(const struct server *server, uint32_t number)
{
	return server->instances[number];
}

static void server_close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void server_close(struct server *server)
{
	if (!server)
		return;
	for (uint32_t i = 0; server->instances && i < server->options.devices; i++) {
		struct server_instance *instance = server->instances[i];

		if (!instance)
			continue;
		if (instance->phase == SERVER_BUSY)
			server_end(server, instance);
		server_instance_close(instance);
	}
	free(server->instances);
	server_close_fd(server->options.fd);
	server_close_fd(server->epoll);
	server_close_fd(server->reserve);
	free(server);
}
