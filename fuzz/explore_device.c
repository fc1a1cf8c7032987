/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_device.c - see explore_device.h: the server in this process. */
#include "explore_device.h"

#include "device_slot_flow.h"
#include "explore_memory.h"
#include "explore_peer.h"
#include "explore_record.h"
#include "explore_watch.h"

static const struct device_engine *device_of(void)
{
	return &explore_server()->device.bar0.engine;
}

bool explore_view(uint32_t slot, struct explore_view *out)
{
	const struct device_slot *it = &device_of()->slots[slot];

	*out = (struct explore_view){
		.state = it->state,
		.error = (uint32_t)it->error,
		.space = device_slot_space(it),
		.cookie = it->request.cookie,
		.pages = device_slot_job(it, SLOT_CMD) & CMD_PAGES,
		.live = device_slot_is_live(it),
		.busy = it->busy,
		.pinned = it->source.pinned || it->sink.pinned,
		.missing = it->phase == PHASE_REQUEST && !it->said,
		.address = it->fault_address,
	};
	return true;
}

bool explore_credit(int64_t *used, uint16_t *status)
{
	const struct pri *pri = &explore_server()->dma.pri;

	*used = pri->used;
	*status = pri->status;
	return explore_server()->phase == SERVER_BUSY;
}

bool explore_remembers(void)
{
	const struct dma *dma = &explore_server()->dma;

	return dma->pri.used || dma->pri.first || dma->pri.owed_count || dma->pasids.count;
}

const uint8_t *explore_buffer(void)
{
	return device_of()->env.buffer;
}

uint32_t explore_holds(uint32_t slot)
{
	(void)slot;
	return 0;
}

uint32_t explore_ms(uint32_t ms)
{
	return record_is_on() ? ms * RECORD_PACE : ms;
}

bool explore_owns_time(void)
{
	return true;
}

uint64_t explore_device_sum(uint64_t sum)
{
	const struct device_engine *engine = device_of();

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		const struct device_slot *slot = &engine->slots[i];
		const uint64_t seen[] = { device_slot_status(slot), slot->moved, slot->csum,
					  slot->requests, slot->response };

		sum = watch_mix(sum, seen, sizeof(seen));
	}
	sum = watch_mix(sum, engine->env.counters, sizeof(engine->env.counters));
	sum = watch_mix(sum, engine->env.buffer, (size_t)2 * MEMORY_PAGE);
	return watch_mix(sum, &explore_server()->dma.pri.status, sizeof(uint16_t));
}
