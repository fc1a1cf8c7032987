/* SPDX-License-Identifier: BSD-3-Clause */
/* device_slot_register.c - see device_slot.h: the registers of a slot, and its fault view. */
#include <string.h>

#include "crc.h"
#include "device_slot_flow.h"

/* A new operation, unless one is there. */
static void slot_command(struct device_slot *slot, uint32_t value)
{
	if (device_slot_is_live(slot))
		return;
	slot->reg[SLOT_CMD / 4] = value;
	memcpy(slot->job, slot->reg, sizeof(slot->job));
	slot->state = SLOT_QUEUED;
	slot->armed = value & CMD_ARMED;
	slot->error = 0;
	slot->moved = 0;
	slot->csum = CRC_START;
	slot->fault_address = 0;
	slot->last_seq = 0;
	slot->passed = 0;
	slot->unheld = false;
	slot->iteration = 0;
	slot->offset = 0;
	slot->trouble = 0;
	device_slot_forget_pages(slot);
}

uint32_t device_slot_load(const struct device_slot *slot, uint32_t offset)
{
	switch (offset) {
	case SLOT_CMD:
	case SLOT_STEP:
		return 0;
	case SLOT_STATE:
		return device_slot_status(slot);
	case SLOT_MOVED:
		return (uint32_t)slot->moved;
	case SLOT_CSUM:
		return slot->csum;
	default:
		return slot->reg[offset / 4];
	}
}

void device_slot_store(struct device_slot *slot, uint32_t offset, uint32_t value)
{
	if (offset == SLOT_CMD)
		slot_command(slot, value);
	else if (offset == SLOT_STEP)
		device_slot_step(slot, value);
	else if (offset < SLOT_STATE)
		slot->reg[offset / 4] = value;
}

/* Requests behind the first for what it misses now, or missed last. */
static uint32_t slot_retries(const struct device_slot *slot)
{
	uint32_t most = slot->asked[0] > slot->asked[1] ? slot->asked[0] : slot->asked[1];

	return most ? most - 1 : 0;
}

uint32_t device_slot_fault_view(const struct device_slot *slot, uint32_t offset)
{
	switch (offset) {
	case FAULT_VIEW_ADDRESS:
		return (uint32_t)slot->fault_address;
	case FAULT_VIEW_ADDRESS + 4:
		return (uint32_t)(slot->fault_address >> 32);
	case FAULT_VIEW_COOKIE:
		return slot->request.cookie;
	case FAULT_VIEW_RESP:
		return slot->response;
	case FAULT_VIEW_NREQ:
		return slot->requests;
	case FAULT_VIEW_NRETRY:
		return slot_retries(slot);
	case FAULT_VIEW_LASTSEQ:
		return (uint32_t)slot->last_seq;
	case FAULT_VIEW_LASTSEQ + 4:
		return (uint32_t)(slot->last_seq >> 32);
	default:
		return 0;
	}
}
