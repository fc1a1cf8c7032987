/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_migration_data.c - MIG_DATA_READ and MIG_DATA_WRITE: in which states there is data, and
 * that a stream which was read to its end has no more. What is in it, only the device knows.
 */
#include "model_rule.h"

#define MODEL_MIGRATION_SAVING (1u << WIRE_STATE_STOP_COPY | 1u << WIRE_STATE_PRE_COPY | \
				1u << WIRE_STATE_PRE_COPY_P2P)

/* Whether no data goes in this state, or never: refuses the command then. */
static bool model_migration_refuse_data(const struct model *model, uint32_t states,
					const char *requirement, struct model_expect *out)
{
	const struct model_feature *feature = &model->feature;

	if (feature->support[WIRE_FEATURE_MIGRATION] == MODEL_UNSUPPORTED)
		model_refuse(out, requirement, "the device can not migrate");
	else if (feature->states && !(feature->states & states))
		model_refuse(out, requirement, "no data goes in the states 0x%x",
			     feature->states);
	else
		return false;
	return true;
}

static bool model_migration_is_plain(const struct model *model, const struct wire_mig_data *data)
{
	return data->size && data->argsz >= sizeof(*data) &&
	       data->argsz - sizeof(*data) >= data->size && model->server.known &&
	       data->size <= model->server.max_data_xfer_size && model->client.known &&
	       data->size <= model->client.max_data_xfer_size && data->argsz <= INT32_MAX;
}

static void model_migration_judge_read(const struct model *model, const struct model_asked *asked,
				       struct model_expect *out)
{
	const uint8_t states = model->feature.states;
	struct wire_mig_data data;

	if (!model_body(asked, &data, sizeof(data)) ||
	    model_migration_refuse_data(model, MODEL_MIGRATION_SAVING, "MIG-READ-002", out))
		return;
	if (states && !(states & ~MODEL_MIGRATION_SAVING) && asked->size == sizeof(data) &&
	    model_migration_is_plain(model, &data))
		model_demand(out, "MIG-READ-001", "the device is saving");
}

static void model_migration_check_read(struct model *model, const struct model_asked *asked,
				       const struct model_message *reply)
{
	struct wire_mig_data wanted, came;

	if (!model_body(asked, &wanted, sizeof(wanted)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	if (came.size > wanted.size || reply->size != sizeof(came) + (size_t)came.size ||
	    came.argsz != reply->size)
		model_blame(model, &asked->header, "MIG-READ-001",
			    "allowed: at most %u bytes, as argsz and size say; came: argsz %u, "
			    "size %u with %zu bytes of payload", wanted.size, came.argsz,
			    came.size, reply->size);
	if (model->feature.ended && came.size)
		model_found(model, &asked->header,
			    (struct model_broken){ "effect", "MIG-READ-003" },
			    "allowed: nothing behind the end of the stream; came: %u bytes",
			    came.size);
}

static void model_migration_apply_read(struct model *model, const struct model_asked *asked,
				       enum model_outcome outcome,
				       const struct model_message *reply)
{
	struct wire_mig_data wanted, came;

	if (outcome != MODEL_OK || !reply || model->shared ||
	    model->feature.states != 1u << WIRE_STATE_STOP_COPY ||
	    !model_body(asked, &wanted, sizeof(wanted)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	/* What did not get the room that it asked for is no end. */
	if (came.size < wanted.size && model_migration_is_plain(model, &wanted))
		model->feature.ended = true;
}

const struct model_rule model_feature_mig_read_rule = {
	.keep = sizeof(struct wire_mig_data),
	.shorter = "MIG-READ-006",
	.judge = model_migration_judge_read,
	.check = model_migration_check_read,
	.apply = model_migration_apply_read,
};

/* Bad data may be refused as they come, so that nothing has to succeed. */
static void model_migration_judge_write(const struct model *model,
					const struct model_asked *asked, struct model_expect *out)
{
	struct wire_mig_data data;

	if (!model_body(asked, &data, sizeof(data)) ||
	    model_migration_refuse_data(model, 1u << WIRE_STATE_RESUMING, "MIG-WRITE-002", out))
		return;
	if (asked->size - sizeof(data) < data.size)
		model_refuse(out, "MIG-WRITE-004", "%zu bytes of data for a size of %u",
			     asked->size - sizeof(data), data.size);
}

/* A device that refuses what could have been data may have given up. */
static void model_migration_apply_write(struct model *model, const struct model_asked *asked,
					enum model_outcome outcome,
					const struct model_message *reply)
{
	struct wire_mig_data data;

	(void)reply;
	if (outcome == MODEL_OK || !model_body(asked, &data, sizeof(data)) ||
	    asked->size - sizeof(data) != data.size || !model_migration_is_plain(model, &data))
		return;
	if (model->feature.states & 1u << WIRE_STATE_RESUMING)
		model->feature.states |= 1u << WIRE_STATE_ERROR;
}

const struct model_rule model_feature_mig_write_rule = {
	.keep = sizeof(struct wire_mig_data),
	.shorter = "MIG-WRITE-004",
	.judge = model_migration_judge_write,
	.apply = model_migration_apply_write,
};
