/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loop_transport.h - the other end of a transport that works over memory.
 *
 * loop_transport.c takes the place of the server's transport_socket.c. The server sees what it
 * would see of a stream socket: bytes in pieces, descriptors that belong to the message with the
 * first byte of their piece, the end of the stream. There is one loop for each transport, known by
 * what transport_open() was given for a socket: a number from loop_new() that is no descriptor,
 * or the server's end of a twin socket, through which nothing goes then.
 *
 * A read takes one message, into memory of exactly its size, so that sanitizers see who reads
 * behind it; every other one takes with it the small messages that are there, too. The client takes
 * everything at once, up to LOOP_KEPT bytes that it does not look at; then it is gone.
 */
#ifndef LOOP_TRANSPORT_H
#define LOOP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inproc.h"
#include "message.h"
#include "transport.h"

#define LOOP_KEPT ((size_t)64 << 20)

struct loop;

/* A new end, and in *socket what transport_open() is to be called with. NULL without memory. */
struct loop *loop_new(int *socket);

/* The server does not take the socket: the end is nobody's. */
void loop_refuse(struct loop *loop);

/* The end of a transport that was opened with a socket of its own, for a new owner; or NULL. */
struct loop *loop_of(const struct transport *transport);

/* The client has gone, and with it what was not received; the end is the caller's no more. */
void loop_free(struct loop *loop);

/*
 * One piece: bytes, and descriptors that are the loop's from now on, also after an error. 0;
 * -EPIPE when the server has closed; -ENOMEM.
 */
int loop_send(struct loop *loop, const void *bytes, size_t size, const int *fd, size_t count);

/* Nothing more will be sent. */
void loop_shut(struct loop *loop);

/*
 * 1 and the next message, which becomes the caller's, of channel `channel`; 0 when the server has
 * closed; -EAGAIN when nothing is there; -EPROTO when what it sent is no message.
 */
int loop_recv(struct loop *loop, uint32_t channel, struct message **out);

/* What of the server's socket is to be looked at (inproc.h). */
uint32_t loop_events(const struct transport *transport);

/* What the commands that were executed since the last call leave behind. */
enum inproc_traces loop_take_traces(void);

#endif
