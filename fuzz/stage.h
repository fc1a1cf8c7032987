/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stage.h - one client of the server in this process, which decides when the server has its turn.
 *
 * For entries that are about one device, its quotas, and the order of what happens: nothing runs
 * but by the calls below. Every message that comes is judged by the envelope checker, and by the
 * model where that is asked for. What is found goes to driver_finding(), which does not return.
 */
#ifndef STAGE_H
#define STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inproc.h"
#include "message.h"

/* How large the server lets a client become. */
struct stage_limits {
	uint32_t max_dma_maps;
	uint32_t dma_threads;	/* whose turns the caller takes: device_engine_take() */
	bool judged;		/* by the model */
	uint32_t max_pasids;	/* that the client proposes; 0: without the vIOMMU extension */
	struct dma_quotas quotas;
};

/* Starts the server, the first time, and connects a client that has agreed on a version. */
void stage_begin(const struct stage_limits *limits);

/* The device of the client; the module's. */
struct server_instance *stage_server(void);

/* Gives whole messages to the socket, with duplicates of the descriptors for the first of them. */
void stage_send(const void *bytes, size_t size, const int *fd, size_t nfds);

/* The server takes what the socket has, as far as it can, and does nothing else. */
void stage_turn(void);

/* The loop of the server looks at everything, `ms` later. */
void stage_look(uint64_t ms);

/* The next message, the caller's; NULL: there is none, or the server has closed. */
struct message *stage_take(void);

/* Whether the server has closed, and everything that it sent has been taken. */
bool stage_is_over(void);

/* Commands that were sent and not answered, though they have to be. */
uint32_t stage_outstanding(void);

/* The client leaves. The device may still wait for turns of its threads. */
void stage_leave(void);

/*
 * The end of an input, which leaves nothing behind. True: it has to be done again, to tell whose a
 * descriptor is.
 */
bool stage_end(void);

#endif
