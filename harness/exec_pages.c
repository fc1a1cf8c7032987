/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_pages.c - page requests of the vIOMMU extension, and what answers them; see exec_state.h.
 *
 * What a server asks for waits until a response that names its cookie goes out, be it a step of the
 * program or the way that PAGES has chosen. By that way pages are mapped with the rights that are
 * missing: those of the file that PAGES names, at the offset that their address has in it, or else
 * memory of this side. A mapping that is there already is replaced by one with more rights.
 */
#include "exec_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "wire.h"
#include "wire_ext.h"

#define EXEC_RIGHTS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

/* An answer under way: which request, on which connection. */
struct exec_answering {
	struct exec *exec;
	uint32_t index;
	struct wire_page_request request;
	const uint8_t *ranges;
};

static void exec_page_remove(struct exec_connection *c, uint32_t at)
{
	message_free(c->page[at].message);
	c->npages--;
	memmove(c->page + at, c->page + at + 1, (c->npages - at) * sizeof(*c->page));
}

void exec_pages_forget(struct exec_connection *c)
{
	while (c->npages)
		exec_page_remove(c, c->npages - 1);
}

/* A number from the seed of the program, another one each time. */
static uint32_t exec_page_random(struct exec_connection *c)
{
	c->pages.random = c->pages.random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(c->pages.random >> 33);
}

/* The way in which a request that has come is answered. */
static uint8_t exec_page_way(struct exec_connection *c)
{
	/* A host that fails serves no page any more, so that is rare. */
	static const uint8_t ways[] = {
		PROGRAM_AT_ONCE, PROGRAM_AT_ONCE, PROGRAM_AT_ONCE, PROGRAM_AT_ONCE, PROGRAM_LATE,
		PROGRAM_LATE, PROGRAM_LATE, PROGRAM_PARTIAL, PROGRAM_PARTIAL, PROGRAM_PARTIAL,
		PROGRAM_TWICE, PROGRAM_TWICE, PROGRAM_INVALID, PROGRAM_NEVER, PROGRAM_NEVER,
		PROGRAM_FAILURE,
	};

	if (c->pages.how != PROGRAM_RANDOM)
		return c->pages.how;
	return ways[exec_page_random(c) % (sizeof(ways) / sizeof(*ways))];
}

void exec_page_came(struct exec *exec, uint32_t index, struct message *message)
{
	struct exec_connection *c = &exec->connection[index];
	size_t size = message->msg_size - sizeof(struct wire_header);
	struct wire_page_request request;

	if (size < sizeof(request)) {
		message_free(message);
		return;
	}
	memcpy(&request, message->body, sizeof(request));
	if (!c->page)
		c->page = calloc(EXEC_REQUESTS, sizeof(*c->page));
	if (!request.nr || size != sizeof(request) + request.nr * sizeof(struct wire_page_range) ||
	    !c->page || c->npages == EXEC_REQUESTS) {
		message_free(message);
		return;
	}
	c->pages.last = request.cookie;
	if (c->pages.came < EXEC_COOKIES)
		c->pages.cookie[c->pages.came] = request.cookie;
	c->pages.came++;
	c->page[c->npages++] = (struct exec_page){
		.message = message,
		.cookie = request.cookie,
		.step = exec->step,
		.how = exec_page_way(c),
	};
}

void exec_page_answered(struct exec_connection *c, uint32_t cookie)
{
	for (uint32_t i = 0; i < c->npages; i++) {
		if (c->page[i].cookie != cookie)
			continue;
		exec_page_remove(c, i);
		return;
	}
}

uint32_t exec_page_cookie(const struct exec_connection *c)
{
	return c->npages ? c->page[0].cookie : c->pages.last;
}

/* A device that was told to do something may take its time to ask. */
bool exec_requests_wait(struct exec *exec, uint32_t index, const uint64_t count[2])
{
	const struct exec_connection *c = &exec->connection[index];
	int wait_ms = c->slot ? exec->options.long_ms : exec->options.short_ms;

	while ((c->pages.came < count[0] || c->pages.others < count[1]) &&
	       exec_receive(exec, index, wait_ms))
		exec_serve(exec, index);
	return c->pages.came >= count[0] && c->pages.others >= count[1];
}

void exec_page_await(struct exec *exec, const struct program_step *step)
{
	const struct exec_connection *c = &exec->connection[step->connection];

	for (uint32_t i = 0; i < PROGRAM_FIELDS; i++) {
		uint32_t base = step->field[i].base;

		while (((base == PROGRAM_COOKIE && !c->npages) ||
			(base > PROGRAM_COOKIE && c->pages.came < base - PROGRAM_COOKIE)) &&
		       exec_receive(exec, step->connection, exec->options.short_ms))
			;
	}
}

void exec_pages(struct exec *exec, const struct program_step *step)
{
	struct exec_connection *c = &exec->connection[step->connection];

	c->pages.how = (uint8_t)step->number[0];
	c->pages.filed = step->nfds > 0;
	c->pages.handle = step->fd[0].handle;
	c->pages.random = exec->program->seed + UINT64_C(1);
	for (uint32_t i = 0; i < c->npages; i++)
		if (c->page[i].how == PROGRAM_NEVER)
			c->page[i].how = exec_page_way(c);
}

/* ---- an answer ---- */

static void exec_page_give(struct program_step *step, const char *name, uint64_t number)
{
	int index = program_field(step, name);

	step->set |= (uint16_t)(1u << index);
	step->field[index].number = number;
}

/* Sends one command that no step has, and waits for nothing. */
static void exec_page_send(const struct exec_answering *answering, struct program_step *step)
{
	struct exec *exec = answering->exec;
	struct exec_connection *c = &exec->connection[answering->index];
	struct pack_context context;
	int size;

	if (c->ended || exec->error)
		return;
	step->op = PROGRAM_SEND;
	step->connection = (uint8_t)answering->index;
	step->properties = PROGRAM_NOWAIT;
	step->repeat = 1;
	exec_pack_context(exec, answering->index, &context);
	c->next_id++;
	size = pack_message(exec->program, step, &context, exec->bytes, EXEC_BYTES);
	exec_guard_passes(exec, step);
	if (size > 0)
		exec_deliver(exec, step, CLIENT_MAIN, (size_t)size);
}

/* The size of the file that pages are taken from; 0: there is none. */
static uint64_t exec_page_file(const struct exec *exec, const struct exec_connection *c)
{
	const struct arena_fd *file = exec->handle[c->pages.handle].file;
	struct model_fd known;

	if (!c->pages.filed || !file || arena_pass(file) < 0)
		return 0;
	arena_describe(file, &known);
	return known.kind == MODEL_FD_MEMORY ? known.size : 0;
}

/* Maps a range with the rights that are missing, or gives a mapping that is there more of them. */
static void exec_page_map(const struct exec_answering *answering,
			  const struct wire_page_range *range, uint64_t size)
{
	const struct exec_connection *c = &answering->exec->connection[answering->index];
	uint32_t attr = answering->request.attr & (WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK);
	const struct exec_map *old = exec_map_at(c, exec_space(attr), range->address);
	uint64_t file = exec_page_file(answering->exec, c), address = range->address;
	uint32_t flags = attr | (range->perm & EXEC_RIGHTS);
	struct program_step step = { .command = WIRE_DMA_MAP };

	if (old && model_extension(c->model) & MODEL_REPLACES) {
		flags |= WIRE_DMA_MAP_REPLACE | (old->flags & EXEC_RIGHTS);
		address = old->address;
		size = old->size;
	}
	exec_page_give(&step, "flags", flags);
	exec_page_give(&step, "address", address);
	exec_page_give(&step, "size", size);
	if (size <= file) {
		exec_page_give(&step, "offset", address % (file - size + 1) & ~UINT64_C(0xfff));
		step.nfds = 1;
		step.fd[0] = (struct program_fd){ c->pages.handle, 1 };
	}
	exec_page_send(answering, &step);
}

static void exec_page_map_all(const struct exec_answering *answering, bool partial)
{
	const struct exec_connection *c = &answering->exec->connection[answering->index];
	uint32_t count = partial ? 1 : answering->request.nr;

	for (uint32_t i = 0; i < count; i++) {
		struct wire_page_range range;

		memcpy(&range, answering->ranges + i * sizeof(range), sizeof(range));
		exec_page_map(answering, &range,
			      partial ? model_limit(c->model, PROGRAM_PGSIZE) : range.size);
	}
}

static void exec_page_respond(const struct exec_answering *answering, uint32_t code)
{
	struct program_step step = { .command = WIRE_PAGE_RESPONSE };

	exec_page_give(&step, "cookie", answering->request.cookie);
	exec_page_give(&step, "code", code);
	exec_page_send(answering, &step);
}

static void exec_page_answer(struct exec *exec, uint32_t index, struct exec_page *page)
{
	static const uint32_t codes[PROGRAM_PAGES_WAYS] = {
		[PROGRAM_INVALID] = WIRE_PAGE_INVALID,
		[PROGRAM_FAILURE] = WIRE_PAGE_FAILURE,
	};
	struct exec_answering answering = { .exec = exec, .index = index };
	struct message *message = page->message;
	uint32_t how = page->how, code = codes[how];

	/* The response takes it out of the list. */
	page->message = NULL;
	memcpy(&answering.request, message->body, sizeof(answering.request));
	answering.ranges = message->body + sizeof(answering.request);
	if (exec->verdict)
		verdict_note(exec->verdict, exec->step, "c%u: cookie %u is answered: %s", index,
			     answering.request.cookie, text_pages(how));
	if (!code)
		exec_page_map_all(&answering, how == PROGRAM_PARTIAL);
	exec_page_respond(&answering, code);
	if (how == PROGRAM_TWICE)
		exec_page_respond(&answering, code);
	exec_page_answered(&exec->connection[index], answering.request.cookie);
	message_free(message);
}

/* The next one that is to be answered now, and is not being answered; NULL: none. */
static struct exec_page *exec_page_due(const struct exec *exec, const struct exec_connection *c)
{
	for (uint32_t i = 0; i < c->npages; i++) {
		struct exec_page *page = &c->page[i];

		if (page->message && page->how != PROGRAM_NEVER &&
		    (page->how != PROGRAM_LATE || exec->step > page->step))
			return page;
	}
	return NULL;
}

void exec_pages_serve(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];
	struct exec_page *page;

	while (!c->ended && !c->broke && !exec->error && (page = exec_page_due(exec, c)) != NULL) {
		if (exec->options.answers && exec->answered == exec->options.answers) {
			exec_pages_forget(c);
			return;
		}
		exec->answered++;
		exec_page_answer(exec, index, page);
	}
}
