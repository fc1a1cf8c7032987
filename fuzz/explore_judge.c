/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_judge.c - see explore_judge.h. */
#include "explore_judge.h"

#include <string.h>

#include "envelope.h"
#include "explore.h"
#include "explore_memory.h"
#include "model.h"

#define JUDGE_BYTES 16384u	/* of a step, and more */
#define JUDGE_FDS 8u		/* of a message, as explore_peer.c has announced it */

/* What is being sent by a channel. */
struct judge_part {
	uint8_t bytes[JUDGE_BYTES];
	size_t size;
	bool file;
};

static struct {
	struct model *model;
	struct envelope *envelope;
	struct judge_part part[2];
} judge;

static void judge_need(int error)
{
	if (error)
		explore_violation("no memory");
}

static void judge_make(const struct model_options *options)
{
	judge_need(model_new(options, &judge.model));
	judge.envelope = envelope_new();
	judge_need(!judge.envelope);
}

void judge_begin(bool twin)
{
	const struct model_options options = { .still = true };

	if (!judge.model)
		judge_make(&options);
	model_renew(judge.model, &options);
	envelope_reset(judge.envelope);
	envelope_set_max_fds(judge.envelope, JUDGE_FDS);
	envelope_set_page_requests(judge.envelope, 1);
	if (twin)
		envelope_set_twin(judge.envelope);
	for (uint32_t i = 0; i < 2; i++) {
		judge.part[i].size = 0;
		judge.part[i].file = false;
	}
}

static void judge_tell(const struct judge_part *part, uint32_t channel, size_t size)
{
	static const struct model_fd file = {
		.kind = MODEL_FD_MEMORY,
		.writable = true,
		.shrinks = true,
		.size = (uint64_t)MEMORY_PAGES * MEMORY_PAGE,
	};
	struct wire_header header;
	const struct model_message message = {
		.header = &header,
		.body = part->bytes + sizeof(header),
		.size = size - sizeof(header),
		.fds = &file,
		.nfds = part->file,
		.channel = channel,
	};

	memcpy(&header, part->bytes, sizeof(header));
	judge_need(model_sent(judge.model, &message));
	judge_need(envelope_sent(judge.envelope, channel, part->bytes, size, false));
}

/* The size of the first message, or 0: more of it has to come. */
static size_t judge_whole(const struct judge_part *part)
{
	struct wire_header header;

	if (part->size < sizeof(header))
		return 0;
	memcpy(&header, part->bytes, sizeof(header));
	return header.msg_size <= part->size ? header.msg_size : 0;
}

void judge_sends(uint32_t channel, const void *bytes, size_t size, bool file)
{
	struct judge_part *part = &judge.part[channel];
	size_t whole;

	if (size > sizeof(part->bytes) - part->size)
		explore_violation("explore: too long a message");
	memcpy(part->bytes + part->size, bytes, size);
	part->size += size;
	part->file |= file;
	while ((whole = judge_whole(part)) != 0) {
		judge_tell(part, channel, whole);
		part->size -= whole;
		part->file = false;
		memmove(part->bytes, part->bytes + whole, part->size);
	}
}

static void judge_look(void)
{
	struct envelope_violation violation = { .code = "" };
	struct model_finding finding = { .code = "" };

	if (envelope_violations(judge.envelope, 0, &violation))
		explore_violation("%s, %s: %s", violation.code, violation.requirement,
				  violation.text);
	if (model_findings(judge.model, 0, &finding))
		explore_violation("%s, %s: %s", finding.code, finding.requirement, finding.text);
}

void judge_came(const struct message *message)
{
	const struct wire_header header = message_header(message);
	const struct model_message came = {
		.header = &header,
		.body = message->body,
		.size = message->msg_size - sizeof(header),
		.nfds = message->nfds,
		.channel = message->channel,
	};

	envelope_received(judge.envelope, message);
	judge_need(model_received(judge.model, &came));
	judge_look();
}

void judge_passed(void)
{
	model_passed(judge.model);
}
