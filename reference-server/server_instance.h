/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server_instance.h - one device with what belongs to its client, from the client's arrival to the
 * last thread that works for it.
 *
 * An instance is free; serves a client; and winds down when the client has gone and threads still
 * come back from its DMA, which takes no longer than a chunk. If it does take longer, the client's
 * memory is taken away from them (fenced), and if even that does not bring them back, the
 * instance is retired: it stays as it is, to the end of the process, and another takes its place.
 */
#ifndef SERVER_INSTANCE_H
#define SERVER_INSTANCE_H

#include "commands.h"
#include "feature.h"
#include "server.h"
#include "version.h"

struct server_instance;

/* One descriptor of an instance, as epoll knows it. */
struct server_channel {
	struct server_instance *instance;
	bool watched;
	uint32_t events;	/* that epoll waits for */
};

enum server_phase {
	SERVER_FREE,
	SERVER_BUSY,		/* has a client */
	SERVER_WINDING,		/* its client has gone */
};

struct server_instance {
	enum server_phase phase;
	unsigned int number;
	bool hung;		/* the client has left, and a command of it still waits */
	bool fenced;		/* the client's memory has been taken away */
	uint64_t since;		/* winding down, or fenced */
	struct server_channel main;
	struct server_channel twin;
	struct server_channel wake;	/* threads tell that they have done */
	struct session session;
	struct version version;
	struct dma dma;
	struct irq_type irqs[WIRE_IRQ_INDEX_NUM];
	struct irq irq;
	struct device device;
	struct feature feature;
	void *owners[COMMANDS_OWNERS];
	struct dispatch dispatch;
	struct server_instance *next;	/* of those that are retired */
};

/* A free instance; `options` outlives it. 0 and *out, or -errno. */
int server_instance_open(struct server_instance **out, const struct server_options *options,
			 unsigned int number);

/* Frees it, or does nothing where threads still work for it. It has no client. */
void server_instance_close(struct server_instance *instance);

/* Takes the socket of a client. */
void server_instance_begin(struct server_instance *instance, int fd,
			   const struct server_options *options);

/* The client is gone: the socket is closed, and what it gave us goes now, or after winding down. */
void server_instance_end(struct server_instance *instance);

/* Aborts all DMA and takes the client's memory away from it, so that not a byte moves any more. */
void server_instance_fence(struct server_instance *instance);

/*
 * Looks whether an instance that winds down is free now, and does what is due. When to look again,
 * or CLOCK_NEVER if it is free.
 */
uint64_t server_instance_wind(struct server_instance *instance, uint64_t now);

/* Whether it has to be replaced. */
bool server_instance_is_lost(const struct server_instance *instance, uint64_t now);

/*
 * Puts an instance that is lost into a list, until server_instance_reap() finds its threads back.
 * Nothing of it is used any more.
 */
void server_instance_retire(struct server_instance **lost, struct server_instance *instance);

/*
 * Frees the instances of the list whose threads have come back after all. Their dma_wake_fd() is
 * polled until then, so each round of the loop is often enough.
 */
void server_instance_reap(struct server_instance **lost);

#endif
