/* SPDX-License-Identifier: BSD-3-Clause */
/* device_bar0.c - see device_bar0.h. */
#include "device_bar0.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define DEVICE_MAGIC_VALUE 0x414d4456u	/* "VDMA" */
/* Version 1; no slots, as no DMA engine is there; a buffer of 2^16 bytes. */
#define DEVICE_INFO_VALUE (1u << 16 | 16u)
#define DEVICE_GCTL_BITS 3u
#define DEVICE_PR_TIMEOUT_VALUE 60000u

#define DEVICE_MSIX_TABLE_END (CONFIG_MSIX_TABLE + CONFIG_MSIX_VECTORS * 16)
#define DEVICE_PBA_END (CONFIG_MSIX_PBA + 8)

void device_bar0_init(struct device_bar0 *bar0, struct irq *irq)
{
	memset(bar0, 0, sizeof(*bar0));
	bar0->irq = irq;
	bar0->pr_timeout = DEVICE_PR_TIMEOUT_VALUE;
	for (uint32_t i = 0; i < CONFIG_MSIX_VECTORS; i++)
		bar0->msix[4 * i + 3] = 1;	/* vectors begin masked */
}

/* CRC-32 as in IEEE 802.3, four bits at a time. */
static uint32_t device_crc(const uint8_t *data, uint32_t size)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = 0xffffffff;

	for (uint32_t i = 0; i < size; i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

static int device_checksum(const struct device_bar0 *bar0, uint32_t *out)
{
	if (bar0->ckoff > DEVICE_BUFFER_SIZE || bar0->cklen > DEVICE_BUFFER_SIZE - bar0->ckoff)
		return -EINVAL;
	*out = device_crc(bar0->buffer + bar0->ckoff, bar0->cklen);
	return 0;
}

static bool device_is_msix(uint32_t offset)
{
	return offset >= CONFIG_MSIX_TABLE && offset < DEVICE_MSIX_TABLE_END;
}

static bool device_is_read_only(uint32_t offset)
{
	return (offset >= DEVICE_COUNTERS && offset <= DEVICE_COUNTERS_LAST) ||
	       (offset >= CONFIG_MSIX_PBA && offset < DEVICE_PBA_END);
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
		return &bar0->pr_timeout;
	case DEVICE_DRAIN_MS:
		return &bar0->drain_ms;
	default:
		if (!device_is_msix(offset))
			return NULL;
		return &bar0->msix[(offset - CONFIG_MSIX_TABLE) / 4];
	}
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
	case DEVICE_IRQ:
		return 0;
	case DEVICE_CKSUM:
		return device_checksum(bar0, out);
	default:
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

	if (plain)
		*plain = value & bits;
	else if (offset == DEVICE_IRQ)
		return device_raise(bar0, value);
	return 0;
}

static bool device_is_register(uint32_t offset)
{
	return offset <= DEVICE_COUNTERS_LAST || device_is_msix(offset) ||
	       device_is_read_only(offset);
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

static int device_bar0_read(void *owner, uint64_t offset, void *data, uint32_t count)
{
	struct device_bar0 *bar0 = owner;
	uint32_t value;

	if (offset >= DEVICE_BUFFER) {
		memcpy(data, bar0->buffer + (offset - DEVICE_BUFFER), count);
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

static int device_bar0_write(void *owner, uint64_t offset, const void *data, uint32_t count)
{
	struct device_bar0 *bar0 = owner;
	uint32_t value;

	if (offset >= DEVICE_BUFFER) {
		memcpy(bar0->buffer + (offset - DEVICE_BUFFER), data, count);
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

const struct region_ops device_bar0_ops = {
	.read = device_bar0_read,
	.write = device_bar0_write,
};
