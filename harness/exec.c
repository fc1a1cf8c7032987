/* SPDX-License-Identifier: BSD-3-Clause */
/* exec.c - goes through the steps of a program; see exec.h. */
#include "exec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec_state.h"
#include "wire.h"

#define EXEC_HOLDS 0x7fu	/* of a slot's ctl: where its operation stops */
#define EXEC_DRAINS 0x100u	/* and whether it ends in its own time */

int exec_new(const struct exec_link *link, const struct exec_options *options, struct exec **out)
{
	struct exec *exec = calloc(1, sizeof(*exec));
	int error;

	if (!exec)
		return -ENOMEM;
	exec->link = *link;
	exec->options = *options;
	error = exec_lanes_begin(exec);
	exec->bytes = malloc(EXEC_BYTES);
	if (error || !exec->bytes || arena_new(options->keep, &exec->arena)) {
		exec_free(exec);
		return error ? error : -ENOMEM;
	}
	*out = exec;
	return 0;
}

void exec_free(struct exec *exec)
{
	if (!exec)
		return;
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		struct exec_connection *c = &exec->connection[i];

		exec_shut(exec, i);
		free(c->asked);
		free(c->map);
		free(c->page);
		free(c->origin);
		envelope_free(c->envelope);
		model_free(c->model);
	}
	arena_free(exec->arena);
	exec_lanes_end(exec);
	free(exec->bytes);
	free(exec);
}

void exec_tell(struct exec *exec, struct verdict *verdict)
{
	exec->verdict = verdict;
}

void exec_interrupt(struct exec *exec)
{
	exec->interrupted = 1;
}

static void exec_begin(struct exec *exec, const struct program *program)
{
	exec->program = program;
	exec->run++;
	exec->step = 0;
	exec->error = 0;
	exec->hung = exec->held = exec->drains = exec->talked = false;
	exec->stuck = UINT32_MAX;
	exec->sent = exec->received = 0;
	exec->findings = exec->answered = 0;
	memset(exec->handle, 0, sizeof(exec->handle));
	exec->doors = false;
	exec->guards = exec->options.guard;
	for (uint32_t i = 0; i < program->count; i++) {
		exec->doors |= program->step[i].op == PROGRAM_DOOR;
		exec->guards |= program->step[i].op == PROGRAM_GUARD;
	}
}

/* A connection that can not be made again is part of what a server does; nobody waits for it. */
static int exec_connect(struct exec *exec, uint32_t index)
{
	int error;

	exec_shut(exec, index);
	error = exec_open(exec, index);
	if (!error || error == -ENOMEM || error == -EMFILE)
		return error;
	if (exec->verdict)
		verdict_note(exec->verdict, exec->step, "c%u is not connected: %s", index,
			     strerror(-error));
	return 0;
}

static void exec_shutdown(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];

	if (!c->open || c->ended)
		return;
	exec->link.ops->shutdown(exec->link.state, index);
	c->broke = true;
	model_broke(c->model);
}

/*
 * A step of a slot, or its step register: the device may ask for something from now on, and may
 * hold back what waits for it for as long as nobody lets it go on, or until a server gives it up,
 * and the connection with it.
 */
static int exec_device(struct exec *exec, const struct program_step *step)
{
	int ctl = step->op == PROGRAM_SLOT ? program_field(step, "ctl") : -ENOENT;

	exec->connection[step->connection].slot = true;
	if (ctl >= 0 && step->field[ctl].number & EXEC_HOLDS)
		exec->held = true;
	if (ctl >= 0 && step->field[ctl].number & EXEC_DRAINS)
		exec->drains = true;
	return exec_send(exec, step);
}

/* What has not come, though a program wants it; a slot that is held is no excuse. */
static void exec_await_judge(struct exec *exec, const struct program_step *step, bool came)
{
	const struct exec_connection *c = &exec->connection[step->connection];
	char text[160];

	if (!came && step->expect != PROGRAM_OK && exec->verdict)
		verdict_note(exec->verdict, exec->step, "c%u: %u page requests have come, and %u"
			     " others", step->connection, c->pages.came, c->pages.others);
	if (step->expect != PROGRAM_OK || exec->interrupted || exec->error)
		return;
	snprintf(text, sizeof(text), "the program expects %llu page requests and %llu others; %u "
		 "and %u have come", (unsigned long long)step->number[0],
		 (unsigned long long)step->number[1], c->pages.came, c->pages.others);
	if (!came)
		exec_blame_text(exec, step->connection, "effect", text);
	snprintf(text, sizeof(text), "the program expects all replies; %zu are missing", c->must);
	if (c->must && !c->ended)
		exec_blame_text(exec, step->connection, "reply.missing", text);
}

static int exec_await_step(struct exec *exec, const struct program_step *step)
{
	bool came = exec_requests_wait(exec, step->connection, step->number);
	uint64_t before;

	if (step->expect || !(step->number[0] | step->number[1]))
		exec_await(exec, step->connection, &exec->connection[step->connection].must);
	exec_await_judge(exec, step, came);
	before = exec->received;
	if (step->expect == PROGRAM_CLOSED)
		exec_await_end(exec, step->connection);
	else if (step->expect == PROGRAM_SILENCE)
		exec_lull(exec, step->connection);
	if (step->expect == PROGRAM_SILENCE && exec->received != before && !exec->lanes.many)
		exec_blame_text(exec, step->connection, "reply.unexpected",
				"the program expects that nothing more comes");
	return exec->error;
}

static int exec_step(struct exec *exec, const struct program_step *step)
{
	switch ((enum program_op)step->op) {
	case PROGRAM_SEND:
	case PROGRAM_RAW:
		return exec_send(exec, step);
	case PROGRAM_REPLY:
		return exec_reply(exec, step);
	case PROGRAM_AWAIT:
		return exec_await_step(exec, step);
	case PROGRAM_OPEN:
	case PROGRAM_CLOSE:
	case PROGRAM_TRUNCATE:
	case PROGRAM_PUNCH:
	case PROGRAM_FILL:
	case PROGRAM_CHECK:
		return exec_file(exec, step);
	case PROGRAM_CONNECT:
		return exec_connect(exec, step->connection);
	case PROGRAM_DISCONNECT:
		exec_shut(exec, step->connection);
		return 0;
	case PROGRAM_SHUTDOWN:
		exec_shutdown(exec, step->connection);
		return 0;
	case PROGRAM_SLOT:
	case PROGRAM_POKE:
		return exec_device(exec, step);
	case PROGRAM_TICK:
		return exec_lanes_tick(exec, step->number[0]);
	case PROGRAM_PAGES:
		exec_pages(exec, step);
		return 0;
	case PROGRAM_DOOR:
		exec_door(exec, step);
		return exec->error;
	case PROGRAM_BARRIER:
	case PROGRAM_GUARD:
	case PROGRAM_OPS:
		break;
	}
	return 0;
}

/* What has come by itself is seen with the step that it came after. */
static void exec_look(struct exec *exec)
{
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		exec_drain(exec, i);
		if (exec->connection[i].open)
			exec_serve(exec, i);
	}
}

/*
 * Something that had to be answered was not. Whether the server hangs is told by whether it
 * answers anything else, asked in a way that any server does.
 */
static void exec_probe(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];
	const struct program_step step = {
		.op = PROGRAM_SEND,
		.connection = (uint8_t)index,
		.command = WIRE_DEVICE_GET_INFO,
		.properties = PROGRAM_MAYBE,
		.repeat = 1,
	};
	struct pack_context context;
	int size;

	if (!c->must || !c->hung || c->broke || exec->held || exec->interrupted)
		return;
	exec_pack_context(exec, index, &context);
	c->next_id++;
	size = pack_message(exec->program, &step, &context, exec->bytes, EXEC_BYTES);
	/* What becomes of this is no matter of the program. */
	model_broke(c->model);
	c->broke = true;
	if (size > 0)
		exec_deliver(exec, &step, CLIENT_MAIN, (size_t)size);
	exec->hung = exec->hung || (!exec_receive(exec, index, exec->options.long_ms) && !c->ended);
}

/* Is it the server's fault that something on this connection was not answered? */
static bool exec_judges_silence(const struct exec *exec, const struct exec_connection *c)
{
	if (c->ended || c->flooded || (c->second && !c->served))
		return false;
	return !exec->held && !exec->interrupted && !exec->error;
}

/* Waits for all that has to come; in virtual time nothing comes late without a tick. */
static void exec_await_all(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];

	exec_await(exec, index, &c->must);
	if (c->must && !exec->options.long_ms) {
		exec_lanes_tick(exec, PROGRAM_MS);
		exec_await(exec, index, &c->must);
	}
}

/*
 * Waits for all that has to come, shows that nothing else does, and closes. What is asked in that
 * lull is answered, which the server has as much time for as for anything.
 */
static void exec_finish(struct exec *exec, uint32_t index)
{
	struct exec_connection *c = &exec->connection[index];

	if (!c->open)
		return;
	exec_await_all(exec, index);
	if (!exec->interrupted)
		exec_lull(exec, index);
	exec_await_all(exec, index);
	if (exec_judges_silence(exec, c)) {
		model_waited(c->model);
		exec_take(exec, index);
		exec_probe(exec, index);
	}
	exec_shut(exec, index);
}

bool exec_goes_on(const struct exec *exec)
{
	return !exec->error && !exec->interrupted && !(exec->options.stop && exec->findings);
}

void exec_one(struct exec *exec)
{
	const struct program_step *step = &exec->program->step[exec->step];
	int error;

	exec->lane = step->lane;
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++)
		exec->connection[i].mine[exec->lane] = 0;
	error = exec_step(exec, step);
	if (error && !exec->error)
		exec->error = error;
	exec_look(exec);
}

static void exec_steps(struct exec *exec)
{
	const struct program *program = exec->program;

	while (exec->step < program->count && exec_goes_on(exec)) {
		uint32_t first = exec->step, done = exec_lanes_run(exec);

		if (!done)
			exec_one(exec);
		exec->step = first + (done ? done : 1);
	}
	exec->step = program->count ? program->count - 1 : 0;
	exec->lane = 0;
}

int64_t exec_run(struct exec *exec, const struct program *program)
{
	exec_begin(exec, program);
	exec->error = exec_open(exec, 0);
	exec_steps(exec);
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++)
		exec_finish(exec, i);
	exec_guard_end(exec);
	arena_clear(exec->arena);
	exec->interrupted = 0;
	return exec->error ? exec->error : (int64_t)exec->findings;
}

uint32_t exec_findings(const struct exec *exec, uint32_t index, struct exec_finding *out)
{
	if (index < exec->findings && index < EXEC_FINDINGS)
		*out = exec->kept[index];
	return exec->findings;
}

bool exec_hung(const struct exec *exec)
{
	return exec->hung;
}

uint32_t exec_stuck(const struct exec *exec)
{
	return exec->stuck == UINT32_MAX ? exec->step : exec->stuck;
}

void exec_counts(const struct exec *exec, uint64_t *sent, uint64_t *received)
{
	*sent = exec->sent;
	*received = exec->received;
}
