/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * driver.h - connections for the entries that send bytes rather than programs.
 *
 * Every message that comes is judged by the envelope checker; what has to be answered is waited
 * for at the end; then the server's accounts are looked at. A finding is printed and ends the
 * process by abort(), so that the engine keeps the input. With VUC_REPLIES in the environment each
 * message that comes is printed as one line, to compare servers and transports.
 */
#ifndef DRIVER_H
#define DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client.h"
#include "link.h"

#define DRIVER_KINDS 16

/* Starts the server and makes the descriptors, the first time; no connection is open. */
void driver_begin(void);

/* A descriptor of a kind, below DRIVER_KINDS; the driver's. They are made once. */
int driver_fd(unsigned int kind);

/* A connection, instead of the one that may have been there. */
void driver_connect(uint32_t connection);
void driver_disconnect(uint32_t connection);
void driver_shutdown(uint32_t connection);
bool driver_is_connected(uint32_t connection);

/* One piece on the main socket (channel 0) or the twin; nothing happens where there is none. */
void driver_send(uint32_t connection, uint32_t channel, const struct client_send *what);

/* A message of our own: VERSION with limits and perhaps a twin socket. */
void driver_negotiate(uint32_t connection, bool twin);

/*
 * A reply without error to a command, of which the body goes out. False if another one came, or
 * the connection has ended.
 */
bool driver_ask(uint32_t connection, uint16_t command, const void *body, size_t size);

/* The last message of a connection, the driver's; NULL if none has come. */
const struct message *driver_last(uint32_t connection);

void driver_tick(uint64_t ms);

/* Takes and judges what has come. */
void driver_receive(void);

/* Prints one line for a message that has come: all of its header, and a sum of its body. */
void driver_tell(uint32_t connection, const struct message *m);

/* The end of an input. True: it has to be done again, to tell whose a descriptor is. */
bool driver_end(void);

/* Prints what was found, and what the process has open; abort(). */
void driver_finding(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* In words, what the server did wrong that has something left of its clients, and the clause. */
void driver_explain(const struct link_left *left, FILE *out);

/* The same as a finding. */
void driver_left(const struct link_left *left) __attribute__((noreturn));

#endif
