/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_bar0.h - BAR0 of the test device: registers, MSI-X tables and the device buffer.
 *
 * Registers take naturally aligned accesses of 4 or 8 bytes (8 = two registers, the lower first);
 * anything else is -EINVAL and changes nothing. The device buffer takes any access. A register
 * that is only written reads 0, and a write to one that is only read is ignored. An access has the
 * engine's lock, so it sees the slots between two steps.
 */
#ifndef DEVICE_BAR0_H
#define DEVICE_BAR0_H

#include <stdint.h>

#include "config.h"
#include "device_engine.h"
#include "irq.h"
#include "region.h"

#define DEVICE_BUFFER 0x10000u
#define DEVICE_MSIX_WORDS (CONFIG_MSIX_VECTORS * 4)

/* Registers, by offset. */
enum device_register {
	DEVICE_MAGIC = 0x00,
	DEVICE_INFO = 0x04,		/* version << 16 | slots << 8 | log2 of the buffer's size */
	DEVICE_CAPS = 0x08,
	DEVICE_GCTL = 0x0c,
	DEVICE_IRQ = 0x10,		/* raises a vector; reads 0 */
	DEVICE_CKOFF = 0x14,		/* a part of the buffer, and its CRC-32 */
	DEVICE_CKLEN = 0x18,
	DEVICE_CKSUM = 0x1c,
	DEVICE_PR_TIMEOUT = 0x20,
	DEVICE_DRAIN_MS = 0x24,
	DEVICE_COUNTERS = 0x28,		/* ten of them */
	DEVICE_COUNTERS_LAST = 0x4c,
	DEVICE_GO = 0x50,		/* starts the armed slots of a mask; reads 0 */
	DEVICE_EVHEAD = 0x54,		/* number of the next event */
	DEVICE_SLOT_REGISTERS = 0x100,	/* enum device_slot_register, for each slot */
	DEVICE_FAULT_VIEWS = 0x300,	/* enum device_fault_register, for each slot */
	DEVICE_EVENT_RING = 0x800,
	DEVICE_EVENT_RING_END = 0x1000,
};

/* Bits of CAPS. */
#define DEVICE_CAPS_DIRECT (1u << 0)
#define DEVICE_CAPS_MESSAGES (1u << 1)
#define DEVICE_CAPS_PASID (1u << 2)
#define DEVICE_CAPS_PRI (1u << 3)
#define DEVICE_CAPS_DOOR (1u << 4)
#define DEVICE_CAPS_ATC (1u << 5)

struct device_bar0 {
	struct irq *irq;
	uint32_t caps;
	uint32_t gctl;
	uint32_t ckoff;
	uint32_t cklen;
	uint32_t msix[DEVICE_MSIX_WORDS];
	struct device_engine engine;	/* has the device buffer */
};

extern const struct region_ops device_bar0_ops;

/*
 * Reset values, without an operation or a thread. The IRQ register and the slots raise vectors in
 * `irq`, the slots access memory through `dma`, and `door` is the file of the side door.
 */
void device_bar0_init(struct device_bar0 *bar0, struct irq *irq, struct dma *dma, int door);

/* Reset values; no operation is under way. */
void device_bar0_reset(struct device_bar0 *bar0);

#endif
