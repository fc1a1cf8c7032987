/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_reply.c - what the server asks and what it is told; see exec_state.h.
 *
 * A right answer to DMA_READ has the bytes of the file that was mapped there, and one to DMA_WRITE
 * comes after they were written to it. A mapping without a descriptor is memory of this side that
 * nobody else sees: it reads as a pattern of its address and takes what is written.
 */
#include "exec_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pack.h"
#include "wire.h"

void exec_request(struct exec *exec, uint32_t index, struct message *message)
{
	struct exec_connection *c = &exec->connection[index];

	if (c->nrequests == EXEC_REQUESTS) {
		c->flooded = true;
		message_free(message);
		return;
	}
	c->nrequests++;
	c->pages.others++;
	message_push(&c->requests, message);
}

/* The access that a request asks for; false when it is no such request, or too large to answer. */
static bool exec_asks(const struct exec_connection *c, const struct message *request,
		      struct exec_access *out)
{
	size_t have = request->msg_size - sizeof(struct wire_header);
	struct wire_dma_access access;

	if (have < sizeof(access) ||
	    (request->command != WIRE_DMA_READ && request->command != WIRE_DMA_WRITE))
		return false;
	memcpy(&access, request->body, sizeof(access));
	*out = (struct exec_access){ .address = access.address, .count = access.count };
	if (model_extension(c->model)) {
		out->space = exec_space((uint32_t)(access.count >> 32));
		out->count = (uint32_t)access.count;
	}
	if (request->command == WIRE_DMA_WRITE)
		return out->count <= have - sizeof(access);
	return out->count <= PROGRAM_FILLED;
}

/* An answer to `request`, as `step` wants it, in exec->bytes: its size, or -errno. */
static int exec_build(struct exec *exec, const struct program_step *step,
		      const struct message *request)
{
	uint8_t asked[sizeof(struct wire_header) + sizeof(struct wire_dma_access)];
	const struct wire_header header = message_header(request);
	struct pack_context context;
	size_t room = sizeof(asked) - sizeof(header);
	size_t have = request->msg_size - sizeof(header);

	if (have > room)
		have = room;
	memcpy(asked, &header, sizeof(header));
	memcpy(asked + sizeof(header), request->body, have);
	exec_pack_context(exec, step->connection, &context);
	context.request = asked;
	context.request_size = sizeof(header) + have;
	return pack_message(exec->program, step, &context, exec->bytes, EXEC_BYTES);
}

/* Does what a request asks for, in an answer that is a success; else makes it an error. */
static size_t exec_serve_access(struct exec *exec, const struct program_step *step,
				const struct message *request, size_t size)
{
	const struct exec_connection *c = &exec->connection[step->connection];
	bool given = step->set || step->data.size;
	size_t fixed = sizeof(struct wire_header) + sizeof(struct wire_dma_access);
	struct exec_access access;
	struct wire_header header;
	uint32_t error = EINVAL;

	memcpy(&header, exec->bytes, sizeof(header));
	if (header.flags & WIRE_ERROR)
		return size;
	if (exec_asks(c, request, &access)) {
		if (request->command == WIRE_DMA_READ && size >= fixed &&
		    access.count > size - fixed)
			access.count = size - fixed;
		if (request->command == WIRE_DMA_WRITE)
			error = exec_move(c, access, NULL,
					  request->body + sizeof(struct wire_dma_access));
		else
			error = step->data.size || size < fixed ? 0 :
				exec_move(c, access, exec->bytes + fixed, NULL);
	}
	if (!error || given)
		return size;
	header.flags |= WIRE_ERROR;
	header.error = error;
	header.msg_size = sizeof(header);
	memcpy(exec->bytes, &header, sizeof(header));
	return sizeof(header);
}

/* Answers the request that has waited longest. */
static int exec_reply_once(struct exec *exec, const struct program_step *step)
{
	struct exec_connection *c = &exec->connection[step->connection];
	struct message *request = c->requests.first;
	uint32_t channel = step->properties & PROGRAM_TWIN && c->twin ? CLIENT_TWIN :
		request->channel;
	int size = exec_build(exec, step, request);

	message_unlink(&c->requests, NULL, request);
	c->nrequests--;
	for (uint32_t i = 0; size > 0 && i < step->repeat && !c->ended && !exec->error; i++) {
		size = (int)exec_serve_access(exec, step, request, (size_t)size);
		exec_deliver(exec, step, channel, (size_t)size);
	}
	message_free(request);
	return size < 0 && size != -EINVAL ? size : exec->error;
}

void exec_answer(struct exec *exec, uint32_t index)
{
	const struct program_step step = {
		.op = PROGRAM_REPLY,
		.connection = (uint8_t)index,
		.repeat = 1,
	};
	int error = exec_reply_once(exec, &step);

	if (error)
		exec->error = error;
}

int exec_reply(struct exec *exec, const struct program_step *step)
{
	struct exec_connection *c = &exec->connection[step->connection];
	int wait_ms = c->slot ? exec->options.long_ms : exec->options.short_ms;
	int error;

	while (!c->nrequests && exec_receive(exec, step->connection, wait_ms))
		;
	if (!c->nrequests || c->ended) {
		if (exec->verdict)
			verdict_note(exec->verdict, exec->step, "nothing to answer on c%u",
				     step->connection);
		return 0;
	}
	error = exec_reply_once(exec, step);
	exec_drain(exec, step->connection);
	return error;
}
