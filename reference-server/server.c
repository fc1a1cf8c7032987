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
#include "commands.h"
#include "dma.h"
#include "feature.h"
#include "fault.h"
#include "log.h"

/* Header, fixed part of an access, and slack: what a message may have beside its data. */
#define SERVER_MESSAGE_EXTRA (16 + 16 + 2048)
/* Output that is sent before further commands are taken from the same read. */
#define SERVER_FLUSH_AT ((size_t)256 << 10)
#define SERVER_EVENTS (2 * SERVER_MAX_DEVICES + 2)
#define SERVER_READ ((uint32_t)EPOLLIN | EPOLLRDHUP)

struct server_instance;

/* One socket of a client, as epoll knows it. */
struct server_channel {
	struct server_instance *instance;
	bool watched;
	uint32_t events;	/* that epoll waits for */
};

/* One device with what belongs to its client, if it has one. */
struct server_instance {
	bool busy;
	unsigned int number;
	struct server_channel main;
	struct server_channel twin;
	struct session session;
	struct version version;
	struct dma dma;
	struct irq irq;
	struct device device;
	struct feature feature;
	void *owners[COMMANDS_OWNERS];
	struct dispatch dispatch;
};

struct server {
	struct server_options options;
	int epoll;
	int reserve;		/* given up for a moment to refuse a connection (EMFILE) */
	bool done;
	struct irq_type irqs[WIRE_IRQ_INDEX_NUM];
	struct server_instance **instances;
};

/* Marks the two descriptors that are no connection. */
static char server_listener, server_stop;

static int server_watch(const struct server *server, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	return epoll_ctl(server->epoll, op, fd, &event) ? -errno : 0;
}

/* The interrupts of the profile, with what was said of them. */
static void server_set_irqs(struct server *server)
{
	const struct server_options *options = &server->options;

	memcpy(server->irqs, device_irq_types(options->profile), sizeof(server->irqs));
	for (int i = 0; i < WIRE_IRQ_INDEX_NUM; i++) {
		if (!server->irqs[i].count)
			continue;
		server->irqs[i].flags |= options->with & SERVER_IRQ_FLAGS;
		server->irqs[i].flags &= ~options->without;
	}
}

/* The device as it is, but for what it was told to do without. */
static void server_leave_out(struct server_instance *instance, uint32_t without)
{
	instance->device.no_reset = without & SERVER_RESET;
	instance->device.migration.no_pre_copy = without & SERVER_PRE_COPY;
	if (without & SERVER_MIGRATION)
		instance->feature.migration = NULL;
	if (without & SERVER_DMA_LOGGING)
		instance->feature.dirty = NULL;
}

static int server_open_instance(struct server *server, unsigned int number)
{
	struct server_instance *instance = calloc(1, sizeof(*instance));
	int error;

	if (!instance)
		return -ENOMEM;
	server->instances[number] = instance;
	instance->number = number;
	instance->main.instance = instance;
	instance->twin.instance = instance;
	irq_init(&instance->irq, server->irqs);
	dma_init(&instance->dma);
	instance->version.offer = &server->options.offer;
	instance->version.session = &instance->session;
	instance->owners[COMMANDS_VERSION] = &instance->version;
	instance->owners[COMMANDS_DMA] = &instance->dma;
	instance->owners[COMMANDS_IRQ] = &instance->irq;
	instance->owners[COMMANDS_REGION] = &instance->device.table;
	instance->owners[COMMANDS_DEVICE] = &instance->device;
	instance->feature.migration = &instance->device.migration;
	instance->feature.dirty = &instance->dma.dirty;
	instance->owners[COMMANDS_FEATURE] = &instance->feature;
	instance->owners[COMMANDS_MIGRATION] = &instance->device.migration;
	instance->dispatch = (struct dispatch){
		.commands = commands_table,
		.count = COMMANDS_COUNT,
		.max_msg_fds = server->options.offer.max_msg_fds,
		.session = &instance->session,
		.owners = instance->owners,
	};
	error = device_open(&instance->device, server->options.profile, &instance->irq,
			    &instance->dma);
	server_leave_out(instance, server->options.without);
	return error;
}

/* The largest message: also a client that has not been told our limit may use the default. */
static size_t server_max_message(const struct server *server)
{
	size_t data = server->options.offer.max_data_xfer_size;

	if (data < WIRE_DEFAULT_MAX_DATA_XFER_SIZE)
		data = WIRE_DEFAULT_MAX_DATA_XFER_SIZE;
	return data + SERVER_MESSAGE_EXTRA;
}

/* Hands the socket to a free instance. -EBUSY if there is none; the socket is taken anyway. */
static int server_begin(struct server *server, int fd)
{
	struct server_instance *instance = NULL;

	for (uint32_t i = 0; i < server->options.devices && !instance; i++) {
		if (!server->instances[i]->busy)
			instance = server->instances[i];
	}
	if (!instance || server_watch(server, EPOLL_CTL_ADD, fd, SERVER_READ, &instance->main)) {
		close(fd);
		return -EBUSY;
	}
	session_open(&instance->session, fd, server_max_message(server));
	instance->session.t_dma = server->options.t_dma;
	dma_attach(&instance->dma, &instance->session);
	region_attach(&instance->device.table, &instance->session.limits);
	device_attach(&instance->device);
	instance->busy = true;
	instance->main.watched = true;
	instance->main.events = SERVER_READ;
	instance->twin.watched = false;
	log_debug("device %u: client connected", instance->number);
	return 0;
}

/* The client is gone: what it gave us goes, the device stays as it is. */
static void server_end(struct server *server, struct server_instance *instance)
{
	device_abort(&instance->device);
	if (!fault_on(FAULT_mappings_outlive_the_client))
		dma_detach(&instance->dma);
	if (!fault_on(FAULT_eventfds_outlive_the_client))
		irq_detach(&instance->irq);
	device_detach(&instance->device);
	region_attach(&instance->device.table, NULL);
	session_close(&instance->session);
	instance->busy = false;
	log_debug("device %u: client gone", instance->number);
	if (server->options.connected)
		server->done = true;
}

/*
 * Executes the messages that are complete, until the replies need the peer to read. Returns
 * whether all have been executed; if not, output is queued and waits for the peer, or it is over.
 */
static bool server_execute(struct server_instance *instance)
{
	struct session *session = &instance->session;
	struct transport *transport = &session->transport;
	struct msg *msg;

	for (;;) {
		int more;

		if (transport_queued(transport) >= SERVER_FLUSH_AT ||
		    !transport_takes_more(transport))
			transport_flush(transport);
		if (session->phase == SESSION_CLOSING || session->deferred ||
		    !transport_takes_more(transport))
			break;
		more = transport_next(transport, &msg);
		if (more < 0) {
			log_info("device %u: message size cannot be trusted", instance->number);
			session_advance(session, SESSION_BROKEN);
		}
		if (more <= 0) {
			transport_flush(transport);
			return more == 0;
		}
		dispatch_message(&instance->dispatch, msg);
		device_run(&instance->device);
	}
	if (session->phase == SESSION_CLOSING || session->deferred)
		transport_flush(transport);
	return false;
}

/*
 * One turn of a connection. Usually one read, which keeps the turns fair; when the peer has left,
 * everything that it sent, so that its device is free before the next connection is accepted.
 */
static void server_serve(struct server_instance *instance, uint32_t events)
{
	struct session *session = &instance->session;
	struct transport *transport = &session->transport;
	bool last = events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR);
	bool idle;
	int n = 1;

	/* Nobody is left who could release what holds a command back. */
	if (session->deferred && events & (EPOLLHUP | EPOLLERR))
		device_abort(&instance->device);
	idle = server_execute(instance);
	while (idle && n > 0) {
		n = transport_fill(transport);
		if (n > 0)
			idle = server_execute(instance);
		if (fault_on(FAULT_rest_is_awaited) && transport->partial_since != CLOCK_NEVER)
			continue;
		if (!last)
			break;
	}
	if (n == 0 || n == -ENOMEM)
		session_advance(session, SESSION_BROKEN);
}

/* The messages that have come by the twin socket; -ENOMEM or -EPROTO if it cannot go on. */
static int server_execute_twin(struct server_instance *instance)
{
	struct transport *twin = &instance->session.twin;
	struct msg *msg;
	int more = 0;

	while (transport_takes_more(twin) && (more = transport_next(twin, &msg)) > 0) {
		dispatch_twin(&instance->dispatch, msg);
		device_run(&instance->device);
	}
	transport_flush(twin);
	return more < 0 ? more : 0;
}

/*
 * One turn of a twin socket. Without it the device is no use to the client, so its end is the end
 * of the connection, behind everything that the client sent on the main socket.
 */
static void server_serve_twin(struct server_instance *instance)
{
	struct transport *twin = &instance->session.twin;
	int n = server_execute_twin(instance);

	if (n == 0 && transport_takes_more(twin)) {
		n = transport_fill(twin);
		if (n > 0)
			n = server_execute_twin(instance) ? -EPROTO : n;
	} else if (n == 0) {
		n = -EAGAIN;
	}
	if (n > 0 || n == -EAGAIN)
		return;
	device_abort(&instance->device);
	server_serve(instance, EPOLLHUP);
	session_advance(&instance->session, SESSION_BROKEN);
}

/* Time has passed: requests without reply end, the device goes on, and what waited for it. */
static void server_advance(struct server_instance *instance, uint64_t now)
{
	struct session *session = &instance->session;
	bool deferred = session->deferred;

	session_expire(session, now);
	device_run(&instance->device);
	if (deferred && !session->deferred)
		server_execute(instance);
	if (transport_queued(&session->transport) &&
	    session->transport.stalled_since == CLOCK_NEVER)
		transport_flush(&session->transport);
	if (session->twinned && transport_queued(&session->twin) &&
	    session->twin.stalled_since == CLOCK_NEVER)
		transport_flush(&session->twin);
}

/* A connection that is closing lives on only to deliver its last replies. */
static bool server_is_over(const struct session *session)
{
	return session->phase == SESSION_CLOSING &&
	       (session->transport.out_lost || transport_queued(&session->transport) == 0);
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

static uint64_t server_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When a socket has to be closed for its silence; CLOCK_NEVER if nothing is awaited. */
static uint64_t server_silence(const struct server *server, const struct transport *transport)
{
	uint64_t deadline = CLOCK_NEVER;

	/* While we do not read, an incomplete message is not the peer's fault. */
	if (transport->partial_since != CLOCK_NEVER && transport_takes_more(transport))
		deadline = transport->partial_since + server->options.t_partial;
	if (transport->stalled_since != CLOCK_NEVER)
		deadline = server_earlier(deadline, transport->stalled_since +
						    server->options.t_idle);
	return deadline;
}

/* When the connection has to be closed, by the client's fault or because DMA does not drain. */
static uint64_t server_deadline(const struct server *server,
				const struct server_instance *instance)
{
	const struct session *session = &instance->session;
	uint64_t deadline = server_silence(server, &session->transport);

	if (instance->dma.unmapping)
		deadline = instance->dma.going_since + server->options.t_drain;
	if (session->twinned)
		deadline = server_earlier(deadline, server_silence(server, &session->twin));
	return deadline;
}

/* Lets time pass and closes what is overdue; the time to wait for the rest, in ms, or -1. */
static int server_timers(struct server *server)
{
	uint64_t now = clock_now(), next = CLOCK_NEVER;

	for (uint32_t i = 0; i < server->options.devices; i++) {
		struct server_instance *instance = server->instances[i];
		uint64_t deadline;

		if (!instance->busy)
			continue;
		server_advance(instance, now);
		server_settle(server, instance);
		if (!instance->busy)
			continue;
		deadline = server_deadline(server, instance);
		if (deadline <= now) {
			log_info("device %u: client or DMA too slow, closing", instance->number);
			server_end(server, instance);
			continue;
		}
		next = server_earlier(next, deadline);
		next = server_earlier(next, session_expire(&instance->session, now));
		next = server_earlier(next, device_due(&instance->device));
	}
	if (next == CLOCK_NEVER)
		return -1;
	if (next <= now)
		return 0;
	return next - now > INT_MAX ? INT_MAX : (int)(next - now);
}

/* What a socket has for us. */
static void server_turn(struct server *server, const struct server_channel *channel,
			uint32_t events)
{
	struct server_instance *instance = channel->instance;

	if (channel == &instance->twin)
		server_serve_twin(instance);
	else
		server_serve(instance, events);
	server_settle(server, instance);
}

/* One round. Connections first, so that their devices are free for whoever is accepted. */
static int server_round(struct server *server)
{
	struct epoll_event events[SERVER_EVENTS];
	int wait = fault_on(FAULT_server_polls_busily) ? 0 : server_timers(server);
	int n = epoll_wait(server->epoll, events, SERVER_EVENTS, wait);
	bool accepting = false;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct server_channel *channel = events[i].data.ptr;

		if (events[i].data.ptr == &server_stop) {
			server->done = !fault_on(FAULT_sigterm_waits_for_the_client) ||
				       !server->instances[0]->busy;
		} else if (events[i].data.ptr == &server_listener) {
			accepting = true;
		} else if (channel->instance->busy) {
			server_turn(server, channel, events[i].events);
		}
	}
	if (accepting && !server->done)
		server_accept(server);
	return 0;
}

int server_run(struct server *server, int stop_fd)
{
	int error = server_watch(server, EPOLL_CTL_ADD, stop_fd, EPOLLIN, &server_stop);

	while (!error && !server->done)
		error = server_round(server);
	return error;
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
	server_set_irqs(server);
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
		if (instance->busy)
			server_end(server, instance);
		device_close(&instance->device);
		free(instance);
	}
	free(server->instances);
	server_close_fd(server->options.fd);
	server_close_fd(server->epoll);
	server_close_fd(server->reserve);
	free(server);
}
