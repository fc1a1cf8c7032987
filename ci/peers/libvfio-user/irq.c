/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irq.c - what the device asks of reference-server/irq.h, over vfu_irq_trigger().
 *
 * The library has the eventfds, and one set of them for INTx, MSI and MSI-X. ERR and REQ can be
 * assigned and triggered by the client; a device has no call to raise them.
 */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "port.h"

static const uint32_t irq_counts[WIRE_IRQ_INDEX_NUM] = {
	[WIRE_IRQ_INDEX_INTX] = 1,
	[WIRE_IRQ_INDEX_MSI] = 8,
	[WIRE_IRQ_INDEX_MSIX] = CONFIG_MSIX_VECTORS,
};

int irq_open(void)
{
	for (uint32_t i = 0; i <= WIRE_IRQ_INDEX_MSIX; i++) {
		if (vfu_setup_device_nr_irqs(port.ctx, (enum vfu_dev_irq_type)i, irq_counts[i]))
			return -errno;
	}
	return 0;
}

void irq_detach(struct irq *irq)
{
	memset(irq->vectors, 0, sizeof(irq->vectors));
}

void irq_reset(struct irq *irq)
{
	memset(irq->vectors, 0, sizeof(irq->vectors));
}

int irq_raise(struct irq *irq, uint32_t index, uint32_t vector)
{
	if (index >= WIRE_IRQ_INDEX_NUM || vector >= irq_counts[index])
		return -EINVAL;
	irq->vectors[index][vector].pending = irq->held;
	if (!irq->held && vfu_irq_trigger(port.ctx, vector))
		log_debug("no interrupt %u: %s", vector, strerror(errno));
	return 0;
}

void irq_hold(struct irq *irq, bool held)
{
	irq->held = held;
	for (uint32_t i = 0; i < WIRE_IRQ_INDEX_NUM && !held; i++) {
		for (uint32_t vector = 0; vector < irq_counts[i]; vector++) {
			if (irq->vectors[i][vector].pending)
				irq_raise(irq, i, vector);
		}
	}
}

uint32_t irq_pending(struct irq *irq, uint32_t index)
{
	uint32_t vectors = 0;

	for (uint32_t vector = 0; vector < IRQ_MAX_VECTORS; vector++) {
		if (irq->vectors[index][vector].pending)
			vectors |= 1u << vector;
	}
	return vectors;
}

int irq_set_pending(struct irq *irq, uint32_t index, uint32_t vectors)
{
	if (vectors >> irq_counts[index])
		return -EINVAL;
	for (uint32_t vector = 0; vector < irq_counts[index]; vector++)
		irq->vectors[index][vector].pending = vectors >> vector & 1;
	return 0;
}
