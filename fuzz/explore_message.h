/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_message.h - the bytes of the steps of a client; see explore.h. */
#ifndef EXPLORE_MESSAGE_H
#define EXPLORE_MESSAGE_H

#include "explore.h"

/* Messages of one step, which are taken down (explore_watch.h) as they are made. */
struct explore_message {
	const struct explore_step *step;
	uint32_t channel;
	int fd;			/* -1: none */
	size_t size;
	size_t head;		/* of these, of the last message that is about the step itself */
	uint8_t bytes[8192];
};

/* One that sends nothing has size 0: it stores to the side door. */
void message_of_step(const struct explore_scenario *scenario, const struct explore_step *step,
		     struct explore_message *out);

/*
 * The bytes that go first when the last message is cut: in its header (1), behind it (2), in its
 * body (3); 0: all of them. One without a body can only be cut in its header.
 */
size_t message_cut(const struct explore_message *whole, uint32_t cut);

#endif
