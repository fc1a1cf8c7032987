/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port.h - the test device of the reference server behind libvfio-user's public API.
 *
 * The device itself is the reference server's: registers, slots, hold points, memory of the BARs,
 * the image for migration. What the device stands on there, the modules dma, irq and config, is
 * written anew here, over vfu_*(): dma.c, irq.c and config.c of this folder keep the promises of
 * reference-server/dma.h, irq.h and config.h as far as the device asks for them. So whatever the
 * client sees of sockets, messages, DMA, interrupts and configuration space is the library's.
 */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>

#include <vfio-user/libvfio-user.h>

#include "device.h"

/* One device in a process. */
struct port {
	vfu_ctx_t *ctx;
	struct device device;
	struct dma dma;		/* nothing of it is used here */
	struct irq irq;		/* here only what is pending */
	bool talking;		/* inside a command: the client reads what is sent to it */
	bool quiescing;		/* a command waits until what is held has drained */
	bool attached;		/* there is a client */
	bool realized;		/* the configuration space is complete */
};

extern struct port port;

/* The device on a socket at `path`: 0 or -errno; vdma_close() in either case. */
int vdma_open(const char *path, bool verbose);
void vdma_close(void);

/*
 * Waits until the client says something (true), the slots want to run, `wakeup` is readable (-1:
 * nothing is), or that many ms have passed (-1: for ever).
 */
bool vdma_wait(int wakeup, int most_ms);

/*
 * One command, or a new client. While a command waits for what is held, the library reads
 * nothing; a client that leaves then needs no draining any more. What the library cannot go on
 * from ends the connection, as the next header would be looked for in the wrong place.
 */
void vdma_step(void);

/* Lets the slots run, and answers what has waited for them. */
void vdma_settle(void);

/* Memory for what is held, and the callbacks for mappings: 0 or -errno. */
int port_dma_open(void);
void port_dma_close(void);

/* Nothing is mapped any more: the library will tell so of each range, one by one. */
void port_dma_forget(void);

/* Begins to drain what is held and wants that; whether something still has to be waited for. */
bool port_dma_drain(void);

/* Header, capabilities and the access to what is between them: 0 or -errno. */
int config_open(void);

/* The configuration space is now what a reset brings back. */
void config_keep(void);

/* Tells libvfio-user how many vectors there are: 0 or -errno. */
int irq_open(void);

/* The client is gone, and what was pending for it. */
void irq_detach(struct irq *irq);

#endif
