/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_device.h - what the watch asks of the device besides what comes over the sockets; see
 * explore.h.
 *
 * Twice there: explore_device.c looks into the server of this process, and sample_device.c at the
 * registers of one that is somewhere else, where less can be seen, and not at any time.
 */
#ifndef EXPLORE_DEVICE_H
#define EXPLORE_DEVICE_H

#include "explore.h"

struct explore_view {
	uint32_t state;		/* enum device_slot_state */
	uint32_t error;		/* positive; 0: none */
	uint32_t space;		/* PASID + 1, or 0 */
	uint32_t cookie;	/* of its last page request */
	bool pages;		/* it may request pages */
	bool live;
	bool busy;		/* a thread is at it */
	bool pinned;
	bool missing;		/* it has looked a page up and not found it, */
	uint64_t address;	/* this one; where that can be seen */
};

/* The slot as it is now; false: that can not be seen. */
bool explore_view(uint32_t slot, struct explore_view *out);

/* Pages of credit that are taken, or -1; and the status of PRI. false: can not be seen. */
bool explore_credit(int64_t *used, uint16_t *status);

/* Whether page requests or spaces of a client that has gone are left, as far as can be seen. */
bool explore_remembers(void);

/* Two pages of the device's buffer, or NULL. */
const uint8_t *explore_buffer(void);

/* Hold points of an operation that is started, beside those of its scenario. */
uint32_t explore_holds(uint32_t slot);

/* A time of the scenario, in ms, as it is for this server; and whether it only passes by events. */
uint32_t explore_ms(uint32_t ms);
bool explore_owns_time(void);

/* What the registers of all slots add to a sum. */
uint64_t explore_device_sum(uint64_t sum);

#endif
