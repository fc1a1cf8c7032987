/* SPDX-License-Identifier: BSD-3-Clause */
/* device_events.c - see device_events.h. */
#include "device_events.h"

void device_events_add(struct device_events *events, enum device_event event, uint32_t slot,
		       uint64_t arg)
{
	events->ring[events->head % DEVICE_EVENTS] = (struct device_event_entry){
		.seq = events->head,
		.word = slot << 8 | event,
		.arg = arg,
	};
	events->head++;
}
