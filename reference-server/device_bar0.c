/* SPDX-License-Identifier: BSD-3-Clause */
/* device_bar0.c - see device_bar0.h. */
#include "device_bar0.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "crc.h"

#define DEVICE_MAGIC_VALUE 0x414d4456u	/* "VDMA" */
/* Version 1; the slots; a buffer of 2^16 bytes. */
#define DEVICE_INFO_VALUE (1u << 16 | DEVICE_SLOTS << 8 | 16u)
#define DEVICE_GCTL_BITS 3u
#define DEVICE_GCTL_ATC 1u
#define DEVICE_GCTL_FREEZE 2u
#define DEVICE_PR_TIMEOUT_VALUE 60000u

#define DEVICE_MSIX_TABLE_END (CONFIG_MSIX_TABLE + CONFIG_MSIX_VECTORS * 16)
#define DEVICE_PBA_END (CONFIG_MSIX_PBA + 8)

void device_bar0_init(struct device_bar0 *bar0, struct irq *irq, struct dma *dma, int door)
{
	memset(bar0, 0, sizeof(*bar0));
	bar0->irq = irq;
	bar0->caps = DEVICE_CAPS_DIRECT | DEVICE_CAPS_MESSAGES | DEVICE_CAPS_DOOR;
	device_engine_init(&bar0->engine, irq, dma, door);
	device_bar0_reset(bar0);
}

void device_bar0_reset(struct device_bar0 *bar0)
{
	device_engine_reset(&bar0->engine);
	bar0->gctl = 0;
	bar0->ckoff = 0;
	bar0->cklen = 0;
	bar0->engine.env.pr_timeout = DEVICE_PR_TIMEOUT_VALUE;
	memset(bar0->msix, 0, sizeof(bar0->msix));
	for (uint32_t i = 0; i < CONFIG_MSIX_VECTORS; i++)
		bar0->msix[4 * i + 3] = 1;	/* vectors begin masked */
}

static int device_checksum(const struct device_bar0 *bar0, uint32_t *out)
{
	if (bar0->ckoff > DEVICE_BUFFER_SIZE || bar0->cklen > DEVICE_BUFFER_SIZE - bar0->ckoff)
		return -EINVAL;
	*out = crc_add(CRC_START, bar0->engine.env.buffer + bar0->ckoff, bar0->cklen);
	return 0;
}

static bool device_is_msix(uint32_t offset)
{
	return offset >= CONFIG_MSIX_TABLE && offset < DEVICE_MSIX_TABLE_END;
}

static bool device_is_read_only(uint32_t offset)
{
	return offset >= CONFIG_MSIX_PBA && offset < DEVICE_PBA_END;
}

static bool device_is_slot(uint32_t offset)
{
	return offset >= DEVICE_SLOT_REGISTERS &&
	       offset < DEVICE_SLOT_REGISTERS + DEVICE_SLOTS * SLOT_SIZE;
}

static struct device_slot *device_slot_of(struct device_bar0 *bar0, uint32_t offset)
{
	return &bar0->engine.slots[(offset - DEVICE_SLOT_REGISTERS) / SLOT_SIZE];
}

/* The storage of a plain register and its bits; NULL for the others. */
static uint32_t *device_plain(struct device_bar0 *bar0, uint32_t offset, uint32_t *bits)
{
	*bits = UINT32_MAX;
	switch (offset) {
	case DEVICE_GCTL:
		*bits = DEVICE_GCTL_BITS;
		return &bar0->gctl;
	case DEVICE_CKOFF:
		return &bar0->ckoff;
	case DEVICE_CKLEN:
		return &bar0->cklen;
	case DEVICE_PR_TIMEOUT:
		return &bar0->engine.env.pr_timeout;
	case DEVICE_DRAIN_MS:
		return &bar0->engine.env.drain_ms;
	default:
		if (!device_is_msix(offset))
			return NULL;
		return &bar0->msix[(offset - CONFIG_MSIX_TABLE) / 4];
	}
}

/* The registers of slots, fault views and events. False: it is none. */
static bool device_load_engine(struct device_bar0 *bar0, uint32_t offset, uint32_t *out)
{
	const struct device_engine *engine = &bar0->engine;
	uint32_t place;

	if (device_is_slot(offset)) {
		*out = device_slot_load(device_slot_of(bar0, offset), offset % SLOT_SIZE);
	} else if (offset >= DEVICE_COUNTERS && offset <= DEVICE_COUNTERS_LAST) {
		*out = engine->env.counters[(offset - DEVICE_COUNTERS) / 4];
	} else if (offset >= DEVICE_FAULT_VIEWS &&
		   offset < DEVICE_FAULT_VIEWS + DEVICE_SLOTS * FAULT_VIEW_SIZE) {
		place = offset - DEVICE_FAULT_VIEWS;
		*out = device_slot_fault_view(&engine->slots[place / FAULT_VIEW_SIZE],
					      place % FAULT_VIEW_SIZE);
	} else if (offset >= DEVICE_EVENT_RING && offset < DEVICE_EVENT_RING_END) {
		place = offset - DEVICE_EVENT_RING;
		memcpy(out, (const uint8_t *)engine->env.events.ring + place, sizeof(*out));
	} else {
		return false;
	}
	return true;
}

static int device_load(struct device_bar0 *bar0, uint32_t offset, uint32_t *out)
{
	uint32_t bits, *plain = device_plain(bar0, offset, &bits);

	*out = 0;
	if (plain) {
		*out = *plain;
		return 0;
	}
	switch (offset) {
	case DEVICE_MAGIC:
		*out = DEVICE_MAGIC_VALUE;
		return 0;
	case DEVICE_INFO:
		*out = DEVICE_INFO_VALUE;
		return 0;
	case DEVICE_CAPS:
		*out = bar0->caps;
		return 0;
	case DEVICE_IRQ:
	case DEVICE_GO:
		return 0;
	case DEVICE_EVHEAD:
		*out = bar0->engine.env.events.head;
		return 0;
	case DEVICE_CKSUM:
		return device_checksum(bar0, out);
	default:
		if (device_load_engine(bar0, offset, out))
			return 0;
		return device_is_read_only(offset) ? 0 : -EINVAL;
	}
}

/* Value: a vector of MSI-X, or (index + 1) << 16 | vector for any type. */
static int device_raise(struct device_bar0 *bar0, uint32_t value)
{
	uint32_t index = value >> 16;

	return irq_raise(bar0->irq, index ? index - 1 : WIRE_IRQ_INDEX_MSIX, value & 0xffff);
}

static int device_store(struct device_bar0 *bar0, uint32_t offset, uint32_t value)
{
	uint32_t bits, *plain = device_plain(bar0, offset, &bits);

	if (plain) {
		*plain = value & bits;
		if (offset == DEVICE_GCTL) {
			bar0->engine.frozen = value & DEVICE_GCTL_FREEZE;
			device_engine_cache(&bar0->engine, value & DEVICE_GCTL_ATC);
		}
		return 0;
	}
	if (offset == DEVICE_IRQ)
		return device_raise(bar0, value);
	if (offset == DEVICE_GO)
		device_engine_go(&bar0->engine, value);
	else if (device_is_slot(offset))
		device_slot_store(device_slot_of(bar0, offset), offset % SLOT_SIZE, value);
	return 0;
}

static bool device_is_register(uint32_t offset)
{
	return offset <= DEVICE_EVHEAD || device_is_msix(offset) || device_is_read_only(offset) ||
	       (offset >= DEVICE_SLOT_REGISTERS &&
		offset < DEVICE_FAULT_VIEWS + DEVICE_SLOTS * FAULT_VIEW_SIZE) ||
	       (offset >= DEVICE_EVENT_RING && offset < DEVICE_EVENT_RING_END);
}

/* Whether an access is of one or two whole registers. */
static int device_check_access(uint64_t offset, uint32_t count)
{
	if ((count != 4 && count != 8) || offset % count)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i += 4) {
		if (!device_is_register((uint32_t)offset + i))
			return -EINVAL;
	}
	return 0;
}

static int device_load_all(struct device_bar0 *bar0, uint64_t offset, void *data, uint32_t count)
{
	uint32_t value;

	if (offset >= DEVICE_BUFFER) {
		memcpy(data, bar0->engine.env.buffer + (offset - DEVICE_BUFFER), count);
		return 0;
	}
	if (device_check_access(offset, count))
		return -EINVAL;
	for (uint32_t i = 0; i < count; i += 4) {
		if (device_load(bar0, (uint32_t)offset + i, &value))
			return -EINVAL;
		memcpy((uint8_t *)data + i, &value, sizeof(value));
	}
	return 0;
}

static int device_store_all(struct device_bar0 *bar0, uint64_t offset, const void *data,
			    uint32_t count)
{
	uint32_t value;

	if (offset >= DEVICE_BUFFER) {
		memcpy(bar0->engine.env.buffer + (offset - DEVICE_BUFFER), data, count);
		bar0->engine.env.written = true;
		return 0;
	}
	if (device_check_access(offset, count))
		return -EINVAL;
	for (uint32_t i = 0; i < count; i += 4) {
		memcpy(&value, (const uint8_t *)data + i, sizeof(value));
		/* Only the IRQ register refuses a value; it is the lower one of its pair. */
		if (device_store(bar0, (uint32_t)offset + i, value))
			return -EINVAL;
	}
	return 0;
}

static int device_bar0_read(void *owner, uint64_t offset, void *data, uint32_t count)
{
	struct device_bar0 *bar0 = owner;
	int error;

	pthread_mutex_lock(&bar0->engine.env.lock);
	error = device_load_all(bar0, offset, data, count);
	pthread_mutex_unlock(&bar0->engine.env.lock);
	return error;
}

static int device_bar0_write(void *owner, uint64_t offset, const void *data, uint32_t count)
{
	struct device_bar0 *bar0 = owner;
	int error;

	pthread_mutex_lock(&bar0->engine.env.lock);
	error = device_store_all(bar0, offset, data, count);
	device_engine_stir(&bar0->engine);
	pthread_mutex_unlock(&bar0->engine.env.lock);
	return error;
}

const struct region_ops device_bar0_ops = {
	.read = device_bar0_read,
	.write = device_bar0_write,
};
