/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * post.h - messages to the server that is measured, and from it, without waiting for replies.
 *
 * What is put is gathered, and sent by post_send; it relies on a server that reads whatever we do.
 * There is one connection (subject.h), which nobody else uses meanwhile.
 */
#ifndef POST_H
#define POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* Gather a message. */
void post_put(const void *message, size_t size);

/* Send what fits of what was gathered; whether some is left. */
bool post_send(void);

/* Read what has come, and give each whole message to `take`. */
void post_receive(void (*take)(const struct wire_header *header, const uint8_t *body));

#endif
