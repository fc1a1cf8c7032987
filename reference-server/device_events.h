/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_events.h - what happened in the test device, in order: a ring of the last 128 events.
 */
#ifndef DEVICE_EVENTS_H
#define DEVICE_EVENTS_H

#include <stdint.h>

#define DEVICE_EVENTS 128u

enum device_event {
	DEVICE_EVENT_START = 1,		/* arg: CMD */
	DEVICE_EVENT_REF = 2,		/* a part is held; arg: its address */
	DEVICE_EVENT_XLAT = 3,		/* arg: bytes of it that one mapping has */
	DEVICE_EVENT_FIRST = 4,		/* before the first byte; arg: 0 */
	DEVICE_EVENT_LAST = 5,		/* behind the last byte; arg: their number */
	DEVICE_EVENT_RETIRE = 6,	/* no part is held any more; arg: bytes so far */
	DEVICE_EVENT_REPORT = 7,	/* the end; arg: STATE */
	DEVICE_EVENT_REQ = 8,		/* pages were requested; arg: cookie */
	DEVICE_EVENT_RESP = 9,		/* the client has answered; arg: code */
	DEVICE_EVENT_UNMAP_BEGIN = 10,	/* arg: address; in slot 0, as all below */
	DEVICE_EVENT_UNMAP_QUIET = 11,	/* arg: address */
	DEVICE_EVENT_IRQ = 12,		/* of the slot; arg: vector */
	DEVICE_EVENT_RESET = 13,
	DEVICE_EVENT_STOP = 14,		/* for migration; arg: 0 */
};

/* One entry, as the client reads it. */
struct device_event_entry {
	uint32_t seq;		/* number of the event, from 0 */
	uint32_t word;		/* PASID << 12 | slot << 8 | enum device_event */
	uint64_t arg;
};
_Static_assert(sizeof(struct device_event_entry) == 16, "an entry has four registers");

struct device_events {
	struct device_event_entry ring[DEVICE_EVENTS];
	uint32_t head;		/* events so far: the number of the next one */
};

void device_events_add(struct device_events *events, enum device_event event, uint32_t slot,
		       uint64_t arg);

#endif
