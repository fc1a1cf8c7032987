/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_judge.c - one command: what holds for all of them, whatever they are, around the rule of
 * its area; and what its outcome means. See model_rule.h.
 */
#include "model_rule.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

#define MODEL_NUMBERS 19	/* of commands: 0 to 18 */
#define MODEL_SLACK 64		/* of a message beyond the data that it carries */
#define MODEL_STRANGE (~(WIRE_TYPE_MASK | WIRE_NO_REPLY))	/* flags without meaning */

static const struct model_rule *const model_rules[MODEL_NUMBERS] = {
	[WIRE_VERSION] = &model_version_rule,
	[WIRE_DMA_MAP] = &model_dma_map_rule,
	[WIRE_DMA_UNMAP] = &model_dma_unmap_rule,
	[WIRE_DEVICE_GET_INFO] = &model_device_info_rule,
	[WIRE_DEVICE_GET_REGION_INFO] = &model_region_info_rule,
	[WIRE_DEVICE_GET_REGION_IO_FDS] = &model_region_io_fds_rule,
	[WIRE_DEVICE_GET_IRQ_INFO] = &model_irq_info_rule,
	[WIRE_DEVICE_SET_IRQS] = &model_irq_set_rule,
	[WIRE_REGION_READ] = &model_region_read_rule,
	[WIRE_REGION_WRITE] = &model_region_write_rule,
	[WIRE_DEVICE_RESET] = &model_device_reset_rule,
	[WIRE_REGION_WRITE_MULTI] = &model_region_write_multi_rule,
	[WIRE_DEVICE_FEATURE] = &model_feature_rule,
	[WIRE_MIG_DATA_READ] = &model_feature_mig_read_rule,
	[WIRE_MIG_DATA_WRITE] = &model_feature_mig_write_rule,
};

const struct model_rule *model_rule(uint16_t command)
{
	return command < MODEL_NUMBERS ? model_rules[command] : NULL;
}

/* The same, with those of the extension that was negotiated. */
static const struct model_rule *model_rule_now(const struct model *model, uint16_t command)
{
	if (command == WIRE_PAGE_RESPONSE && model->viommu.on)
		return &model_viommu_response_rule;
	return model_rule(command);
}

/* ---- what rules write down ---- */

static void model_copy(char *to, const char *from, size_t size)
{
	size_t length = strlen(from);

	if (length >= size)
		length = size - 1;
	memcpy(to, from, length);
	to[length] = '\0';
}

/* This is done for every command, and formatting is dear: most texts stand as they are. */
static void model_why(struct model_expect *out, const char *requirement, const char *format,
		      va_list arguments)
{
	model_copy(out->requirement, requirement, sizeof(out->requirement));
	if (strchr(format, '%'))
		vsnprintf(out->why, sizeof(out->why), format, arguments);
	else
		model_copy(out->why, format, sizeof(out->why));
}

void model_refuse(struct model_expect *out, const char *requirement, const char *format, ...)
{
	va_list arguments;

	out->ok = false;
	out->error = true;
	va_start(arguments, format);
	model_why(out, requirement, format, arguments);
	va_end(arguments);
}

void model_demand(struct model_expect *out, const char *requirement, const char *format, ...)
{
	va_list arguments;

	out->ok = true;
	out->error = false;
	va_start(arguments, format);
	model_why(out, requirement, format, arguments);
	va_end(arguments);
}

void model_errno(struct model_expect *out, uint32_t number)
{
	if (out->nerrnos < sizeof(out->errnos) / sizeof(*out->errnos))
		out->errnos[out->nerrnos++] = number;
}

/* Room for one more finding; NULL when it only counts. */
static struct model_finding *model_finding_next(struct model *model)
{
	uint32_t index = model->findings++;

	if (index >= MODEL_KEPT)
		return NULL;
	if (index == model->kept_room) {
		uint32_t room = model->kept_room ? model->kept_room * 4 : 4;
		struct model_finding *larger = realloc(model->kept, room * sizeof(*larger));

		if (!larger)
			return NULL;
		model->kept = larger;
		model->kept_room = room;
	}
	memset(&model->kept[index], 0, sizeof(*model->kept));
	return &model->kept[index];
}

static void model_write(struct model *model, const struct wire_header *header,
			struct model_broken broken, const char *format, va_list arguments)
{
	struct model_finding *finding = model_finding_next(model);

	if (!finding)
		return;
	finding->id = header->id;
	finding->command = header->command;
	snprintf(finding->code, sizeof(finding->code), "%s", broken.code);
	snprintf(finding->requirement, sizeof(finding->requirement), "%s", broken.requirement);
	vsnprintf(finding->text, sizeof(finding->text), format, arguments);
}

void model_found(struct model *model, const struct wire_header *header,
		 struct model_broken broken, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	model_write(model, header, broken, format, arguments);
	va_end(arguments);
}

void model_blame(struct model *model, const struct wire_header *header, const char *requirement,
		 const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	model_write(model, header, (struct model_broken){ "reply.field", requirement }, format,
		    arguments);
	va_end(arguments);
}

bool model_serves(const struct model *model)
{
	return model_strict(model, MODEL_M3) || model_feature_runs(model);
}

/* ---- bodies ---- */

bool model_body_at(const struct model_asked *asked, size_t offset, void *out, size_t size)
{
	const uint8_t *body = asked->more ? asked->more : asked->body;

	if (offset > asked->kept || size > asked->kept - offset)
		return false;
	memcpy(out, body + offset, size);
	return true;
}

bool model_body(const struct model_asked *asked, void *out, size_t size)
{
	return model_body_at(asked, 0, out, size);
}

bool model_reply_at(const struct model_message *reply, size_t offset, void *out, size_t size)
{
	if (offset > reply->size || size > reply->size - offset)
		return false;
	memcpy(out, reply->body + offset, size);
	return true;
}

/* ---- what holds for all commands ---- */

/* The payload of a success: at least the structure, but no more than argsz where there is one. */
static void model_sizes(const struct model_asked *asked, struct model_expect *out)
{
	const struct schema_command *row = schema_command(asked->header.command);
	const struct schema_field *argsz = schema_argsz(asked->header.command);
	uint32_t room;

	out->max_size = UINT32_MAX;
	if (!row)
		return;
	out->min_size = row->reply_size;
	out->max_fds = row->reply_fds;
	if (!row->reply_size) {
		out->max_size = 0;
		return;
	}
	if (!argsz || !model_body_at(asked, argsz->offset, &room, sizeof(room)))
		return;
	out->max_size = room;
	if (room < out->min_size)
		out->min_size = 0;
}

/* What is no message is not executed; where the next one begins, nobody can say. */
static bool model_no_message(const struct model_asked *asked, struct model_expect *out)
{
	if (asked->header.msg_size >= sizeof(asked->header))
		return false;
	model_refuse(out, "HDR-SIZE-002", "a msg_size of %u is below the header's",
		     asked->header.msg_size);
	out->silence = asked->channel || asked->header.flags & (WIRE_TYPE_MASK | WIRE_NO_REPLY);
	out->closed = true;
	return true;
}

/* A message that is no command of the main socket is not executed, and need not be answered. */
static bool model_not_executed(const struct model *model, const struct model_asked *asked,
			       struct model_expect *out)
{
	uint32_t type = asked->header.flags & WIRE_TYPE_MASK;

	if (type == WIRE_TYPE_COMMAND && asked->channel == 0)
		return false;
	if (type == WIRE_TYPE_REPLY)
		model_refuse(out, "HDR-FLAG-003", "a reply that answers no command");
	else if (type != WIRE_TYPE_COMMAND)
		model_refuse(out, "HDR-FLAG-002", "messages of type %u do not exist", type);
	else
		model_refuse(out, "TWIN-IO-003", "a client sends no command by the twin socket");
	if (type == WIRE_TYPE_REPLY && model_strict(model, MODEL_T7))
		out->error = false;
	out->silence = true;
	out->closed = true;
	return true;
}

/* By the number of the command, and the size of what came with it. True when that decides. */
static bool model_malformed(const struct model *model, const struct model_asked *asked,
			    struct model_expect *out)
{
	uint16_t number = asked->header.command;
	const struct schema_command *row = schema_command(number);
	const struct model_rule *rule = model_rule_now(model, number);
	bool known = row && number < SCHEMA_EXTENSION;

	if (model->phase == MODEL_GREETING && number != WIRE_VERSION) {
		model_refuse(out, "VER-NEG-002", "the session begins with VERSION");
		out->closed = true;
		return true;
	}
	if (!row || !rule) {
		model_refuse(out, known ? "HDR-UNK-002" : "HDR-UNK-001",
			     known ? "only a server sends command %u" : "there is no command %u",
			     number);
		return true;
	}
	if (asked->size >= row->request_size)
		return false;
	model_refuse(out, rule->shorter, "%u bytes of payload where the structure has %u",
		     asked->size, row->request_size);
	out->closed = number == WIRE_VERSION;
	return true;
}

/* More than it has to take, of bytes or descriptors. */
static void model_excess(const struct model *model, const struct model_asked *asked,
			 struct model_expect *out)
{
	const struct schema_command *row = schema_command(asked->header.command);
	const struct model_limits *limits = &model->server;
	bool negotiated = model->phase == MODEL_READY && limits->known;

	if (asked->header.flags & MODEL_STRANGE)
		out->error = true;
	if (asked->nfds > (row ? row->request_fds : 0))
		out->error = true;
	if (asked->nfds && model->phase == MODEL_GREETING)
		out->error = out->closed = true;
	if (asked->nfds > (negotiated ? limits->max_msg_fds : WIRE_DEFAULT_MAX_MSG_FDS))
		out->error = out->closed = true;
	if (negotiated && asked->size > MODEL_SLACK &&
	    asked->size - MODEL_SLACK > limits->max_data_xfer_size)
		out->error = out->closed = true;
}

/*
 * What is not answered has still been executed (HDR-REPLY-002): *out keeps whether it succeeds, for
 * model_settle_unseen, and allows no reply to be seen.
 */
static bool model_unanswered(const struct model_asked *asked)
{
	return (asked->header.flags & (WIRE_TYPE_MASK | WIRE_NO_REPLY)) == WIRE_NO_REPLY &&
	       asked->channel == 0;
}

void model_judge(const struct model *model, const struct model_asked *asked,
		 struct model_expect *out)
{
	const struct model_rule *rule = model_rule_now(model, asked->header.command);

	memset(out, 0, offsetof(struct model_expect, why) + 1);
	out->ok = true;
	out->error = true;
	model_sizes(asked, out);
	if (model->phase == MODEL_LOST) {
		out->closed = true;
		out->silence = true;
		return;
	}
	if (model_no_message(asked, out) || model_not_executed(model, asked, out))
		return;
	if (!model_malformed(model, asked, out) && rule->judge)
		rule->judge(model, asked, out);
	model_excess(model, asked, out);
	if (!model_unanswered(asked))
		return;
	out->silence = true;
	if (asked->header.command == WIRE_VERSION)
		out->ok = out->error = out->closed = true;
}

/* ---- what came of it ---- */

static bool model_errno_allowed(const struct model_expect *expect, uint32_t number)
{
	if (!expect->nerrnos)
		return true;
	for (uint32_t i = 0; i < expect->nerrnos; i++)
		if (expect->errnos[i] == number)
			return true;
	return !number && (expect->nerrnos > 1 || expect->errnos[0] != EEXIST);
}

/* An error that nothing in the protocol forbids: the server is out of something. */
static bool model_exhausted(const struct model_asked *asked, uint32_t number)
{
	return asked->nfds && (number == EMFILE || number == ENFILE || number == ENOMEM);
}

static void model_judge_error(struct model *model, const struct model_asked *asked,
			      const struct model_expect *expect, uint32_t number)
{
	struct model_broken broken = { NULL, expect->requirement };
	char allowed[80], name[MODEL_ERRNO];

	if (!expect->error && !model_exhausted(asked, number))
		broken.code = "reply.unexpected-error";
	else if (expect->error && !model_errno_allowed(expect, number))
		broken.code = "reply.errno";
	if (!broken.code)
		return;
	model_expect_text(expect, allowed, sizeof(allowed));
	model_found(model, &asked->header, broken, "allowed: %s (%s); came: error %s", allowed,
		    expect->why, model_errno_text(number, name));
}

/* Which rule a success of the wrong size breaks. */
static const char *model_size_rule(const struct model_asked *asked,
				   const struct model_expect *expect, bool small)
{
	const struct schema_command *row = schema_command(asked->header.command);

	if (small)
		return "HDR-SIZE-001";
	return row && expect->max_size < row->reply_size ? "ARGSZ-GEN-005" : "ARGSZ-GEN-004";
}

/* True when a success of that size may be looked into. */
static bool model_judge_success(struct model *model, const struct model_asked *asked,
				const struct model_expect *expect,
				const struct model_message *reply)
{
	struct model_broken broken = { "reply.unexpected-success", expect->requirement };
	bool small = reply->size < expect->min_size;
	char allowed[80];

	if (!expect->ok) {
		model_expect_text(expect, allowed, sizeof(allowed));
		model_found(model, &asked->header, broken,
			    "allowed: %s (%s); came: success", allowed, expect->why);
		return false;
	}
	if (reply->nfds > expect->max_fds)
		model_blame(model, &asked->header, "FD-PASS-001",
			    "allowed: %u descriptors; came: %zu", expect->max_fds, reply->nfds);
	if (!small && reply->size <= expect->max_size)
		return true;
	model_blame(model, &asked->header, model_size_rule(asked, expect, small),
		    "allowed: a payload of %u to %u bytes; came: %zu", expect->min_size,
		    expect->max_size, reply->size);
	return false;
}

static void model_apply(struct model *model, const struct model_asked *asked,
			enum model_outcome outcome, const struct model_message *reply)
{
	const struct model_rule *rule = model_rule(asked->header.command);
	bool command = (asked->header.flags & WIRE_TYPE_MASK) == WIRE_TYPE_COMMAND;

	if (rule && rule->apply && command && model->phase != MODEL_LOST)
		rule->apply(model, asked, outcome, reply);
}

void model_settle(struct model *model, const struct model_asked *asked,
		  const struct model_expect *expect, const struct model_message *reply)
{
	const struct model_rule *rule = model_rule(asked->header.command);
	bool whole;

	if (expect->closed)
		model->may_close = true;
	model_dma_answered(model);
	model_viommu_settled(model, asked,
			     reply->header->flags & WIRE_ERROR ? MODEL_ERROR : MODEL_OK, true);
	if (reply->header->flags & WIRE_ERROR) {
		model_judge_error(model, asked, expect, reply->header->error);
		model_apply(model, asked, MODEL_ERROR, NULL);
		return;
	}
	whole = model_judge_success(model, asked, expect, reply);
	if (whole && rule && rule->check)
		rule->check(model, asked, reply);
	model_apply(model, asked, MODEL_OK, whole ? reply : NULL);
}

void model_settle_unseen(struct model *model, const struct model_asked *asked,
			 const struct model_expect *expect)
{
	enum model_outcome outcome = MODEL_UNKNOWN;

	if (!expect->ok)
		outcome = MODEL_ERROR;
	else if (!expect->error)
		outcome = MODEL_OK;
	if (expect->closed)
		model->may_close = true;
	model_viommu_settled(model, asked, outcome, false);
	model_apply(model, asked, outcome, NULL);
}
