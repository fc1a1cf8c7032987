/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_send.c - messages on their way out; see exec_state.h.
 *
 * A repeated step goes out in batches, so that a flood costs a system call per batch and not one
 * per message; what has descriptors, or is divided or cut, goes alone. Who judges is told when all
 * of a batch is on its way and nothing that came meanwhile has been looked at.
 */
#include "exec_state.h"

#include <errno.h>
#include <string.h>

#include "buf.h"
#include "pack.h"
#include "stream.h"
#include "wire.h"
#include "wire_ext.h"

#define EXEC_PARTS 16u

/* Messages in exec->bytes: number i stands in [at[i], at[i + 1]). */
struct exec_batch {
	uint32_t count;
	size_t at[EXEC_BATCH + 1];
};

/* A step on its way: where it goes, and how far it has come. */
struct exec_going {
	const struct program_step *step;
	uint32_t index;
	uint32_t channel;
	uint32_t round;
	uint32_t part;
	uint32_t parts;
	bool alone;
	bool may;		/* something of it may be answered, and need not be */
	size_t nfds;
};

void exec_pack_context(const struct exec *exec, uint32_t index, struct pack_context *out)
{
	const struct exec_connection *c = &exec->connection[index];

	*out = (struct pack_context){ .id = c->next_id };
	for (uint32_t base = PROGRAM_MAX_MSG_FDS; base < PROGRAM_REGION_SIZE; base++)
		out->base[base] = model_limit(c->model, base);
	out->base[PROGRAM_COOKIE] = exec_page_cookie(c);
	for (uint32_t i = 0; i < EXEC_COOKIES; i++)
		out->base[PROGRAM_COOKIE_0 + i] = c->pages.cookie[i];
	out->region_size = c->region_size;
	out->regions = EXEC_REGIONS;
}

/* The next messages of a step, as many as go out together. 0 or -errno. */
static int exec_fill(struct exec *exec, struct exec_going *going, struct exec_batch *batch)
{
	struct exec_connection *c = &exec->connection[going->index];
	const struct program_step *step = going->step;
	struct pack_context context;

	exec_pack_context(exec, going->index, &context);
	batch->count = 0;
	batch->at[0] = 0;
	while (going->round < step->repeat && batch->count < EXEC_BATCH &&
	       batch->at[batch->count] < EXEC_BATCH_BYTES && !(batch->count && going->alone)) {
		size_t at = batch->at[batch->count];
		int size;

		context.id = c->next_id++;
		context.round = going->round;
		context.part = going->part;
		size = pack_message(exec->program, step, &context, exec->bytes + at,
				    EXEC_BYTES - at);
		if (size < 0)
			return size;
		batch->at[++batch->count] = at + (size_t)size;
		going->part++;
		if (going->part < going->parts)
			continue;
		going->part = 0;
		going->round++;
	}
	return 0;
}

/* A part that ends before `end` with that many of the descriptors that are left. */
static void exec_part(struct client_send *send, struct client_part *parts, size_t end, size_t nfds,
		      size_t *left)
{
	if (nfds > *left)
		nfds = *left;
	if (nfds > STREAM_MAX_FDS)
		nfds = STREAM_MAX_FDS;
	parts[send->nparts++] = (struct client_part){ (uint32_t)end, (uint32_t)nfds };
	send->nfds += nfds;
	*left -= nfds;
}

/* Where a message is divided: where the step says, and where a part would have too many. */
static void exec_divide(const struct program_step *step, struct client_send *send,
			struct client_part *parts, size_t nfds)
{
	size_t left = nfds;
	size_t at = 0;

	send->parts = parts;
	send->nparts = send->nfds = 0;
	for (uint32_t i = 0; i < step->npieces && step->piece[i].end < send->size; i++) {
		at = step->piece[i].end;
		exec_part(send, parts, at, step->piece[i].nfds, &left);
	}
	while (left > STREAM_MAX_FDS && ++at < send->size)
		exec_part(send, parts, at, STREAM_MAX_FDS, &left);
	exec_part(send, parts, send->size, left, &left);
}

/*
 * What sending came to: whether the messages are on their way. One that goes out in pieces has
 * begun to arrive, whatever the server does then; any other was not read by a server that has
 * closed, which says nothing of it.
 */
static bool exec_sent(struct exec *exec, const struct exec_going *going, size_t nparts, int result)
{
	struct exec_connection *c = &exec->connection[going->index];
	/* A server need not read what a client asks by the twin socket (TWIN-IO-003). */
	bool unread = going->channel == CLIENT_TWIN && going->step->op == PROGRAM_SEND;

	if (!result || (result == -EPIPE && nparts > 1))
		return true;
	if (result == -EPIPE) {
		exec_lull(exec, going->index);
		return false;
	}
	if (result != -ETIMEDOUT) {
		exec->error = result;
		return false;
	}
	model_broke(c->model);
	c->broke = true;
	/* One connection after the other is a way to serve, too: the first is still there. */
	if (!unread && !c->nrequests && (c->served || !c->second)) {
		c->hung = exec->hung = true;
		exec_blame_text(exec, going->index, "server.hang",
				"the server reads nothing any more");
	}
	return false;
}

static bool exec_push(struct exec *exec, const struct exec_going *going, size_t size)
{
	const struct program_step *step = going->step;
	struct client_part parts[EXEC_PARTS];
	struct client_send send = {
		.bytes = exec->bytes,
		.size = step->properties & PROGRAM_CUT && step->cut < size ? step->cut : size,
		.fds = exec->passed.fd,
		.nfds = going->nfds,
		.channel = going->channel,
		.flags = CLIENT_SEND_MAYBE | (step->npieces ? CLIENT_SEND_PACED : 0),
		.timeout_ms = exec->options.long_ms,
	};

	if (!send.size)
		return false;
	if (step->npieces || send.nfds > STREAM_MAX_FDS)
		exec_divide(step, &send, parts, going->nfds);
	if (send.nparts > 1)
		exec->connection[going->index].divided = true;
	return exec_sent(exec, going, send.nparts,
			 exec->link.ops->send(exec->link.state, going->index, &send));
}

static struct model_message exec_message(const struct wire_header *header, const uint8_t *bytes,
					 size_t size, uint32_t channel)
{
	return (struct model_message){
		.header = header,
		.body = bytes + sizeof(*header),
		.size = size - sizeof(*header),
		.channel = channel,
	};
}

/* Has this message to be answered? */
static bool exec_must(const struct exec *exec, const struct exec_going *going,
		      const struct model_expect *expect)
{
	const struct program_step *step = going->step;

	if (exec->connection[going->index].broke || step->properties & PROGRAM_MAYBE)
		return false;
	return !expect->silence && step->expect != PROGRAM_CLOSED &&
	       step->expect != PROGRAM_SILENCE;
}

/* A command that has gone out: what it may lead to, and whether that is waited for. */
static void exec_enter_command(struct exec *exec, struct exec_going *going,
			       const struct model_message *message)
{
	const struct wire_header *header = message->header;
	struct exec_connection *c = &exec->connection[going->index];
	struct exec_asked asked = {
		.id = header->id,
		.command = header->command,
		.step = (uint16_t)exec->step,
		.channel = (uint8_t)going->channel,
		.aside = going->step != &exec->program->step[exec->step],
	};
	struct model_expect expect = { .ok = true, .error = true, .silence = true };

	if (!c->broke)
		model_expect(c->model, &expect);
	asked.must = exec_must(exec, going, &expect);
	exec_map_of(exec, going->index, message, &asked.map);
	if (header->flags & WIRE_NO_REPLY)
		exec_mapped(exec, going->index, &asked);
	if (!asked.must && (expect.ok || expect.error))
		going->may = true;
	if (!exec_ask(exec, going->index, &asked))
		exec->error = -ENOMEM;
	if (exec->verdict && !c->broke)
		verdict_allowed(exec->verdict, exec->step, &expect);
}

/* Tells who judges about one message that has gone out. */
static void exec_enter(struct exec *exec, struct exec_going *going, const uint8_t *bytes,
		       size_t size)
{
	struct exec_connection *c = &exec->connection[going->index];
	struct wire_header header;
	struct model_message message;
	bool command, whole, maybe;
	uint32_t cookie;

	memcpy(&header, bytes, sizeof(header));
	message = exec_message(&header, bytes, size, going->channel);
	message.fds = exec->passed.known;
	message.nfds = going->nfds;
	whole = header.msg_size == size;
	command = (header.flags & WIRE_TYPE_MASK) == WIRE_TYPE_COMMAND;
	maybe = !whole || going->step->properties & PROGRAM_MAYBE ||
		(header.flags & WIRE_TYPE_MASK) > WIRE_TYPE_REPLY;
	if (!c->broke && command && header.command == WIRE_VERSION)
		exec_announced(c, message.body, message.size, header.flags & WIRE_NO_REPLY);
	if (model_sent(c->model, &message) ||
	    (!c->broke && envelope_sent(c->envelope, going->channel, bytes, size, maybe)))
		exec->error = -ENOMEM;
	exec->sent++;
	if (command)
		exec_enter_command(exec, going, &message);
	if (command && header.command == WIRE_PAGE_RESPONSE && message.size >= sizeof(cookie)) {
		memcpy(&cookie, message.body, sizeof(cookie));
		exec_page_answered(c, cookie);
	}
	if (!whole && header.msg_size >= sizeof(header))
		model_broke(c->model);
	c->broke = c->broke || !whole;
}

/* What went out and need not be a row of messages: those in it that are, and the rest. */
static void exec_enter_raw(struct exec *exec, struct exec_going *going, size_t size)
{
	struct exec_connection *c = &exec->connection[going->index];
	size_t at = 0;

	while (size - at >= sizeof(struct wire_header) && !c->broke) {
		struct wire_header header;

		memcpy(&header, exec->bytes + at, sizeof(header));
		if (header.msg_size < sizeof(header) || header.msg_size > size - at)
			break;
		exec_enter(exec, going, exec->bytes + at, header.msg_size);
		going->nfds = 0;
		at += header.msg_size;
	}
	if (at == size)
		return;
	model_broke(c->model);
	c->broke = true;
}

static void exec_enter_all(struct exec *exec, struct exec_going *going,
			   const struct exec_batch *batch)
{
	const struct program_step *step = going->step;
	size_t first = batch->at[1];
	bool cut = step->properties & PROGRAM_CUT && step->cut < first;

	if (step->op == PROGRAM_RAW || cut) {
		exec_enter_raw(exec, going, cut ? step->cut : first);
		return;
	}
	for (uint32_t i = 0; i < batch->count; i++)
		exec_enter(exec, going, exec->bytes + batch->at[i],
			   batch->at[i + 1] - batch->at[i]);
}

/* Waits for what the step wants to see, when its last batch or one before it has gone out. */
static void exec_settle(struct exec *exec, const struct exec_going *going)
{
	struct exec_connection *c = &exec->connection[going->index];
	const struct program_step *step = going->step;

	if (!(step->properties & PROGRAM_NOWAIT)) {
		exec_await(exec, going->index, &c->mine[exec->lane]);
		if (step->expect == PROGRAM_CLOSED && going->round == step->repeat)
			exec_await_end(exec, going->index);
		else if (going->may || step->expect == PROGRAM_SILENCE)
			exec_receive(exec, going->index, exec->options.short_ms);
	}
	exec_drain(exec, going->index);
	exec_serve(exec, going->index);
}

/* After some messages nothing can be told any more of what was sent before. */
static bool exec_may_break(const struct program_step *step)
{
	int size = program_field(step, "header.msg_size");

	return step->op == PROGRAM_RAW || step->properties & PROGRAM_CUT ||
	       (size >= 0 && step->set >> size & 1);
}

int exec_send(struct exec *exec, const struct program_step *step)
{
	struct exec_connection *c = &exec->connection[step->connection];
	struct exec_going going = {
		.step = step,
		.index = step->connection,
		.parts = pack_parts(step),
	};
	struct exec_batch batch;

	exec_page_await(exec, step);
	while (going.round < step->repeat && !exec->interrupted && !exec->error) {
		int error;

		if (exec_may_break(step))
			exec_lull(exec, step->connection);
		if (!c->open || c->ended) {
			if (exec->verdict)
				verdict_note(exec->verdict, exec->step, "not sent: c%u is closed",
					     step->connection);
			return 0;
		}
		going.channel = step->properties & PROGRAM_TWIN && c->twin ? CLIENT_TWIN :
			CLIENT_MAIN;
		going.nfds = exec_fds(exec, step, &exec->passed);
		going.alone = going.nfds || step->npieces || step->op == PROGRAM_RAW ||
			      step->properties & PROGRAM_CUT;
		error = exec_fill(exec, &going, &batch);
		if (error)
			return error == -EINVAL ? 0 : error;
		exec_guard_passes(exec, step);
		going.may = false;
		if (exec_push(exec, &going, batch.at[batch.count]))
			exec_enter_all(exec, &going, &batch);
		exec_settle(exec, &going);
	}
	return exec->error;
}

void exec_deliver(struct exec *exec, const struct program_step *step, uint32_t channel, size_t size)
{
	struct exec_going going = {
		.step = step,
		.index = step->connection,
		.channel = channel,
		.nfds = exec_fds(exec, step, &exec->passed),
	};
	const struct exec_batch batch = { .count = 1, .at = { 0, size } };

	if (exec_push(exec, &going, size))
		exec_enter_all(exec, &going, &batch);
}
