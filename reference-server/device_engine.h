/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_engine.h - the slots of the test device together: when they run, the side door.
 *
 * Slots are run by threads of the engine, or without any, by the loop of the server between
 * commands: then everything happens in one order. In both cases what goes by messages is run by the
 * loop, and the loop never waits for a thread. While a slot is held the loop looks at the side
 * door, a page that the client may have mapped: that can release a slot while a pending DMA_UNMAP
 * keeps the socket busy.
 *
 * Threads exist from the first operation of a client until it has left. One lock guards the engine
 * and its slots (device_slot.h); functions take it themselves, and callers of device_slot_*()
 * functions hold it.
 *
 * DMA does not ask for bus mastering: the Command register of the configuration space has no effect
 * on it, so that a client which is no virtual machine need not know it. Only page requests do.
 */
#ifndef DEVICE_ENGINE_H
#define DEVICE_ENGINE_H

#include "device_slot.h"
#include "thread.h"

/* In BAR2: a code of enum device_step for each slot, and its STATE. */
#define DEVICE_DOOR_RELEASE 0x00
#define DEVICE_DOOR_STATE 0x40

/* The most threads of an engine: more than slots have nothing to do. */
#define DEVICE_MAX_THREADS DEVICE_SLOTS

struct device_engine {
	struct device_slot_env env;
	struct device_slot slots[DEVICE_SLOTS];
	bool frozen;		/* queued operations stay queued */
	bool parked;		/* nothing advances: the device is stopped for migration */
	bool stopping;		/* only what drains advances */
	bool awaited;		/* the loop is to be woken when no slot is busy */
	bool rests;		/* as of the last look; of the loop alone, which needs no lock */
	int door;		/* the device's */
	uint32_t shown[DEVICE_SLOTS];	/* STATE at the side door */
	uint32_t wanted;	/* threads; 0: the loop runs the slots */
	uint32_t threads;	/* that there are */
	struct thread thread[DEVICE_MAX_THREADS];
	pthread_cond_t work;	/* a slot can be run, or `dismissed` */
	bool dismissed;
	uint32_t arrived;	/* threads that have taken a number, from 1 on */
	struct atc atc[DEVICE_MAX_THREADS + 1];	/* by number; 0 is the loop's */
	uint32_t turn;		/* the slot that is next */
};

/* How the modules dma and pri tell the engine, which is the owner. */
extern const struct dma_ops device_engine_dma_ops;
extern const struct pri_ops device_engine_pri_ops;

/* Idle, with all counters 0, and without threads. `door` is the file of BAR2, all 0. */
void device_engine_init(struct device_engine *engine, struct irq *irq, struct dma *dma, int door);

/* The state of the beginning, but for threads. No operation is under way. */
void device_engine_reset(struct device_engine *engine);

/* How many threads run the slots of the next client, at most DEVICE_MAX_THREADS. */
void device_engine_staff(struct device_engine *engine, uint32_t threads);

/* Ends the threads; no slot is busy. */
void device_engine_dismiss(struct device_engine *engine);

/* Gets threads out of copies that go nowhere; the windows are fenced. */
void device_engine_interrupt(struct device_engine *engine);

/* Whether a thread has not come back from a slot; if so the loop will be woken when it does. */
bool device_engine_is_busy(struct device_engine *engine);

/*
 * The turn of a thread, where there are none though they are wanted (device_slot_env.by_hand): what
 * would run next is busy from now on, or NULL; it does one step, and is not busy any more.
 */
struct device_slot *device_engine_take(struct device_engine *engine);
void device_engine_give(struct device_engine *engine, struct device_slot *slot);

/*
 * ATS Enable, without which nothing is cached; PASID Enable, without which operations with a PASID
 * are not begun; and Bus Master Enable, without which one that waited for a page does not go on.
 */
struct device_engine_switches {
	bool ats;
	bool pasids;
	bool master;
};
void device_engine_enable(struct device_engine *engine, struct device_engine_switches on);

/* Whether threads cache translations; with the lock held. */
void device_engine_cache(struct device_engine *engine, bool on);

/* Lets all slots advance as far as they can, or for a while. */
void device_engine_run(struct device_engine *engine);

/* When the engine has to run again even if nothing happens: 0 at once, CLOCK_NEVER. */
uint64_t device_engine_due(struct device_engine *engine);

/* A slot may have something to do from now on. */
void device_engine_stir(struct device_engine *engine);

/* Parks the slots, or lets them go on; parked slots hold no memory and send nothing. */
void device_engine_park(struct device_engine *engine, bool parked);

/* Starts the armed slots of a mask; with the lock held. */
void device_engine_go(struct device_engine *engine, uint32_t mask);

/* Something happened that concerns no slot. */
void device_engine_event(struct device_engine *engine, enum device_event event);

/*
 * Aborts all operations, without interrupts: reset, or the client is gone. Those that threads are
 * at end behind their chunk.
 */
void device_engine_stop(struct device_engine *engine);

#endif
