/* SPDX-License-Identifier: BSD-3-Clause */
/* config_viommu.c - see config_viommu.h. */
#include "config_viommu.h"

#include <string.h>

#include "wire_ext.h"

#define CONFIG_COMMAND 0x04
#define CONFIG_BUS_MASTER 0x0004u

#define ATS_CONTROL (CONFIG_ATS + WIRE_PCI_ATS_CONTROL)
#define PRI_CONTROL (CONFIG_PRI + WIRE_PCI_PRI_CONTROL)
#define PRI_STATUS (CONFIG_PRI + WIRE_PCI_PRI_STATUS)
#define PRI_ALLOCATION (CONFIG_PRI + WIRE_PCI_PRI_ALLOCATION)
#define PASID_CAPABILITY (CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY)
#define PASID_CONTROL (CONFIG_PASID + WIRE_PCI_PASID_CONTROL)

#define PRI_CLEARED (WIRE_PCI_PRI_RF | WIRE_PCI_PRI_UPRGI)

/* Registers are little-endian, whatever the host is. */
static uint32_t config_get(const uint8_t *bytes, uint32_t width)
{
	uint32_t value = 0;

	for (uint32_t i = width; i-- > 0;)
		value = value << 8 | bytes[i];
	return value;
}

static void config_put(uint8_t *bytes, uint32_t width, uint32_t value)
{
	for (uint32_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

/* A register with its value, and the bits that can differ from it. */
static void config_set(struct config *config, uint32_t offset, uint32_t width, uint32_t value,
		       uint32_t writable)
{
	config_put(config->bytes + offset, width, value);
	config_put(config->writable + offset, width, writable);
}

static uint32_t config_header(uint32_t id, uint32_t next)
{
	return next << 20 | 1u << 16 | id;
}

/* The first capability is the one at 0x100, maybe a null one; that is where the rest hangs on. */
void config_add_viommu(struct config *config, uint32_t pasid_bits)
{
	uint32_t behind = config_get(config->bytes + CONFIG_ATS, 4) >> 20;
	uint32_t required = pasid_bits ? WIRE_PCI_PRI_PASID_REQUIRED : 0;

	config->viommu = true;
	config_set(config, CONFIG_ATS, 4, config_header(WIRE_PCI_ATS_ID, CONFIG_PRI), 0);
	config_set(config, CONFIG_ATS + WIRE_PCI_ATS_CAPABILITY, 2, WIRE_PCI_ATS_PAGE_ALIGNED, 0);
	config_set(config, ATS_CONTROL, 2, 0, WIRE_PCI_ATS_ENABLE | WIRE_PCI_ATS_STU_MASK);
	config_set(config, CONFIG_PRI, 4,
		   config_header(WIRE_PCI_PRI_ID, pasid_bits ? CONFIG_PASID : behind), 0);
	config_set(config, PRI_CONTROL, 2, 0, WIRE_PCI_PRI_ENABLE);
	config_set(config, PRI_STATUS, 2, WIRE_PCI_PRI_STOPPED | required,
		   PRI_CLEARED | WIRE_PCI_PRI_STOPPED);
	config_set(config, CONFIG_PRI + WIRE_PCI_PRI_CAPACITY, 4, CONFIG_PRI_CAPACITY, 0);
	config_set(config, PRI_ALLOCATION, 4, 0, UINT32_MAX);
	if (!pasid_bits)
		return;
	config_set(config, CONFIG_PASID, 4, config_header(WIRE_PCI_PASID_ID, behind), 0);
	config_set(config, PASID_CAPABILITY, 2, pasid_bits << WIRE_PCI_PASID_WIDTH_SHIFT,
		   WIRE_PCI_PASID_WIDTH_MASK);
	config_set(config, PASID_CONTROL, 2, 0, WIRE_PCI_PASID_ENABLE);
}

struct config_viommu config_get_viommu(const struct config *config)
{
	const uint8_t *bytes = config->bytes;

	if (!config->viommu)
		return (struct config_viommu){ .ats = false };
	return (struct config_viommu){
		.ats = config_get(bytes + ATS_CONTROL, 2) & WIRE_PCI_ATS_ENABLE,
		.pri = config_get(bytes + PRI_CONTROL, 2) & WIRE_PCI_PRI_ENABLE,
		.pasid = config_get(bytes + PASID_CONTROL, 2) & WIRE_PCI_PASID_ENABLE,
		.master = config_get(bytes + CONFIG_COMMAND, 2) & CONFIG_BUS_MASTER,
		.allocation = config_get(bytes + PRI_ALLOCATION, 4),
		.status = (uint16_t)config_get(bytes + PRI_STATUS, 2),
	};
}

void config_set_status(struct config *config, uint16_t status)
{
	const uint32_t bits = PRI_CLEARED | WIRE_PCI_PRI_STOPPED;
	uint8_t *bytes = config->bytes + PRI_STATUS;

	if (config->viommu)
		config_put(bytes, 2, (config_get(bytes, 2) & ~bits) | (status & bits));
}

void config_set_width(struct config *config, uint32_t pasid_bits)
{
	if (config->viommu && config_get(config->bytes + CONFIG_PASID, 2) == WIRE_PCI_PASID_ID)
		config_put(config->bytes + PASID_CAPABILITY, 2,
			   pasid_bits << WIRE_PCI_PASID_WIDTH_SHIFT);
}

/* The part of a register that a write brought, with 0 where it brought nothing. */
static uint32_t config_written(uint32_t offset, const uint8_t *bytes, uint32_t count,
			       uint32_t place)
{
	uint8_t there[2] = { 0 };

	for (uint32_t i = 0; i < sizeof(there); i++) {
		if (place + i >= offset && place + i < offset + count)
			there[i] = bytes[place + i - offset];
	}
	return config_get(there, sizeof(there));
}

static uint32_t config_settle_ats(struct config *config, uint32_t old)
{
	uint8_t *control = config->bytes + ATS_CONTROL;
	uint32_t now = config_get(control, 2);

	if (!(old & WIRE_PCI_ATS_ENABLE))
		return now & WIRE_PCI_ATS_ENABLE ? CONFIG_ATS_ON : 0;
	config_put(control, 2, (now & ~WIRE_PCI_ATS_STU_MASK) | (old & WIRE_PCI_ATS_STU_MASK));
	return 0;
}

uint32_t config_settle_viommu(struct config *config, const uint8_t *old, uint32_t offset,
			      const uint8_t *bytes, uint32_t count)
{
	uint32_t status = config_get(old + (PRI_STATUS - CONFIG_ATS), 2);
	uint32_t cleared = config_written(offset, bytes, count, PRI_STATUS) & PRI_CLEARED;
	uint32_t control = config_written(offset, bytes, count, PRI_CONTROL);
	uint8_t *allocation = config->bytes + PRI_ALLOCATION;
	uint32_t effects;

	if (!config->viommu)
		return 0;
	effects = config_settle_ats(config, config_get(old + (ATS_CONTROL - CONFIG_ATS), 2));
	config_put(config->bytes + PRI_STATUS, 2, status & ~cleared);
	memcpy(config->bytes + PASID_CAPABILITY, old + (PASID_CAPABILITY - CONFIG_ATS), 2);
	if (config_get(allocation, 4) > config->allocation_max)
		config_put(allocation, 4, config->allocation_max);
	if (control & WIRE_PCI_PRI_RESET && !config_get_viommu(config).pri)
		effects |= CONFIG_PRI_RESET;
	return effects;
}
