/* SPDX-License-Identifier: BSD-3-Clause */
/* device_engine.c - see device_engine.h. */
#include "device_engine.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* Between two looks at the side door, in ms: nothing tells that the client stored to it. */
#define ENGINE_DOOR_MS 2

void device_engine_init(struct device_engine *engine, struct irq *irq, struct dma *dma, int door)
{
	memset(engine, 0, sizeof(*engine));
	engine->env.irq = irq;
	engine->env.dma = dma;
	engine->door = door;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_init(&engine->slots[i], &engine->env, i);
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
	engine->parked = parked;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (engine->slots[i].draining)
			device_slot_abort(&engine->slots[i], true);
	}
}

void device_engine_run(struct device_engine *engine)
{
	if (engine->parked)
		return;
	if (engine_holds(engine))
		engine_look_at_door(engine);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (!engine->frozen)
			device_slot_begin(&engine->slots[i]);
		device_slot_run(&engine->slots[i]);
	}
	engine_show(engine);
}

uint64_t device_engine_due(const struct device_engine *engine)
{
	uint64_t due = engine_holds(engine) ? clock_now() + ENGINE_DOOR_MS : CLOCK_NEVER;

	if (engine->parked)
		return CLOCK_NEVER;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		const struct device_slot *slot = &engine->slots[i];

		if (slot->state == SLOT_RUN)
			return 0;
		if (slot->draining && slot->drain_at < due)
			due = slot->drain_at;
	}
	return due;
}

void device_engine_go(struct device_engine *engine, uint32_t mask)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (mask & 1u << i)
			device_slot_go(&engine->slots[i]);
	}
}

void device_engine_stop(struct device_engine *engine)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_abort(&engine->slots[i], true);
	engine_show(engine);
}

static void engine_unmap(void *owner, struct range range)
{
	struct device_engine *engine = owner;

	engine->env.counters[COUNTER_UNMAPS]++;
	device_events_add(&engine->env.events, DEVICE_EVENT_UNMAP_BEGIN, 0, range.first);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_unmap(&engine->slots[i], range);
	if (engine->parked)
		device_engine_park(engine, true);
}

static void engine_quiet(void *owner, struct range range)
{
	struct device_engine *engine = owner;

	device_events_add(&engine->env.events, DEVICE_EVENT_UNMAP_QUIET, 0, range.first);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_quiet(&engine->slots[i]);
}

static void engine_moved(void *owner, struct dma_move *move, int result)
{
	struct device_engine *engine = owner;

	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		if (&engine->slots[i].move == move)
			device_slot_moved(&engine->slots[i], result);
	}
}

const struct dma_ops device_engine_dma_ops = {
	.unmap = engine_unmap,
	.quiet = engine_quiet,
	.moved = engine_moved,
};
