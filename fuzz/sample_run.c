/* SPDX-License-Identifier: BSD-3-Clause */
/* sample_run.c - see sample_run.h. */
#include "sample_run.h"

#include <string.h>
#include <time.h>

#include "device_bar0.h"
#include "device_slot_flow.h"
#include "explore_device.h"
#include "explore_message.h"
#include "explore_peer.h"
#include "explore_record.h"
#include "explore_watch.h"
#include "sample_device.h"
#include "sample_link.h"

#define RUN_SHORT_MS 1		/* how long an event may be left alone with what it causes */
#define RUN_ALL_HOLDS 0x7fu
#define RUN_MARGIN_MS 5		/* behind a time that passes */

static struct {
	const struct explore_scenario *scenario;
	struct sample_schedule *schedule;
	uint64_t random;
	uint32_t step[EXPLORE_THREADS];
	struct explore_message message;	/* of which a part was sent, */
	size_t sent;			/* so much; 0: there is none */
	uint32_t sender, cuts, times;
	bool left;
} run;

static uint32_t run_random(uint32_t limit)
{
	run.random ^= run.random << 13;
	run.random ^= run.random >> 7;
	run.random ^= run.random << 17;
	return (uint32_t)((run.random >> 32) * limit >> 32);
}

static uint64_t run_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- what is possible ---- */

static bool run_is_held(uint32_t slot)
{
	return (sample_door_state(slot) & 0xff) == SLOT_HELD && run.scenario->slot[slot].len;
}

static bool run_any_held(void)
{
	bool held = false;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++)
		held |= run_is_held(i);
	return held;
}

static const struct explore_step *run_next(uint32_t thread)
{
	return &run.scenario->thread[thread][run.step[thread]];
}

const struct explore_step *sample_rest(uint32_t thread)
{
	uint32_t step = run.step[thread] + (run.sent && run.sender == thread);

	return step < EXPLORE_STEPS ? &run.scenario->thread[thread][step] : NULL;
}

static bool run_may_send(uint32_t thread)
{
	const struct explore_step *step = run_next(thread);

	if (run.step[thread] == EXPLORE_STEPS || step->op == EXPLORE_END)
		return false;
	if (run.sent)
		return run.sender == thread;
	if (step->op == EXPLORE_RELEASE)
		return run_is_held(step->what) && !watch_is_stopped();
	if (step->op == EXPLORE_RESPOND)
		return watch_group(step->what);
	return step->op != EXPLORE_ANSWER || watch_dma(step->what);
}

static bool run_may(struct explore_event event)
{
	switch ((enum explore_kind)event.kind) {
	case EXPLORE_SEND:
		return !run.left && run_may_send(event.who) &&
		       (!event.cut || (!run.sent && run_next(event.who)->op != EXPLORE_RELEASE));
	case EXPLORE_TAKE:
	case EXPLORE_GIVE:
	case EXPLORE_BOTH:
		return !run.left && event.who < EXPLORE_SLOTS && run_is_held(event.who) &&
		       !watch_is_stopped();
	case EXPLORE_TIME:
		return !run.left && run.times < run.scenario->times;
	case EXPLORE_LEAVE:
		return !run.left && run.scenario->leaves;
	case EXPLORE_LOOK:
		break;
	}
	return false;
}

/* Events of one kind, for each who it may be. */
static uint32_t run_list(struct explore_event *out)
{
	static const uint8_t kinds[] = { EXPLORE_SEND, EXPLORE_BOTH, EXPLORE_TIME, EXPLORE_LEAVE };
	uint32_t count = 0;

	for (uint32_t k = 0; k < sizeof(kinds); k++) {
		uint32_t most = kinds[k] == EXPLORE_SEND ? EXPLORE_THREADS :
				kinds[k] == EXPLORE_BOTH ? EXPLORE_SLOTS : 1;

		for (uint32_t who = 0; who < most; who++) {
			struct explore_event event = { kinds[k], (uint8_t)who, 0 };

			if (run_may(event))
				out[count++] = event;
		}
	}
	return count;
}

/* ---- what happens ---- */

/* By the side door where the socket is held back, else by either. */
static void run_release(uint32_t slot, uint32_t code)
{
	uint64_t end = run_ms() + SAMPLE_LONG_MS;

	record_door(slot, code);
	if (!watch_outstanding() && !run.sent && run_random(2)) {
		sample_write(WIRE_REGION_INDEX_BAR0,
			     DEVICE_SLOT_REGISTERS + slot * SLOT_SIZE + SLOT_STEP, code);
		return;
	}
	sample_door_store(slot, code);
	while (!sample_door_is_empty(slot) && run_is_held(slot) && !watch_is_stopped() &&
	       run_ms() < end) {
		sample_wait(RUN_SHORT_MS);
		watch_receive();
	}
	sample_door_store(slot, 0);
}

/* From `run.sent` to `end`, each message for itself, so that it is one in a program as well. */
static void run_send_to(size_t end)
{
	struct wire_header header;
	size_t at = run.sent, next;

	for (; at < end; at = next) {
		next = end;
		if (!run.sent) {
			memcpy(&header, run.message.bytes + at, sizeof(header));
			next = at + header.msg_size < end ? at + header.msg_size : end;
		}
		sample_send(run.message.channel, run.message.bytes + at, next - at,
			    run.sent ? -1 : run.message.fd);
	}
}

static void run_send(uint32_t thread, uint32_t cut)
{
	const struct explore_step *step = run_next(thread);
	size_t end;

	if (!run.sent && step->op == EXPLORE_RELEASE) {
		run_release(step->what, STEP_END);
		run.step[thread]++;
		return;
	}
	if (!run.sent)
		message_of_step(run.scenario, step, &run.message);
	end = message_cut(&run.message, cut);
	if (!run.sent)
		record_sends(&run.message, cut ? end : 0);
	run_send_to(end);
	run.cuts += cut != 0;
	run.sender = thread;
	run.sent = cut ? end : 0;
	run.step[thread] += !cut;
}

/* What came while nothing was done; a wait for what an event causes, and not for ever. */
static void run_settle(void)
{
	uint64_t end = run_ms() + RUN_SHORT_MS;

	do {
		watch_receive();
	} while (watch_outstanding() && !run_any_held() && !run.sent && run_ms() <= end &&
		 !explore_is_over() && (sample_wait(RUN_SHORT_MS) || run_ms() <= end));
}

static void run_pass(void)
{
	uint32_t ms = run.scenario->pr_timeout > run.scenario->drain_ms ? run.scenario->pr_timeout :
									   run.scenario->drain_ms;
	uint64_t end = run_ms() + explore_ms(ms) + RUN_MARGIN_MS;

	run.times++;
	record_time(explore_ms(ms) + RUN_MARGIN_MS);
	while (run_ms() < end && !explore_is_over()) {
		sample_wait((int)(end - run_ms()));
		watch_receive();
	}
	if (!watch_outstanding() && !run.sent && !explore_is_over()) {
		sample_device_look();
		watch_receive();
	}
}

static void run_happen(struct explore_event event)
{
	sample_device_changes();
	run.schedule->events++;
	switch ((enum explore_kind)event.kind) {
	case EXPLORE_SEND:
		run_send(event.who, event.cut);
		break;
	case EXPLORE_TAKE:
	case EXPLORE_GIVE:
	case EXPLORE_BOTH:
		run_release(event.who, run.schedule->follow || run_random(4) ? STEP_NEXT :
									       STEP_END);
		break;
	case EXPLORE_TIME:
		run_pass();
		break;
	case EXPLORE_LEAVE:
		run.left = true;
		record_leaves();
		sample_hang_up();
		return;
	case EXPLORE_LOOK:
		break;
	}
	if (run.schedule->follow || run_random(3))
		run_settle();
	else
		watch_receive();
}

/* ---- schedules ---- */

/* Which of the possible events is next, and where a message is cut. */
static struct explore_event run_choose(const struct explore_event *possible, uint32_t count)
{
	struct explore_event event = possible[run_random(count)];

	/* It ends the schedule, or takes long: less often. */
	if ((event.kind == EXPLORE_LEAVE && run_random(6)) ||
	    (event.kind == EXPLORE_TIME && run_random(2)))
		event = possible[run_random(count)];
	if (event.kind != EXPLORE_SEND || run.cuts == run.scenario->cuts || run.sent)
		return event;
	event.cut = (uint8_t)run_random(4);
	return run_may(event) ? event : (struct explore_event){ event.kind, event.who, 0 };
}

/* Nothing goes on any more, and nothing is owed: that was looked at twice. */
static bool run_is_at_rest(void)
{
	if (watch_outstanding() || run.sent)
		return false;
	for (uint32_t i = 0; i < 2; i++) {
		bool same = sample_device_look();

		if (sample_wait(0) || (i && !same) ||
		    (sample_device_is_busy() && !watch_is_stopped()))
			return false;
	}
	return true;
}

/* Until something is possible, or nothing will be. */
static bool run_awaits(struct explore_event *possible, uint32_t *count)
{
	uint64_t end = run_ms() + SAMPLE_LONG_MS;

	do {
		watch_receive();
		*count = run_list(possible);
		if (*count)
			return true;
		if (explore_is_over() || run_is_at_rest())
			return false;
		if (sample_wait(RUN_SHORT_MS))
			end = run_ms() + SAMPLE_LONG_MS;
	} while (run_ms() < end);
	return false;
}

static void run_end(void)
{
	if (run.left)
		return;
	if (explore_is_over())
		explore_violation("the server has closed the connection");
	if (watch_outstanding())
		explore_violation("%u commands are not answered", watch_outstanding());
	sample_device_look();
	watch_receive();
	watch_rest();
}

/* A schedule that the search has made: what is not possible here is left out. */
static void run_follow(void)
{
	for (uint32_t i = 0; i < run.schedule->count; i++) {
		watch_receive();
		if (run_may(run.schedule->follow[i]))
			run_happen(run.schedule->follow[i]);
		else
			run.schedule->events++;
	}
}

static void run_begin(const struct explore_scenario *scenario)
{
	const struct explore_step *step = scenario->before;
	uint32_t holds[EXPLORE_SLOTS];

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++)
		holds[i] = run.schedule->follow ? RUN_ALL_HOLDS : run_random(RUN_ALL_HOLDS + 1);
	sample_device_begin(scenario, holds);
	sample_connect(run.schedule->path, scenario->twin);
	watch_begin(scenario);
	record_begin(scenario);
	for (uint32_t i = 0; i < EXPLORE_STEPS && step[i].op; i++) {
		message_of_step(scenario, &step[i], &run.message);
		record_sends(&run.message, 0);
		run_send_to(run.message.size);
	}
	while (watch_outstanding() && sample_wait(SAMPLE_LONG_MS))
		watch_receive();
	if (watch_outstanding())
		explore_violation("%u commands are not answered", watch_outstanding());
}

/* The next client of the device has come: so nothing of the one before may happen any more. */
static void run_leave(void)
{
	if (!run.left)
		sample_hang_up();
	sample_connect(run.schedule->path, false);
	watch_end();
	sample_hang_up();
}

void sample_run(const struct explore_scenario *scenario, struct sample_schedule *schedule)
{
	struct explore_event possible[EXPLORE_EVENTS];
	uint32_t count;

	memset(&run, 0, sizeof(run));
	run.scenario = scenario;
	run.schedule = schedule;
	run.random = (schedule->seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	run_begin(scenario);
	if (schedule->follow)
		run_follow();
	while (!run.left && schedule->events < SAMPLE_EVENTS && run_awaits(possible, &count))
		run_happen(run_choose(possible, count));
	run_end();
	run_leave();
}
