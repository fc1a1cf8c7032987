/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_irq_set.c - SET_IRQS: which vectors have eventfds, and what can be done with them. Who is
 * signalled is outside of the messages.
 */
#include "model_rule.h"

#include <inttypes.h>

#define MODEL_IRQ_BOOLS 28u	/* that are looked at */

/* A SET_IRQS, taken apart. */
struct model_irq_request {
	struct wire_irq_set set;
	uint32_t data;		/* flag */
	uint32_t action;	/* flag */
	size_t bytes;		/* behind the structure */
	uint32_t nfds;
	bool plain;		/* nothing but what the flags ask for came */
	const struct model_irq_known *known;
};

/* ---- what is asked for ---- */

static bool model_irq_is_one(uint32_t bits)
{
	return bits && !(bits & (bits - 1));
}

/* Takes a request apart; false when it is not whole. */
static bool model_irq_open(const struct model *model, const struct model_asked *asked,
			   struct model_irq_request *request)
{
	struct wire_irq_set *set = &request->set;

	if (!model_body(asked, set, sizeof(*set)))
		return false;
	request->data = set->flags & WIRE_IRQ_SET_DATA_TYPE_MASK;
	request->action = set->flags & WIRE_IRQ_SET_ACTION_TYPE_MASK;
	request->bytes = asked->size - sizeof(*set);
	request->nfds = asked->nfds;
	request->known = model_irq_known(model, set->index);
	request->plain = set->argsz == asked->size &&
			 !(set->flags & ~(WIRE_IRQ_SET_DATA_TYPE_MASK |
					  WIRE_IRQ_SET_ACTION_TYPE_MASK));
	if (request->data == WIRE_IRQ_SET_DATA_BOOL)
		request->plain = request->plain && request->bytes == set->count;
	else
		request->plain = request->plain && !request->bytes;
	if (request->data == WIRE_IRQ_SET_DATA_EVENTFD)
		request->plain = request->plain && (!asked->nfds || asked->nfds == set->count);
	else
		request->plain = request->plain && !asked->nfds;
	return true;
}

static bool model_irq_is_disable(const struct model_irq_request *request)
{
	return request->data == WIRE_IRQ_SET_DATA_NONE &&
	       request->action == WIRE_IRQ_SET_ACTION_TRIGGER && !request->set.start &&
	       !request->set.count;
}

/* The vectors of a range that have a bit; *all says whether these are all of them. */
static uint64_t model_irq_bits(const struct wire_irq_set *set, bool *all)
{
	uint64_t end = (uint64_t)set->start + set->count, bits;

	*all = end <= MODEL_IRQ_VECTORS;
	if (set->start >= MODEL_IRQ_VECTORS || !set->count)
		return 0;
	bits = set->count >= MODEL_IRQ_VECTORS ? UINT64_MAX : (UINT64_C(1) << set->count) - 1;
	return bits << set->start;
}

/* ---- what has to be refused ---- */

static bool model_irq_is_outside(const struct model_irq_request *request)
{
	const struct wire_irq_set *set = &request->set;

	if (!set->count)
		return false;
	if ((uint64_t)set->start + set->count > UINT32_MAX)
		return true;
	return request->known && (set->start >= request->known->count ||
				  set->count > request->known->count - set->start);
}

/* NORESIZE: while vectors are in use, no others can be added. */
static bool model_irq_resizes(const struct model_irq_request *request)
{
	const struct model_irq_known *known = request->known;
	bool all;

	return request->data == WIRE_IRQ_SET_DATA_EVENTFD &&
	       request->action == WIRE_IRQ_SET_ACTION_TRIGGER && request->nfds &&
	       known->flags & WIRE_IRQ_INFO_NORESIZE && known->assigned &&
	       model_irq_bits(&request->set, &all) & known->unused;
}

static bool model_irq_refuse_flags(const struct model *model,
				   const struct model_irq_request *request,
				   struct model_expect *out)
{
	const struct model_irq_known *known = request->known;
	bool trigger = request->action == WIRE_IRQ_SET_ACTION_TRIGGER;

	if (!known || !request->set.count)
		return false;
	if (request->data == WIRE_IRQ_SET_DATA_EVENTFD && trigger && request->nfds &&
	    !(known->flags & WIRE_IRQ_INFO_EVENTFD))
		model_refuse(out, "IRQ-INFO-004", "the type has no flag EVENTFD");
	else if (!trigger && !(known->flags & WIRE_IRQ_INFO_MASKABLE) &&
		 model_strict(model, MODEL_I8))
		model_refuse(out, "IRQ-SET-022", "the type has no flag MASKABLE");
	else if (model_irq_resizes(request))
		model_refuse(out, "IRQ-INFO-007",
			     "with NORESIZE, vectors 0x%" PRIx64 " are not in use",
			     known->unused);
	else
		return false;
	return true;
}

static bool model_irq_refuse(const struct model *model, const struct model_irq_request *request,
			     struct model_expect *out)
{
	const struct wire_irq_set *set = &request->set;

	if (model->device.known && set->index >= model->device.num_irqs)
		model_refuse(out, "IRQ-SET-011", "the device has %u types, index %u is none",
			     model->device.num_irqs, set->index);
	else if (!model_irq_is_one(request->data) || !model_irq_is_one(request->action))
		model_refuse(out, "IRQ-SET-012", "flags 0x%x are not one of each set", set->flags);
	else if (model_irq_is_outside(request))
		model_refuse(out, request->known && !request->known->count ? "IRQ-SET-011" :
			     "IRQ-SET-010", "%u vectors from %u on, of %u", set->count, set->start,
			     request->known ? request->known->count : UINT32_MAX);
	else if (request->data == WIRE_IRQ_SET_DATA_BOOL && request->bytes < set->count)
		model_refuse(out, "IRQ-SET-016", "%zu bytes for %u vectors", request->bytes,
			     set->count);
	else if (request->data == WIRE_IRQ_SET_DATA_EVENTFD && request->nfds &&
		 request->nfds != set->count && model_strict(model, MODEL_I3))
		model_refuse(out, "IRQ-SET-018", "%u descriptors for %u vectors", request->nfds,
			     set->count);
	else
		return model_irq_refuse_flags(model, request, out);
	return true;
}

/* ---- what has to work ---- */

/* Whether the bytes are 0 or 1, as far as they are looked at. */
static bool model_irq_are_bools(const struct model_asked *asked, uint32_t count)
{
	uint8_t bytes[MODEL_IRQ_BOOLS];

	if (count > sizeof(bytes) ||
	    !model_body_at(asked, sizeof(struct wire_irq_set), bytes, count))
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (bytes[i] > 1)
			return false;
	return true;
}

static void model_irq_demand_eventfd(const struct model *model, const struct model_asked *asked,
				     const struct model_irq_request *request,
				     struct model_expect *out)
{
	const struct model_irq_known *known = request->known;
	bool all, trigger = request->action == WIRE_IRQ_SET_ACTION_TRIGGER;
	uint64_t bits = model_irq_bits(&request->set, &all);
	bool sure = all && (bits & known->assigned) == bits;
	bool resizes = known->flags & WIRE_IRQ_INFO_NORESIZE;

	if (!(known->flags & WIRE_IRQ_INFO_EVENTFD))
		return;
	if (!request->nfds) {
		if (trigger && sure)
			model_demand(out, "IRQ-SET-006", "vectors that are assigned are given up");
		return;
	}
	if (asked->kinds != 1u << MODEL_FD_EVENTFD)
		return;
	if (trigger && (!resizes || sure || known->unused == UINT64_MAX))
		model_demand(out, "IRQ-SET-001", "an eventfd for each of the vectors");
	else if (!trigger && sure && known->flags & WIRE_IRQ_INFO_MASKABLE &&
		 model_strict(model, MODEL_I4))
		model_demand(out, "IRQ-SET-021", "masking is told to an eventfd");
}

/* DATA_NONE and DATA_BOOL work on what is assigned. */
static void model_irq_demand_action(const struct model_asked *asked,
				    const struct model_irq_request *request,
				    struct model_expect *out)
{
	const struct model_irq_known *known = request->known;
	bool all, bools = request->data == WIRE_IRQ_SET_DATA_BOOL;
	uint64_t bits = model_irq_bits(&request->set, &all);

	if (!all || (bits & known->assigned) != bits)
		return;
	if (bools && !model_irq_are_bools(asked, request->set.count))
		return;
	if (request->action != WIRE_IRQ_SET_ACTION_TRIGGER) {
		if (known->flags & WIRE_IRQ_INFO_MASKABLE)
			model_demand(out, bools ? "IRQ-SET-020" : "IRQ-INFO-005",
				     "the type has the flag MASKABLE");
	} else if (!known->masked && !(known->flags & WIRE_IRQ_INFO_AUTOMASKED)) {
		model_demand(out, bools ? "IRQ-SET-004" : "IRQ-SET-003",
			     "vectors that are assigned can be triggered");
	}
}

static void model_irq_set_judge(const struct model *model, const struct model_asked *asked,
				struct model_expect *out)
{
	struct model_irq_request request;

	if (!model_irq_open(model, asked, &request) || model_irq_refuse(model, &request, out))
		return;
	if (!request.known || !request.plain || !model_serves(model))
		return;
	if (!request.set.count) {
		if (model_irq_is_disable(&request) && request.known->assigned)
			model_demand(out, "IRQ-SET-007", "the type is in use, and is disabled");
		return;
	}
	if (request.data == WIRE_IRQ_SET_DATA_EVENTFD)
		model_irq_demand_eventfd(model, asked, &request, out);
	else
		model_irq_demand_action(asked, &request, out);
}

/* ---- what becomes of the vectors ---- */

static void model_irq_disable(struct model_irq_known *known, bool sure)
{
	known->assigned = 0;
	if (!sure)
		return;
	known->unused = UINT64_MAX;
	known->masked = false;
}

static void model_irq_assign(struct model_irq_known *known,
			     const struct model_irq_request *request, bool sure)
{
	bool all;
	uint64_t bits = model_irq_bits(&request->set, &all);

	if (request->nfds)
		known->unused &= ~bits;
	if (!request->nfds || request->nfds != request->set.count)
		known->assigned &= ~bits;
	else if (sure)
		known->assigned |= bits;
}

/* An empty range that was taken may have disabled the type (IRQ-SET-008). */
static void model_irq_set_apply(struct model *model, const struct model_asked *asked,
				enum model_outcome outcome, const struct model_message *reply)
{
	struct model_irq_request request;
	struct model_irq_known *known;

	(void)reply;
	if (outcome == MODEL_ERROR || !model_irq_open(model, asked, &request) ||
	    request.set.index >= MODEL_IRQS)
		return;
	known = &model->irq.at[request.set.index];
	if (request.action != WIRE_IRQ_SET_ACTION_TRIGGER)
		known->masked = true;
	else if (!request.set.count)
		model_irq_disable(known, outcome == MODEL_OK && model_irq_is_disable(&request) &&
					 request.plain && !model->shared);
	else if (request.data == WIRE_IRQ_SET_DATA_EVENTFD)
		model_irq_assign(known, &request, outcome == MODEL_OK && !model->shared);
}

const struct model_rule model_irq_set_rule = {
	.keep = sizeof(struct wire_irq_set) + MODEL_IRQ_BOOLS,
	.shorter = "IRQ-SET-014",
	.judge = model_irq_set_judge,
	.apply = model_irq_set_apply,
};
