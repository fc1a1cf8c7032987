/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_engine.h - the slots of the test device together: when they run, the side door.
 *
 * The engine runs in the loop of the server, between commands, and never waits. While a slot is
 * held it looks at the side door, a page that the client may have mapped: that can release a slot
 * while a pending DMA_UNMAP keeps the socket busy.
 *
 * DMA does not ask for bus mastering: the Command register of the configuration space is stored
 * and has no effect here, so that a client which is no virtual machine need not know it.
 */
#ifndef DEVICE_ENGINE_H
#define DEVICE_ENGINE_H

#include "device_slot.h"

/* In BAR2: a code of enum device_step for each slot, and its STATE. */
#define DEVICE_DOOR_RELEASE 0x00
#define DEVICE_DOOR_STATE 0x40

struct device_engine {
	struct device_slot_env env;
	struct device_slot slots[DEVICE_SLOTS];
	bool frozen;		/* queued operations stay queued */
	bool parked;		/* nothing advances: the device is stopped for migration */
	int door;		/* the device's */
	uint32_t shown[DEVICE_SLOTS];	/* STATE at the side door */
};

/* How the module dma tells the engine, which is the owner. */
extern const struct dma_ops device_engine_dma_ops;

/* Idle, with all counters 0. `door` is the file of BAR2, all 0. */
void device_engine_init(struct device_engine *engine, struct irq *irq, struct dma *dma, int door);

/* Lets all slots advance as far as they can, or for a while. */
void device_engine_run(struct device_engine *engine);

/* When the engine has to run again even if nothing happens: 0 at once, CLOCK_NEVER. */
uint64_t device_engine_due(const struct device_engine *engine);

/*
 * Parks the slots, or lets them go on. While parked, an operation whose memory is unmapped is
 * aborted whatever its policy says, as it cannot drain.
 */
void device_engine_park(struct device_engine *engine, bool parked);

/* Starts the armed slots of a mask. */
void device_engine_go(struct device_engine *engine, uint32_t mask);

/* Aborts all operations, without interrupts: reset, or the client is gone. */
void device_engine_stop(struct device_engine *engine);

#endif
