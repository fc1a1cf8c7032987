/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_slot_flow.h - the steps of an operation, for the files of a slot that share them: holding,
 * failing, and what it does about pages that it misses.
 */
#ifndef DEVICE_SLOT_FLOW_H
#define DEVICE_SLOT_FLOW_H

#include "device_slot_chunk.h"

/* Bits of CMD beside the operation and its path. */
#define CMD_PAGES (1u << 6)
#define CMD_IRQ (1u << 7)
#define CMD_PASID (1u << 8)
#define CMD_TRANSLATE (1u << 9)
#define CMD_ARMED (1u << 10)
#define CMD_RESERVED (1u << 11)
#define CMD_PASID_SHIFT 12
#define CMD_VIOMMU (CMD_PAGES | CMD_PASID | CMD_TRANSLATE | 0xfffff000u)

/* Fields of CTL: hold points by bit, policy, vector, requests behind the first for one miss. */
enum slot_hold {
	HOLD_PRE,
	HOLD_POST,
	HOLD_MID,
	HOLD_END,
	HOLD_RETIRED,
	HOLD_PREREQ,
	HOLD_POSTRESP,
	HOLDS
};
#define CTL_DRAIN (1u << 8)
#define CTL_VECTOR(ctl) ((ctl) >> 16 & 7)
#define CTL_RETRY(ctl) ((ctl) >> 24)

/* CTL as it is now, not as it was when the operation began. */
uint32_t device_slot_ctl(const struct device_slot *slot);

/* Whether the operation stops here. Each point counts once in an operation. */
bool device_slot_holds(struct device_slot *slot, enum slot_hold point);

/* Ends the operation as FAULT. */
void device_slot_fail(struct device_slot *slot, int error, uint64_t address);

/* Gives all memory back, and what was asked of the client up. */
void device_slot_release(struct device_slot *slot);

/*
 * Whether the operation asks for pages after this error of dma_hold() or, if the client `said` so,
 * of its reply. Then it goes on in PHASE_REQUEST without memory.
 */
bool device_slot_misses(struct device_slot *slot, int error, uint64_t address, bool said);

/* The steps of PHASE_REQUEST and PHASE_RESPONDED; main's. */
void device_slot_request(struct device_slot *slot);
void device_slot_respond(struct device_slot *slot);

/* Whether it waits for a page no longer and may go on. */
bool device_slot_is_granted(const struct device_slot *slot);

/* Forgets what was asked: an operation begins, or comes to rest while it waits. */
void device_slot_forget_pages(struct device_slot *slot);

#endif
