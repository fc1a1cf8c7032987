/* SPDX-License-Identifier: BSD-3-Clause */
/* exec_connection.c - connections of a run, and what comes on them; see exec_state.h. */
#include "exec_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "stream.h"
#include "wire.h"
#include "wire_ext.h"

#define EXEC_ORIGINS (UINT16_MAX + 1u)

/* What is known of a device from other connections, and what no model can know from then on. */
static void exec_teach(struct exec *exec, struct exec_connection *c)
{
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		struct exec_connection *other = &exec->connection[i];

		if (other == c || !other->open)
			continue;
		model_learn(c->model, other->model);
		if (!exec->options.shared)
			continue;
		model_share(c->model);
		model_share(other->model);
	}
}

static bool exec_prepare_model(struct exec *exec, struct exec_connection *c)
{
	struct model_options options = exec->options.model;

	options.fresh = options.fresh && !exec->talked;
	exec->talked = true;
	if (c->model)
		model_renew(c->model, &options);
	else if (model_new(&options, &c->model))
		return false;
	exec_teach(exec, c);
	return true;
}

static bool exec_prepare(struct exec *exec, struct exec_connection *c)
{
	if (!c->origin)
		c->origin = calloc(EXEC_ORIGINS, sizeof(*c->origin));
	if (c->envelope)
		envelope_reset(c->envelope);
	else
		c->envelope = envelope_new();
	return c->origin && c->envelope && exec_prepare_model(exec, c);
}

void exec_passed(struct exec *exec)
{
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		/* What came meanwhile has been there for a part of that time. */
		exec_drain(exec, i);
		if (exec->connection[i].open)
			model_passed(exec->connection[i].model);
	}
}

int exec_open(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];
	int error = exec->link.ops->connect(exec->link.state, index);

	if (error)
		return error;
	/* A server may have to wait for what another client has left. */
	exec_passed(exec);
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++)
		c->second = c->second || exec->connection[i].open;
	c->open = true;
	c->number = ++exec->made;
	c->next_id = 1;
	if (exec_prepare(exec, c))
		return 0;
	exec_shut(exec, index);
	return -ENOMEM;
}

void exec_shut(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];
	struct exec_connection kept = {
		.asked = c->asked,
		.room = c->room,
		.map = c->map,
		.page = c->page,
		.origin = c->origin,
		.envelope = c->envelope,
		.model = c->model,
	};

	uint64_t number = c->number;

	if (!c->open)
		return;
	c->ended = true;
	exec_lanes_leave(exec, index);
	/* Another lane may have done the same meanwhile. */
	if (!c->open || c->number != number)
		return;
	exec_guard_forgets(exec, c);
	exec_door_close(c);
	exec->link.ops->disconnect(exec->link.state, index);
	message_free_all(&c->requests);
	exec_pages_forget(c);
	*c = kept;
}

/* Make room: squeeze out what is done, then grow. */
static bool exec_ask_grow(struct exec_connection *c)
{
	struct exec_asked *larger;
	size_t kept = 0;
	size_t room;

	for (size_t i = c->head; i < c->count; i++)
		if (!c->asked[i].done)
			c->asked[kept++] = c->asked[i];
	c->head = 0;
	c->count = kept;
	if (kept < c->room / 2)
		return true;
	room = c->room ? c->room * 2 : 64;
	larger = realloc(c->asked, room * sizeof(*larger));
	if (!larger)
		return false;
	c->asked = larger;
	c->room = room;
	return true;
}

bool exec_ask(struct exec *exec, uint32_t index, const struct exec_asked *asked)
{
	struct exec_connection *c = &exec->connection[index];

	if (c->count == c->room && !exec_ask_grow(c))
		return false;
	c->asked[c->count++] = *asked;
	c->must += asked->must;
	c->mine[exec->lane] += asked->must && asked->step == exec->step;
	c->origin[asked->id] = (struct exec_origin){ exec->run, exec->step };
	return true;
}

static void exec_done(struct exec *exec, struct exec_connection *c, struct exec_asked *asked)
{
	uint32_t lane = exec->program->step[asked->step].lane;
	uint32_t at = exec->lanes.many ? exec->lanes.lane[lane].at : exec->step;

	asked->done = true;
	c->must -= asked->must;
	c->mine[lane] -= asked->must && asked->step == at;
	while (c->head < c->count && c->asked[c->head].done)
		c->head++;
}

static struct exec_asked *exec_find(struct exec_connection *c, const struct message *message)
{
	for (size_t i = c->head; i < c->count; i++) {
		struct exec_asked *asked = &c->asked[i];

		if (!asked->done && asked->id == message->id &&
		    asked->command == message->command && asked->channel == message->channel)
			return asked;
	}
	return NULL;
}

/* The number behind a key of a JSON text, if the key is there exactly once; else `otherwise`. */
static uint32_t exec_number(const void *text, size_t size, const char *key, uint32_t otherwise)
{
	size_t length = strlen(key);
	const char *end = (const char *)text + size;
	const char *at = size ? memmem(text, size, key, length) : NULL;
	uint64_t number = 0;

	if (!at || memmem(at + length, (size_t)(end - at) - length, key, length))
		return otherwise;
	for (at += length; at < end && strchr("\" \t\r\n:", *at); at++)
		;
	if (at == end || *at < '0' || *at > '9')
		return otherwise;
	for (; at < end && *at >= '0' && *at <= '9' && number < UINT32_MAX; at++)
		number = number * 10 + (uint64_t)(*at - '0');
	return number < UINT32_MAX ? (uint32_t)number : otherwise;
}

/* A server that agrees to a twin socket passes it with its reply to VERSION. */
static void exec_twin(struct exec *exec, uint32_t index, struct message *message)
{
	struct exec_connection *c = &exec->connection[index];
	size_t size = message->msg_size - sizeof(struct wire_header);
	uint32_t number;
	int fd;

	if (c->twin || !message->nfds || size < sizeof(struct wire_version) ||
	    !memmem(message->body, size, WIRE_CAP_TWIN_SOCKET, strlen(WIRE_CAP_TWIN_SOCKET)))
		return;
	number = exec_number(message->body, size, WIRE_TWIN_FD_INDEX, 0);
	fd = message_take_fd(message, number);
	if (fd < 0)
		return;
	if (exec->link.ops->adopt_twin(exec->link.state, index, fd) < 0)
		return;
	c->twin = true;
	envelope_set_twin(c->envelope);
}

/* Does a key that is there stand right in the capabilities? That is where programs have it. */
static bool exec_is_capability(const uint8_t *text, size_t size, const char *key)
{
	static const char begin[] = "{\"capabilities\":{";
	const uint8_t *at = memmem(text, size, key, strlen(key));
	const size_t length = sizeof(begin) - 1;

	if (!at || (size_t)(at - text) < length || memcmp(text, begin, length) != 0)
		return false;
	for (text += length; text < at; text++) {
		if (strchr("{}[]", *text))
			return false;
	}
	return true;
}

/* What an answer, or a proposal, says of page requests: what is there once is there to stay. */
static void exec_offered(struct exec_connection *c, const uint8_t *body, size_t size)
{
	uint32_t pages = exec_number(body, size, "\"" WIRE_VIOMMU_PAGE_REQUESTS "\"", 0);

	if (pages)
		envelope_set_page_requests(c->envelope, pages);
}

void exec_announced(struct exec_connection *c, const uint8_t *body, size_t size, bool silent)
{
	size_t fixed = sizeof(struct wire_version);
	const char *key = "\"" WIRE_CAP_MAX_MSG_FDS "\"";
	uint32_t number = WIRE_DEFAULT_MAX_MSG_FDS;

	/* What can not be read for certain is taken as no limit. */
	if (size > fixed && memmem(body + fixed, size - fixed, key, strlen(key)))
		number = exec_is_capability(body + fixed, size - fixed, key) ?
			exec_number(body + fixed, size - fixed, key, UINT32_MAX) : UINT32_MAX;
	if (number > c->max_fds)
		c->max_fds = number;
	envelope_set_max_fds(c->envelope, c->max_fds);
	/* Nobody will see the answer. */
	if (silent)
		exec_offered(c, body, size);
}

/* Sizes that are known, for values of programs that are counted from them. */
static void exec_region(struct exec_connection *c, const struct message *message)
{
	struct wire_region_info info;

	if (message->command != WIRE_DEVICE_GET_REGION_INFO ||
	    message->msg_size - sizeof(struct wire_header) < sizeof(info))
		return;
	memcpy(&info, message->body, sizeof(info));
	if (info.index < EXEC_REGIONS)
		c->region_size[info.index] = info.size;
}

/* A reply: whose it is, what it changes, and whether it is what the program wants. */
static void exec_replied(struct exec *exec, uint32_t index, struct message *message,
			 uint32_t before)
{
	struct exec_connection *c = &exec->connection[index];
	struct exec_asked *asked = exec_find(c, message);
	bool ok = !(message->flags & WIRE_ERROR);

	if (!asked)
		return;
	if (ok && message->command == WIRE_VERSION) {
		exec_twin(exec, index, message);
		exec_offered(c, message->body, message->msg_size - sizeof(struct wire_header));
	}
	if (ok) {
		exec_mapped(exec, index, asked);
		exec_region(c, message);
		exec_door_came(exec, index, message);
	}
	if (exec->findings == before && !asked->aside)
		exec_expect(exec, index, asked, message);
	exec_done(exec, c, asked);
}

static void exec_describe(const struct message *message, struct wire_header *header,
			  struct model_message *out, struct model_fd *known)
{
	*header = (struct wire_header){
		.id = message->id,
		.command = message->command,
		.msg_size = message->msg_size,
		.flags = message->flags,
		.error = message->error,
	};
	*out = (struct model_message){
		.header = header,
		.body = message->body,
		.size = message->msg_size - sizeof(*header),
		.fds = known,
		.nfds = message->nfds,
		.channel = message->channel,
	};
	for (uint32_t i = 0; i < message->nfds; i++)
		known[i] = (struct model_fd){ .kind = MODEL_FD_UNKNOWN };
}

static void exec_came(struct exec *exec, uint32_t index, struct message *message)
{
	struct exec_connection *c = &exec->connection[index];
	bool command = (message->flags & WIRE_TYPE_MASK) == WIRE_TYPE_COMMAND;
	uint32_t step = command ? exec->step : exec_step_of(exec, index, message->id);
	uint32_t before = exec->findings;
	struct model_fd known[STREAM_MAX_FDS];
	struct model_message told;
	struct wire_header header;

	exec->received++;
	exec->connection[index].served = true;
	exec_describe(message, &header, &told, known);
	if (exec->verdict)
		verdict_came(exec->verdict, step, &told);
	exec_check_envelope(exec, index, message, step);
	if (model_received(c->model, &told))
		exec->error = -ENOMEM;
	exec_take(exec, index);
	if (command && message->command == WIRE_PAGE_REQUEST) {
		exec_page_came(exec, index, message);
		return;
	}
	if (command) {
		exec_request(exec, index, message);
		return;
	}
	exec_replied(exec, index, message, before);
	message_free(message);
}

static void exec_ended(struct exec *exec, uint32_t index, int result)
{
	struct exec_connection *c = &exec->connection[index];
	uint32_t before = exec->findings;

	c->ended = true;
	if (exec->stuck == UINT32_MAX)
		exec->stuck = exec->step;
	if (exec->verdict)
		verdict_note(exec->verdict, exec->step, "c%u: %s", index,
			     result ? "what came is no message" : "closed by the server");
	if (result == -EPROTO)
		exec_blame_text(exec, index, "channel.framing",
				"what came is no message: the stream is out of step");
	else if (result)
		exec->error = result;
	else if (exec->drains)
		model_broke(c->model);
	else if (c->served || !c->second)
		model_closed(c->model);
	exec_take(exec, index);
	if (exec->findings == before)
		exec_expect_end(exec, index);
	exec_guard_forgets(exec, c);
	c->head = c->count = c->must = 0;
	memset(c->mine, 0, sizeof(c->mine));
}

static int exec_take_in(struct exec *exec, uint32_t index, int timeout_ms)
{
	const struct exec_connection *c = &exec->connection[index];
	struct message *message;
	int result;

	if (!c->open || c->ended)
		return 0;
	result = exec->link.ops->recv(exec->link.state, index,
				      c->twin ? CLIENT_CHANNELS : CLIENT_MAIN, timeout_ms,
				      &message);
	if (result == -ETIMEDOUT)
		return 0;
	if (result == 1)
		exec_came(exec, index, message);
	else
		exec_ended(exec, index, result);
	exec_lanes_tell(exec, index);
	return result == 1;
}

int exec_receive(struct exec *exec, uint32_t index, int timeout_ms)
{
	const struct exec_connection *c = &exec->connection[index];
	struct deadline deadline = deadline_in(timeout_ms);
	uint64_t before = exec->lanes.changes[index];

	if (!exec->lanes.many)
		return exec_take_in(exec, index, timeout_ms);
	for (;;) {
		int taken = exec_take_in(exec, index, 0), left = deadline_left_ms(deadline);

		if (taken || !left || !c->open || c->ended)
			return taken;
		if (!exec_lanes_wait(exec, index, left))
			return 0;
		if (exec->lanes.changes[index] != before)
			return c->open && !c->ended;
	}
}

void exec_lull(struct exec *exec, uint32_t index)
{
	while (exec_receive(exec, index, exec->options.short_ms))
		exec_serve(exec, index);
}

void exec_drain(struct exec *exec, uint32_t index)
{
	while (exec_receive(exec, index, 0))
		;
}

void exec_await_end(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];

	while (exec_receive(exec, index, exec->options.long_ms))
		exec_serve(exec, index);
	if (!c->ended)
		exec_blame_text(exec, index, "channel.not-closed",
				"the program expects that the server closes the connection");
}

/* Requests that the steps to come answer. */
static uint32_t exec_replies_left(const struct exec *exec, uint32_t index)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < exec->program->count; i++)
		count += exec->program->step[i].op == PROGRAM_REPLY &&
			 exec->program->step[i].connection == index && exec_lanes_awaits(exec, i);
	return count;
}

void exec_serve(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];
	uint32_t left = c->nrequests ? exec_replies_left(exec, index) : 0;

	while (c->nrequests > left && !c->ended && !exec->error) {
		if (exec->options.answers && exec->answered == exec->options.answers) {
			c->flooded = true;
			return;
		}
		exec->answered++;
		exec_answer(exec, index);
	}
	exec_pages_serve(exec, index);
}

void exec_await(struct exec *exec, uint32_t index, const size_t *count)
{
	struct exec_connection *c = &exec->connection[index];

	for (;;) {
		bool held;

		exec_serve(exec, index);
		held = c->nrequests || c->hung;
		if (!*count || c->ended || exec->interrupted)
			return;
		if (exec_receive(exec, index,
				 held ? exec->options.short_ms : exec->options.long_ms))
			continue;
		if (!*count || c->ended || held)
			return;
		c->hung = true;
		if (exec->stuck == UINT32_MAX)
			exec->stuck = exec->step;
		if (exec->verdict)
			verdict_note(exec->verdict, exec->step, "c%u: nothing came", index);
		return;
	}
}
