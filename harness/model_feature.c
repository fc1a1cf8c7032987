/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_feature.c - DEVICE_FEATURE: which features and methods there are, and what holds for all of
 * them. What a feature is about is in model_migration.c and model_logging.c.
 */
#include "model_rule.h"

#include <string.h>

#define MODEL_FEATURE_METHODS (WIRE_FEATURE_GET | WIRE_FEATURE_SET)
#define MODEL_FEATURE_KNOWN (WIRE_FEATURE_MASK | MODEL_FEATURE_METHODS | WIRE_FEATURE_PROBE)
#define MODEL_FEATURE_KEEP 1024u	/* bytes of a request that are compared with its echo */
#define MODEL_FEATURE_PIECE 64u

static const struct model_feature_row *const model_feature_rows[MODEL_FEATURES] = {
	[WIRE_FEATURE_MIGRATION] = &model_migration_flags_row,
	[WIRE_FEATURE_MIG_DEVICE_STATE] = &model_migration_state_row,
	[WIRE_FEATURE_DMA_LOGGING_START] = &model_logging_start_row,
	[WIRE_FEATURE_DMA_LOGGING_STOP] = &model_logging_stop_row,
	[WIRE_FEATURE_DMA_LOGGING_REPORT] = &model_logging_report_row,
};

bool model_feature_is_there(const struct model *model, uint32_t id)
{
	return model->feature.support[id] == MODEL_SUPPORTED;
}

bool model_feature_runs(const struct model *model)
{
	const uint32_t running = 1u << WIRE_STATE_RUNNING | 1u << WIRE_STATE_PRE_COPY;
	const struct model_feature *feature = &model->feature;

	if (feature->support[WIRE_FEATURE_MIGRATION] == MODEL_UNSUPPORTED ||
	    feature->support[WIRE_FEATURE_MIG_DEVICE_STATE] == MODEL_UNSUPPORTED)
		return true;
	return feature->states && !(feature->states & ~running);
}

void model_feature_start(struct model *model)
{
	model->feature.states = 1u << WIRE_STATE_RUNNING;
	model->feature.logging = MODEL_LOGGING_OFF;
}

void model_feature_learn(struct model *model, const struct model *from)
{
	for (uint32_t i = 0; i < MODEL_FEATURES; i++)
		if (from->feature.support[i])
			model->feature.support[i] = from->feature.support[i];
	if (!from->feature.flags_told)
		return;
	model->feature.flags_told = true;
	model->feature.flags = from->feature.flags;
}

static const struct model_feature_row *model_feature_row(uint32_t id)
{
	return id < MODEL_FEATURES ? model_feature_rows[id] : NULL;
}

/* Takes a request apart; false when it is not whole. */
static bool model_feature_open(const struct model_asked *asked,
			       struct model_feature_request *request)
{
	struct wire_feature *wire = &request->wire;
	const struct model_feature_row *row;
	size_t needed = 0;

	if (!model_body(asked, wire, sizeof(*wire)))
		return false;
	request->id = wire->flags & WIRE_FEATURE_MASK;
	request->methods = wire->flags & MODEL_FEATURE_METHODS;
	request->probe = wire->flags & WIRE_FEATURE_PROBE;
	request->data = asked->size - sizeof(*wire);
	request->clean = !(wire->flags & ~MODEL_FEATURE_KNOWN) && wire->argsz >= asked->size &&
			 wire->argsz <= INT32_MAX && !asked->nfds && !asked->channel &&
			 asked->header.flags <= WIRE_NO_REPLY;
	request->plain = request->clean;
	row = model_feature_row(request->id);
	if (row && !request->probe)
		needed = request->methods == WIRE_FEATURE_GET ? row->get_data : row->set_data;
	/* Ranges follow what START needs: how many, is its own affair. */
	if (request->id != WIRE_FEATURE_DMA_LOGGING_START || request->probe)
		request->plain = request->plain && request->data == needed;
	return true;
}

/* ---- before the reply ---- */

/* What has to fail whatever comes with it; true when it does. */
static bool model_feature_refuse_method(const struct model *model,
					const struct model_feature_request *request,
					struct model_expect *out)
{
	const struct model_feature_row *row = model_feature_row(request->id);

	if (!row)
		model_refuse(out, "FEAT-GEN-002", "there is no feature %u", request->id);
	else if (model->feature.support[request->id] == MODEL_UNSUPPORTED)
		model_refuse(out, "FEAT-GEN-008", "feature %u was told to be unsupported",
			     request->id);
	else if (!request->probe && request->methods == MODEL_FEATURE_METHODS)
		model_refuse(out, "FEAT-GEN-006", "GET and SET together");
	else if (request->methods & ~row->methods)
		model_refuse(out, request->probe ? "FEAT-GEN-003" : row->other,
			     "feature %u has no such method", request->id);
	else
		return false;
	return true;
}

/* GET or SET of a feature that has it. */
static void model_feature_judge_method(const struct model *model, const struct model_asked *asked,
				       const struct model_feature_request *request,
				       struct model_expect *out)
{
	const struct model_feature_row *row = model_feature_rows[request->id];
	bool get = request->methods == WIRE_FEATURE_GET;
	uint32_t needed = get ? row->get_data : row->set_data;

	if (request->data < needed)
		model_refuse(out, "FEAT-GEN-011", "%zu bytes of data where %u are needed",
			     request->data, needed);
	else
		row->judge(model, asked, request, out);
}

static void model_feature_judge(const struct model *model, const struct model_asked *asked,
				struct model_expect *out)
{
	struct model_feature_request request;

	if (!model_feature_open(asked, &request))
		return;
	/* SET and PROBE send the request back, whatever its argsz (FEAT-GEN-012). */
	if (request.methods != WIRE_FEATURE_GET && out->max_size < asked->size)
		out->max_size = asked->size;
	if (model_feature_refuse_method(model, &request, out))
		return;
	if (!request.probe && request.methods)
		model_feature_judge_method(model, asked, &request, out);
	else if (request.probe && request.plain && model_feature_is_there(model, request.id))
		model_demand(out, "FEAT-GEN-003", "feature %u has these methods", request.id);
}

/* ---- the reply ---- */

/* The reply is the request (FEAT-GEN-004), as far as that was kept. */
static void model_feature_check_echo(struct model *model, const struct model_asked *asked,
				     const struct model_message *reply)
{
	uint8_t wanted[MODEL_FEATURE_PIECE], came[MODEL_FEATURE_PIECE];
	bool same = reply->size == asked->size;
	size_t part;

	for (size_t at = 0; same && at < asked->kept; at += part) {
		part = asked->kept - at < sizeof(wanted) ? asked->kept - at : sizeof(wanted);
		same = model_body_at(asked, at, wanted, part) &&
		       model_reply_at(reply, at, came, part) && !memcmp(wanted, came, part);
	}
	if (!same)
		model_blame(model, &asked->header, "FEAT-GEN-004",
			    "allowed: the %u bytes of the request; came: %zu, or others",
			    asked->size, reply->size);
}

void model_feature_check_get(struct model *model, const struct model_asked *asked,
			     const struct model_feature_request *request,
			     const struct model_message *reply, size_t size)
{
	size_t needed = sizeof(struct wire_feature) + size;
	struct wire_feature came;

	if (!model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	if (came.flags != request->wire.flags || came.argsz != needed ||
	    (request->wire.argsz >= needed && reply->size != needed))
		model_blame(model, &asked->header, "FEAT-GEN-009",
			    "allowed: flags 0x%x, argsz %zu and as many bytes; came: 0x%x, %u, "
			    "%zu bytes", request->wire.flags, needed, came.flags, came.argsz,
			    reply->size);
}

static void model_feature_check(struct model *model, const struct model_asked *asked,
				const struct model_message *reply)
{
	struct model_feature_request request;

	if (!model_feature_open(asked, &request))
		return;
	if (request.probe) {
		if (request.plain)
			model_feature_check_echo(model, asked, reply);
		return;
	}
	if (!request.methods)
		return;
	if (request.methods == WIRE_FEATURE_SET && request.plain &&
	    request.id != WIRE_FEATURE_DMA_LOGGING_START)
		model_feature_check_echo(model, asked, reply);
	if (model_feature_rows[request.id]->check)
		model_feature_rows[request.id]->check(model, asked, &request, reply);
}

/* ---- what is known then ---- */

/*
 * A probe, and a GET without data, fails only where the feature is not there. Beside the state of
 * the migration nothing hinders them.
 */
static void model_feature_notice(struct model *model, const struct model_feature_request *request,
				enum model_outcome outcome)
{
	const struct model_feature_row *row = model_feature_row(request->id);
	uint8_t *support = row ? &model->feature.support[request->id] : NULL;
	bool simple = request->probe ||
		      (request->methods == WIRE_FEATURE_GET && !request->data &&
		       request->wire.argsz >= sizeof(struct wire_feature) + sizeof(uint64_t));

	if (!row || request->methods & ~row->methods || (!request->probe && !request->methods))
		return;
	if (outcome == MODEL_OK)
		*support = MODEL_SUPPORTED;
	else if (outcome == MODEL_ERROR && !*support && simple && request->plain)
		*support = MODEL_UNSUPPORTED;
}

void model_feature_forget(struct model *model)
{
	model->feature.states = 0;
	model->feature.logging = 0;
	model->feature.ended = false;
}

static void model_feature_apply(struct model *model, const struct model_asked *asked,
				enum model_outcome outcome, const struct model_message *reply)
{
	const struct model_feature_row *row;
	struct model_feature_request request;

	if (model->phase != MODEL_READY || !model_feature_open(asked, &request))
		return;
	row = model_feature_row(request.id);
	model_feature_notice(model, &request, outcome);
	if (!row || request.probe || !request.methods)
		return;
	if (request.methods & ~row->methods || request.methods == MODEL_FEATURE_METHODS) {
		if (outcome != MODEL_ERROR)
			model_feature_forget(model);
		return;
	}
	if (outcome == MODEL_OK && row->done)
		row->done(model, asked, &request, reply);
	else if (outcome == MODEL_ERROR && row->failed)
		row->failed(model, asked, &request);
	else if (outcome == MODEL_UNKNOWN && row->unseen)
		row->unseen(model, asked, &request);
	if (model->shared)
		model_feature_forget(model);
}

const struct model_rule model_feature_rule = {
	.keep = MODEL_FEATURE_KEEP,
	.shorter = "FEAT-GEN-001",
	.judge = model_feature_judge,
	.check = model_feature_check,
	.apply = model_feature_apply,
};

void model_feature_free(struct model *model)
{
	(void)model;
}

/* From ERROR it leads to RUNNING; from other states it may leave the state as it was. */
void model_feature_reset(struct model *model, enum model_outcome outcome)
{
	const uint8_t running = 1u << WIRE_STATE_RUNNING, error = 1u << WIRE_STATE_ERROR;
	struct model_feature *feature = &model->feature;

	if (outcome == MODEL_ERROR)
		return;
	feature->ended = false;
	feature->logging = 0;
	if (outcome == MODEL_OK && model_strict(model, MODEL_M1) && !model->shared)
		feature->states = running;
	else if (outcome == MODEL_OK && feature->states)
		feature->states = (uint8_t)((feature->states & ~error) | running);
	else if (feature->states)
		feature->states |= running;
}
