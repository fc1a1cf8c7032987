/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_watch.h - what the client knows, and what it must never see; see explore.h.
 *
 * Commands are executed in the order in which they are sent, so what each has to be answered with,
 * and what it maps and unmaps, is known when it is sent. A mapping is there for the device from
 * the moment in which it is sent to the reply to what removes it. Violations: explore_violation().
 */
#ifndef EXPLORE_WATCH_H
#define EXPLORE_WATCH_H

#include "explore.h"
#include "message.h"
#include "wire_ext.h"

#define WATCH_COMMANDS 64u
#define WATCH_REQUESTS 16u

/* The device's request for memory, or for pages; in the order in which they came. */
struct watch_request {
	uint16_t id;
	uint16_t command;
	uint32_t channel;
	struct wire_dma_access_attr access;
};

enum watch_group_state {
	WATCH_OUTSTANDING,
	WATCH_ANSWERED,
	WATCH_RETIRED,
};

struct watch_group {
	uint32_t cookie;
	uint32_t space;
	uint32_t pages;
	bool expired;		/* the device has given up */
	bool spared;		/* what retired it makes a late response nobody's fault */
	enum watch_group_state state;
};

/* Nothing was sent, and nothing is mapped. */
void watch_begin(const struct explore_scenario *scenario);

/*
 * A command is about to be sent: takes down what it does. Its id. `last` of the commands that make
 * up the step is the one that the step is about.
 */
uint16_t watch_sent(uint16_t command, const struct explore_step *step, bool last);

/* Takes all that has come and looks at everything. */
void watch_receive(void);

/* Commands without reply; whether the device is stopped as of the last one. */
uint32_t watch_outstanding(void);
bool watch_is_stopped(void);

/* A DMA request or a group by number; NULL if it has not come. */
const struct watch_request *watch_dma(uint32_t number);
const struct watch_group *watch_group(uint32_t number);

/* A DMA request is being answered. */
void watch_answered(uint32_t number);

/* The client has gone, and the device is free: nothing may be accessed any more. */
void watch_end(void);

/* Nothing more is possible: nobody waits for what nobody knows. */
void watch_rest(void);

/* A sum of what was seen and of memory; and a sum to which bytes are added. */
uint64_t watch_sum(void);
uint64_t watch_mix(uint64_t sum, const void *bytes, size_t size);

#endif
