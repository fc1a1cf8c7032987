/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model.c - see model.h: the queue of commands that wait, and the order in which they are judged.
 *
 * Commands stand in the order of the stream and are judged and settled strictly at its head: one
 * whose reply came earlier waits with its reply for those before it. Only the head has been judged.
 * The last command that may be answered by silence leaves when something behind it is answered.
 */
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_rule.h"
#include "program.h"
#include "text.h"

#define MODEL_ROOM 8		/* commands that the queue begins with */

static const char *const model_names[MODEL_READINGS + 1] = {
	[MODEL_W1] = "W1", [MODEL_W2] = "W2", [MODEL_W7] = "W7", [MODEL_W10] = "W10",
	[MODEL_N9] = "N9", [MODEL_N10] = "N10", [MODEL_T7] = "T7", [MODEL_T11] = "T11",
	[MODEL_T15] = "T15", [MODEL_T19] = "T19", [MODEL_D1] = "D1", [MODEL_D2] = "D2",
	[MODEL_R6] = "R6", [MODEL_R7] = "R7", [MODEL_R8] = "R8", [MODEL_I3] = "I3",
	[MODEL_I4] = "I4", [MODEL_I8] = "I8", [MODEL_M1] = "M1", [MODEL_M2] = "M2",
	[MODEL_M3] = "M3", [MODEL_L1] = "L1", [MODEL_L2] = "L2", [MODEL_L3] = "L3",
	[MODEL_L4] = "L4", [MODEL_L5] = "L5", [MODEL_L8] = "L8", [MODEL_L9] = "L9",
};

const char *const *model_readings(void)
{
	return model_names;
}

static void model_begin(struct model *model, const struct model_options *options)
{
	model->strict = options->strict;
	model->still = options->still;
	if (options->fresh)
		model_feature_start(model);
}

int model_new(const struct model_options *options, struct model **out)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		return -ENOMEM;
	model_begin(model, options);
	*out = model;
	return 0;
}

void model_learn(struct model *model, const struct model *from)
{
	if (from->device.known)
		model->device = from->device;
	model_region_learn(model, from);
	model_irq_learn(model, from);
	model_feature_learn(model, from);
}

void model_share(struct model *model)
{
	model->shared = true;
	model_irq_forget(model);
	model_feature_forget(model);
}

static struct model_asked *model_at(const struct model *model, uint32_t index)
{
	return &model->asked[(model->first + index) & (model->room - 1)];
}

const struct model_asked *model_waiting(const struct model *model, uint32_t index)
{
	return index < model->count ? model_at(model, index) : NULL;
}

/* Memory for a body of that size: most often that of one before. NULL without memory. */
static uint8_t *model_take_body(struct model *model, size_t size)
{
	uint8_t *body = model->spare;

	if (size > MODEL_SPARE)
		return malloc(size);
	if (!body)
		return malloc(MODEL_SPARE);
	model->spare = NULL;
	return body;
}

static void model_give_body(struct model *model, struct model_asked *asked)
{
	if (!model->spare && asked->kept <= MODEL_SPARE)
		model->spare = asked->more;
	else
		free(asked->more);
}

static void model_clear(struct model *model, struct model_asked *asked)
{
	if (asked->answered)
		model->answered--;
	if (asked->reply)
		model->stored -= sizeof(*asked->reply) + asked->reply->message.size;
	free(asked->reply);
	model_give_body(model, asked);
}

/* Forget the oldest command. */
static void model_pop(struct model *model)
{
	model_clear(model, model_at(model, 0));
	model->first = (model->first + 1) & (model->room - 1);
	model->count--;
	model->judged = false;
}

void model_lose(struct model *model)
{
	model->phase = MODEL_LOST;
}

/* Forget everything that is known but what was found. */
static void model_forget(struct model *model)
{
	while (model->count)
		model_pop(model);
	model_dma_free(model);
	model_region_free(model);
	model_irq_free(model);
	model_feature_free(model);
	model_viommu_free(model);
}

void model_free(struct model *model)
{
	if (!model)
		return;
	model_forget(model);
	free(model->asked);
	free(model->spare);
	free(model->kept);
	free(model);
}

void model_renew(struct model *model, const struct model_options *options)
{
	struct model_asked *asked = model->asked;
	struct model_finding *kept = model->kept;
	uint32_t room = model->room, kept_room = model->kept_room;
	uint8_t *spare;

	model_forget(model);
	spare = model->spare;
	memset(model, 0, sizeof(*model));
	model->asked = asked;
	model->room = room;
	model->kept = kept;
	model->kept_room = kept_room;
	model->spare = spare;
	model_begin(model, options);
}

void model_broke(struct model *model)
{
	model_lose(model);
	while (model->count)
		model_pop(model);
}

/* ---- the head of the queue ---- */

static void model_judge_head(struct model *model)
{
	if (!model->judged)
		model_judge(model, model_at(model, 0), &model->expect);
	model->judged = true;
}

static bool model_is_silent(const struct model_asked *asked)
{
	uint32_t flags = asked->header.flags & (WIRE_TYPE_MASK | WIRE_NO_REPLY);

	return flags == WIRE_NO_REPLY && asked->header.command != WIRE_VERSION &&
	       asked->channel == 0;
}

/* Settle from the head on what can be settled without anything more from the server. */
static void model_advance(struct model *model)
{
	while (model->count) {
		struct model_asked *head = model_at(model, 0);

		model_judge_head(model);
		if (head->reply)
			model_settle(model, head, &model->expect, &head->reply->message);
		else if (head->answered)
			model_lose(model);
		else if (model_is_silent(head) || (model->expect.silence && model->answered))
			model_settle_unseen(model, head, &model->expect);
		else
			break;
		model_pop(model);
	}
}

/* ---- what the client sends ---- */

static int model_grow(struct model *model)
{
	uint32_t room = model->room ? model->room * 2 : MODEL_ROOM;
	struct model_asked *larger = malloc(room * sizeof(*larger));

	if (!larger)
		return -ENOMEM;
	for (uint32_t i = 0; i < model->count; i++)
		larger[i] = *model_at(model, i);
	free(model->asked);
	model->asked = larger;
	model->first = 0;
	model->room = room;
	return 0;
}

/* Keep as much of the body as the rule looks at. */
static int model_keep(struct model *model, struct model_asked *asked,
		      const struct model_message *message)
{
	const struct model_rule *rule = model_rule(message->header->command);
	size_t wanted = rule && rule->keep > MODEL_INLINE ? rule->keep : MODEL_INLINE;
	size_t kept = message->size < wanted ? message->size : wanted;

	asked->kept = (uint32_t)kept;
	asked->more = NULL;
	if (kept > MODEL_INLINE) {
		asked->more = model_take_body(model, kept);
		if (!asked->more)
			return -ENOMEM;
	}
	if (kept)
		memcpy(asked->more ? asked->more : asked->body, message->body, kept);
	return 0;
}

static int model_push(struct model *model, const struct model_message *message)
{
	struct model_asked *asked;
	int error = 0;

	if (model->count == model->room)
		error = model_grow(model);
	if (error)
		return error;
	asked = model_at(model, model->count);
	asked->header = *message->header;
	asked->channel = message->channel;
	asked->size = (uint32_t)message->size;
	asked->nfds = (uint32_t)message->nfds;
	asked->kinds = 0;
	asked->fd = message->nfds ? message->fds[0] : (struct model_fd){ 0 };
	for (size_t i = 0; i < message->nfds; i++)
		asked->kinds |= 1u << message->fds[i].kind;
	asked->answered = false;
	asked->reply = NULL;
	error = model_keep(model, asked, message);
	if (error)
		return error;
	model->count++;
	model_viommu_sent(model, asked);
	return 0;
}

int model_sent(struct model *model, const struct model_message *message)
{
	uint32_t type = message->header->flags & WIRE_TYPE_MASK;
	int error;

	if (model->phase == MODEL_LOST || model->ends)
		return 0;
	model->ends = message->header->msg_size < sizeof(*message->header);
	if (type == WIRE_TYPE_REPLY && model_requests_answered(model, message))
		return 0;
	if (type != WIRE_TYPE_COMMAND || message->channel)
		model->may_close = true;
	if (model->count == MODEL_ASKED) {
		model_broke(model);
		return 0;
	}
	error = model_push(model, message);
	if (error) {
		model_broke(model);
		return error;
	}
	model->sent = true;
	model_advance(model);
	return 0;
}

/* ---- what the server sends ---- */

/* The oldest command from number `i` on that this answers; its number, or `count`. */
static uint32_t model_match(const struct model *model, const struct model_message *message,
			    uint32_t i)
{
	for (; i < model->count; i++) {
		const struct model_asked *asked = model_at(model, i);

		if (asked->header.id == message->header->id &&
		    asked->header.command == message->header->command &&
		    asked->channel == message->channel && !asked->answered &&
		    !model_is_silent(asked))
			break;
	}
	return i;
}

/*
 * Does nobody know which of two messages is meant? The first need not be answered, and a later one
 * has the same id and number.
 */
static bool model_ambiguous(const struct model *model, const struct model_message *message,
			    uint32_t index)
{
	uint32_t flags = model_at(model, index)->header.flags & (WIRE_TYPE_MASK | WIRE_NO_REPLY);

	return flags && model_match(model, message, index + 1) < model->count;
}

/* Keep a reply until those before it have come; one that is too much is only counted. */
static void model_store(struct model *model, struct model_asked *asked,
			const struct model_message *message)
{
	size_t size = sizeof(*asked->reply) + message->size;
	struct model_reply *reply = NULL;

	if (model->stored + size <= MODEL_STORED)
		reply = malloc(size);
	asked->answered = true;
	asked->reply = reply;
	model->answered++;
	if (!reply)
		return;
	model->stored += size;
	reply->header = *message->header;
	if (message->size)
		memcpy(reply->body, message->body, message->size);
	reply->message = (struct model_message){
		.header = &reply->header,
		.body = reply->body,
		.size = message->size,
		.nfds = message->nfds,
		.channel = message->channel,
	};
}

int model_received(struct model *model, const struct model_message *message)
{
	uint32_t type = message->header->flags & WIRE_TYPE_MASK;
	struct model_asked *asked;
	uint32_t index;

	if (model->phase == MODEL_LOST)
		return 0;
	if (type == WIRE_TYPE_COMMAND)
		model_requests_came(model, message);
	if (type != WIRE_TYPE_REPLY)
		return 0;
	index = model_match(model, message, 0);
	if (index == model->count)
		return 0;
	if (model_ambiguous(model, message, index)) {
		model_broke(model);
		return 0;
	}
	asked = model_at(model, index);
	if (index) {
		model_store(model, asked, message);
	} else {
		model_judge_head(model);
		model_settle(model, asked, &model->expect, message);
		model_pop(model);
	}
	model_advance(model);
	return 0;
}

/* Blame the head for an end that it does not allow, unless something before it excuses it. */
static void model_blame_head(struct model *model, const char *code, const char *came)
{
	const struct model_asked *head = model_at(model, 0);
	const char *requirement = model->expect.requirement;
	struct model_broken broken = { code, *requirement ? requirement : "HDR-REPLY-001" };
	char allowed[80];

	model_expect_text(&model->expect, allowed, sizeof(allowed));
	model_found(model, &head->header, broken, "allowed: %s; came: %s", allowed, came);
}

void model_closed(struct model *model)
{
	bool excused = model->may_close || model->phase == MODEL_LOST;

	while (model->count && !excused) {
		model_judge_head(model);
		excused = model->expect.closed;
		if (!excused && !model->expect.silence) {
			model_blame_head(model, "reply.closed", "the connection was closed");
			break;
		}
		model_settle_unseen(model, model_at(model, 0), &model->expect);
		model_pop(model);
	}
	model_broke(model);
}

void model_waited(struct model *model)
{
	while (model->count && model->phase != MODEL_LOST) {
		struct model_asked *head = model_at(model, 0);

		model_judge_head(model);
		if (!model->expect.silence && !head->answered)
			model_blame_head(model, "reply.missing", "nothing");
		if (!model->expect.silence)
			model->expect.ok = model->expect.error = true;
		model_settle_unseen(model, head, &model->expect);
		model_pop(model);
		model_advance(model);
	}
}

/* ---- what is told ---- */

bool model_expect(struct model *model, struct model_expect *out)
{
	const struct model_asked *last;

	if (!model->sent)
		return false;
	if (model->count == 1)
		model_judge_head(model);
	if (model->count < 2) {
		*out = model->expect;
	} else {
		last = model_at(model, model->count - 1);
		model_judge(model, last, out);
	}
	if (model->count && !model_is_silent(model_at(model, model->count - 1)))
		return true;
	if (out->silence && model->phase != MODEL_LOST)
		out->ok = out->error = false;
	return true;
}

static size_t model_append(char *text, size_t size, size_t at, const char *more)
{
	int length;

	if (at >= size)
		return at;
	length = snprintf(text + at, size - at, "%s%s", at ? ", or " : "", more);
	return length < 0 ? at : at + (size_t)length;
}

const char *model_errno_text(uint32_t number, char buffer[MODEL_ERRNO])
{
	const char *name = text_errno(number);

	snprintf(buffer, MODEL_ERRNO, "%u", number);
	return name ? name : buffer;
}

void model_expect_text(const struct model_expect *expect, char *text, size_t size)
{
	char error[80] = "error";
	size_t at = 5;

	for (uint32_t i = 0; i < expect->nerrnos && at < sizeof(error); i++) {
		char name[MODEL_ERRNO];
		int length = snprintf(error + at, sizeof(error) - at, "%s%s", i ? "|" : " ",
				      model_errno_text(expect->errnos[i], name));

		at += length < 0 ? 0 : (size_t)length;
	}
	at = 0;
	text[0] = '\0';
	if (expect->ok)
		at = model_append(text, size, at, "success");
	if (expect->error)
		at = model_append(text, size, at, error);
	if (expect->closed)
		at = model_append(text, size, at, "the end of the connection");
	if (expect->silence)
		model_append(text, size, at, "silence");
}

uint32_t model_findings(const struct model *model, uint32_t index, struct model_finding *out)
{
	if (index < model->findings && index < model->kept_room && index < MODEL_KEPT)
		*out = model->kept[index];
	return model->findings;
}

uint64_t model_limit(const struct model *model, uint32_t base)
{
	const struct model_limits *limits = &model->server;
	bool known = limits->known;

	switch ((enum program_base)base) {
	case PROGRAM_MAX_MSG_FDS:
		return known ? limits->max_msg_fds : WIRE_DEFAULT_MAX_MSG_FDS;
	case PROGRAM_MAX_DATA_XFER_SIZE:
		return known ? limits->max_data_xfer_size : WIRE_DEFAULT_MAX_DATA_XFER_SIZE;
	case PROGRAM_MAX_DMA_MAPS:
		return known ? limits->max_dma_maps : WIRE_DEFAULT_MAX_DMA_MAPS;
	case PROGRAM_PGSIZE:
		return known ? limits->pgsizes & -limits->pgsizes : WIRE_DEFAULT_PGSIZES;
	case PROGRAM_NUMBER:
	case PROGRAM_REGION_SIZE:
	case PROGRAM_COOKIE:
	case PROGRAM_COOKIE_0:
	case PROGRAM_COOKIE_LAST:
	case PROGRAM_BASES:
		break;
	}
	return 0;
}

uint32_t model_extension(const struct model *model)
{
	if (!model->viommu.on)
		return 0;
	return MODEL_EXTENDED | (model->server.viommu.replace ? MODEL_REPLACES : 0);
}
