/* SPDX-License-Identifier: BSD-3-Clause */
/* device_slot_page.c - see device_slot.h: pages that an operation misses and asks for. */
#include <errno.h>
#include <string.h>

#include "device_slot_flow.h"
#include "fault.h"

void device_slot_forget_pages(struct device_slot *slot)
{
	slot->miss = -ENOENT;
	slot->said = 0;
	slot->granted = false;
	slot->requests = 0;
	slot->response = 0;
	slot->request.cookie = 0;
	memset(slot->asked, 0, sizeof(slot->asked));
}

bool device_slot_misses(struct device_slot *slot, int error, uint64_t address, bool said)
{
	uint32_t cmd = device_slot_job(slot, SLOT_CMD);

	if (!slot->env->viommu || !(cmd & (CMD_PAGES | CMD_TRANSLATE)) ||
	    (error != -EACCES && error != (said ? -EFAULT : -ENOENT)))
		return false;
	slot->said = said ? slot->move.size : 0;
	slot->miss = error;
	slot->fault_address = address;
	/* It would have to drain what it does not hold. */
	slot->draining = false;
	if (!fault_on(FAULT_page_is_awaited_with_references))
		device_slot_release(slot);
	slot->phase = PHASE_REQUEST;
	return true;
}

/* The pages of a side that the operation misses from where it is, as a range; 0: none. */
static uint32_t slot_missing(struct device_slot *slot, enum device_slot_register side,
			     struct wire_page_range *out)
{
	uint32_t access = side == SLOT_SRC ? WINDOW_READ : WINDOW_WRITE, pages;
	uint64_t address, size = device_slot_job(slot, SLOT_LEN) - slot->offset;

	if (device_slot_address(slot, side, &address))
		return 0;
	pages = dma_missing(slot->env->dma, device_slot_space(slot),
			    &(struct dma_miss){ address, size, access });
	/* The client knows better than the table: it said so of what it was asked to move. */
	if (!pages && slot->said && address == slot->fault_address)
		pages = (uint32_t)((address % DMA_PAGE + slot->said - 1) / DMA_PAGE) + 1;
	*out = (struct wire_page_range){
		.address = address - address % DMA_PAGE,
		.size = pages * DMA_PAGE,
		.perm = access == WINDOW_READ ? WIRE_PAGE_READ : WIRE_PAGE_WRITE,
	};
	return pages;
}

static bool slot_ranges_overlap(const struct wire_page_range *a, const struct wire_page_range *b)
{
	return a->address - b->address < b->size || b->address - a->address < a->size;
}

/* What both sides miss, without overlap. */
static void slot_collect(struct device_slot *slot, struct pri_request *request)
{
	static const enum device_slot_register sides[] = { SLOT_SRC, SLOT_DST };
	uint32_t *count = &request->count;

	*count = 0;
	for (uint32_t i = 0; i < 2; i++) {
		struct wire_page_range *range = &request->range[*count];

		if (!device_slot_has_side(slot, sides[i]) || !slot_missing(slot, sides[i], range))
			continue;
		if (*count && slot_ranges_overlap(&request->range[0], range)) {
			request->range[0].perm |= range->perm;
			continue;
		}
		slot->side[(*count)++] = i;
	}
}

/* Whether one of the misses has been asked for as often as may be. Moving on begins anew. */
static bool slot_is_tired(struct device_slot *slot)
{
	uint32_t limit = CTL_RETRY(device_slot_ctl(slot));

	if (fault_on(FAULT_retries_without_limit))
		limit = UINT32_MAX;
	if (slot->asked_iteration != slot->iteration || slot->asked_offset != slot->offset)
		memset(slot->asked, 0, sizeof(slot->asked));
	slot->asked_iteration = slot->iteration;
	slot->asked_offset = slot->offset;
	for (uint32_t i = 0; i < slot->request.count; i++) {
		if (slot->asked[slot->side[i]] > limit)
			return true;
	}
	return false;
}

void device_slot_request(struct device_slot *slot)
{
	struct pri *pri = &slot->env->dma->pri;
	struct pri_request *request = &slot->request;

	request->space = device_slot_space(slot);
	request->translate_only = device_slot_job(slot, SLOT_CMD) & CMD_TRANSLATE;
	request->timeout = slot->env->pr_timeout;
	if (!pri_permits(pri, request->space)) {
		device_slot_fail(slot, slot->miss, slot->fault_address);
		return;
	}
	if (device_slot_holds(slot, HOLD_PREREQ))
		return;
	slot_collect(slot, request);
	if (!request->count && fault_on(FAULT_miss_is_final))
		device_slot_fail(slot, slot->miss, slot->fault_address);
	else if (!request->count)
		slot->phase = PHASE_PARTS;	/* it has come in between */
	else if (slot_is_tired(slot))
		device_slot_fail(slot, -ELOOP, slot->fault_address);
	else if (pri_ask(pri, request) == 0)
		slot->state = SLOT_WAIT_PAGE;
}

void device_slot_sent(struct device_slot *slot)
{
	slot->requests++;
	slot->response = UINT32_MAX;
	slot->env->counters[COUNTER_REQUESTS]++;
	for (uint32_t i = 0; i < slot->request.count; i++)
		slot->asked[slot->side[i]]++;
	device_slot_event(slot, DEVICE_EVENT_REQ, slot->request.cookie);
}

/* What RESP shows: the code; nothing new where there was no response. */
static uint32_t slot_code(const struct device_slot *slot, int result)
{
	if (result == 0)
		return WIRE_PAGE_SUCCESS;
	if (result == -EFAULT)
		return WIRE_PAGE_INVALID;
	return result == -EIO ? WIRE_PAGE_FAILURE : slot->response;
}

void device_slot_answered(struct device_slot *slot, int result)
{
	slot->response = slot_code(slot, result);
	if (result == 0 || result == -EFAULT)
		device_slot_event(slot, DEVICE_EVENT_RESP, slot->response);
	if (result == 0) {
		slot->granted = true;
		slot->phase = PHASE_RESPONDED;
		return;
	}
	if (result == -ECANCELED)
		device_slot_abort(slot, false);
	else
		device_slot_fail(slot, result == -ENOENT ? slot->miss : result,
				 slot->fault_address);
}

bool device_slot_is_granted(const struct device_slot *slot)
{
	return slot->granted && slot->state == SLOT_WAIT_PAGE && slot->env->master;
}

void device_slot_respond(struct device_slot *slot)
{
	slot->granted = false;
	if (!device_slot_holds(slot, HOLD_POSTRESP))
		slot->phase = PHASE_PARTS;
}
