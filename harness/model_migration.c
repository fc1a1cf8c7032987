/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_migration.c - the features MIGRATION and MIG_DEVICE_STATE, and the data that goes with the
 * states: which ways there are between them, and what a state may be after one was tried.
 */
#include "model_rule.h"

#include <inttypes.h>
#include <stdio.h>

#define MODEL_MIGRATION_STATES (WIRE_STATE_PRE_COPY_P2P + 1)
#define MODEL_MIGRATION_BIT(state) (1u << (state))
#define MODEL_MIGRATION_FLAGS (WIRE_MIGRATION_STOP_COPY | WIRE_MIGRATION_P2P | \
			       WIRE_MIGRATION_PRE_COPY)
/* Their ways are not described here: they are "not used in vfio-user". */
#define MODEL_MIGRATION_P2P (MODEL_MIGRATION_BIT(WIRE_STATE_RUNNING_P2P) | \
			     MODEL_MIGRATION_BIT(WIRE_STATE_PRE_COPY_P2P))

static const char *const model_migration_names[MODEL_MIGRATION_STATES] = {
	[WIRE_STATE_ERROR] = "ERROR",
	[WIRE_STATE_STOP] = "STOP",
	[WIRE_STATE_RUNNING] = "RUNNING",
	[WIRE_STATE_STOP_COPY] = "STOP_COPY",
	[WIRE_STATE_RESUMING] = "RESUMING",
	[WIRE_STATE_RUNNING_P2P] = "RUNNING_P2P",
	[WIRE_STATE_PRE_COPY] = "PRE_COPY",
	[WIRE_STATE_PRE_COPY_P2P] = "PRE_COPY_P2P",
};

/* A way from one state to another: the requirement, and the states in its middle. */
struct model_migration_way {
	const char *requirement;	/* NULL: there is none */
	uint8_t middle;
};

#define MODEL_MIGRATION_STOP MODEL_MIGRATION_BIT(WIRE_STATE_STOP)
#define MODEL_MIGRATION_RUN MODEL_MIGRATION_BIT(WIRE_STATE_RUNNING)

/* "Direct State Transitions" and "Complex State Transitions". */
static const struct model_migration_way
model_migration_ways[MODEL_MIGRATION_STATES][MODEL_MIGRATION_STATES] = {
	[WIRE_STATE_RUNNING] = {
		[WIRE_STATE_STOP] = { "MIG-FSM-001", 0 },
		[WIRE_STATE_PRE_COPY] = { "MIG-FSM-006", 0 },
		[WIRE_STATE_STOP_COPY] = { "MIG-FSM-010", MODEL_MIGRATION_STOP },
		[WIRE_STATE_RESUMING] = { "MIG-FSM-011", MODEL_MIGRATION_STOP },
	},
	[WIRE_STATE_STOP] = {
		[WIRE_STATE_RUNNING] = { "MIG-FSM-005", 0 },
		[WIRE_STATE_STOP_COPY] = { "MIG-FSM-007", 0 },
		[WIRE_STATE_RESUMING] = { "MIG-FSM-009", 0 },
		[WIRE_STATE_PRE_COPY] = { "MIG-FSM-012", MODEL_MIGRATION_RUN },
	},
	[WIRE_STATE_STOP_COPY] = {
		[WIRE_STATE_STOP] = { "MIG-FSM-002", 0 },
		[WIRE_STATE_RUNNING] = { "MIG-FSM-013", MODEL_MIGRATION_STOP },
		[WIRE_STATE_RESUMING] = { "MIG-FSM-014", MODEL_MIGRATION_STOP },
	},
	[WIRE_STATE_RESUMING] = {
		[WIRE_STATE_STOP] = { "MIG-FSM-003", 0 },
		[WIRE_STATE_RUNNING] = { "MIG-FSM-015", MODEL_MIGRATION_STOP },
		[WIRE_STATE_STOP_COPY] = { "MIG-FSM-016", MODEL_MIGRATION_STOP },
		[WIRE_STATE_PRE_COPY] = { "MIG-FSM-017",
					  MODEL_MIGRATION_STOP | MODEL_MIGRATION_RUN },
	},
	[WIRE_STATE_PRE_COPY] = {
		[WIRE_STATE_RUNNING] = { "MIG-FSM-004", 0 },
		[WIRE_STATE_STOP_COPY] = { "MIG-FSM-008", 0 },
		[WIRE_STATE_STOP] = { "MIG-FSM-018", MODEL_MIGRATION_RUN },
		[WIRE_STATE_RESUMING] = { "MIG-FSM-019",
					  MODEL_MIGRATION_STOP | MODEL_MIGRATION_RUN },
	},
};

static void model_migration_text(uint8_t states, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < MODEL_MIGRATION_STATES && at < size; i++) {
		int length = 0;

		if (states & MODEL_MIGRATION_BIT(i))
			length = snprintf(text + at, size - at, "%s%s", at ? "|" : "",
					  model_migration_names[i]);
		at += length < 0 ? 0 : (size_t)length;
	}
}

/* ---- VFIO_DEVICE_FEATURE_MIGRATION ---- */

static void model_migration_judge_flags(const struct model *model,
					const struct model_asked *asked,
					const struct model_feature_request *request,
					struct model_expect *out)
{
	(void)asked;
	if (request->wire.argsz >= sizeof(struct wire_feature) + sizeof(struct wire_migration) &&
	    request->plain && model_feature_is_there(model, request->id))
		model_demand(out, "MIG-FEAT-001", "the device can migrate");
}

static void model_migration_check_flags(struct model *model, const struct model_asked *asked,
					const struct model_feature_request *request,
					const struct model_message *reply)
{
	const struct model_feature *feature = &model->feature;
	struct wire_migration came;

	model_feature_check_get(model, asked, request, reply, sizeof(came));
	if (!model_reply_at(reply, sizeof(struct wire_feature), &came, sizeof(came)))
		return;
	if (came.flags & ~(uint64_t)MODEL_MIGRATION_FLAGS ||
	    !(came.flags & WIRE_MIGRATION_STOP_COPY) ||
	    (feature->flags_told && feature->flags != came.flags))
		model_blame(model, &asked->header, "MIG-FEAT-001",
			    "allowed: STOP_COPY, perhaps PRE_COPY, always the same; came: 0x%"
			    PRIx64, came.flags);
}

static void model_migration_done_flags(struct model *model, const struct model_asked *asked,
				       const struct model_feature_request *request,
				       const struct model_message *reply)
{
	struct wire_migration came;

	(void)asked;
	(void)request;
	if (!reply ||
	    !model_reply_at(reply, sizeof(struct wire_feature), &came, sizeof(came)))
		return;
	model->feature.flags_told = true;
	model->feature.flags = came.flags;
}

const struct model_feature_row model_migration_flags_row = {
	.methods = WIRE_FEATURE_GET,
	.other = "FEAT-GEN-003",
	.judge = model_migration_judge_flags,
	.check = model_migration_check_flags,
	.done = model_migration_done_flags,
};

/* ---- VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE ---- */

/* False for sure: the device has no such state. */
static bool model_migration_exists(const struct model *model, uint32_t state)
{
	const struct model_feature *feature = &model->feature;

	if (state >= MODEL_MIGRATION_STATES)
		return false;
	if (MODEL_MIGRATION_BIT(state) & MODEL_MIGRATION_P2P)
		return !feature->flags_told || feature->flags & WIRE_MIGRATION_P2P;
	return state != WIRE_STATE_PRE_COPY || !feature->flags_told ||
	       feature->flags & WIRE_MIGRATION_PRE_COPY;
}

/* The state that a SET asks for. */
static uint32_t model_migration_wanted(const struct model_asked *asked)
{
	struct wire_device_state state = { .device_state = UINT32_MAX };

	model_body_at(asked, sizeof(struct wire_feature), &state, sizeof(state));
	return state.device_state;
}

/* What the possible states say about a SET. */
struct model_migration_choice {
	bool can;			/* there is a way from at least one of them */
	bool must;			/* from all of them, and none depends on data */
	const char *requirement;
};

static struct model_migration_choice model_migration_choose(uint8_t states, uint32_t wanted)
{
	struct model_migration_choice choice = { .must = true, .requirement = "MIG-FSM-022" };

	for (uint32_t i = 0; i < MODEL_MIGRATION_STATES; i++) {
		const struct model_migration_way *way = &model_migration_ways[i][wanted];

		if (!(states & MODEL_MIGRATION_BIT(i)))
			continue;
		if (i == wanted || MODEL_MIGRATION_BIT(i) & MODEL_MIGRATION_P2P)
			choice.can = true;
		if (way->requirement)
			choice.can = true;
		if (i == WIRE_STATE_STOP_COPY && wanted == WIRE_STATE_PRE_COPY)
			choice.requirement = "MIG-FSM-020";
		if (!way->requirement || i == WIRE_STATE_RESUMING)
			choice.must = false;
		else
			choice.requirement = way->requirement;
	}
	return choice;
}

static void model_migration_judge_set(const struct model *model, const struct model_asked *asked,
				      const struct model_feature_request *request,
				      struct model_expect *out)
{
	uint32_t wanted = model_migration_wanted(asked);
	const struct model_feature *feature = &model->feature;
	struct model_migration_choice choice;
	char states[64];

	if (wanted == WIRE_STATE_ERROR || !model_migration_exists(model, wanted)) {
		model_refuse(out, wanted == WIRE_STATE_PRE_COPY ? "MIG-FEAT-003" : "MIG-STATE-004",
			     "the device has no state %u that can be asked for", wanted);
		return;
	}
	if (!feature->states || MODEL_MIGRATION_BIT(wanted) & MODEL_MIGRATION_P2P)
		return;
	choice = model_migration_choose(feature->states, wanted);
	model_migration_text(feature->states, states, sizeof(states));
	if (!choice.can)
		model_refuse(out, choice.requirement, "there is no way from %s to %s", states,
			     model_migration_names[wanted]);
	else if (choice.must && request->plain && model_feature_is_there(model, request->id) &&
		 (wanted != WIRE_STATE_PRE_COPY || feature->flags_told))
		model_demand(out, choice.requirement, "there is a way from %s to %s", states,
			     model_migration_names[wanted]);
}

static void model_migration_judge_state(const struct model *model,
					const struct model_asked *asked,
					const struct model_feature_request *request,
					struct model_expect *out)
{
	if (request->methods == WIRE_FEATURE_SET) {
		model_migration_judge_set(model, asked, request, out);
		return;
	}
	if (request->wire.argsz >= sizeof(struct wire_feature) + sizeof(struct wire_device_state) &&
	    request->plain && model_feature_is_there(model, request->id))
		model_demand(out, "MIG-STATE-001", "the state can be asked for at any time");
}

static void model_migration_check_state(struct model *model, const struct model_asked *asked,
					const struct model_feature_request *request,
					const struct model_message *reply)
{
	struct model_broken broken = { .code = "effect" };
	const uint8_t states = model->feature.states;
	struct wire_device_state came;
	char text[64];

	if (request->methods != WIRE_FEATURE_GET)
		return;
	model_feature_check_get(model, asked, request, reply, sizeof(came));
	if (!model_reply_at(reply, sizeof(struct wire_feature), &came, sizeof(came)))
		return;
	if (!model_migration_exists(model, came.device_state)) {
		bool pre_copy = came.device_state == WIRE_STATE_PRE_COPY;

		model_blame(model, &asked->header, pre_copy ? "MIG-FEAT-003" : "MIG-STATE-001",
			    "the device has no state %u", came.device_state);
		return;
	}
	if (!states || states & MODEL_MIGRATION_BIT(came.device_state))
		return;
	model_migration_text(states, text, sizeof(text));
	broken.requirement = states & (states - 1) ? "MIG-STATE-005" : "MIG-STATE-002";
	model_found(model, &asked->header, broken, "allowed: %s; the state is %s", text,
		    model_migration_names[came.device_state]);
}

static void model_migration_enter(struct model *model, uint32_t state)
{
	struct model_feature *feature = &model->feature;
	uint8_t states = 0;

	if (state < MODEL_MIGRATION_STATES)
		states = (uint8_t)MODEL_MIGRATION_BIT(state);
	if (states != feature->states || state != WIRE_STATE_STOP_COPY)
		feature->ended = false;
	feature->states = states;
}

static void model_migration_done_state(struct model *model, const struct model_asked *asked,
				       const struct model_feature_request *request,
				       const struct model_message *reply)
{
	struct wire_device_state came;

	if (request->methods == WIRE_FEATURE_SET)
		model_migration_enter(model, model_migration_wanted(asked));
	else if (reply &&
		 model_reply_at(reply, sizeof(struct wire_feature), &came, sizeof(came)))
		model_migration_enter(model, came.device_state);
}

/* It is where it was, on the way, or in ERROR; what is malformed changes nothing. */
static void model_migration_failed_state(struct model *model, const struct model_asked *asked,
					 const struct model_feature_request *request)
{
	const uint8_t error = MODEL_MIGRATION_BIT(WIRE_STATE_ERROR);
	const uint8_t resuming = MODEL_MIGRATION_BIT(WIRE_STATE_RESUMING);
	uint32_t wanted = model_migration_wanted(asked);
	struct model_feature *feature = &model->feature;
	uint8_t before = feature->states;

	if (request->methods != WIRE_FEATURE_SET || !model_migration_exists(model, wanted) ||
	    request->data < sizeof(struct wire_device_state))
		return;
	if (before & MODEL_MIGRATION_P2P || MODEL_MIGRATION_BIT(wanted) & MODEL_MIGRATION_P2P) {
		feature->states = 0;
		return;
	}
	if (!request->plain)
		before &= resuming;
	for (uint32_t i = 0; i < MODEL_MIGRATION_STATES; i++) {
		const struct model_migration_way *way = &model_migration_ways[i][wanted];

		if (before & MODEL_MIGRATION_BIT(i) && way->requirement)
			feature->states |= way->middle | error;
	}
}

static void model_migration_unseen_state(struct model *model, const struct model_asked *asked,
					 const struct model_feature_request *request)
{
	(void)asked;
	if (request->methods != WIRE_FEATURE_SET)
		return;
	model->feature.states = 0;
	model->feature.ended = false;
}

const struct model_feature_row model_migration_state_row = {
	.methods = WIRE_FEATURE_GET | WIRE_FEATURE_SET,
	.set_data = sizeof(struct wire_device_state),
	.other = "FEAT-GEN-003",
	.judge = model_migration_judge_state,
	.check = model_migration_check_state,
	.done = model_migration_done_state,
	.failed = model_migration_failed_state,
	.unseen = model_migration_unseen_state,
};
