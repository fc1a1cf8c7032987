/* SPDX-License-Identifier: BSD-3-Clause */
/* device_state.c - see device_state.h. */
#include "device_state.h"

#include <errno.h>
#include <string.h>

#include "device.h"
#include "fault.h"

/* The numbers of parts are part of the format. */
enum device_state_part {
	DEVICE_STATE_CONFIG = 1,
	DEVICE_STATE_REGISTERS = 2,
	DEVICE_STATE_PENDING = 3,
	DEVICE_STATE_BUFFER = 4,
	DEVICE_STATE_BAR2 = 5,
	DEVICE_STATE_BAR4 = 6,		/* and on, one for each stored part of it */
	DEVICE_STATE_SLOTS = 16,
	DEVICE_STATE_PAGES = 17,
};

#define DEVICE_STATE_MIB (1u << 20)
#define DEVICE_STATE_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Registers of BAR0 that keep what is written to them; the MSI-X table and the slots follow. */
static const uint16_t device_state_registers[] = {
	DEVICE_GCTL, DEVICE_CKOFF, DEVICE_CKLEN, DEVICE_PR_TIMEOUT, DEVICE_DRAIN_MS,
};

/* Of each slot: those between CMD, which starts an operation, and STATE. */
#define DEVICE_STATE_SLOT_WORDS ((SLOT_STATE - SLOT_CTL) / sizeof(uint32_t))
#define DEVICE_STATE_PLAIN DEVICE_STATE_COUNT(device_state_registers)
#define DEVICE_STATE_WORDS (DEVICE_STATE_PLAIN + (size_t)DEVICE_MSIX_WORDS + \
			    DEVICE_SLOTS * DEVICE_STATE_SLOT_WORDS)

/* The slots, the counters, and the events with their number. */
#define DEVICE_STATE_COUNTERS ((size_t)DEVICE_SLOTS * DEVICE_SLOT_IMAGE)
#define DEVICE_STATE_EVENTS (DEVICE_STATE_COUNTERS + COUNTERS * sizeof(uint32_t))
#define DEVICE_STATE_SLOTS_SIZE (DEVICE_STATE_EVENTS + sizeof(struct device_events))

/* Whether page requests have ended until a reset (VE-RESP-007). */
#define DEVICE_STATE_PAGES_SIZE 1u

static const struct migration_part device_state_bare[] = {
	{ DEVICE_STATE_CONFIG, CONFIG_SIZE },
	{ DEVICE_STATE_REGISTERS, DEVICE_STATE_WORDS * sizeof(uint32_t) },
	{ DEVICE_STATE_PENDING, WIRE_IRQ_INDEX_NUM * sizeof(uint32_t) },
	{ DEVICE_STATE_BUFFER, DEVICE_BUFFER_SIZE },
	{ DEVICE_STATE_BAR2, CONFIG_BAR2_SIZE },
	{ DEVICE_STATE_SLOTS, DEVICE_STATE_SLOTS_SIZE },
	{ DEVICE_STATE_PAGES, DEVICE_STATE_PAGES_SIZE },
	{ 0, 0 },
};

static const struct migration_part device_state_full[] = {
	{ DEVICE_STATE_CONFIG, CONFIG_SIZE },
	{ DEVICE_STATE_REGISTERS, DEVICE_STATE_WORDS * sizeof(uint32_t) },
	{ DEVICE_STATE_PENDING, WIRE_IRQ_INDEX_NUM * sizeof(uint32_t) },
	{ DEVICE_STATE_BUFFER, DEVICE_BUFFER_SIZE },
	{ DEVICE_STATE_BAR2, CONFIG_BAR2_SIZE },
	{ DEVICE_STATE_BAR4, 4096 },
	{ DEVICE_STATE_BAR4 + 1, DEVICE_STATE_MIB },
	{ DEVICE_STATE_BAR4 + 2, DEVICE_STATE_MIB },
	{ DEVICE_STATE_SLOTS, DEVICE_STATE_SLOTS_SIZE },
	{ DEVICE_STATE_PAGES, DEVICE_STATE_PAGES_SIZE },
	{ 0, 0 },
};

const struct migration_part *device_state_parts(bool full)
{
	return full ? device_state_full : device_state_bare;
}

static uint32_t device_state_register(uint32_t index)
{
	uint32_t slot, word;

	if (index < DEVICE_STATE_PLAIN)
		return device_state_registers[index];
	index -= (uint32_t)DEVICE_STATE_PLAIN;
	if (index < DEVICE_MSIX_WORDS)
		return CONFIG_MSIX_TABLE + index * (uint32_t)sizeof(uint32_t);
	index -= DEVICE_MSIX_WORDS;
	slot = index / (uint32_t)DEVICE_STATE_SLOT_WORDS;
	word = index % (uint32_t)DEVICE_STATE_SLOT_WORDS;
	return DEVICE_SLOT_REGISTERS + slot * SLOT_SIZE + SLOT_CTL +
	       word * (uint32_t)sizeof(uint32_t);
}

static int device_state_save_registers(struct device *device, uint8_t *bytes)
{
	int error = 0;

	for (uint32_t i = 0; i < DEVICE_STATE_WORDS && !error; i++)
		error = device_bar0_ops.read(&device->bar0, device_state_register(i),
					     bytes + i * sizeof(uint32_t), sizeof(uint32_t));
	return error;
}

static void device_state_save_pending(const struct device *device, uint8_t *bytes)
{
	for (uint32_t index = 0; index < WIRE_IRQ_INDEX_NUM; index++) {
		uint32_t vectors = irq_pending(device->irq, index);

		memcpy(bytes + index * sizeof(vectors), &vectors, sizeof(vectors));
	}
}

static void device_state_save_slots(struct device_engine *engine, uint8_t *bytes)
{
	struct device_slot_env *env = &engine->env;

	if (fault_on(FAULT_operations_are_not_saved))
		return;
	pthread_mutex_lock(&env->lock);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++)
		device_slot_save(&engine->slots[i], bytes + (size_t)i * DEVICE_SLOT_IMAGE);
	memcpy(bytes + DEVICE_STATE_COUNTERS, env->counters, sizeof(env->counters));
	memcpy(bytes + DEVICE_STATE_EVENTS, &env->events, sizeof(env->events));
	if (fault_on(FAULT_save_is_an_event))
		device_events_add(&env->events, DEVICE_EVENT_STOP, 0, 0);
	pthread_mutex_unlock(&env->lock);
}

/* Nothing of it can be wrong but the slots. */
static int device_state_load_slots(struct device_engine *engine, const uint8_t *bytes)
{
	struct device_slot_env *env = &engine->env;
	int error = 0;

	pthread_mutex_lock(&env->lock);
	for (uint32_t i = 0; i < DEVICE_SLOTS && !error; i++)
		error = device_slot_restore(&engine->slots[i],
					    bytes + (size_t)i * DEVICE_SLOT_IMAGE);
	memcpy(env->counters, bytes + DEVICE_STATE_COUNTERS, sizeof(env->counters));
	memcpy(&env->events, bytes + DEVICE_STATE_EVENTS, sizeof(env->events));
	device_engine_stir(engine);
	pthread_mutex_unlock(&env->lock);
	return error;
}

static int device_state_save_part(struct device *device, uint32_t id, uint8_t *bytes)
{
	switch ((enum device_state_part)id) {
	case DEVICE_STATE_CONFIG:
		device_sync_config(device);
		config_read(&device->config, 0, bytes, CONFIG_SIZE);
		return 0;
	case DEVICE_STATE_REGISTERS:
		return device_state_save_registers(device, bytes);
	case DEVICE_STATE_PENDING:
		device_state_save_pending(device, bytes);
		return 0;
	case DEVICE_STATE_BUFFER:
		return device_bar0_ops.read(&device->bar0, DEVICE_BUFFER, bytes,
					    DEVICE_BUFFER_SIZE);
	case DEVICE_STATE_BAR2:
		return device_memory_save(&device->bar2, 0, bytes);
	case DEVICE_STATE_SLOTS:
		device_state_save_slots(&device->bar0.engine, bytes);
		return 0;
	case DEVICE_STATE_PAGES:
		*bytes = device->dma->pri.failed;
		return 0;
	case DEVICE_STATE_BAR4:
		break;
	}
	return device_memory_save(&device->bar4, id - DEVICE_STATE_BAR4, bytes);
}

static int device_state_save(void *owner, uint8_t *image)
{
	struct device *device = owner;
	const struct migration_part *part = device->migration.parts;
	int error = 0;

	device_doorbell_poll(&device->doorbell);
	for (; part->size && !error; part++) {
		error = device_state_save_part(device, part->id, image);
		image += part->size;
	}
	return error;
}

static int device_state_load_registers(struct device *device, const uint8_t *bytes)
{
	int error = 0;

	for (uint32_t i = 0; i < DEVICE_STATE_WORDS && !error; i++)
		error = device_bar0_ops.write(&device->bar0, device_state_register(i),
					      bytes + i * sizeof(uint32_t), sizeof(uint32_t));
	return error;
}

static int device_state_load_pending(struct device *device, const uint8_t *bytes)
{
	int error = 0;

	for (uint32_t index = 0; index < WIRE_IRQ_INDEX_NUM && !error; index++) {
		uint32_t vectors;

		memcpy(&vectors, bytes + index * sizeof(vectors), sizeof(vectors));
		error = irq_set_pending(device->irq, index, vectors);
	}
	return error;
}

static int device_state_load_part(struct device *device, uint32_t id, const uint8_t *bytes)
{
	switch ((enum device_state_part)id) {
	case DEVICE_STATE_CONFIG:
		return config_load(&device->config, bytes);
	case DEVICE_STATE_REGISTERS:
		return device_state_load_registers(device, bytes);
	case DEVICE_STATE_PENDING:
		return device_state_load_pending(device, bytes);
	case DEVICE_STATE_BUFFER:
		return device_bar0_ops.write(&device->bar0, DEVICE_BUFFER, bytes,
					     DEVICE_BUFFER_SIZE);
	case DEVICE_STATE_BAR2:
		return device_memory_replace(&device->bar2, 0, bytes);
	case DEVICE_STATE_SLOTS:
		return device_state_load_slots(&device->bar0.engine, bytes);
	case DEVICE_STATE_PAGES:
		device->dma->pri.failed = *bytes != 0;
		return 0;
	case DEVICE_STATE_BAR4:
		break;
	}
	return device_memory_replace(&device->bar4, id - DEVICE_STATE_BAR4, bytes);
}

/* Config space comes first: it refuses the image of another kind of device. */
static int device_state_load(void *owner, const uint8_t *image)
{
	struct device *device = owner;
	const struct migration_part *part = device->migration.parts;
	int error = 0;

	for (; part->size && !error; part++) {
		error = device_state_load_part(device, part->id, image);
		image += part->size;
	}
	device_apply_config(device);
	return error;
}

static int device_state_stop(void *owner)
{
	struct device *device = owner;
	int error = dma_quiesce(device->dma, DMA_STOPS);

	if (error && !fault_on(FAULT_stop_does_not_wait))
		return error;
	device_engine_park(&device->bar0.engine, true);
	if (!fault_on(FAULT_stop_keeps_groups))
		pri_stop(&device->dma->pri);
	device_engine_event(&device->bar0.engine, DEVICE_EVENT_STOP);
	irq_hold(device->irq, true);
	return 0;
}

static void device_state_run(void *owner)
{
	struct device *device = owner;

	irq_hold(device->irq, false);
	device_engine_park(&device->bar0.engine, false);
}

const struct migration_ops device_state_ops = {
	.stop = device_state_stop,
	.run = device_state_run,
	.save = device_state_save,
	.load = device_state_load,
};
