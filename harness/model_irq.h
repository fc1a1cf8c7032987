/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_irq.h - the interrupts of the device, and what the client has assigned of them. Part of
 * model_rule.h.
 *
 * A type is known once GET_IRQ_INFO has told it; types from MODEL_IRQS on never are. Vectors are
 * bits; of those from MODEL_IRQ_VECTORS on nothing is known. Each is assigned for sure, free for
 * sure, or neither.
 */
#ifndef MODEL_IRQ_H
#define MODEL_IRQ_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_IRQS 16
#define MODEL_IRQ_VECTORS 64u

struct model;

struct model_irq_known {
	bool told;
	bool masked;		/* a vector may be masked */
	uint32_t flags;
	uint32_t count;
	uint64_t assigned;	/* for sure */
	uint64_t unused;	/* for sure not assigned since the type was disabled */
};

struct model_irq {
	struct model_irq_known at[MODEL_IRQS];
};

/* See model_learn. */
void model_irq_learn(struct model *model, const struct model *from);

/* NULL: not known. */
const struct model_irq_known *model_irq_known(const struct model *model, uint32_t index);

/* Nothing is known of what is assigned. */
void model_irq_forget(struct model *model);

#endif
