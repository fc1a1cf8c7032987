/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * steady.h - an honest client that goes on while others flood the server: the same few messages
 * over and over, each reply compared with what it has to be, and timed.
 *
 * It runs in a thread of its own over a connected and negotiated socket, which stays the caller's
 * and which nobody else may use between start and stop. Between two rounds it rests, so that it
 * costs the server little. The first reply that is wrong, or does not come, ends it, and
 * steady_stop says which.
 */
#ifndef STEADY_H
#define STEADY_H

#include <stdint.h>

#include "flood.h"

enum steady_flags {
	STEADY_TIMED = 1,	/* how long its reply takes is counted */
	STEADY_AGAIN = 2,	/* is sent again until the reply is as expected */
};

struct steady_step {
	const void *message;	/* header included; the id is filled in */
	const void *expected;	/* what the reply has at `offset` of its payload; NULL = anything */
	uint32_t size;
	uint32_t expected_size;
	uint32_t offset;
	uint32_t flags;		/* enum steady_flags */
	int32_t fd;		/* that goes with the message, the caller's; -1 = none */
	uint32_t reserved;
};

struct steady_result {
	uint64_t rounds;	/* that went well */
	uint64_t timed;		/* replies in the histogram */
	uint64_t longest_ns;
	uint64_t latency[FLOOD_BUCKETS];
	int32_t error;		/* 0; what went wrong first: -ETIMEDOUT, -EPIPE, -EPROTO, -EBADMSG
				 * for another reply than expected, a positive errno of a refusal */
	uint32_t step;		/* in which step */
};

struct steady;

/*
 * Start. The steps, at most 16, are copied, their messages too. `timeout_ms` is the longest time
 * for a reply, and for a step that is sent again. 0 and *out; -EINVAL; -ENOMEM; -EAGAIN.
 */
int steady_start(int fd, const struct steady_step *steps, uint32_t nsteps, int32_t timeout_ms,
		 struct steady **out);

/* Stop, but not before `rounds` went well or one did not; frees it and fills *out. */
void steady_stop(struct steady *steady, uint64_t rounds, struct steady_result *out);

#endif
