/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_judge.h - shows a model (model.h) what goes over a connection. Part of client.c.
 *
 * What the client sends is put together to whole messages again, in whatever pieces it goes out,
 * with the descriptors that their first bytes carry; descriptors that come with a later byte may or
 * may not be taken by the server (FD-PASS-002), and are of an unknown kind to the model.
 */
#ifndef CLIENT_JUDGE_H
#define CLIENT_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "model.h"

struct client_judge;

/* A judge that reads these ambiguities strictly, NULL behind the last. -EINVAL for another name. */
int client_judge_new(const char *const *strict, struct client_judge **out);
void client_judge_free(struct client_judge *judge);

/* A piece that goes out in one: the descriptors come with its first byte. */
struct client_judge_piece {
	uint32_t channel;
	const uint8_t *bytes;
	size_t size;
	const int32_t *fds;
	size_t nfds;
};

/* This goes out next. 0 or -ENOMEM. */
int client_judge_sends(struct client_judge *judge, const struct client_judge_piece *piece);

/* This came, and still has its descriptors. 0 or -ENOMEM. */
int client_judge_came(struct client_judge *judge, const struct message *message);

/* The client has said that nothing more comes: the server may close whatever it owes. */
void client_judge_ends(struct client_judge *judge);

/* The server has closed the main socket. */
void client_judge_closed(struct client_judge *judge);

/* From now on things happen that the model does not see: it judges nothing any more. */
void client_judge_stop(struct client_judge *judge);

uint32_t client_judge_findings(const struct client_judge *judge, uint32_t index,
			       struct model_finding *out);

#endif
