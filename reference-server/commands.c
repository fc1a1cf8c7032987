/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands.c - see commands.h. A request may be longer than its structure where a later version
 * of the protocol could have made it so, that is where argsz is the size of something else.
 */
#include "commands.h"

#include "device.h"
#include "dma.h"
#include "feature.h"
#include "irq.h"
#include "migration.h"
#include "pri.h"
#include "region.h"
#include "version.h"

/* The most bytes behind a structure that are taken and ignored. */
#define COMMANDS_EXTRA 1024
/* Data follows: bounded by the transport and by what the handler makes of it. */
#define COMMANDS_DATA (UINT32_MAX / 2)

/* The body has at least the structure, and at most `extra` bytes more. */
#define COMMANDS_SIZE(structure, extra) \
	.min_size = sizeof(struct structure), .max_size = sizeof(struct structure) + (extra)

const struct dispatch_command commands_table[COMMANDS_COUNT] = {
	[WIRE_VERSION] = {
		.name = "VERSION", .min_size = sizeof(struct wire_version),
		.max_size = VERSION_MAX_SIZE, .phase = SESSION_CONNECTED,
		.owner = COMMANDS_VERSION, .handler = version_command,
	},
	[WIRE_DMA_MAP] = {
		.name = "DMA_MAP", COMMANDS_SIZE(wire_dma_map, COMMANDS_EXTRA), .max_fds = 1,
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_DMA, .handler = dma_map,
	},
	[WIRE_DMA_UNMAP] = {
		.name = "DMA_UNMAP", COMMANDS_SIZE(wire_dma_unmap, COMMANDS_EXTRA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_DMA, .handler = dma_unmap,
	},
	[WIRE_DEVICE_GET_INFO] = {
		.name = "DEVICE_GET_INFO", COMMANDS_SIZE(wire_device_info, COMMANDS_EXTRA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_DEVICE, .handler = device_get_info,
	},
	[WIRE_DEVICE_GET_REGION_INFO] = {
		.name = "DEVICE_GET_REGION_INFO", COMMANDS_SIZE(wire_region_info, COMMANDS_EXTRA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_REGION, .handler = region_get_info,
	},
	[WIRE_DEVICE_GET_REGION_IO_FDS] = {
		.name = "DEVICE_GET_REGION_IO_FDS",
		COMMANDS_SIZE(wire_region_io_fds, COMMANDS_EXTRA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_REGION,
		.handler = region_get_io_fds,
	},
	[WIRE_DEVICE_GET_IRQ_INFO] = {
		.name = "DEVICE_GET_IRQ_INFO", COMMANDS_SIZE(wire_irq_info, COMMANDS_EXTRA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_IRQ, .handler = irq_get_info,
	},
	[WIRE_DEVICE_SET_IRQS] = {
		.name = "DEVICE_SET_IRQS", COMMANDS_SIZE(wire_irq_set, IRQ_MAX_VECTORS),
		.max_fds = IRQ_MAX_VECTORS,
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_IRQ, .handler = irq_set,
	},
	[WIRE_REGION_READ] = {
		.name = "REGION_READ", COMMANDS_SIZE(wire_region_access, 0),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_REGION, .handler = region_read,
	},
	[WIRE_REGION_WRITE] = {
		.name = "REGION_WRITE", COMMANDS_SIZE(wire_region_access, COMMANDS_DATA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_REGION, .handler = region_write,
	},
	[WIRE_DMA_READ] = { .name = "DMA_READ" },	/* the server sends these two */
	[WIRE_DMA_WRITE] = { .name = "DMA_WRITE" },
	[WIRE_DEVICE_RESET] = {
		.name = "DEVICE_RESET", .phase = SESSION_NEGOTIATED,
		.owner = COMMANDS_DEVICE, .handler = device_reset_command,
	},
	[WIRE_REGION_WRITE_MULTI] = {
		.name = "REGION_WRITE_MULTI", COMMANDS_SIZE(wire_write_multi, COMMANDS_DATA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_REGION,
		.handler = region_write_multi,
	},
	[WIRE_DEVICE_FEATURE] = {
		.name = "DEVICE_FEATURE", COMMANDS_SIZE(wire_feature, COMMANDS_DATA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_FEATURE,
		.handler = feature_command,
	},
	[WIRE_MIG_DATA_READ] = {
		.name = "MIG_DATA_READ", COMMANDS_SIZE(wire_mig_data, COMMANDS_EXTRA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_MIGRATION,
		.handler = migration_read,
	},
	[WIRE_MIG_DATA_WRITE] = {
		.name = "MIG_DATA_WRITE", COMMANDS_SIZE(wire_mig_data, COMMANDS_DATA),
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_MIGRATION,
		.handler = migration_write,
	},
	/* The handlers look at the size: where they are unknown that does not matter. */
	[WIRE_POC_PAGE_REQUEST] = {
		.name = "page completion", .max_size = COMMANDS_DATA,
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_PRI, .handler = pri_completion,
	},
	[WIRE_PAGE_RESPONSE] = {
		.name = "PAGE_RESPONSE", .max_size = COMMANDS_DATA,
		.phase = SESSION_NEGOTIATED, .owner = COMMANDS_PRI, .handler = pri_response,
	},
};
