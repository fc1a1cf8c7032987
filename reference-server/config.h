/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.h - the PCI configuration space of the device, 4096 bytes.
 *
 * Accesses may have any width and alignment. Each bit is read-only or writable by a mask, from
 * which the sizing of base address registers follows. What a write causes beyond its bits is
 * returned, and the device acts on it.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "pri.h"

#define CONFIG_SIZE 4096u

/* Where the tables of MSI-X are in BAR0. */
#define CONFIG_MSIX_VECTORS 8u
#define CONFIG_MSIX_TABLE 0x2000u
#define CONFIG_MSIX_PBA 0x3000u

/* Sizes of the base address registers. */
#define CONFIG_BAR0_SIZE UINT64_C(0x20000)
#define CONFIG_BAR2_SIZE UINT64_C(0x1000)
#define CONFIG_BAR4_SIZE (UINT64_C(8) << 30)
#define CONFIG_ROM_SIZE UINT64_C(0x1000)

/* Pages that the device can request at a time. */
#define CONFIG_PRI_CAPACITY PRI_CAPACITY

/* What a write caused, by bit. */
enum config_effect {
	CONFIG_NOTHING = 0,
	CONFIG_FLR = 1,		/* function level reset was initiated */
	CONFIG_PRI_RESET = 2,	/* the page request interface was reset */
	CONFIG_ATS_ON = 4,	/* ATS Enable has become 1 */
};

struct config {
	uint8_t bytes[CONFIG_SIZE];
	uint8_t writable[CONFIG_SIZE];
	bool viommu;		/* config_viommu.h */
	uint32_t allocation_max;	/* that PRI takes; the owner may change it at any time */
};

/*
 * Reset values; `full` adds power management, MSI, the INTx pin, BAR4, the ROM, and a list of
 * extended capabilities.
 */
void config_init(struct config *config, bool full);

/*
 * The caller has checked that offset + count is inside. A write returns bits of enum config_effect.
 */
void config_read(const struct config *config, uint32_t offset, void *data, uint32_t count);
uint32_t config_write(struct config *config, uint32_t offset, const void *data, uint32_t count);

/*
 * Takes over the CONFIG_SIZE bytes of another device of the same kind: 0, or -EINVAL and nothing
 * changed if they differ in a bit that cannot be written.
 */
int config_load(struct config *config, const uint8_t *bytes);

#endif
