/* SPDX-License-Identifier: BSD-3-Clause */
/* device.c - see device.h. */
#include "device.h"

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "config_viommu.h"
#include "device_state.h"
#include "fault.h"

#define DEVICE_RW (WIRE_REGION_FLAG_READ | WIRE_REGION_FLAG_WRITE)
#define DEVICE_MIB (UINT64_C(1) << 20)
#define DEVICE_GIB (UINT64_C(1) << 30)

/* As Linux marks types that belong to a PCI vendor. */
#define DEVICE_REGION_TYPE (UINT32_C(1) << 31 | 0x1234)
#define DEVICE_REGION_SUBTYPE 1

static const struct wire_sparse_area device_bar2_stored[] = { { 0, CONFIG_BAR2_SIZE } };

/* The first page is stored and not mappable; the areas behind it are both. */
static const struct wire_sparse_area device_bar4_stored[] = {
	{ 0, 4096 },
	{ DEVICE_MIB, DEVICE_MIB },
	{ 4 * DEVICE_GIB, DEVICE_MIB },
};
#define DEVICE_BAR4_STORED 3
#define DEVICE_BAR4_UNMAPPABLE 1

static const struct irq_type device_irqs_full[WIRE_IRQ_INDEX_NUM] = {
	[WIRE_IRQ_INDEX_INTX] = { WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE |
				  WIRE_IRQ_INFO_AUTOMASKED, 1 },
	[WIRE_IRQ_INDEX_MSI] = { WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE |
				 WIRE_IRQ_INFO_NORESIZE, 8 },
	[WIRE_IRQ_INDEX_MSIX] = { WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE,
				  CONFIG_MSIX_VECTORS },
	[WIRE_IRQ_INDEX_ERR] = { WIRE_IRQ_INFO_EVENTFD, 1 },
	[WIRE_IRQ_INDEX_REQ] = { WIRE_IRQ_INFO_EVENTFD, 1 },
};

static const struct irq_type device_irqs_vdma[WIRE_IRQ_INDEX_NUM] = {
	[WIRE_IRQ_INDEX_MSIX] = { WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE,
				  CONFIG_MSIX_VECTORS },
};

const struct irq_type *device_irq_types(enum device_profile profile)
{
	return profile == DEVICE_FULL ? device_irqs_full : device_irqs_vdma;
}

/* The configuration space in its reset state. */
static void device_init_config(struct device *device)
{
	config_init(&device->config, device->profile == DEVICE_FULL);
	if (device->viommu)
		config_add_viommu(&device->config, device->pasid_bits);
}

void device_apply_config(struct device *device)
{
	const struct config_viommu viommu = config_get_viommu(&device->config);

	const struct pri_control control = {
		.ats = viommu.ats,
		.pri = viommu.pri,
		.pasid = viommu.pasid,
		.master = viommu.master,
		.allocation = viommu.allocation,
	};

	device_engine_enable(&device->bar0.engine, (struct device_engine_switches){
		viommu.ats, viommu.pasid, viommu.master });
	pri_set_control(&device->dma->pri, &control);
	pri_set_status(&device->dma->pri, viommu.status);
}

void device_sync_config(struct device *device)
{
	const struct session *session = device->dma->session;
	uint32_t bits = session ? session->limits.viommu.pasid_bits : 0;

	config_set_status(&device->config, pri_status(&device->dma->pri));
	config_set_width(&device->config, bits ? bits : device->pasid_bits);
}

void device_add_viommu(struct device *device, uint32_t pasid_bits)
{
	device->viommu = true;
	device->pasid_bits = pasid_bits;
	device->bar0.caps |= DEVICE_CAPS_PASID | DEVICE_CAPS_PRI | DEVICE_CAPS_ATC;
	device->dma->pri.known = true;
	device->bar0.engine.env.viommu = true;
	device_init_config(device);
}

static int device_config_read(void *owner, uint64_t offset, void *data, uint32_t count)
{
	struct device *device = owner;

	device_sync_config(device);
	config_read(&device->config, (uint32_t)offset, data, count);
	return 0;
}

static int device_config_write(void *owner, uint64_t offset, const void *data, uint32_t count)
{
	struct device *device = owner;
	const struct session *session = device->dma->session;
	uint32_t pages = session ? session->limits.viommu.page_requests : 0, effects;

	device->config.allocation_max = pages < CONFIG_PRI_CAPACITY ? pages : CONFIG_PRI_CAPACITY;
	device_sync_config(device);
	effects = config_write(&device->config, (uint32_t)offset, data, count);
	if (effects & CONFIG_FLR)
		return device_reset(device);
	device_apply_config(device);
	if (effects & CONFIG_PRI_RESET)
		pri_reset(&device->dma->pri);
	return 0;
}

static const struct region_ops device_config_ops = {
	.read = device_config_read,
	.write = device_config_write,
};

/* An expansion ROM without an image: the signature and an empty PCI data structure pointer. */
static int device_rom_read(void *owner, uint64_t offset, void *data, uint32_t count)
{
	static const uint8_t rom[CONFIG_ROM_SIZE] = { 0x55, 0xaa };

	(void)owner;
	memcpy(data, rom + offset, count);
	return 0;
}

static const struct region_ops device_rom_ops = { .read = device_rom_read };

static int device_sink_write(void *owner, uint64_t offset, const void *data, uint32_t count)
{
	struct device *device = owner;

	memcpy(device->sink + offset, data, count);
	return 0;
}

static const struct region_ops device_sink_ops = { .write = device_sink_write };

static void device_common_regions(struct device *device)
{
	device->regions[WIRE_REGION_INDEX_BAR0] = (struct region){
		.size = CONFIG_BAR0_SIZE,
		.flags = DEVICE_RW,
		.ops = &device_bar0_ops,
		.owner = &device->bar0,
	};
	device->regions[WIRE_REGION_INDEX_BAR2] = (struct region){
		.size = CONFIG_BAR2_SIZE,
		.flags = DEVICE_RW | WIRE_REGION_FLAG_MMAP,
		.fd = device->bar2.fd,
		.ops = &device_memory_ops,
		.owner = &device->bar2,
	};
	device->regions[WIRE_REGION_INDEX_CONFIG] = (struct region){
		.size = CONFIG_SIZE,
		.flags = DEVICE_RW,
		.ops = &device_config_ops,
		.owner = device,
	};
}

static void device_full_regions(struct device *device)
{
	device->regions[WIRE_REGION_INDEX_BAR4] = (struct region){
		.size = CONFIG_BAR4_SIZE,
		.flags = DEVICE_RW | WIRE_REGION_FLAG_MMAP,
		.fd = fault_on(FAULT_wrong_region_fd) ? device->bar2.fd : device->bar4.fd,
		.areas = device_bar4_stored + DEVICE_BAR4_UNMAPPABLE,
		.area_count = DEVICE_BAR4_STORED - DEVICE_BAR4_UNMAPPABLE,
		.io = device_doorbell_io,
		.io_count = DEVICE_DOORBELLS,
		.io_fds = device->doorbell.fd,
		.ops = &device_doorbell_ops,
		.owner = &device->doorbell,
	};
	device->regions[WIRE_REGION_INDEX_ROM] = (struct region){
		.size = CONFIG_ROM_SIZE,
		.flags = WIRE_REGION_FLAG_READ,
		.ops = &device_rom_ops,
	};
	device->regions[WIRE_REGION_INDEX_NUM] = (struct region){
		.size = DEVICE_SINK,
		.flags = WIRE_REGION_FLAG_WRITE,
		.type = DEVICE_REGION_TYPE,
		.subtype = DEVICE_REGION_SUBTYPE,
		.ops = &device_sink_ops,
		.owner = device,
	};
}

int device_open(struct device *device, enum device_profile profile, struct irq *irq,
		struct dma *dma)
{
	bool full = profile == DEVICE_FULL;
	int error;

	memset(device, 0, sizeof(*device));
	device->profile = profile;
	device->irq = irq;
	device->dma = dma;
	device->bar4.fd = -1;
	device_doorbell_init(&device->doorbell, &device->bar4);
	migration_init(&device->migration, &device_state_ops, device, device_state_parts(full));
	device_init_config(device);
	error = device_memory_open(&device->bar2, CONFIG_BAR2_SIZE, device_bar2_stored, 1);
	device_bar0_init(&device->bar0, irq, dma, device->bar2.fd);
	dma_set_owner(dma, &device_engine_dma_ops, &device->bar0.engine);
	pri_set_owner(&dma->pri, &device_engine_pri_ops, &device->bar0.engine);
	if (!error && full)
		error = device_memory_open(&device->bar4, CONFIG_BAR4_SIZE, device_bar4_stored,
					   DEVICE_BAR4_STORED);
	device_common_regions(device);
	if (full)
		device_full_regions(device);
	device->table = (struct region_table){
		.regions = device->regions,
		.count = full ? DEVICE_REGIONS : WIRE_REGION_INDEX_NUM,
	};
	return error;
}

void device_close(struct device *device)
{
	migration_close(&device->migration);
	device_memory_close(&device->bar2);
	device_memory_close(&device->bar4);
}

void device_attach(struct device *device, uint32_t threads)
{
	device_engine_staff(&device->bar0.engine, threads);
}

void device_detach(struct device *device)
{
	device_engine_dismiss(&device->bar0.engine);
	migration_detach(&device->migration);
	device_doorbell_detach(&device->doorbell);
}

int device_reset(struct device *device)
{
	bool waits = !fault_on(FAULT_reset_does_not_wait);
	int error = waits ? dma_quiesce(device->dma, DMA_ENDS) : 0;

	if (error)
		return error;
	if (fault_on(FAULT_reset_takes_its_time)) {
		uint64_t end = clock_now() + 150;

		while (clock_now() < end)
			continue;
	}
	if (fault_on(FAULT_reset_drops_mappings)) {
		struct session *session = device->dma->session;

		dma_detach(device->dma);
		dma_attach(device->dma, session);
	}
	device_doorbell_drop(&device->doorbell);
	pri_reset(&device->dma->pri);
	device_init_config(device);
	device_apply_config(device);
	if (waits && !fault_on(FAULT_reset_forgets_registers))
		device_bar0_reset(&device->bar0);
	device_engine_event(&device->bar0.engine, DEVICE_EVENT_RESET);
	device_memory_clear(&device->bar2);
	if (device->profile == DEVICE_FULL)
		device_memory_clear(&device->bar4);
	memset(device->sink, 0, sizeof(device->sink));
	irq_reset(device->irq);
	migration_reset(&device->migration);
	return 0;
}

void device_run(struct device *device)
{
	device_engine_run(&device->bar0.engine);
	pri_expire(&device->dma->pri, clock_now());
	pri_flush(&device->dma->pri);
}

uint64_t device_due(struct device *device)
{
	uint64_t due = device_engine_due(&device->bar0.engine);
	uint64_t page = pri_expire(&device->dma->pri, clock_now());

	return page < due ? page : due;
}

void device_abort(struct device *device)
{
	device_engine_stop(&device->bar0.engine);
}

void device_interrupt(struct device *device)
{
	device_engine_interrupt(&device->bar0.engine);
}

int device_get_info(void *owner, struct msg *msg, struct session_reply *reply)
{
	const struct device *device = owner;
	struct wire_device_info info;

	msg_read(msg, &info, sizeof(info));
	if (info.argsz < sizeof(info) && !fault_on(FAULT_info_argsz_is_ignored))
		return -EINVAL;
	info = (struct wire_device_info){
		.argsz = sizeof(info),
		.flags = WIRE_DEVICE_FLAG_PCI | (device->no_reset ? 0 : WIRE_DEVICE_FLAG_RESET),
		.num_regions = device->table.count,
		.num_irqs = WIRE_IRQ_INDEX_NUM,
	};
	session_reply_put(reply, &info, sizeof(info));
	return 0;
}

int device_reset_command(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct device *device = owner;

	(void)msg;
	(void)reply;
	if (device->no_reset)
		return -EINVAL;
	return device_reset(device);
}
