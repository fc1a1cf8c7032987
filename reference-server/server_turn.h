/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server_turn.h - what one instance does when its sockets are ready or time has passed.
 *
 * Nothing here waits, or knows how readiness is found out: the loop of the server asks epoll, and
 * whoever drives an instance in another way gives the events that epoll would.
 */
#ifndef SERVER_TURN_H
#define SERVER_TURN_H

#include "server_instance.h"

/*
 * One turn of a connection. Usually one read, which keeps the turns fair; some more while each
 * takes one message only, because of descriptors; and when the peer has left (EPOLLHUP, EPOLLRDHUP
 * or EPOLLERR in `events`), everything that it sent, so that its device is free before the next
 * connection is accepted. The replies go out together.
 */
void server_serve(struct server_instance *instance, uint32_t events);

/*
 * One turn of a twin socket. Without it the device is no use to the client, so its end is the end
 * of the connection, behind everything that the client sent on the main socket.
 */
void server_serve_twin(struct server_instance *instance);

/* Time has passed: requests without reply end, the device goes on, and what waited for it. */
void server_advance(struct server_instance *instance, uint64_t now);

/* A connection that is closing lives on only to deliver its last replies. */
bool server_is_over(const struct session *session);

/*
 * When the connection has to be closed, by the client's fault or because DMA does not drain;
 * CLOCK_NEVER if nothing is awaited.
 */
uint64_t server_deadline(const struct server_instance *instance,
			 const struct server_options *options);

/*
 * A connection is overdue: whether it has to end. What waits for DMA gets no reply, as none would
 * be true.
 */
bool server_expire(struct server_instance *instance);

uint64_t server_earlier(uint64_t a, uint64_t b);

#endif
