/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_message.c - see explore_message.h. */
#include "explore_message.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config_viommu.h"
#include "device_bar0.h"
#include "explore_device.h"
#include "explore_memory.h"
#include "explore_watch.h"
#include "set_state.h"

#define MESSAGE_COMMAND 0x04u		/* of the configuration space */
#define MESSAGE_MASTER 0x0006u		/* memory and bus master */
#define MESSAGE_MEMORY 0x0002u

static struct {
	const struct explore_scenario *scenario;
	const struct explore_step *step;
	struct explore_message *out;
} message;

static void message_put(const void *bytes, size_t size)
{
	memcpy(message.out->bytes + message.out->size, bytes, size);
	message.out->size += size;
}

/* `last` of the messages of the step. */
static void message_command(uint16_t command, const void *body, size_t size, bool last)
{
	const struct wire_header header = {
		.id = watch_sent(command, message.step, last),
		.command = command,
		.msg_size = (uint32_t)(sizeof(header) + size),
	};

	message.out->head = message.out->size;
	message_put(&header, sizeof(header));
	message_put(body, size);
}

struct message_register {
	uint32_t region;
	uint32_t offset;
	uint32_t width;
	uint64_t value;
};

static void message_register(const struct message_register *what, bool last)
{
	struct {
		struct wire_region_access access;
		uint8_t data[sizeof(what->value)];
	} write = {
		.access = {
			.offset = what->offset,
			.region = what->region,
			.count = what->width,
		},
	};

	memcpy(write.data, &what->value, sizeof(what->value));
	message_command(WIRE_REGION_WRITE, &write, sizeof(write.access) + what->width, last);
}

static uint32_t message_attr(uint32_t space)
{
	return space ? WIRE_ATTR_PASID_VALID | (space - 1) << WIRE_ATTR_PASID_SHIFT : 0;
}

static void message_map(const struct explore_mapping *mapping, uint32_t flags)
{
	const struct wire_dma_map map = {
		.argsz = sizeof(map),
		.flags = mapping->flags | message_attr(mapping->space) | flags,
		.offset = (uint64_t)mapping->file * MEMORY_PAGE,
		.address = (uint64_t)mapping->page * MEMORY_PAGE,
		.size = (uint64_t)mapping->pages * MEMORY_PAGE,
	};

	message_command(WIRE_DMA_MAP, &map, sizeof(map), true);
	message.out->fd = mapping->no_file ? -1 : memory_file();
}

static void message_unmap(uint32_t flags, uint64_t page, uint64_t pages)
{
	const struct wire_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.address = page * MEMORY_PAGE,
		.size = pages * MEMORY_PAGE,
	};

	message_command(WIRE_DMA_UNMAP, &unmap, sizeof(unmap), true);
}

static void message_unmap_one(const struct explore_mapping *mapping)
{
	message_unmap(message_attr(mapping->space), mapping->page, mapping->pages);
}

/* The registers of a slot, and at last its command. */
static void message_start(uint32_t number)
{
	const struct explore_slot *slot = &message.scenario->slot[number];
	const uint32_t base = DEVICE_SLOT_REGISTERS + number * SLOT_SIZE;
	const struct message_register registers[] = {
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_CTL, 4, slot->ctl | explore_holds(number) },
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_SRC, 8, slot->src },
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_DST, 8, slot->dst },
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_LEN, 4, slot->len },
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_MID, 4, slot->mid },
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_BUF, 4, (uint64_t)number * 1024 },
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_PAT, 4, 17 * ((uint64_t)number + 1) },
		{ WIRE_REGION_INDEX_BAR0, base + SLOT_CMD, 4, slot->cmd },
	};
	const uint32_t count = sizeof(registers) / sizeof(registers[0]);

	for (uint32_t i = 0; i < count; i++)
		message_register(&registers[i], i + 1 == count);
}

static void message_enable(void)
{
	const struct explore_scenario *s = message.scenario;
	const struct message_register registers[] = {
		{ WIRE_REGION_INDEX_CONFIG, MESSAGE_COMMAND, 2, MESSAGE_MASTER },
		{ WIRE_REGION_INDEX_CONFIG, CONFIG_ATS + WIRE_PCI_ATS_CONTROL, 2,
		  WIRE_PCI_ATS_ENABLE },
		{ WIRE_REGION_INDEX_CONFIG, CONFIG_PASID + WIRE_PCI_PASID_CONTROL, 2,
		  WIRE_PCI_PASID_ENABLE },
		{ WIRE_REGION_INDEX_CONFIG, CONFIG_PRI + WIRE_PCI_PRI_ALLOCATION, 4, s->credit },
		{ WIRE_REGION_INDEX_CONFIG, CONFIG_PRI + WIRE_PCI_PRI_CONTROL, 2,
		  WIRE_PCI_PRI_ENABLE },
		{ WIRE_REGION_INDEX_BAR0, DEVICE_PR_TIMEOUT, 4,
		  explore_ms(s->pr_timeout) },
		{ WIRE_REGION_INDEX_BAR0, DEVICE_DRAIN_MS, 4, explore_ms(s->drain_ms) },
		{ WIRE_REGION_INDEX_BAR0, DEVICE_GCTL, 4, s->caches ? 1 : 0 },
	};
	const uint32_t count = sizeof(registers) / sizeof(registers[0]);

	for (uint32_t i = 0; i < count; i++)
		message_register(&registers[i], i + 1 == count);
}

static void message_respond(uint32_t cookie, uint32_t code)
{
	const struct wire_page_response response = { .cookie = cookie, .code = (uint16_t)code };

	message_command(WIRE_PAGE_RESPONSE, &response, sizeof(response), true);
}

/* A reply of the client to a request of the device; of a read, with data. */
static void message_answer(uint32_t number, uint32_t error)
{
	const struct watch_request *request = watch_dma(number);
	const bool reads = request->command == WIRE_DMA_READ && !error;
	const size_t data = reads ? request->access.count : 0;
	const size_t size = error ? 0 : sizeof(request->access) + data;
	const struct wire_header header = {
		.id = request->id,
		.command = request->command,
		.msg_size = (uint32_t)(sizeof(header) + size),
		.flags = WIRE_TYPE_REPLY | (error ? WIRE_ERROR : 0),
		.error = error,
	};

	message.out->channel = request->channel;
	message_put(&header, sizeof(header));
	if (!error)
		message_put(&request->access, sizeof(request->access));
	memset(message.out->bytes + message.out->size, 0x77, data);
	message.out->size += data;
	watch_answered(number);
}

static void message_set_state(uint32_t state)
{
	const struct set_state set = set_state(state);

	message_command(WIRE_DEVICE_FEATURE, &set, sizeof(set), true);
}

/* One bit of the configuration space. */
static void message_switch(enum explore_op op)
{
	const struct message_register reset = { WIRE_REGION_INDEX_CONFIG,
						CONFIG_PRI + WIRE_PCI_PRI_CONTROL, 2,
						WIRE_PCI_PRI_RESET };
	const struct message_register command = { WIRE_REGION_INDEX_CONFIG, MESSAGE_COMMAND, 2,
						  MESSAGE_MEMORY };

	message_register(op == EXPLORE_PRI_RESET ? &reset : &command, true);
}

static void message_info(void)
{
	const struct wire_device_info info = { .argsz = sizeof(info) };

	message_command(WIRE_DEVICE_GET_INFO, &info, sizeof(info), true);
}

void message_of_step(const struct explore_scenario *scenario, const struct explore_step *step,
		     struct explore_message *out)
{
	out->step = step;
	out->channel = 0;
	out->fd = -1;
	out->size = out->head = 0;
	message.scenario = scenario;
	message.step = step;
	message.out = out;
	switch (step->op) {
	case EXPLORE_END:
	case EXPLORE_RELEASE:
		break;
	case EXPLORE_MAP:
		message_map(&scenario->mapping[step->what], 0);
		break;
	case EXPLORE_REPLACE:
		message_map(&scenario->mapping[step->with], WIRE_DMA_MAP_REPLACE);
		break;
	case EXPLORE_UNMAP:
		message_unmap_one(&scenario->mapping[step->what]);
		break;
	case EXPLORE_RANGE:
		message_unmap(WIRE_DMA_UNMAP_RANGE | message_attr(step->what), 0, step->with);
		break;
	case EXPLORE_ALL:
		message_unmap(WIRE_DMA_UNMAP_ALL | message_attr(step->what), 0, 0);
		break;
	case EXPLORE_START:
		message_start(step->what);
		break;
	case EXPLORE_RESPOND:
		message_respond(watch_group(step->what)->cookie, step->with);
		break;
	case EXPLORE_INVENT:
		message_respond(step->what, WIRE_PAGE_SUCCESS);
		break;
	case EXPLORE_ANSWER:
		message_answer(step->what, step->with);
		break;
	case EXPLORE_RESET:
		message_command(WIRE_DEVICE_RESET, "", 0, true);
		break;
	case EXPLORE_PRI_RESET:
	case EXPLORE_NO_MASTER:
		message_switch(step->op);
		break;
	case EXPLORE_STOP:
	case EXPLORE_RUN:
		message_set_state(step->op == EXPLORE_RUN ? WIRE_STATE_RUNNING : WIRE_STATE_STOP);
		break;
	case EXPLORE_ENABLE:
		message_enable();
		break;
	case EXPLORE_INFO:
		message_info();
		break;
	}
}

size_t message_cut(const struct explore_message *whole, uint32_t cut)
{
	size_t body = whole->head + sizeof(struct wire_header);

	if (!cut)
		return whole->size;
	if (cut == 1 || body >= whole->size)
		return whole->head + sizeof(struct wire_header) / 2;
	return cut == 2 ? body : body + (whole->size - body) / 2;
}
