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
#include "fault.h"
#include "log.h"

/* Header, fixed part of an access, and slack: what a message may have beside its data. */
#define SERVER_MESSAGE_EXTRA (16 + 16 + 2048)
/* Output that is sent before further commands are taken from the same read. */
#define SERVER_FLUSH_AT ((size_t)256 << 10)
#define SERVER_EVENTS (SERVER_MAX_DEVICES + 2)
#define SERVER_READ ((uint32_t)EPOLLIN | EPOLLRDHUP)

/* One device with what belongs to its client, if it has one. */
struct server_instance {
	bool busy;
	unsigned int number;
	uint32_t events;	/* that epoll waits for */
	struct session session;
	struct version version;
	struct dma dma;
	struct irq irq;
	struct device device;
	void *owners[COMMANDS_OWNERS];
	struct dispatch dispatch;
};

struct server {
	struct server_options options;
	int epoll;
	int reserve;		/* given up for a moment to refuse a connection (EMFILE) */
	bool done;
	struct server_instance **instances;
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
	struct server_instance *instance = calloc(1, sizeof(*instance));

	if (!instance)
		return -ENOMEM;
	server->instances[number] = instance;
	instance->number = number;
	irq_init(&instance->irq, device_irq_types(server->options.profile));
	dma_init(&instance->dma);
	instance->version.offer = &server->options.offer;
	instance->version.session = &instance->session;
	instance->owners[COMMANDS_VERSION] = &instance->version;
	instance->owners[COMMANDS_DMA] = &instance->dma;
	instance->owners[COMMANDS_IRQ] = &instance->irq;
	instance->owners[COMMANDS_REGION] = &instance->device.table;
	instance->owners[COMMANDS_DEVICE] = &instance->device;
	instance->dispatch = (struct dispatch){
		.commands = commands_table,
		.count = COMMANDS_COUNT,
		.max_msg_fds = server->options.offer.max_msg_fds,
		.session = &instance->session,
		.owners = instance->owners,
	};
	return device_open(&instance->device, server->options.profile, &instance->irq);
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
	if (!instance || server_watch(server, EPOLL_CTL_ADD, fd, SERVER_READ, instance)) {
		close(fd);
		return -EBUSY;
	}
	session_open(&instance->session, fd, server_max_message(server));
	dma_attach(&instance->dma, &instance->session.limits);
	region_attach(&instance->device.table, &instance->session.limits);
	instance->busy = true;
	instance->events = SERVER_READ;
	log_debug("device %u: client connected", instance->number);
	return 0;
}

/* The client is gone: what it gave us goes, the device stays as it is. */
static void server_end(struct server *server, struct server_instance *instance)
{
	if (!fault_on(FAULT_mappings_outlive_the_client))
		dma_detach(&instance->dma);
	if (!fault_on(FAULT_eventfds_outlive_the_client))
		irq_detach(&instance->irq);
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
		if (session->phase == SESSION_CLOSING || !transport_takes_more(transport))
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
	}
	if (session->phase == SESSION_CLOSING)
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
	bool idle = server_execute(instance);
	int n = 1;

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

/* A connection that is closing lives on only to deliver its last replies. */
static bool server_is_over(const struct session *session)
{
	return session->phase == SESSION_CLOSING &&
	       (session->transport.out_lost || transport_queued(&session->transport) == 0);
}

/* Closes the connection if it is over, and else waits for what it needs next. */
static void server_settle(struct server *server, struct server_instance *instance)
{
	struct session *session = &instance->session;
	struct transport *transport = &session->transport;
	uint32_t events = 0;

	if (server_is_over(session)) {
		server_end(server, instance);
		return;
	}
	if (session->phase != SESSION_CLOSING && transport_takes_more(transport))
		events |= SERVER_READ;
	if (transport_queued(transport))
		events |= EPOLLOUT;
	if (events == instance->events)
		return;
	instance->events = events;
	if (server_watch(server, EPOLL_CTL_MOD, transport->fd, events, instance))
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

/* When the connection has to be closed for its silence; CLOCK_NEVER if nothing is awaited. */
static uint64_t server_deadline(const struct server *server, const struct session *session)
{
	const struct transport *transport = &session->transport;
	uint64_t deadline = CLOCK_NEVER;

	/* While we do not read, an incomplete message is not the peer's fault. */
	if (transport->partial_since != CLOCK_NEVER && transport_takes_more(transport))
		deadline = transport->partial_since + server->options.t_partial;
	if (transport->stalled_since != CLOCK_NEVER &&
	    transport->stalled_since + server->options.t_idle < deadline)
		deadline = transport->stalled_since + server->options.t_idle;
	return deadline;
}

/* Closes what is overdue; the time to wait for the rest, in ms, or -1. */
static int server_timers(struct server *server)
{
	uint64_t now = clock_now(), next = CLOCK_NEVER;

	for (uint32_t i = 0; i < server->options.devices; i++) {
		struct server_instance *instance = server->instances[i];
		uint64_t deadline;

		if (!instance->busy)
			continue;
		deadline = server_deadline(server, &instance->session);
		if (deadline <= now) {
			log_info("device %u: client too slow, closing", instance->number);
			server_end(server, instance);
		} else if (deadline < next) {
			next = deadline;
		}
	}
	if (next == CLOCK_NEVER)
		return -1;
	return next - now > INT_MAX ? INT_MAX : (int)(next - now);
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
		struct server_instance *instance = events[i].data.ptr;

		if (events[i].data.ptr == &server_stop) {
			server->done = !fault_on(FAULT_sigterm_waits_for_the_client) ||
				       !server->instances[0]->busy;
		} else if (events[i].data.ptr == &server_listener) {
			accepting = true;
		} else {
			server_serve(instance, events[i].events);
			server_settle(server, instance);
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
