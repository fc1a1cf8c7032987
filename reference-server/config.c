/* SPDX-License-Identifier: BSD-3-Clause */
/* config.c - see config.h. */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "config_viommu.h"

/* One register: its reset value and which of its bits a write changes. */
struct config_register {
	uint16_t offset;
	uint8_t width;
	uint32_t value;
	uint32_t writable;
};

#define CONFIG_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The low half of a base address register: the bits above its size, 0 where that is 4 GiB. */
#define CONFIG_BAR_LOW(size) ((uint32_t)~((size) - 1) & 0xfffffff0u)
#define CONFIG_BAR_HIGH(size) ((uint32_t)(~((size) - 1) >> 32))

#define CONFIG_PM 0x40
#define CONFIG_MSIX 0x50
#define CONFIG_PCIE 0x60
/* Behind PCI Express, whose second version takes 0x3c bytes. */
#define CONFIG_MSI 0xa0

/* Extended capabilities: the first is always at 0x100, and may be a null one. */
#define CONFIG_EXTENDED 0x100
#define CONFIG_SERIAL 0x140
#define CONFIG_VENDOR 0x150

/* The lower byte of power control; the device has D0 and D3hot of the four states. */
#define CONFIG_POWER_BYTE (CONFIG_PM + 4)
#define CONFIG_POWER_STATE 0x03

/* In the upper byte of Device Control. */
#define CONFIG_FLR_BYTE (CONFIG_PCIE + 9)
#define CONFIG_FLR_BIT 0x80

static const struct config_register config_common[] = {
	{ 0x00, 2, 0x1234, 0 },			/* vendor */
	{ 0x02, 2, 0x11e9, 0 },			/* device */
	{ 0x04, 2, 0, 0x0546 },			/* command; no I/O space */
	{ 0x06, 2, 0x0010, 0 },			/* status: capability list */
	{ 0x08, 4, 0x00ff0001, 0 },		/* class 00ff00, revision 1 */
	{ 0x0c, 1, 0, 0xff },			/* cache line size */
	{ 0x10, 4, 0, CONFIG_BAR_LOW(CONFIG_BAR0_SIZE) },
	{ 0x18, 4, 0, CONFIG_BAR_LOW(CONFIG_BAR2_SIZE) },
	{ 0x2c, 2, 0x1234, 0 },			/* subsystem vendor */
	{ 0x2e, 2, 0x11e9, 0 },			/* subsystem */
	{ 0x34, 1, CONFIG_MSIX, 0 },		/* first capability */
	{ 0x3c, 1, 0, 0xff },			/* interrupt line */
	{ CONFIG_MSIX + 0x0, 2, CONFIG_PCIE << 8 | 0x11, 0 },
	{ CONFIG_MSIX + 0x2, 2, CONFIG_MSIX_VECTORS - 1, 0xc000 },
	{ CONFIG_MSIX + 0x4, 4, CONFIG_MSIX_TABLE, 0 },
	{ CONFIG_MSIX + 0x8, 4, CONFIG_MSIX_PBA, 0 },
	{ CONFIG_PCIE + 0x00, 2, 0x0010, 0 },	/* last capability */
	{ CONFIG_PCIE + 0x02, 2, 0x0002, 0 },	/* version 2, endpoint */
	{ CONFIG_PCIE + 0x04, 4, 0x10008000, 0 },	/* FLR, role-based error reporting */
	/* Device control without extended tags and phantom functions; FLR reads 0. */
	{ CONFIG_PCIE + 0x08, 2, 0x2810, 0x78ff },
	{ CONFIG_PCIE + 0x0c, 4, 0x00000011, 0 },	/* link: 2.5 GT/s, one lane */
	{ CONFIG_PCIE + 0x10, 2, 0, 0x00c3 },	/* link control; no clock power management */
	{ CONFIG_PCIE + 0x12, 2, 0x0011, 0 },
};

static const struct config_register config_full[] = {
	{ 0x20, 4, 0x0c, CONFIG_BAR_LOW(CONFIG_BAR4_SIZE) },	/* 64 bits, prefetchable */
	{ 0x24, 4, 0, CONFIG_BAR_HIGH(CONFIG_BAR4_SIZE) },
	{ 0x30, 4, 0, CONFIG_BAR_LOW(CONFIG_ROM_SIZE) | 1 },
	{ 0x34, 1, CONFIG_PM, 0 },
	{ 0x3d, 1, 1, 0 },			/* INTA */
	{ CONFIG_PM + 0x0, 2, CONFIG_MSIX << 8 | 0x01, 0 },
	{ CONFIG_PM + 0x2, 2, 0x0003, 0 },	/* version 1.2, no PME */
	{ CONFIG_PM + 0x4, 2, 0x0008, 0x0003 },	/* power state, kept state on D3 to D0 */
	{ CONFIG_PCIE + 0x0, 2, CONFIG_MSI << 8 | 0x10, 0 },
	{ CONFIG_MSI + 0x0, 2, 0x0005, 0 },	/* last capability */
	{ CONFIG_MSI + 0x2, 2, 0x0086, 0x0071 },	/* 8 vectors, 64-bit address */
	{ CONFIG_MSI + 0x4, 4, 0, 0xfffffffc },
	{ CONFIG_MSI + 0x8, 4, 0, 0xffffffff },
	{ CONFIG_MSI + 0xc, 2, 0, 0xffff },
	{ CONFIG_EXTENDED, 4, (uint32_t)CONFIG_SERIAL << 20, 0 },
	{ CONFIG_SERIAL + 0x0, 4, (uint32_t)CONFIG_VENDOR << 20 | 1 << 16 | 0x03, 0 },
	{ CONFIG_SERIAL + 0x4, 4, 0x41564d44, 0 },
	{ CONFIG_SERIAL + 0x8, 4, 0x00000001, 0 },
	{ CONFIG_VENDOR + 0x0, 4, 1 << 16 | 0x0b, 0 },	/* last extended capability */
	{ CONFIG_VENDOR + 0x4, 4, 0x010 << 20 | 1 << 16 | 0x0001, 0 },	/* 16 bytes */
	{ CONFIG_VENDOR + 0x8, 4, 0, 0xffffffff },	/* stored */
};

static void config_fill(struct config *config, const struct config_register *reg, size_t count)
{
	for (; count; count--, reg++) {
		for (uint32_t i = 0; i < reg->width; i++) {
			config->bytes[reg->offset + i] = (uint8_t)(reg->value >> (8 * i));
			config->writable[reg->offset + i] = (uint8_t)(reg->writable >> (8 * i));
		}
	}
}

void config_init(struct config *config, bool full)
{
	memset(config, 0, sizeof(*config));
	config_fill(config, config_common, CONFIG_COUNT(config_common));
	if (full)
		config_fill(config, config_full, CONFIG_COUNT(config_full));
}

void config_read(const struct config *config, uint32_t offset, void *data, uint32_t count)
{
	memcpy(data, config->bytes + offset, count);
}

/* D1 and D2: a request for a state that the device does not have is discarded. */
static bool config_lacks_power_state(uint32_t offset, uint8_t byte)
{
	uint8_t state = byte & CONFIG_POWER_STATE;

	return offset == CONFIG_POWER_BYTE && (state == 1 || state == 2);
}

uint32_t config_write(struct config *config, uint32_t offset, const void *data, uint32_t count)
{
	const uint8_t *bytes = data;
	uint32_t effects = CONFIG_NOTHING;
	uint8_t old[CONFIG_VIOMMU_SIZE];

	memcpy(old, config->bytes + CONFIG_ATS, sizeof(old));
	for (uint32_t i = 0; i < count; i++) {
		uint8_t mask = config->writable[offset + i];
		uint8_t *byte = &config->bytes[offset + i];

		if (config_lacks_power_state(offset + i, bytes[i]))
			mask &= (uint8_t)~CONFIG_POWER_STATE;
		*byte = (uint8_t)((*byte & ~mask) | (bytes[i] & mask));
		if (offset + i == CONFIG_FLR_BYTE && bytes[i] & CONFIG_FLR_BIT)
			effects = CONFIG_FLR;
	}
	return effects | config_settle_viommu(config, old, offset, bytes, count);
}

int config_load(struct config *config, const uint8_t *bytes)
{
	for (uint32_t i = 0; i < CONFIG_SIZE; i++) {
		if ((bytes[i] ^ config->bytes[i]) & ~config->writable[i])
			return -EINVAL;
	}
	memcpy(config->bytes, bytes, CONFIG_SIZE);
	return 0;
}
