/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inproc.h - the device instances of the reference server, driven by calls instead of its loop.
 *
 * Everything happens in one thread and in one order: DMA has its turn between two commands, and
 * the time stands still but for inproc_wait(). What the loop of the server would learn from epoll
 * comes from `events`, so this works over sockets and over memory. The same input leads to the
 * same output, however often it is repeated, when it begins with inproc_renew().
 */
#ifndef INPROC_H
#define INPROC_H

#include <stdbool.h>
#include <stdint.h>

#include "server_turn.h"

/* As many as a program has connections. */
#define INPROC_DEVICES 4

/* What epoll would say of the socket: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP. */
typedef uint32_t (*inproc_events)(const struct transport *transport);

struct inproc {
	struct server_options options;
	struct server_instance *instances[INPROC_DEVICES];
	bool used[INPROC_DEVICES];	/* had a client since the devices were new */
	bool renewed[INPROC_DEVICES];	/* was used when inproc_renew() was called last */
	inproc_events events;
	uint64_t now;			/* ms */
};

/* The server as the program has it without options, but for threads; `fd` is -1. */
extern const struct server_options inproc_options;

/* In the build that has faults, takes those that VUC_FAULT names: "a,b". Does an entry find it? */
int inproc_select_fault(void);

/* New devices without clients; takes hold of the clock of the process. 0 or -errno. */
int inproc_open(struct inproc *inproc, inproc_events events);

/* No client is connected. */
void inproc_close(struct inproc *inproc);

/*
 * A client connects: the number of its device, whose socket `fd` is from now on. It may have to
 * wait, in the time of this module, for DMA of a client that has left. -EBUSY if all devices are
 * in use; then `fd` stays the caller's.
 */
int inproc_connect(struct inproc *inproc, int fd);

/* Whether a device has a client. */
bool inproc_is_busy(const struct inproc *inproc, int number);

/* Does what can be done now, or most of it where a device works without end. */
void inproc_serve(struct inproc *inproc);

/*
 * Lets time pass, up to `end` or to the next moment at which something is to be done, and does it.
 * False when `end` is reached.
 */
bool inproc_wait(struct inproc *inproc, uint64_t end);

/* What the commands of a program may have left behind in the devices. */
enum inproc_traces {
	INPROC_NOTHING,
	INPROC_UNMAPS,	/* that there were unmaps: events, and a counter */
	INPROC_ANYTHING,
};

/*
 * Brings the devices that were used back to their first state, and the time. No client is
 * connected.
 */
void inproc_renew(struct inproc *inproc, enum inproc_traces traces);

#endif
