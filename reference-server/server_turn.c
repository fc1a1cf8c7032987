/* SPDX-License-Identifier: BSD-3-Clause */
/* server_turn.c - see server_turn.h. */
#include "server_turn.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>

#include "clock.h"
#include "fault.h"
#include "log.h"

/* Output that is sent before further commands are taken from the same read. */
#define SERVER_FLUSH_AT ((size_t)256 << 10)
/* Reads in one turn, where descriptors make each of them short. */
#define SERVER_READS 64

uint64_t server_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool server_minds_the_twin(const struct session *session)
{
	return fault_on(FAULT_main_waits_for_the_twin) && session->twinned &&
	       transport_queued(&session->twin);
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

		/*
		 * What was asked of the client by the twin socket is there before the reply to this
		 * command: nothing is asked for a mapping behind the reply to its unmap. It is so
		 * little (SESSION_REQUESTS) that the socket takes it.
		 */
		if (session->twinned && !fault_on(FAULT_twin_follows_the_reply))
			transport_flush(&session->twin);
		if (transport_queued(transport) >= SERVER_FLUSH_AT ||
		    !transport_takes_more(transport))
			transport_flush(transport);
		if (session->phase == SESSION_CLOSING || session->deferred ||
		    !transport_takes_more(transport) || server_minds_the_twin(session))
			break;
		more = transport_next(transport, &msg);
		if (more < 0) {
			log_info("device %u: message size cannot be trusted", instance->number);
			session_advance(session, SESSION_BROKEN);
		}
		if (more <= 0)
			return more == 0;
		dispatch_message(&instance->dispatch, msg);
		device_run(&instance->device);
	}
	return false;
}

void server_serve(struct server_instance *instance, uint32_t events)
{
	struct session *session = &instance->session;
	struct transport *transport = &session->transport;
	bool last = events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR);
	bool idle;
	int n = 1, reads = last ? INT_MAX : SERVER_READS;

	idle = server_execute(instance);
	while (idle && n > 0 && reads-- > 0) {
		n = transport_fill(transport);
		if (n > 0)
			idle = server_execute(instance);
		if (last || transport->fds_ahead ||
		    (fault_on(FAULT_rest_is_awaited) && transport->partial_since != CLOCK_NEVER))
			continue;
		break;
	}
	/* A full queue has been tried; were it to empty now, nothing would call for the rest. */
	if (transport_takes_more(transport))
		transport_flush(transport);
	if (n == 0 || n == -ENOMEM)
		session_advance(session, SESSION_BROKEN);
	/* Nobody is left who could release what holds a command back. */
	instance->hung = session->deferred && events & (EPOLLHUP | EPOLLERR);
	if (instance->hung && !fault_on(FAULT_who_has_left_is_awaited))
		device_abort(&instance->device);
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

void server_serve_twin(struct server_instance *instance)
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

/* The command that waited is executed again, and if that was its end, what came behind it. */
static void server_resume(struct server_instance *instance)
{
	if (instance->session.twinned)
		transport_flush(&instance->session.twin);
	dispatch_resume(&instance->dispatch);
	device_run(&instance->device);
	if (instance->session.deferred)
		return;
	if (instance->hung)
		server_serve(instance, EPOLLHUP);
	else
		server_execute(instance);
}

void server_advance(struct server_instance *instance, uint64_t now)
{
	struct session *session = &instance->session;

	session_expire(session, now);
	if (fault_on(FAULT_round_drops_a_piece))
		session->transport.in.begin = session->transport.in.end;
	device_run(&instance->device);
	if (session->deferred && dma_is_quiet(&instance->dma))
		server_resume(instance);
	if (transport_queued(&session->transport) &&
	    session->transport.stalled_since == CLOCK_NEVER)
		transport_flush(&session->transport);
	if (session->twinned && transport_queued(&session->twin) &&
	    session->twin.stalled_since == CLOCK_NEVER)
		transport_flush(&session->twin);
}

bool server_is_over(const struct session *session)
{
	return session->phase == SESSION_CLOSING &&
	       (session->transport.out_lost || transport_queued(&session->transport) == 0);
}

/* When a socket has to be closed for its silence; CLOCK_NEVER if nothing is awaited. */
static uint64_t server_silence(const struct server_options *options,
			       const struct transport *transport)
{
	uint64_t deadline = CLOCK_NEVER;

	/* While we do not read, an incomplete message is not the peer's fault. */
	if (transport->partial_since != CLOCK_NEVER && transport_takes_more(transport) &&
	    !fault_on(FAULT_half_messages_may_stay))
		deadline = transport->partial_since + options->t_partial;
	if (transport->stalled_since != CLOCK_NEVER)
		deadline = server_earlier(deadline, transport->stalled_since + options->t_idle);
	return deadline;
}

uint64_t server_deadline(const struct server_instance *instance,
			 const struct server_options *options)
{
	const struct session *session = &instance->session;
	uint64_t deadline = server_silence(options, &session->transport);

	if (instance->dma.quiescing)
		deadline = instance->dma.since + options->t_drain;
	if (session->twinned)
		deadline = server_earlier(deadline, server_silence(options, &session->twin));
	return deadline;
}

bool server_expire(struct server_instance *instance)
{
	if (instance->dma.quiescing && fault_on(FAULT_drain_limit_is_success)) {
		device_abort(&instance->device);
		return false;
	}
	log_info("device %u: client or DMA too slow, closing", instance->number);
	if (instance->dma.quiescing)
		server_instance_fence(instance);
	return true;
}
