/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_peer.h - the server in this process, and the two ends of its sockets; see explore.h.
 *
 * Nothing runs but by the calls below. There is one client at a time.
 */
#ifndef EXPLORE_PEER_H
#define EXPLORE_PEER_H

#include "inproc.h"
#include "message.h"

/* Starts the server, the first time, and connects a client that has agreed on the extension. */
void explore_connect(bool twin);

struct server_instance *explore_server(void);

/* Gives bytes to a socket, 1 is the twin, with a duplicate of the descriptor if it is not -1. */
void explore_send(uint32_t channel, const void *bytes, size_t size, int fd);

/* The server takes what its sockets have, as far as it can, and does nothing else. */
void explore_turn(void);

/* One round of its loop: time has not passed, and what is due is done once. */
void explore_look(void);

/* Its time; and `ms` pass. */
uint64_t explore_now(void);
void explore_pass(uint64_t ms);

/* The next message of the twin, else of the main socket, the caller's; NULL: none. */
struct message *explore_take(void);

/* Whether the server has closed and all that it sent was taken. */
bool explore_is_over(void);

/* The client is gone. The device may still wait for its threads. */
void explore_hang_up(void);

/* The server is as it was before the first client; a violation if it is not. */
void explore_renew(void);

#endif
