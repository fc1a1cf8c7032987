/* SPDX-License-Identifier: BSD-3-Clause */
/* model_device.c - DEVICE_GET_INFO and DEVICE_RESET; see model_rule.h. */
#include "model_rule.h"

#define MODEL_DEVICE_IRQS 3	/* INTx, MSI, MSI-X: the text gives no number (INFO-DEV-005) */

static void model_device_judge_info(const struct model *model, const struct model_asked *asked,
				    struct model_expect *out)
{
	struct wire_device_info info;

	if (!model_body(asked, &info, sizeof(info)))
		return;
	if (out->max_size > sizeof(info))
		out->max_size = sizeof(info);
	if (info.argsz < sizeof(info) || info.argsz > MODEL_LARGE || info.flags ||
	    info.num_regions || info.num_irqs || asked->size > sizeof(info) || !model_serves(model))
		return;
	model_demand(out, "INFO-DEV-001", "the request is well-formed");
}

static void model_device_check_info(struct model *model, const struct model_asked *asked,
				    const struct model_message *reply)
{
	const struct model_device *before = &model->device;
	struct wire_device_info info;

	if (!model_reply_at(reply, 0, &info, sizeof(info)))
		return;
	if (info.argsz != sizeof(info))
		model_blame(model, &asked->header, "INFO-DEV-001",
			    "allowed: argsz 16; came: %u", info.argsz);
	if (!(info.flags & WIRE_DEVICE_FLAG_PCI))
		model_blame(model, &asked->header, "INFO-DEV-002",
			    "allowed: flags with PCI; came: 0x%x", info.flags);
	if (info.flags & ~(WIRE_DEVICE_FLAG_PCI | WIRE_DEVICE_FLAG_RESET))
		model_blame(model, &asked->header, "INFO-DEV-008",
			    "allowed: flags RESET and PCI; came: 0x%x", info.flags);
	if (info.num_regions < WIRE_REGION_INDEX_NUM)
		model_blame(model, &asked->header, "INFO-DEV-004",
			    "allowed: num_regions of at least %u; came: %u",
			    (uint32_t)WIRE_REGION_INDEX_NUM, info.num_regions);
	if (info.num_irqs < MODEL_DEVICE_IRQS)
		model_blame(model, &asked->header, "INFO-DEV-005",
			    "allowed: num_irqs of at least %u; came: %u", MODEL_DEVICE_IRQS,
			    info.num_irqs);
	if (before->known && (before->flags != info.flags ||
			      before->num_regions != info.num_regions ||
			      before->num_irqs != info.num_irqs))
		model_blame(model, &asked->header, "INFO-DEV-001",
			    "allowed: flags 0x%x, %u regions, %u irqs as before; "
			    "came: flags 0x%x, %u, %u", before->flags, before->num_regions,
			    before->num_irqs, info.flags, info.num_regions, info.num_irqs);
}

static void model_device_apply_info(struct model *model, const struct model_asked *asked,
				    enum model_outcome outcome, const struct model_message *reply)
{
	struct wire_device_info info;

	(void)asked;
	if (outcome != MODEL_OK || !reply || !model_reply_at(reply, 0, &info, sizeof(info)))
		return;
	model->device = (struct model_device){
		.known = true,
		.flags = info.flags,
		.num_regions = info.num_regions,
		.num_irqs = info.num_irqs,
	};
}

const struct model_rule model_device_info_rule = {
	.shorter = "INFO-DEV-006",
	.judge = model_device_judge_info,
	.check = model_device_check_info,
	.apply = model_device_apply_info,
};

static void model_device_judge_reset(const struct model *model, const struct model_asked *asked,
				     struct model_expect *out)
{
	if (!model->device.known)
		return;
	if (!(model->device.flags & WIRE_DEVICE_FLAG_RESET))
		model_refuse(out, "INFO-DEV-003", "the device has no flag RESET");
	else if (!asked->size)
		model_demand(out, "INFO-DEV-003", "the device has the flag RESET");
}

static void model_device_apply_reset(struct model *model, const struct model_asked *asked,
				     enum model_outcome outcome, const struct model_message *reply)
{
	(void)asked;
	(void)reply;
	model_dma_reset(model, outcome);
	model_region_reset(model, outcome);
	model_irq_reset(model, outcome);
	model_feature_reset(model, outcome);
}

const struct model_rule model_device_reset_rule = {
	.shorter = "RST-DEV-001",
	.judge = model_device_judge_reset,
	.apply = model_device_apply_reset,
};
