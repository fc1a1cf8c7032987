/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_slot_chunk.h - the two halves of a chunk of a slot's operation: fetch and store.
 *
 * A chunk is fetched into the slot's bytes and stored from there, so that what a message brings and
 * what is copied take the same way. Each half may be memory of the client, or the device's own.
 */
#ifndef DEVICE_SLOT_CHUNK_H
#define DEVICE_SLOT_CHUNK_H

#include "device_slot.h"

enum device_slot_operation {
	OP_NOP,
	OP_READ,
	OP_WRITE,
	OP_COPY,
	OP_TOUCH,
	OP_FILL,
	OP_CHECK,
	OPS
};

/* Something has happened to its operation. */
void device_slot_event(struct device_slot *slot, enum device_event event, uint64_t arg);

/* A register as it was when the operation began. */
uint32_t device_slot_job(const struct device_slot *slot, enum device_slot_register offset);

enum device_slot_operation device_slot_op(const struct device_slot *slot);

/* What CMD says; may be more than DMA_MESSAGES. */
uint32_t device_slot_path(const struct device_slot *slot);

/* Whether a side, SLOT_SRC or SLOT_DST, is memory of the client. */
bool device_slot_has_side(const struct device_slot *slot, enum device_slot_register side);

/* Where a side of this iteration is at; -ENOENT behind the end of the address space. */
int device_slot_address(const struct device_slot *slot, enum device_slot_register side,
			uint64_t *out);

/*
 * Sees to it that the memory where the operation is, is held on both sides. 0, or what dma_hold()
 * says of *address. What goes by messages is pinned too until device_slot_unpin(), so that the
 * caller can look for an unmap that came in between.
 */
int device_slot_reach(struct device_slot *slot, uint64_t *address);
void device_slot_unpin(struct device_slot *slot);

/* Whether messages would move a chunk. What waits for the client cannot drain. */
bool device_slot_needs_client(const struct device_slot *slot);

/* Passes over what is held of the source. */
void device_slot_skip(struct device_slot *slot);

/*
 * The two halves. 0; -EINPROGRESS: the slot is SLOT_WAIT_MSG, and either device_slot_moved() will
 * be called, or the half has to be repeated if `unsent`; an error of which nothing came over.
 * When less than the chunk came over, `chunk`, `trouble` and `fault_address` say so.
 */
int device_slot_chunk_fetch(struct device_slot *slot);
int device_slot_chunk_store(struct device_slot *slot);

/* The result of a move, of which device_slot_moved() was told: 0 or its error, as above. */
int device_slot_arrived(struct device_slot *slot, int result);

#endif
