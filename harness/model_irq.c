/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_irq.c - GET_IRQ_INFO: what a type of interrupts offers. What can be done with it is in
 * model_irq_set.c.
 */
#include "model_rule.h"

#define MODEL_IRQ_FLAGS (WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE | \
			 WIRE_IRQ_INFO_AUTOMASKED | WIRE_IRQ_INFO_NORESIZE)

const struct model_irq_known *model_irq_known(const struct model *model, uint32_t index)
{
	if (index >= MODEL_IRQS || !model->irq.at[index].told)
		return NULL;
	return &model->irq.at[index];
}

void model_irq_learn(struct model *model, const struct model *from)
{
	for (uint32_t i = 0; i < MODEL_IRQS; i++) {
		if (!from->irq.at[i].told)
			continue;
		model->irq.at[i].told = true;
		model->irq.at[i].flags = from->irq.at[i].flags;
		model->irq.at[i].count = from->irq.at[i].count;
	}
}

static void model_irq_info_judge(const struct model *model, const struct model_asked *asked,
				 struct model_expect *out)
{
	struct wire_irq_info info;

	if (out->max_size > sizeof(info))
		out->max_size = sizeof(info);
	if (!model_body(asked, &info, sizeof(info)) || !model->device.known)
		return;
	if (info.index >= model->device.num_irqs)
		model_refuse(out, "IRQ-INFO-002", "the device has %u types, index %u is none",
			     model->device.num_irqs, info.index);
	else if (info.argsz >= sizeof(info) && info.argsz <= INT32_MAX && !info.flags &&
		 !info.count && asked->size == sizeof(info) && model_serves(model))
		model_demand(out, "IRQ-INFO-001", "each type below %u can be asked for",
			     model->device.num_irqs);
}

/* How many interrupts of a type a PCI device can have. */
static bool model_irq_is_plausible(uint32_t index, uint32_t count)
{
	switch (index) {
	case WIRE_IRQ_INDEX_INTX:
	case WIRE_IRQ_INDEX_ERR:
	case WIRE_IRQ_INDEX_REQ:
		return count <= 1;
	case WIRE_IRQ_INDEX_MSI:
		return count <= 32 && !(count & (count - 1));
	case WIRE_IRQ_INDEX_MSIX:
		return count <= 2048;
	}
	return true;
}

static void model_irq_info_check(struct model *model, const struct model_asked *asked,
				 const struct model_message *reply)
{
	const struct model_irq_known *known;
	struct wire_irq_info wanted, came;

	if (!model_body(asked, &wanted, sizeof(wanted)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	if (came.argsz != sizeof(came) || came.index != wanted.index)
		model_blame(model, &asked->header, "IRQ-INFO-001",
			    "allowed: argsz 16, index %u; came: %u, %u", wanted.index, came.argsz,
			    came.index);
	if (came.flags & ~MODEL_IRQ_FLAGS || !model_irq_is_plausible(wanted.index, came.count))
		model_blame(model, &asked->header, "IRQ-INFO-008",
			    "allowed: four flags, and as many interrupts as a PCI device has; "
			    "came: flags 0x%x, count %u", came.flags, came.count);
	known = model_irq_known(model, wanted.index);
	if (known && (known->flags != came.flags || known->count != came.count))
		model_blame(model, &asked->header, "IRQ-INFO-001",
			    "allowed: flags 0x%x, count %u as before; came: 0x%x, %u",
			    known->flags, known->count, came.flags, came.count);
}

static void model_irq_info_apply(struct model *model, const struct model_asked *asked,
				 enum model_outcome outcome, const struct model_message *reply)
{
	struct wire_irq_info wanted, came;
	struct model_irq_known *known;

	if (outcome != MODEL_OK || !reply || !model_body(asked, &wanted, sizeof(wanted)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)) || wanted.index >= MODEL_IRQS)
		return;
	known = &model->irq.at[wanted.index];
	known->told = true;
	known->flags = came.flags;
	known->count = came.count;
}

const struct model_rule model_irq_info_rule = {
	.keep = sizeof(struct wire_irq_info),
	.shorter = "IRQ-INFO-003",
	.judge = model_irq_info_judge,
	.check = model_irq_info_check,
	.apply = model_irq_info_apply,
};

void model_irq_free(struct model *model)
{
	(void)model;
}

/* A reset may drop what is assigned, and what is masked (RST-DEV-003). */
void model_irq_reset(struct model *model, enum model_outcome outcome)
{
	for (uint32_t i = 0; i < MODEL_IRQS && outcome != MODEL_ERROR; i++)
		if (!model_strict(model, MODEL_M2))
			model->irq.at[i].assigned = 0;
}

void model_irq_forget(struct model *model)
{
	for (uint32_t i = 0; i < MODEL_IRQS; i++) {
		model->irq.at[i].assigned = 0;
		model->irq.at[i].unused = 0;
		model->irq.at[i].masked = true;
	}
}
