/* SPDX-License-Identifier: BSD-3-Clause */
/* sample_device.c - see sample_device.h. */
#include "sample_device.h"

#include <string.h>

#include "config_viommu.h"
#include "device_bar0.h"
#include "device_slot_flow.h"
#include "explore_device.h"
#include "explore_memory.h"
#include "sample_link.h"

#define DEVICE_REAL_MS 4u	/* of one ms of a scenario: threads of others run meanwhile */
#define DEVICE_READS (2 * EXPLORE_SLOTS + 2)

static struct {
	const struct explore_scenario *scenario;
	uint32_t holds[EXPLORE_SLOTS];
	bool fresh;
	uint32_t status[EXPLORE_SLOTS], cookie[EXPLORE_SLOTS];
	uint16_t pri;
	uint8_t buffer[2 * MEMORY_PAGE];
} sample_device;

void sample_device_begin(const struct explore_scenario *scenario, const uint32_t *holds)
{
	memset(&sample_device, 0, sizeof(sample_device));
	sample_device.scenario = scenario;
	memcpy(sample_device.holds, holds, sizeof(sample_device.holds));
}

void sample_device_changes(void)
{
	sample_device.fresh = false;
}

bool sample_device_look(void)
{
	struct sample_register registers[DEVICE_READS], *next = registers;
	uint32_t before[EXPLORE_SLOTS];

	memcpy(before, sample_device.status, sizeof(before));
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		*next++ = (struct sample_register){
			WIRE_REGION_INDEX_BAR0, DEVICE_SLOT_REGISTERS + i * SLOT_SIZE + SLOT_STATE,
			4, &sample_device.status[i],
		};
		*next++ = (struct sample_register){
			WIRE_REGION_INDEX_BAR0,
			DEVICE_FAULT_VIEWS + i * FAULT_VIEW_SIZE + FAULT_VIEW_COOKIE, 4,
			&sample_device.cookie[i],
		};
	}
	*next++ = (struct sample_register){
		WIRE_REGION_INDEX_CONFIG, CONFIG_PRI + WIRE_PCI_PRI_STATUS, 2, &sample_device.pri,
	};
	*next = (struct sample_register){
		WIRE_REGION_INDEX_BAR0, DEVICE_BUFFER, sizeof(sample_device.buffer),
		sample_device.buffer,
	};
	sample_read(registers, DEVICE_READS);
	sample_device.fresh = true;
	return memcmp(before, sample_device.status, sizeof(before)) == 0;
}

bool sample_device_is_busy(void)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		uint32_t state = sample_device.status[i] & 0xff;

		if (state == SLOT_QUEUED || state == SLOT_RUN || state == SLOT_HELD)
			return true;
	}
	return false;
}

bool explore_view(uint32_t slot, struct explore_view *out)
{
	uint32_t state = sample_device.status[slot] & 0xff;
	uint32_t cmd = sample_device.scenario->slot[slot].cmd;

	*out = (struct explore_view){
		.state = state,
		.error = sample_device.status[slot] >> 16,
		.space = cmd & CMD_PASID ? (cmd >> CMD_PASID_SHIFT) + 1 : 0,
		.cookie = sample_device.cookie[slot],
		.pages = cmd & CMD_PAGES,
		.live = state != SLOT_IDLE && state < SLOT_DONE,
	};
	return sample_device.fresh;
}

bool explore_credit(int64_t *used, uint16_t *status)
{
	*used = -1;
	*status = sample_device.pri;
	return sample_device.fresh;
}

bool explore_remembers(void)
{
	return false;
}

const uint8_t *explore_buffer(void)
{
	return sample_device.fresh ? sample_device.buffer : NULL;
}

uint32_t explore_holds(uint32_t slot)
{
	return sample_device.holds[slot];
}

uint32_t explore_ms(uint32_t ms)
{
	return ms * DEVICE_REAL_MS;
}

bool explore_owns_time(void)
{
	return false;
}

uint64_t explore_device_sum(uint64_t sum)
{
	return sum;
}
