/* SPDX-License-Identifier: BSD-3-Clause */
/* device_engine.c - see device_engine.h. */
#include "device_engine.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"

/* Between two looks at the side door, in ms: nothing tells that the client stored to it. */
#define ENGINE_DOOR_MS 2

/* Which thread of its engine this is: 0 is the loop. */
static _Thread_local uint32_t engine_number;

void device_engine_init(struct device_engine *engine, struct irq *irq, struct dma *dma, int door)
{
	memset(engine, 0, sizeof(*engine));
	pthread_mutex_init(&engine->env.lock, NULL);
	pthread_cond_init(&engine->work, NULL);
	engine->env.irq = irq;
	engine->env.dma = dma;
	engine->door = door;
	device_engine_reset(engine);
}

static void engine_lock(struct device_engine *engine)
{
	pthread_mutex_lock(&engine->env.lock);
}

static void engine_unlock(struct device_engine *engine)
{
	pthread_mutex_unlock(&engine->env.lock);
}

void device_engine_reset(struct device_engine *engine)
{
	struct device_slot_env *env = &engine->env;

	engine_lock(engine);
	device_engine_cache(engine, false);
	memset(&env->events, 0, sizeof(env->events));
	memset(env->counters, 0, sizeof(env->counters));
	if (env->written)
		memset(env->buffer, 0, sizeof(env->buffer));
	env->written = false;
	env->drain_ms = 0;
	engine->frozen = false;
	engine->parked = false;
	engine->stopping = false;
	engine->rests = false;
	memset(engine->shown, 0, sizeof(engine->shown));
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_init(&engine->slots[i], env, i);
	engine_unlock(engine);
}

/* Drops what is cached of a range of a space, HAZARD_ANY of all. */
static void engine_drop(struct device_engine *engine, uint32_t space, struct range range)
{
	struct device_slot_env *env = &engine->env;

	for (uint32_t i = 0; i <= DEVICE_MAX_THREADS && env->viommu; i++)
		env->counters[COUNTER_ATC_DROPS] +=
			atc_drop(&engine->atc[i], space, range.first / DMA_PAGE,
				 range_last(range) / DMA_PAGE);
}

static void engine_drop_all(struct device_engine *engine)
{
	const struct range everything = { 0, 0 };

	hazard_put_aside(&engine->env.dma->hazards);
	engine_drop(engine, HAZARD_ANY, everything);
}

void device_engine_enable(struct device_engine *engine, struct device_engine_switches on)
{
	engine_lock(engine);
	if (engine->env.ats != on.ats)
		engine_drop_all(engine);
	engine->env.ats = on.ats;
	engine->env.pasids = on.pasids;
	engine->env.master = on.master;
	engine_unlock(engine);
}

void device_engine_cache(struct device_engine *engine, bool on)
{
	if (engine->env.caches != on)
		engine_drop_all(engine);
	engine->env.caches = on;
}

static bool engine_holds(const struct device_engine *engine)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (engine->slots[i].state == SLOT_HELD)
			return true;
	}
	return false;
}

/* Takes the codes that the client has stored, each once. */
static void engine_look_at_door(struct device_engine *engine)
{
	const uint32_t taken = 0;
	uint32_t codes[DEVICE_SLOTS];

	if (pread(engine->door, codes, sizeof(codes), DEVICE_DOOR_RELEASE) != sizeof(codes))
		return;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		off_t place = (off_t)(DEVICE_DOOR_RELEASE + i * sizeof(taken));

		if (!codes[i])
			continue;
		if (pwrite(engine->door, &taken, sizeof(taken), place) != sizeof(taken))
			log_info("the side door cannot be written");
		device_slot_step(&engine->slots[i], codes[i]);
	}
}

/* Shows each STATE at the side door that is not what was shown last. */
static void engine_show(struct device_engine *engine)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		uint32_t status = device_slot_status(&engine->slots[i]);
		off_t place = (off_t)(DEVICE_DOOR_STATE + i * sizeof(status));

		if (status == engine->shown[i])
			continue;
		if (pwrite(engine->door, &status, sizeof(status), place) != sizeof(status))
			log_info("the side door cannot be written");
		engine->shown[i] = status;
	}
}

void device_engine_park(struct device_engine *engine, bool parked)
{
	engine_lock(engine);
	engine->parked = parked;
	if (parked)
		engine_drop_all(engine);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		engine->slots[i].draining = false;
	for (uint32_t i = 0; i < DEVICE_SLOTS && parked; i++)
		device_slot_stop(&engine->slots[i]);
	engine_unlock(engine);
}

void device_engine_event(struct device_engine *engine, enum device_event event)
{
	engine_lock(engine);
	device_events_add(&engine->env.events, event, 0, 0);
	engine_unlock(engine);
}

/* Whether a slot has something to do that this runner does. */
static bool engine_can_run(const struct device_engine *engine, const struct device_slot *slot,
			   enum device_slot_runner by)
{
	bool rests = engine->parked || (engine->stopping && !slot->draining);

	if (slot->busy || rests)
		return false;
	if (slot->state == SLOT_QUEUED)
		return !slot->armed && !engine->frozen && by != RUN_BY_WORKER;
	return device_slot_runs(slot, by);
}

static void engine_advance(struct device_engine *engine, struct device_slot *slot,
			   enum device_slot_runner by)
{
	slot->atc = engine->env.ats && engine->env.caches ? &engine->atc[engine_number] : NULL;
	device_slot_begin(slot);
	device_slot_run(slot, by);
	engine_show(engine);
}

/* The next slot in turn for a thread, or NULL. */
static struct device_slot *engine_pick(struct device_engine *engine)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		struct device_slot *slot = &engine->slots[(engine->turn + i) % DEVICE_SLOTS];

		if (!engine_can_run(engine, slot, RUN_BY_WORKER))
			continue;
		engine->turn = slot->number + 1;
		return slot;
	}
	return NULL;
}

static bool engine_has_busy(const struct device_engine *engine)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (engine->slots[i].busy)
			return true;
	}
	return false;
}

/* Whether the loop has to look at a slot that a thread has left. */
static bool engine_needs_loop(const struct device_engine *engine, const struct device_slot *slot)
{
	return slot->state == SLOT_HELD || device_slot_runs(slot, RUN_BY_MAIN) ||
	       (engine->awaited && !engine_has_busy(engine));
}

static struct device_slot *engine_take(struct device_engine *engine)
{
	struct device_slot *slot = engine_pick(engine);

	if (slot)
		slot->busy = true;
	return slot;
}

static void engine_give(struct device_engine *engine, struct device_slot *slot)
{
	engine_advance(engine, slot, RUN_BY_WORKER);
	slot->busy = false;
	if (engine_needs_loop(engine, slot))
		dma_kick(engine->env.dma);
}

static void *engine_work(void *arg)
{
	struct device_engine *engine = arg;

	engine_lock(engine);
	engine_number = ++engine->arrived;
	while (!engine->dismissed) {
		struct device_slot *slot = engine_take(engine);

		if (slot)
			engine_give(engine, slot);
		else
			pthread_cond_wait(&engine->work, &engine->env.lock);
	}
	engine_unlock(engine);
	return NULL;
}

struct device_slot *device_engine_take(struct device_engine *engine)
{
	struct device_slot *slot;

	engine_lock(engine);
	slot = engine_take(engine);
	engine_unlock(engine);
	return slot;
}

void device_engine_give(struct device_engine *engine, struct device_slot *slot)
{
	engine_lock(engine);
	engine_give(engine, slot);
	engine_unlock(engine);
}

/* Wakes the threads if there is work; the first work of a client makes them. */
static void engine_call(struct device_engine *engine)
{
	const uint32_t turn = engine->turn;
	bool work = engine_pick(engine);
	int error = 0;

	engine->turn = turn;
	if (!work || engine->env.by_hand)
		return;
	while (engine->threads < engine->wanted && !error) {
		error = -thread_start(&engine->thread[engine->threads], engine_work, engine);
		if (!error)
			engine->threads++;
	}
	if (error)
		engine->wanted = engine->threads;
	if (error)
		log_info("no more than %u threads for DMA: %s", engine->threads, strerror(error));
	pthread_cond_broadcast(&engine->work);
}

void device_engine_staff(struct device_engine *engine, uint32_t threads)
{
	engine->wanted = threads < DEVICE_MAX_THREADS ? threads : DEVICE_MAX_THREADS;
}

void device_engine_dismiss(struct device_engine *engine)
{
	engine_lock(engine);
	engine->dismissed = true;
	pthread_cond_broadcast(&engine->work);
	engine_unlock(engine);
	for (; engine->threads; engine->threads--)
		thread_end(&engine->thread[engine->threads - 1]);
	engine->dismissed = false;
	engine->arrived = 0;
	engine_lock(engine);
	engine_drop_all(engine);
	engine_unlock(engine);
}

void device_engine_interrupt(struct device_engine *engine)
{
	for (uint32_t i = 0; i < engine->threads; i++)
		window_interrupt(engine->thread[i].id);
}

bool device_engine_is_busy(struct device_engine *engine)
{
	bool busy;

	engine_lock(engine);
	busy = engine_has_busy(engine);
	engine->awaited = busy;
	engine_unlock(engine);
	return busy;
}

/* Runs what is the loop's: all slots where there are no threads. */
static void engine_run(struct device_engine *engine)
{
	enum device_slot_runner by;

	if (engine_holds(engine))
		engine_look_at_door(engine);
	if (engine->wanted)
		engine_call(engine);
	by = engine->wanted ? RUN_BY_MAIN : RUN_BY_ANY;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (engine_can_run(engine, &engine->slots[i], by))
			engine_advance(engine, &engine->slots[i], by);
	}
	if (engine->wanted)
		engine_call(engine);
	engine_show(engine);
}

/* Whether no slot has an operation, and all that was shown of them is true: most often. */
static bool engine_rests(const struct device_engine *engine)
{
	const uint32_t at_work = 1u << SLOT_QUEUED | 1u << SLOT_RUN | 1u << SLOT_HELD |
				 1u << SLOT_WAIT_PAGE | 1u << SLOT_WAIT_MSG;

	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		const struct device_slot *slot = &engine->slots[i];

		if (1u << slot->state & at_work || device_slot_status(slot) != engine->shown[i])
			return false;
	}
	return true;
}

void device_engine_run(struct device_engine *engine)
{
	if (engine->rests)
		return;
	engine_lock(engine);
	if (!engine->parked && !engine_rests(engine))
		engine_run(engine);
	engine->rests = engine_rests(engine);
	engine_unlock(engine);
}

void device_engine_stir(struct device_engine *engine)
{
	engine->rests = false;
}

static uint64_t engine_due(const struct device_engine *engine)
{
	enum device_slot_runner by = engine->wanted ? RUN_BY_MAIN : RUN_BY_ANY;
	uint64_t due = engine_holds(engine) ? clock_now() + ENGINE_DOOR_MS : CLOCK_NEVER;

	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		const struct device_slot *slot = &engine->slots[i];

		if (slot->state == SLOT_RUN && engine_can_run(engine, slot, by))
			return 0;
		if (slot->draining && slot->state == SLOT_HELD && slot->drain_at < due)
			due = slot->drain_at;
	}
	return due;
}

uint64_t device_engine_due(struct device_engine *engine)
{
	uint64_t due = CLOCK_NEVER;

	if (engine->rests)
		return due;
	engine_lock(engine);
	if (!engine->parked)
		due = engine_due(engine);
	engine_unlock(engine);
	return due;
}

void device_engine_go(struct device_engine *engine, uint32_t mask)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (mask & 1u << i)
			device_slot_go(&engine->slots[i]);
	}
}

static void engine_abort(struct device_engine *engine)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_abort(&engine->slots[i], !fault_on(FAULT_reset_signals));
	engine_show(engine);
}

void device_engine_stop(struct device_engine *engine)
{
	engine_lock(engine);
	engine_abort(engine);
	engine_unlock(engine);
}

static void engine_unmap(struct device_engine *engine, bool replaces, uint32_t space,
			 struct range range)
{
	engine->env.unmapping = true;
	engine->env.replacing = replaces;
	engine->env.going_space = space;
	engine->env.going = range;
	engine->env.counters[COUNTER_UNMAPS]++;
	engine_drop(engine, space, range);
	device_events_add(&engine->env.events, DEVICE_EVENT_UNMAP_BEGIN, 0, range.first);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_unmap(&engine->slots[i]);
}

static void engine_quiesce(void *owner, enum dma_cause cause, uint32_t space, struct range range)
{
	struct device_engine *engine = owner;

	engine_lock(engine);
	engine->stopping = cause == DMA_STOPS;
	engine->env.unmapping = false;
	switch (cause) {
	case DMA_UNMAPS:
	case DMA_REPLACES:
		engine_unmap(engine, cause == DMA_REPLACES, space, range);
		break;
	case DMA_STOPS:
		for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
			device_slot_stop(&engine->slots[i]);
		break;
	case DMA_ENDS:
		engine_abort(engine);
		break;
	}
	engine_unlock(engine);
}

static void engine_quiet(void *owner, enum dma_cause cause, struct range range)
{
	struct device_engine *engine = owner;

	engine_lock(engine);
	if (cause == DMA_UNMAPS || cause == DMA_REPLACES)
		device_events_add(&engine->env.events, DEVICE_EVENT_UNMAP_QUIET, 0, range.first);
	engine->env.unmapping = false;
	engine->stopping = false;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_quiet(&engine->slots[i]);
	engine_unlock(engine);
}

/* An unmap waits for references alone. */
static bool engine_works(void *owner, enum dma_cause cause)
{
	return cause != DMA_UNMAPS && cause != DMA_REPLACES && device_engine_is_busy(owner);
}

static void engine_moved(void *owner, struct dma_move *move, int result)
{
	struct device_engine *engine = owner;

	engine_lock(engine);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (&engine->slots[i].move == move)
			device_slot_moved(&engine->slots[i], result);
	}
	engine_unlock(engine);
}

static struct device_slot *engine_slot_of(struct device_engine *engine,
					  const struct pri_request *request)
{
	uint32_t i = 0;

	while (&engine->slots[i].request != request)
		i++;
	return &engine->slots[i];
}

static void engine_sent(void *owner, struct pri_request *request)
{
	struct device_engine *engine = owner;

	engine_lock(engine);
	device_slot_sent(engine_slot_of(engine, request));
	engine_unlock(engine);
}

static void engine_answered(void *owner, struct pri_request *request, int result)
{
	struct device_engine *engine = owner;

	engine_lock(engine);
	device_slot_answered(engine_slot_of(engine, request), result);
	engine_show(engine);
	engine_unlock(engine);
}

static void engine_responded(void *owner, bool good)
{
	struct device_engine *engine = owner;

	engine_lock(engine);
	engine->env.counters[good ? COUNTER_RESPONSES : COUNTER_BAD_RESPONSES]++;
	engine_unlock(engine);
}

const struct pri_ops device_engine_pri_ops = {
	.sent = engine_sent,
	.answered = engine_answered,
	.responded = engine_responded,
};

const struct dma_ops device_engine_dma_ops = {
	.quiesce = engine_quiesce,
	.works = engine_works,
	.quiet = engine_quiet,
	.moved = engine_moved,
};
