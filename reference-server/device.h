/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.h - the test device: its regions and interrupts, GET_INFO and DEVICE_RESET.
 *
 * Profile `vdma` is the bare test device: BAR0 (registers, MSI-X tables, device buffer), BAR2 (a
 * page that can be mapped) and the configuration space, with MSI-X only. Profile `full` moves
 * nothing of that and adds what else a PCI device may have: INTx, MSI, ERR and REQ; BAR4 with two
 * areas that can be mapped and a hole that cannot; a ROM that can only be read; and a
 * device-specific region that can only be written.
 *
 * A device keeps its state when its client leaves. Reset brings back the state of the beginning,
 * memory included; mappings and interrupt assignments are the client's and stay.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "config.h"
#include "device_bar0.h"
#include "device_doorbell.h"
#include "device_memory.h"
#include "irq.h"
#include "migration.h"
#include "region.h"

enum device_profile {
	DEVICE_FULL,
	DEVICE_VDMA,
};

#define DEVICE_REGIONS (WIRE_REGION_INDEX_NUM + 1)
#define DEVICE_SINK 4096u

struct device {
	enum device_profile profile;
	bool no_reset;		/* DEVICE_RESET is not offered */
	uint32_t pasid_bits;	/* with `viommu`, the width of its PASIDs */
	bool viommu;		/* it has what the vIOMMU extension needs */
	struct irq *irq;
	struct dma *dma;
	struct config config;
	struct device_bar0 bar0;
	struct device_memory bar2;
	struct device_memory bar4;
	struct device_doorbell doorbell;	/* in bar4 */
	struct migration migration;
	uint8_t sink[DEVICE_SINK];	/* what was written to the device-specific region */
	struct region regions[DEVICE_REGIONS];
	struct region_table table;
};

/* The interrupt types of a profile, WIRE_IRQ_INDEX_NUM of them; constant. */
const struct irq_type *device_irq_types(enum device_profile profile);

/*
 * Builds a device in its reset state that raises its interrupts in `irq` and is the owner of `dma`.
 * The device is large and must not move afterwards. 0 or -errno; after an error device_close() is
 * still allowed.
 */
int device_open(struct device *device, enum device_profile profile, struct irq *irq,
		struct dma *dma);
void device_close(struct device *device);

/* Gives it ATS, PRI and PASIDs of so many bits, for clients with the vIOMMU extension. */
void device_add_viommu(struct device *device, uint32_t pasid_bits);

/* The bits of the configuration space have changed: whoever looks at them is told. */
void device_apply_config(struct device *device);

/* What others say is brought into it: the status of page requests, the width of PASIDs. */
void device_sync_config(struct device *device);

/* A client has come; so many threads are to run its DMA, at most (device_engine.h). */
void device_attach(struct device *device, uint32_t threads);

/*
 * What the client leaves behind ends: its eventfds of doorbells, a migration, and threads; no
 * operation is under way any more.
 */
void device_detach(struct device *device);

/*
 * The state of the beginning, in which the device runs. 0; -EINPROGRESS, to be called again, while
 * threads come back from the operations that it has aborted.
 */
int device_reset(struct device *device);

/* Lets its operations advance; to be called after each command, and as device_due() says. */
void device_run(struct device *device);

/* When device_run() is needed even if nothing happens: 0 at once, CLOCK_NEVER. */
uint64_t device_due(struct device *device);

/*
 * Aborts all DMA operations, without interrupts. Those that a thread is at end behind their chunk:
 * when dma_quiesce() says so.
 */
void device_abort(struct device *device);

/* Gets threads out of copies that go nowhere; the windows are fenced. */
void device_interrupt(struct device *device);

/* Handler of GET_INFO. -EINVAL if argsz is too small. */
int device_get_info(void *owner, struct msg *msg, struct session_reply *reply);

/* Handler of DEVICE_RESET. -EINVAL if it is not offered. */
int device_reset_command(void *owner, struct msg *msg, struct session_reply *reply);

#endif
