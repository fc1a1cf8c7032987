/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore.h - every order of the events of a small scenario: what its parts share.
 *
 * A scenario (explore_scenario.c) is a client of a few threads, each a short list of messages, and
 * a device with a few operations. The world (explore_world.c) has both and the server in this
 * process; it says which events are possible, makes one happen, and says which of them do not
 * depend on one another. The search (explore_search.c) tries all orders. After each event the
 * watch (explore_watch.c) looks whether what came, and what happened to memory, may be.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_THREADS 4u
#define EXPLORE_STEPS 8u
#define EXPLORE_MAPPINGS 6u
#define EXPLORE_SLOTS 3u
#define EXPLORE_FAULTS 4u
#define EXPLORE_EVENTS 32u	/* possible at once; a bit each */
#define EXPLORE_DEPTH 512u	/* of one schedule */

/* What a thread of the client does. */
enum explore_op {
	EXPLORE_END,
	EXPLORE_MAP,		/* mapping `what` */
	EXPLORE_REPLACE,	/* mapping `what`, by mapping `with` */
	EXPLORE_UNMAP,		/* mapping `what` */
	EXPLORE_RANGE,		/* what lies in the first `with` pages of space `what` */
	EXPLORE_ALL,		/* of space `what` */
	EXPLORE_START,		/* slot `what` */
	EXPLORE_RELEASE,	/* slot `what` by the side door, when it is held */
	EXPLORE_RESPOND,	/* to page request `what`, when it has come, with code `with` */
	EXPLORE_INVENT,		/* a response with cookie `what` */
	EXPLORE_ANSWER,		/* DMA request `what`, when it has come, with errno `with` or 0 */
	EXPLORE_RESET,
	EXPLORE_PRI_RESET,	/* Enable 0 and Reset 1 */
	EXPLORE_STOP,
	EXPLORE_RUN,
	EXPLORE_ENABLE,		/* ATS, PRI, PASID, bus master, and credit */
	EXPLORE_NO_MASTER,	/* bus master goes */
	EXPLORE_INFO,
};

struct explore_step {
	enum explore_op op;
	uint32_t what;
	uint32_t with;
};

/* Pages of a space, and of the client's file; `flags` as in DMA_MAP. */
struct explore_mapping {
	uint32_t space;		/* PASID + 1, or 0 */
	uint32_t page;
	uint32_t pages;		/* 0: there is no such mapping */
	uint32_t flags;
	uint32_t file;		/* its first page there */
	bool no_file;		/* by messages */
};

/* Registers of a slot; addresses in bytes. */
struct explore_slot {
	uint32_t cmd;
	uint32_t ctl;
	uint32_t src;
	uint32_t dst;
	uint32_t len;		/* 0: there is no such slot */
	uint32_t mid;
};

struct explore_scenario {
	const char *name;
	const char *rows;	/* of the catalogue of orderings */
	const char *text;
	const char *faults[EXPLORE_FAULTS];	/* of the faulty build, that it finds */
	uint32_t bound;		/* events at the front of which all orders are tried */
	uint32_t cuts;		/* messages of one schedule that come in two pieces */
	uint32_t times;		/* how often time passes */
	uint32_t credit;	/* pages */
	uint32_t pr_timeout;	/* ms; 0: none */
	uint32_t drain_ms;
	bool leaves;		/* the client may go at any point */
	bool twin;
	bool busy;		/* a thread takes an operation and gives it back: two events */
	bool caches;		/* translations */
	bool small;		/* also without reduction, to compare */
	struct explore_mapping mapping[EXPLORE_MAPPINGS];
	struct explore_slot slot[EXPLORE_SLOTS];
	struct explore_step before[EXPLORE_STEPS];	/* in this order, and first */
	struct explore_step thread[EXPLORE_THREADS][EXPLORE_STEPS];
};

extern const struct explore_scenario explore_scenarios[];
extern const uint32_t explore_scenario_count;

enum explore_kind {
	EXPLORE_SEND,	/* a thread of the client does its next step, or sends the rest of it */
	EXPLORE_TAKE,	/* a thread of the device takes an operation */
	EXPLORE_GIVE,	/* and gives it back, one step later */
	EXPLORE_BOTH,	/* the two in one */
	EXPLORE_LOOK,	/* the loop of the server does one round */
	EXPLORE_TIME,	/* nothing happens until something is due */
	EXPLORE_LEAVE,	/* the client goes */
};

struct explore_event {
	uint8_t kind;	/* enum explore_kind */
	uint8_t who;	/* thread of the client, or slot */
	uint8_t cut;	/* SEND: 0: whole, or the rest; else where the message is cut */
};

/* ---- explore_scenario.c ---- */

/* By name, or NULL. */
const struct explore_scenario *explore_find(const char *name);

/* ---- explore_world.c ---- */

/* A new client and what the scenario has before everything else. */
void explore_begin(const struct explore_scenario *scenario);

/* The events that are possible, at most EXPLORE_EVENTS; how many. */
uint32_t explore_enabled(struct explore_event *out);

/* Makes one of them happen and looks at what came of it. */
void explore_happen(struct explore_event event);

/*
 * Whether two possible events can change places: either order leads to the same state, in which the
 * other is still possible. explore_world.c says why.
 */
bool explore_independent(struct explore_event a, struct explore_event b);

/* Nothing more is possible: all that is owed has been paid. A sum of what can be seen. */
uint64_t explore_finish(void);

/* The client is gone, and nothing of it is left. */
void explore_close(void);

/* ---- explore_print.c ---- */

/* An event as a line, in the state in which it is about to happen. */
void explore_tell(struct explore_event event, char *text, size_t size);

/* ---- explore_name.c ---- */

/* "s0.2" and back; false: it is none. */
void explore_name(struct explore_event event, char *text, size_t size);
bool explore_parse(const char *text, struct explore_event *out);

/* ---- explore.c ---- */

/* What must not be: says so, and ends the process. */
void explore_violation(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A line that is printed where a schedule is shown. */
void explore_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
