/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_slot.h - one slot of the test device: a DMA operation that can be held at named points.
 *
 * An operation is a sequence of chunks, in the order of addresses. Before a chunk is moved, the
 * parts of the client's memory that it lies in are held; they are released at the end of each
 * mapping and of the operation. Bytes count as moved when their chunk has reached its
 * destination. What is told here in registers is described in README.md.
 *
 * A slot advances only in device_slot_run(). An operation that has to go (its memory is unmapped,
 * the device is reset) is aborted at once, or may drain: then it goes on by itself to its end.
 *
 * Where memory is missing an operation may ask the client for it, if CMD says so: it gives back
 * what it holds, keeps what it has moved, and looks the rest up again when the client has answered.
 *
 * Everything here is called with the lock of the environment held. A thread that runs a slot makes
 * it busy and lets the lock go while it looks memory up, copies and computes. Others do not touch
 * the operation of a busy slot: what they want of it is noted, and done behind its chunk.
 */
#ifndef DEVICE_SLOT_H
#define DEVICE_SLOT_H

#include <pthread.h>

#include "device_events.h"
#include "dma.h"
#include "irq.h"

#define DEVICE_SLOTS 8u
#define DEVICE_BUFFER_SIZE 0x10000u

/* Registers of a slot, by offset; src and dst take two. */
enum device_slot_register {
	SLOT_CMD = 0x00,
	SLOT_CTL = 0x04,
	SLOT_SRC = 0x08,
	SLOT_DST = 0x10,
	SLOT_LEN = 0x18,
	SLOT_MID = 0x1c,
	SLOT_BUF = 0x20,
	SLOT_PAT = 0x24,
	SLOT_COUNT = 0x28,
	SLOT_STRIDE = 0x2c,
	SLOT_STATE = 0x30,
	SLOT_MOVED = 0x34,
	SLOT_CSUM = 0x38,
	SLOT_STEP = 0x3c,
	SLOT_SIZE = 0x40,
};

/* Registers of a fault view. */
enum device_fault_register {
	FAULT_VIEW_ADDRESS = 0x00,	/* two */
	FAULT_VIEW_COOKIE = 0x08,
	FAULT_VIEW_RESP = 0x0c,
	FAULT_VIEW_NREQ = 0x10,
	FAULT_VIEW_NRETRY = 0x14,
	FAULT_VIEW_LASTSEQ = 0x18,	/* two */
	FAULT_VIEW_SIZE = 0x20,
};

enum device_slot_state {
	SLOT_IDLE,
	SLOT_QUEUED,
	SLOT_RUN,
	SLOT_HELD,
	SLOT_WAIT_PAGE,
	SLOT_WAIT_MSG,
	SLOT_DONE,
	SLOT_FAULT,
	SLOT_ABORTED,
};

/* Codes of STEP, also at the side door. */
enum device_step {
	STEP_NEXT = 1,		/* to the next hold point */
	STEP_END = 2,		/* to the end */
	STEP_ABORT = 3,
};

/* Counters, in the order of their registers. */
enum device_counter {
	COUNTER_STARTED,
	COUNTER_DONE,
	COUNTER_FAULTED,
	COUNTER_ABORTED,
	COUNTER_REQUESTS,
	COUNTER_RESPONSES,
	COUNTER_BAD_RESPONSES,
	COUNTER_UNMAPS,
	COUNTER_ATC_HITS,
	COUNTER_ATC_DROPS,
	COUNTERS
};

/* What the slots share; the device's. */
struct device_slot_env {
	pthread_mutex_t lock;
	struct dma *dma;
	struct irq *irq;
	bool ats;		/* ATS Enable */
	bool caches;		/* bit 0 of GCTL */
	bool viommu;		/* the bits of CMD for it are known */
	bool pasids;		/* PASID Enable */
	bool master;		/* Bus Master Enable */
	bool by_hand;		/* somebody takes the turns of the threads, step by step */
	bool unmapping;		/* `going` leaves the table, or has left it and is still in use */
	bool replacing;		/* something else has come into its place */
	uint32_t going_space;
	struct range going;
	struct device_events events;
	uint32_t counters[COUNTERS];
	uint32_t drain_ms;
	uint32_t pr_timeout;	/* ms for the response to a page request; 0: any time */
	bool written;		/* `buffer` was, since the last reset */
	uint8_t buffer[DEVICE_BUFFER_SIZE];
};

/* Where an operation is, between two steps. */
enum device_slot_phase {
	PHASE_PRE,
	PHASE_PARTS,
	PHASE_FETCH,
	PHASE_STORE,
	PHASE_COUNT,
	PHASE_MID,
	PHASE_END,
	PHASE_RETIRED,
	PHASE_REQUEST,		/* pages are missed */
	PHASE_RESPONDED,	/* the client has answered */
};

/*
 * Who runs a slot where there are workers: the beginning of an operation and what goes by messages
 * is main's, the rest is theirs.
 */
enum device_slot_runner {
	RUN_BY_ANY,
	RUN_BY_MAIN,
	RUN_BY_WORKER,
};

struct device_slot {
	struct device_slot_env *env;
	uint32_t number;
	uint32_t reg[SLOT_STATE / 4];	/* as written */
	enum device_slot_state state;
	uint32_t hold;			/* the point, while held */
	uint32_t error;			/* positive errno */
	uint64_t moved;
	uint32_t csum;
	uint64_t fault_address;
	uint64_t last_seq;
	/* the operation */
	uint32_t job[SLOT_STATE / 4];	/* registers at its start; CTL is not looked at here */
	enum device_slot_phase phase;
	uint32_t passed;		/* hold points, by bit */
	bool armed;			/* waits for GO */
	bool unheld;			/* STEP_END: no hold point counts any more */
	bool draining;
	uint64_t drain_at;
	bool unsent;			/* waits until a message can be sent */
	uint32_t iteration;
	uint64_t offset;		/* in the iteration */
	struct dma_part source;
	struct dma_part sink;
	struct dma_move move;
	uint32_t chunk;			/* bytes under way */
	int trouble;			/* why the chunk is shorter than it should be, or 0 */
	int miss;			/* why it asks for pages; 0 or -errno */
	uint32_t said;			/* bytes of a move of which the client said that */
	bool granted;			/* the client has answered */
	uint32_t requests;		/* that were sent for it */
	uint32_t response;		/* code of the last; UINT32_MAX: there is none yet */
	uint32_t asked[2];		/* by side, since it has moved on */
	uint32_t asked_iteration;	/* where it was when it asked last */
	uint64_t asked_offset;
	uint32_t side[PRI_RANGES];	/* of each range of the request: 0 source, 1 sink */
	struct pri_request request;
	struct atc *atc;		/* of the thread that runs it, if it may cache */
	bool busy;			/* a worker has it */
	bool to_abort;			/* wishes, for the worker */
	bool to_abort_silently;
	bool to_stop;
	bool to_renew;
	bool barred;			/* looks memory up when nothing is replaced any more */
	uint8_t bytes[DMA_CHUNK];
};

/* Room for the state of a slot at rest (device_slot_save). */
#define DEVICE_SLOT_IMAGE 112u

/* All zero and idle. */
void device_slot_init(struct device_slot *slot, struct device_slot_env *env, uint32_t number);

/* The number of the space that its operation is in: PASID + 1, or 0. */
uint32_t device_slot_space(const struct device_slot *slot);

/* Whether an operation is under way, or waits. */
bool device_slot_is_live(const struct device_slot *slot);

/* One register, 32 bits; `offset` is a multiple of 4 below SLOT_SIZE. Never fails. */
uint32_t device_slot_load(const struct device_slot *slot, uint32_t offset);
void device_slot_store(struct device_slot *slot, uint32_t offset, uint32_t value);

/* One register of the fault view, below FAULT_VIEW_SIZE. */
uint32_t device_slot_fault_view(const struct device_slot *slot, uint32_t offset);

/* The value of STATE. */
uint32_t device_slot_status(const struct device_slot *slot);

void device_slot_step(struct device_slot *slot, uint32_t code);

/* GO has been written with this slot's bit. */
void device_slot_go(struct device_slot *slot);

/* Lets a queued operation begin. */
void device_slot_begin(struct device_slot *slot);

/* Whether the slot can advance, and by whom. */
bool device_slot_runs(const struct device_slot *slot, enum device_slot_runner by);

/*
 * Advances up to the next stable state, or for a while: the state stays SLOT_RUN then. Also ends
 * where somebody else has to go on.
 */
void device_slot_run(struct device_slot *slot, enum device_slot_runner by);

/* Around what a worker does without the lock; nothing happens in a slot that is not busy. */
static inline void device_slot_leave(struct device_slot *slot)
{
	if (slot->busy)
		pthread_mutex_unlock(&slot->env->lock);
}

static inline void device_slot_enter(struct device_slot *slot)
{
	if (slot->busy)
		pthread_mutex_lock(&slot->env->lock);
}

/*
 * Ends the operation, if there is one, as ABORTED; `silently` without interrupt. Bytes that have
 * arrived are counted first.
 */
void device_slot_abort(struct device_slot *slot, bool silently);

/*
 * The device stops for migration. An operation that is held with memory aborts or begins to
 * drain, as its policy says; any other comes to rest at the end of its chunk without memory, a
 * message under way is given up and its chunk done again later. To be called until no slot is
 * busy or draining.
 */
void device_slot_stop(struct device_slot *slot);

/* A slot at rest as bytes, and back: 0, or -EINVAL if that is no such state. */
void device_slot_save(const struct device_slot *slot, uint8_t *image);
int device_slot_restore(struct device_slot *slot, const uint8_t *image);

/*
 * What is `going` is being unmapped: an operation that holds a part of it aborts or begins to
 * drain. Where it is replaced, one that is not held looks it up again behind its chunk, and waits
 * with that until it is all over.
 */
void device_slot_unmap(struct device_slot *slot);

/* What was being unmapped is not held any more, by nobody. */
void device_slot_quiet(struct device_slot *slot);

/* Its page request was sent, and is over: see pri_ops. */
void device_slot_sent(struct device_slot *slot);
void device_slot_answered(struct device_slot *slot, int result);

/* The message of the operation's move has come back: dma_ops.moved. */
void device_slot_moved(struct device_slot *slot, int result);

#endif
