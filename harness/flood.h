/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flood.h - one message very many times, as fast as the server takes it: what a hostile client can
 * do to the resources of a server, counted.
 *
 * A flood goes over a connected and negotiated socket, which stays the caller's and which nobody
 * else may use meanwhile. Message number n is a template in which some fields, the strides, depend
 * on n alone, so that what was mapped by one run can be unmapped by another. Its id is n & 0xffff.
 * As many messages as fit go by one sendmsg, and one that carries descriptors by one of its own.
 * Replies are counted by errno and else thrown away, descriptors that come with them as well.
 *
 * A run ends by its counts and never by time, so that whoever measures can do so at known numbers;
 * the timeout says only after which silence the server is given up. What a run leaves behind, a
 * half-sent message or replies that nobody has read, belongs to the next run on the same flood.
 */
#ifndef FLOOD_H
#define FLOOD_H

#include <stdint.h>

#define FLOOD_STRIDES 4
#define FLOOD_ERRORS 8		/* different errnos that are told apart */
#define FLOOD_BUCKETS 160	/* of a histogram: four for each power of two, in nanoseconds */
#define FLOOD_MAX_FDS 253	/* SCM_MAX_FD of the kernel */
#define FLOOD_MAX_WINDOW 32768

enum flood_flags {
	/* Replies are not read; the run ends with -EAGAIN when nothing more fits. */
	FLOOD_UNREAD = 1,
	/* The run ends behind the first reply that is an error. */
	FLOOD_STOP = 2,
};

/* A field of the message: base + step * i, where i is n, or n scattered, modulo period. */
struct flood_stride {
	uint32_t offset;	/* from the start of the message */
	uint32_t width;		/* 1, 2, 4 or 8 */
	uint64_t base;
	uint64_t step;
	uint64_t period;	/* 0 = none */
	uint32_t scatter;	/* 1: neighbours are far apart, none comes twice in 2^k = period */
	uint32_t reserved;
};

struct flood_spec {
	const void *message;	/* the template, header included */
	uint32_t size;
	uint32_t window;	/* most messages without a reply, 1 to FLOOD_MAX_WINDOW */
	uint64_t first;		/* the number of the first message */
	uint64_t count;
	const struct flood_stride *strides;
	uint32_t nstrides;
	uint32_t flags;		/* enum flood_flags */
	const int32_t *fds;	/* are passed in turns; stay the caller's */
	uint32_t nfds;
	uint32_t each;		/* descriptors of one message */
	uint64_t memfd_size;	/* above 0: a new memfd of this size with each message instead */
	int32_t timeout_ms;
	uint32_t reserved;
};

struct flood_error {
	uint64_t count;
	uint32_t error;		/* as in the header of the reply */
	uint32_t reserved;
};

struct flood_result {
	uint64_t sent;		/* whole messages of this run */
	uint64_t succeeded;
	uint64_t refused;
	uint64_t first_refused;	/* number of that message, at most 65535 behind; ~0 = none */
	uint64_t commands;	/* of the server; they are not answered */
	uint64_t bytes;		/* that were received */
	uint64_t elapsed_ns;
	struct flood_error errors[FLOOD_ERRORS];
	uint64_t latency[FLOOD_BUCKETS];	/* of the replies, from the sendmsg on */
	uint64_t waiting;	/* messages of all runs without a reply so far */
};

struct flood;

/* A flood over the socket `fd`, the caller's. 0 and *out, to be freed by flood_free; -ENOMEM. */
int flood_open(int fd, struct flood **out);
void flood_free(struct flood *flood);

/*
 * Send `count` messages and take all replies, of former runs as well. 0; -EPIPE when the server
 * has closed; -ETIMEDOUT when it neither read nor replied for the timeout; -EAGAIN and -ECANCELED
 * as the flags say; -EPROTO when framing is lost; -EINVAL for a spec that makes no sense; -EMFILE
 * and the like for a memfd. *out has what happened, however it ended.
 */
int flood_run(struct flood *flood, const struct flood_spec *spec, struct flood_result *out);

/*
 * Read no more than `bytes` of what the server sends, at most `chunk` by one read: a slow reader.
 * Ends early when nothing is left to wait for. Returns as flood_run.
 */
int flood_read(struct flood *flood, uint64_t bytes, uint32_t chunk, int32_t timeout_ms,
	       struct flood_result *out);

/* The bucket of a time in nanoseconds. */
unsigned int flood_bucket(int64_t ns);

/*
 * Nanoseconds of processor time that this machine now takes for one message of 48 bytes that goes
 * over a socket and comes back, from `rounds` of them: what other costs are compared with. -errno.
 */
int64_t flood_calibrate(uint32_t rounds);

#endif
