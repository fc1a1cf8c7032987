/* SPDX-License-Identifier: BSD-3-Clause */
/* account.c - see account.h. */
#include "account.h"

#include "buf.h"

static const struct account_rule account_rules[ACCOUNT_ITEMS] = {
	[ACCOUNT_CLIENTS] = { "devices with a client", "DISC-CLI-008",
		"a device still has a client when all connections are closed" },
	[ACCOUNT_MESSAGE_FDS] = { "descriptors owned by messages", "DISC-CLI-008",
		"descriptors that came with messages were put to no use and are not closed" },
	[ACCOUNT_REQUESTS] = { "requests without reply", "DISC-CLI-008",
		"it keeps commands of a connection that is closed" },
	[ACCOUNT_MAPPINGS] = { "mappings", "DISC-CLI-001",
		"mappings of a client are still there when it has left" },
	[ACCOUNT_SPACES] = { "PASID spaces", "VE-DISC-002",
		"address spaces of a client are still there when it has left" },
	[ACCOUNT_TABLE_BYTES] = { "bytes of the table of mappings", "DISC-CLI-008",
		"memory for mappings is not given back when the client has left" },
	[ACCOUNT_RETIRED] = { "nodes put aside", "DISC-CLI-008",
		"memory for mappings is not given back when nobody reads it any more" },
	[ACCOUNT_WINDOWS] = { "windows", "DISC-CLI-001",
		"memory of a client is still mapped into the server when it has left" },
	[ACCOUNT_WINDOW_PAGES] = { "pages of windows", "DISC-CLI-001",
		"memory of a client is still mapped into the server when it has left" },
	[ACCOUNT_HAZARDS] = { "ranges in use", "DISC-CLI-006",
		"memory of a client is still in use when it has left" },
	[ACCOUNT_OPERATIONS] = { "DMA operations", "DISC-CLI-006",
		"operations on memory of a client go on when it has left" },
	[ACCOUNT_PAGES] = { "pages requested", "VE-DISC-002",
		"it still waits for pages from a client that has left" },
	[ACCOUNT_MARKERS] = { "stop markers", "VE-DISC-002",
		"it still owes stop markers to a client that has left" },
	[ACCOUNT_IRQ_FDS] = { "descriptors of interrupts", "DISC-CLI-002",
		"descriptors of interrupts are still open when their client has left" },
	[ACCOUNT_DOORBELL_FDS] = { "descriptors of doorbells", "DISC-CLI-008",
		"descriptors of doorbells are still open when their client has left" },
	[ACCOUNT_DIRTY_BYTES] = { "bytes of dirty bitmaps", "DISC-CLI-008",
		"logging of dirty pages is still on, or keeps memory, when the client has left" },
	[ACCOUNT_MIGRATION] = { "migration streams", "DISC-CLI-008",
		"a saved state is still in memory when the client has left" },
};

static uint64_t account_requests(const struct session *session)
{
	uint64_t count = session->deferred ? 1 : 0;

	for (int i = 0; i < SESSION_REQUESTS; i++)
		count += session->waiting[i].used;
	return count;
}

static uint64_t account_hazards(const struct hazard_set *hazards)
{
	uint64_t count = 0;

	for (int i = 0; i < HAZARD_SLOTS; i++)
		count += atomic_load(&hazards->slot[i].first) != HAZARD_NOTHING;
	return count;
}

static uint64_t account_operations(const struct device_engine *engine)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		const struct device_slot *slot = &engine->slots[i];

		count += slot->state >= SLOT_QUEUED && slot->state <= SLOT_WAIT_MSG;
		count += (uint64_t)slot->source.held + slot->sink.held + slot->busy;
	}
	return count;
}

static uint64_t account_irq_fds(const struct irq *irq)
{
	uint64_t count = 0;

	for (int i = 0; i < WIRE_IRQ_INDEX_NUM; i++) {
		for (int k = 0; k < IRQ_MAX_VECTORS; k++) {
			for (int role = 0; role < IRQ_ROLES; role++)
				count += irq->vectors[i][k].fd[role] >= 0;
		}
	}
	return count;
}

static uint64_t account_doorbells(const struct device_doorbell *doorbell)
{
	uint64_t count = doorbell->commands >= 0;

	for (int i = 0; i < DEVICE_DOORBELL_FDS; i++)
		count += doorbell->fd[i] >= 0;
	return count;
}

void account_add(const struct server_instance *instance, struct account *out)
{
	const struct dma *dma = &instance->dma;
	uint64_t *value = out->value;

	value[ACCOUNT_CLIENTS] += instance->phase != SERVER_FREE;
	value[ACCOUNT_REQUESTS] += account_requests(&instance->session);
	value[ACCOUNT_MAPPINGS] += dma->count + space_count(&dma->backing);
	value[ACCOUNT_SPACES] += dma->pasids.count;
	value[ACCOUNT_TABLE_BYTES] += space_bytes(&dma->space);
	value[ACCOUNT_RETIRED] += dma->space.retired_count;
	value[ACCOUNT_WINDOWS] += dma->windows.count;
	value[ACCOUNT_WINDOW_PAGES] += dma->windows.pages;
	value[ACCOUNT_HAZARDS] += account_hazards(&dma->hazards);
	value[ACCOUNT_OPERATIONS] += account_operations(&instance->device.bar0.engine);
	value[ACCOUNT_OPERATIONS] += (uint64_t)dma->quiescing + dma->going.on;
	value[ACCOUNT_PAGES] += dma->pri.used + (dma->pri.first != NULL);
	value[ACCOUNT_MARKERS] += dma->pri.owed_count;
	value[ACCOUNT_IRQ_FDS] += account_irq_fds(&instance->irq);
	value[ACCOUNT_DOORBELL_FDS] += account_doorbells(&instance->device.doorbell);
	value[ACCOUNT_DIRTY_BYTES] += atomic_load(&dma->dirty.bytes);
	value[ACCOUNT_DIRTY_BYTES] += dma->dirty.range_count + atomic_load(&dma->dirty.on);
	value[ACCOUNT_MIGRATION] += instance->device.migration.stream.image ? 1 : 0;
}

void account_take(const struct inproc *inproc, struct account *out)
{
	*out = (struct account){ .value[ACCOUNT_MESSAGE_FDS] = msg_owned() };
	for (int i = 0; i < INPROC_DEVICES; i++) {
		if (inproc->renewed[i])
			account_add(inproc->instances[i], out);
	}
}

bool account_equal(const struct account *before, const struct account *after, char *text,
		   size_t size)
{
	struct buf_writer writer = buf_text_over(text, size);

	for (int i = 0; i < ACCOUNT_ITEMS; i++) {
		if (before->value[i] != after->value[i])
			buf_text(&writer, "%s%s: %llu before, %llu now", writer.at ? "; " : "",
				 account_rules[i].name, (unsigned long long)before->value[i],
				 (unsigned long long)after->value[i]);
	}
	return writer.at == 0;
}

const struct account_rule *account_rule(const struct account *before, const struct account *after)
{
	for (int i = 0; i < ACCOUNT_ITEMS; i++) {
		if (before->value[i] != after->value[i])
			return &account_rules[i];
	}
	return &account_anything;
}
