/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * transport_socket.h - the three things that a transport does with its socket.
 *
 * They are apart from transport.c, with all the system calls, so that a transport can work over
 * something else. The third is transport_fill(), which transport.h has for everybody.
 */
#ifndef TRANSPORT_SOCKET_H
#define TRANSPORT_SOCKET_H

#include <sys/types.h>

#include "transport.h"

#define TRANSPORT_HEADER sizeof(struct wire_header)

/* Sends up to the next reply with descriptors, once: the number of bytes, or -errno. */
ssize_t transport_send(struct transport *t);

/* Closes the socket. */
void transport_hang_up(struct transport *t);

/* --- what both files use of the buffers (transport.c) ---------------------------------------- */

size_t transport_used(const struct transport_buffer *buffer);

/* Makes room for `size` bytes in all, counted from `begin`. 0 or -ENOMEM. */
int transport_room(struct transport_buffer *buffer, size_t size);

/* The msg_size of the message at the front of `used` input bytes; 0 if it is not there yet. */
size_t transport_head_size(const struct transport *t, size_t used);

#endif
