/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_world.c - see explore.h: the client, the device and the server, and their events.
 *
 * What the loop of the server does is one thread of control: taking messages, rounds, time, and the
 * end of the client depend on one another. What a thread of the device does to an operation
 * between taking it and giving it back touches that operation, the memory that it holds, the
 * device's buffer for two of the operations, and the cache. Hence the relation in
 * explore_independent(); its cases say why. What is left out of account, as nobody waits for it and
 * no invariant is about it: the numbers of events in the device's ring, and counters that are
 * added to.
 */
#include "explore_world.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "device_slot_flow.h"
#include "explore_message.h"
#include "explore_peer.h"
#include "explore_record.h"
#include "explore_watch.h"

/* ms: longer than any time-out of the server, and longer than an operation waits by itself. */
#define WORLD_LONG 100000u
/* ms: how long something that is due in real time may take. */
#define WORLD_MARGIN 20u
/* Rounds in which what a scenario begins with comes to rest. */
#define WORLD_ROUNDS 64u

static struct {
	const struct explore_scenario *scenario;
	uint32_t step[EXPLORE_THREADS];
	struct explore_message message;	/* of which a part was sent, */
	size_t sent;			/* so much; 0: there is none */
	uint32_t sender;
	uint32_t cuts, times;
	struct device_slot *taken[EXPLORE_SLOTS];
	uint32_t stored;		/* codes at the side door, by bit */
	bool left;
} world;

static struct device_engine *world_engine(void)
{
	return &explore_server()->device.bar0.engine;
}

const struct explore_step *world_next(uint32_t thread)
{
	return &world.scenario->thread[thread][world.step[thread]];
}

const struct explore_step *world_rest(uint32_t thread)
{
	uint32_t step = world.step[thread] + world_is_cut(thread);

	return step < EXPLORE_STEPS ? &world.scenario->thread[thread][step] : NULL;
}

bool world_is_cut(uint32_t thread)
{
	return world.sent && world.sender == thread;
}

static bool world_is_waiting(void)
{
	return explore_server()->session.deferred;
}

/* ---- what is possible ---- */

static bool world_may(const struct explore_step *step)
{
	switch (step->op) {
	case EXPLORE_END:
		return false;
	case EXPLORE_RELEASE:
		return world_engine()->slots[step->what].state == SLOT_HELD &&
		       !(world.stored & 1u << step->what);
	case EXPLORE_RESPOND:
		return watch_group(step->what);
	case EXPLORE_ANSWER:
		return watch_dma(step->what);
	case EXPLORE_MAP:
	case EXPLORE_REPLACE:
	case EXPLORE_UNMAP:
	case EXPLORE_RANGE:
	case EXPLORE_ALL:
	case EXPLORE_START:
	case EXPLORE_INVENT:
	case EXPLORE_RESET:
	case EXPLORE_PRI_RESET:
	case EXPLORE_STOP:
	case EXPLORE_RUN:
	case EXPLORE_ENABLE:
	case EXPLORE_NO_MASTER:
	case EXPLORE_INFO:
		break;
	}
	return true;
}

/* As the engine decides it (device_engine.c). */
static bool world_runs(const struct device_slot *slot, enum device_slot_runner by)
{
	const struct device_engine *engine = world_engine();

	if (slot->busy || engine->parked || (engine->stopping && !slot->draining))
		return false;
	if (slot->state == SLOT_QUEUED)
		return !slot->armed && !engine->frozen && by == RUN_BY_MAIN;
	return device_slot_runs(slot, by);
}

/* Whether a round of the loop changes anything. */
static bool world_is_ready(void)
{
	struct server_instance *server = explore_server();
	bool held = false;

	if (server->phase == SERVER_FREE)
		return false;
	if (server->phase == SERVER_WINDING || world.left)
		return dma_is_quiet(&server->dma);
	if ((world_is_waiting() && dma_is_quiet(&server->dma)) ||
	    (server->session.twinned && transport_queued(&server->session.twin)))
		return true;
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (world_runs(&world_engine()->slots[i], RUN_BY_MAIN))
			return true;
		held |= world_engine()->slots[i].state == SLOT_HELD;
	}
	return world.stored && held;
}

static uint64_t world_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t world_due(void)
{
	struct server_instance *server = explore_server();
	uint64_t now = explore_now(), due = CLOCK_NEVER;

	if (server->phase != SERVER_BUSY)
		return due;
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		const struct device_slot *slot = &world_engine()->slots[i];

		if (slot->draining && slot->state == SLOT_HELD)
			due = world_earlier(due, slot->drain_at);
	}
	due = world_earlier(due, pri_expire(&server->dma.pri, now));
	due = world_earlier(due, session_expire(&server->session, now));
	return due == CLOCK_NEVER ? due : due - now;
}

static void world_add(struct explore_event *out, uint32_t *count, enum explore_kind kind,
		      uint32_t who)
{
	out[(*count)++] = (struct explore_event){ (uint8_t)kind, (uint8_t)who, 0 };
}

/* A thread of the client: its next message whole, or a part of it, or the rest. */
static void world_add_send(struct explore_event *out, uint32_t *count, uint32_t thread)
{
	const struct explore_step *step = world_next(thread);

	if (world.sent ? world.sender != thread : !world_may(step))
		return;
	world_add(out, count, EXPLORE_SEND, thread);
	if (world.sent || step->op == EXPLORE_RELEASE || world_is_waiting() ||
	    world.cuts == world.scenario->cuts)
		return;
	for (uint8_t cut = 1; cut <= 3; cut++)
		out[(*count)++] = (struct explore_event){ EXPLORE_SEND, (uint8_t)thread, cut };
}

static void world_add_slot(struct explore_event *out, uint32_t *count, uint32_t number)
{
	if (world.taken[number])
		world_add(out, count, EXPLORE_GIVE, number);
	else if (world_runs(&world_engine()->slots[number], RUN_BY_WORKER))
		world_add(out, count, world.scenario->busy ? EXPLORE_TAKE : EXPLORE_BOTH, number);
}

uint32_t explore_enabled(struct explore_event *out)
{
	bool gone = world.left || explore_is_over();
	uint32_t count = 0;

	for (uint32_t i = 0; i < EXPLORE_THREADS && !gone; i++)
		world_add_send(out, &count, i);
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++)
		world_add_slot(out, &count, i);
	if (world_is_ready())
		world_add(out, &count, EXPLORE_LOOK, 0);
	if (!gone && world.times < world.scenario->times && world_due() != CLOCK_NEVER)
		world_add(out, &count, EXPLORE_TIME, 0);
	if (!gone && world.scenario->leaves)
		world_add(out, &count, EXPLORE_LEAVE, 0);
	return count;
}

/* ---- what happens ---- */

static void world_store(uint32_t slot)
{
	const uint32_t code = STEP_END;
	off_t place = (off_t)(DEVICE_DOOR_RELEASE + slot * sizeof(code));

	if (pwrite(world_engine()->door, &code, sizeof(code), place) != sizeof(code))
		explore_violation("the side door cannot be written");
	world.stored |= 1u << slot;
}

static void world_send(uint32_t thread, uint32_t cut)
{
	const struct explore_step *step = world_next(thread);
	size_t end;

	if (!world.sent && step->op == EXPLORE_RELEASE) {
		record_door(step->what, STEP_END);
		world_store(step->what);
		world.step[thread]++;
		return;
	}
	if (!world.sent)
		message_of_step(world.scenario, step, &world.message);
	end = message_cut(&world.message, cut);
	if (!world.sent)
		record_sends(&world.message, cut ? end : 0);
	explore_send(world.message.channel, world.message.bytes + world.sent, end - world.sent,
		     world.sent ? -1 : world.message.fd);
	world.cuts += cut != 0;
	world.sender = thread;
	world.sent = cut ? end : 0;
	world.step[thread] += !cut;
	explore_turn();
}

static void world_take(uint32_t number)
{
	world_engine()->turn = number;
	world.taken[number] = device_engine_take(world_engine());
	if (world.taken[number] != &world_engine()->slots[number])
		explore_violation("explore: slot %u does not run", number);
}

static void world_give(uint32_t number)
{
	device_engine_give(world_engine(), world.taken[number]);
	world.taken[number] = NULL;
}

/* The loop takes the codes at the door in its next round in which something is held. */
static void world_look(void)
{
	bool held = false;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++)
		held |= world_engine()->slots[i].state == SLOT_HELD;
	explore_look();
	if (held)
		world.stored = 0;
}

/* What of an operation shows that it has moved, and where it would have been held. */
struct world_place {
	uint64_t moved;
	uint64_t phase;
	uint32_t passed;
	uint32_t state;
};

static void world_places(struct world_place *out)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		const struct device_slot *slot = &world_engine()->slots[i];

		out[i] = (struct world_place){ slot->moved, slot->phase, slot->passed,
					       slot->state };
	}
}

/* The hold point at which an operation would stand now, or HOLDS. `passed`: in this event. */
static uint32_t world_point(const struct device_slot *slot, uint32_t passed)
{
	switch (slot->phase) {
	case PHASE_PARTS:
		passed &= 1u << HOLD_PRE | 1u << HOLD_MID | 1u << HOLD_POSTRESP;
		return passed ? (uint32_t)__builtin_ctz(passed) : HOLDS;
	case PHASE_FETCH:
		return passed & 1u << HOLD_POST ? HOLD_POST : HOLDS;
	case PHASE_END:
		return slot->passed & 1u << HOLD_END ? HOLDS : HOLD_END;
	case PHASE_RETIRED:
		return slot->passed & 1u << HOLD_RETIRED ? HOLDS : HOLD_RETIRED;
	case PHASE_REQUEST:
		return slot->passed & 1u << HOLD_PREREQ ? HOLDS : HOLD_PREREQ;
	case PHASE_PRE:
	case PHASE_STORE:
	case PHASE_COUNT:
	case PHASE_MID:
	case PHASE_RESPONDED:
		break;
	}
	return HOLDS;
}

/* A message that is `sent` may make an operation begin again, which is no move of its own. */
static void world_tell(uint32_t number, const struct world_place *from, bool sent)
{
	const struct device_slot *slot = &world_engine()->slots[number];
	const bool live = device_slot_is_live(slot);
	const struct world_place to = { slot->moved, slot->phase, slot->passed, slot->state };
	uint32_t passed = to.passed & ~(from->passed & ~to.passed ? 0 : from->passed);
	uint32_t point = world_point(slot, passed);

	if (memcmp(from, &to, sizeof(to)) == 0 || (sent && !passed))
		return;
	record_moves(number, !live && to.phase == from->phase);
	if (point < HOLDS && live && !slot->unheld && slot->state != SLOT_HELD)
		record_stands(number, point);
}

/* Of all slots, since `before`. */
static void world_tell_all(const struct world_place *before, bool sent)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS && record_is_on(); i++)
		world_tell(i, &before[i], sent);
}

void explore_happen(struct explore_event event)
{
	struct world_place before[EXPLORE_SLOTS];

	world_places(before);
	switch ((enum explore_kind)event.kind) {
	case EXPLORE_SEND:
		world_send(event.who, event.cut);
		break;
	case EXPLORE_TAKE:
		world_take(event.who);
		break;
	case EXPLORE_GIVE:
		world_give(event.who);
		break;
	case EXPLORE_BOTH:
		world_take(event.who);
		world_give(event.who);
		break;
	case EXPLORE_LOOK:
		world_look();
		break;
	case EXPLORE_TIME:
		world.times++;
		record_time(world_due() + WORLD_MARGIN);
		explore_pass(world_due());
		break;
	case EXPLORE_LEAVE:
		world.left = true;
		record_leaves();
		explore_hang_up();
		break;
	}
	world_tell_all(before, event.kind == EXPLORE_SEND);
	watch_receive();
	if (explore_server()->phase == SERVER_FREE)
		watch_end();
}

void explore_begin(const struct explore_scenario *scenario)
{
	const struct explore_step *step = scenario->before;

	memset(&world, 0, sizeof(world));
	world.scenario = scenario;
	explore_connect(scenario->twin);
	watch_begin(scenario);
	record_begin(scenario);
	for (uint32_t i = 0; i < EXPLORE_STEPS && step[i].op; i++) {
		message_of_step(scenario, &step[i], &world.message);
		record_sends(&world.message, 0);
		explore_send(0, world.message.bytes, world.message.size, world.message.fd);
		explore_turn();
		watch_receive();
	}
	for (uint32_t i = 0; i < WORLD_ROUNDS && world_is_ready(); i++) {
		struct world_place before[EXPLORE_SLOTS];

		world_places(before);
		world_look();
		world_tell_all(before, false);
		watch_receive();
	}
}

/* ---- what does not matter ---- */

static bool world_is_slot(struct explore_event event)
{
	return event.kind == EXPLORE_TAKE || event.kind == EXPLORE_GIVE ||
	       event.kind == EXPLORE_BOTH;
}

/* Whether what one part reaches is nothing that the other does. */
static bool world_parts_apart(const struct dma_part *a, const struct dma_part *b)
{
	return !a->held || !b->held || !a->host || !b->host || a->host + a->size <= b->host ||
	       b->host + b->size <= a->host;
}

/*
 * A step of one operation and a step of another: they touch the same only where one writes memory
 * that the other holds, where one fills the device's buffer and the other uses it, and in the
 * cache of the thread.
 */
static bool world_slots_apart(const struct device_slot *a, const struct device_slot *b)
{
	bool fills = device_slot_op(a) == OP_READ || device_slot_op(b) == OP_READ;
	bool uses = (device_slot_op(a) == OP_READ || device_slot_op(a) == OP_WRITE) &&
		    (device_slot_op(b) == OP_READ || device_slot_op(b) == OP_WRITE);

	return !world.scenario->caches && !(fills && uses) &&
	       world_parts_apart(&a->sink, &b->sink) && world_parts_apart(&a->sink, &b->source) &&
	       world_parts_apart(&a->source, &b->sink);
}

/* Messages that make no operation give way that a thread can be at. */
static bool world_spares_busy(const struct explore_step *step, uint32_t slot)
{
	switch (step->op) {
	case EXPLORE_MAP:
	case EXPLORE_INFO:
	case EXPLORE_RELEASE:
	case EXPLORE_INVENT:
	case EXPLORE_ANSWER:
		return true;
	case EXPLORE_RESPOND:
		return step->with != WIRE_PAGE_FAILURE;
	case EXPLORE_START:
		return step->what != slot;
	case EXPLORE_END:
	case EXPLORE_REPLACE:
	case EXPLORE_UNMAP:
	case EXPLORE_RANGE:
	case EXPLORE_ALL:
	case EXPLORE_RESET:
	case EXPLORE_PRI_RESET:
	case EXPLORE_STOP:
	case EXPLORE_RUN:
	case EXPLORE_ENABLE:
	case EXPLORE_NO_MASTER:
		break;
	}
	return false;
}

/*
 * The event of a slot and a message. A first part of a message is only kept, as is all that comes
 * behind a command that waits; that a mapping was sent changes its pages, which only a step of an
 * operation reads. That a thread has an operation is seen by who wants it to give way. What is
 * stored to the side door is for one operation, and waits for the loop.
 */
static bool world_send_apart(struct explore_event slot, struct explore_event send)
{
	const struct explore_step *step = world_next(send.who);
	bool maps = step->op == EXPLORE_MAP || step->op == EXPLORE_REPLACE;
	bool twin = world.scenario->twin && step->op == EXPLORE_ANSWER;
	bool several = step->op == EXPLORE_START || step->op == EXPLORE_ENABLE;
	bool kept = (send.cut && !several) || (world_is_waiting() && !twin);

	if (step->op == EXPLORE_RELEASE)
		return step->what != slot.who;
	if (kept)
		return slot.kind == EXPLORE_TAKE || !maps;
	return slot.kind == EXPLORE_TAKE && world_spares_busy(step, slot.who);
}

bool explore_independent(struct explore_event a, struct explore_event b)
{
	if (world_is_slot(b) && !world_is_slot(a))
		return explore_independent(b, a);
	if (!world_is_slot(a) || world.left)
		return false;
	if (world_is_slot(b)) {
		if (a.who == b.who)
			return false;
		return a.kind == EXPLORE_TAKE || b.kind == EXPLORE_TAKE ||
		       world_slots_apart(&world_engine()->slots[a.who],
					 &world_engine()->slots[b.who]);
	}
	if (b.kind == EXPLORE_SEND)
		return world_send_apart(a, b);
	/* A round for which nothing waits runs what no thread has, or could take. */
	return b.kind == EXPLORE_LOOK && a.kind == EXPLORE_TAKE && !world_is_waiting();
}

/* ---- the end ---- */

/* Whether a command waits for an operation that will let go by itself. */
static bool world_drains(void)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		const struct device_slot *slot = &world_engine()->slots[i];

		if (slot->draining && slot->state == SLOT_HELD)
			return world_is_waiting();
	}
	return false;
}

static bool world_take_any(void)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (!world_runs(&world_engine()->slots[i], RUN_BY_WORKER))
			continue;
		world_take(i);
		return true;
	}
	return false;
}

/* Gives back what was taken, and what can be taken then. */
static void world_drain(void)
{
	do {
		for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
			if (world.taken[i])
				world_give(i);
		}
	} while (!world.left && world_take_any());
}

uint64_t explore_finish(void)
{
	for (uint32_t i = 0; i < WORLD_ROUNDS && world_drains(); i++) {
		explore_pass(world_due());
		world_drain();
		while (world_is_ready())
			world_look();
		watch_receive();
	}
	if (world.left && explore_server()->phase != SERVER_FREE)
		explore_violation("the device of a client that has left is not free");
	if (!world.left && explore_is_over())
		explore_violation("the server has closed the connection");
	if (!world.left && watch_outstanding())
		explore_violation("%u commands are not answered", watch_outstanding());
	if (!world.left)
		watch_rest();
	return watch_sum();
}

void explore_close(void)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (world.taken[i])
			world_give(i);
	}
	if (!world.left)
		explore_hang_up();
	world.left = true;
	world_drain();
	explore_renew();
	watch_receive();
}
