/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * server.h - connections, device instances, and the loop that serves them.
 *
 * One thread waits for everything and blocks on nothing else; the threads of a device's DMA belong
 * to one client and end with it. There is a fixed pool of device instances. A new connection takes
 * the lowest free one, and one that finds none is closed at once. A device keeps its state when
 * its client leaves, and only its mappings and descriptors go. In each round the ends of
 * connections are handled before one new connection is accepted, and none is accepted while DMA of
 * a client that is gone comes to its end. So a client that comes back finds its device, and
 * nothing of what was before writes to memory any more.
 */
#ifndef SERVER_H
#define SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "version.h"

/* What a device may have or not, by bit. The first bits are the flags of its interrupts. */
#define SERVER_IRQ_FLAGS (WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE | \
			  WIRE_IRQ_INFO_AUTOMASKED | WIRE_IRQ_INFO_NORESIZE)
#define SERVER_RESET (1u << 8)
#define SERVER_MIGRATION (1u << 9)
#define SERVER_PRE_COPY (1u << 10)
#define SERVER_DMA_LOGGING (1u << 11)

/* So many that the events of all fit one call. */
#define SERVER_MAX_DEVICES 62

struct server_options {
	int fd;			/* listening, or one connected socket; the server's from now on */
	bool connected;		/* the latter: the server ends with that connection */
	uint32_t devices;	/* instances, 1 to SERVER_MAX_DEVICES */
	enum device_profile profile;
	uint32_t with;		/* SERVER_IRQ_FLAGS that all interrupts have beyond the profile */
	uint32_t without;	/* SERVER_* that the device has not in spite of it */
	struct version_offer offer;
	uint64_t t_partial;	/* ms from the first byte of a message to its last */
	uint64_t t_idle;	/* ms for which the peer may not take a byte of its replies */
	uint64_t t_dma;		/* ms for its reply to a DMA message; then the operation fails */
	uint64_t t_drain;	/* ms that a command may wait for DMA; then the connection ends */
	uint32_t dma_threads;	/* of each device; 0: DMA has its turn between two commands */
	struct dma_quotas quotas;	/* of each client */
};

struct server;

/* 0 and *out, which server_close() frees, or -errno; options->fd is closed in either case. */
int server_open(struct server **out, const struct server_options *options);

/*
 * Serves until `stop_fd` becomes readable or, for a connected socket, until the client leaves: 0.
 * -errno if the system fails us.
 */
int server_run(struct server *server, int stop_fd);

/*
 * Instance `number`, for whoever counts what it has; the server's. Only while server_run() does not
 * run.
 */
struct server_instance *server_instance(const struct server *server, uint32_t number);

/* Ends all connections and frees everything. NULL is allowed. */
void server_close(struct server *server);

#endif
