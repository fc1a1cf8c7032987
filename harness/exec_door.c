/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_door.c - the side door of the test device; see exec_state.h.
 *
 * The device shows the states of its slots in the file of region 2, and takes codes for those that
 * are held there, while a command waits for one of them, too. The file comes with the reply to a
 * DEVICE_GET_REGION_INFO of the program: where there was none, a step does nothing.
 */
#include "exec_state.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"
#include "text.h"
#include "wire.h"

#define DOOR_REGION 2u
#define DOOR_STATES 0x40u
#define DOOR_LOOK_MS 1		/* nothing tells that a word has changed */
#define DOOR_MOMENT_MS 10	/* for what is on its way before a slot goes on */

enum door_number {
	DOOR_STEP = 0,
	DOOR_STATE = 1,
	DOOR_NOT = 2,
};

void exec_door_close(struct exec_connection *c)
{
	if (c->door.open)
		close(c->door.fd);
	c->door.open = false;
}

void exec_door_came(struct exec *exec, uint32_t index, struct message *message)
{
	struct exec_connection *c = &exec->connection[index];
	struct wire_region_info info;

	if (!exec->doors || message->command != WIRE_DEVICE_GET_REGION_INFO ||
	    message->msg_size - sizeof(struct wire_header) < sizeof(info))
		return;
	memcpy(&info, message->body, sizeof(info));
	if (info.index != DOOR_REGION || !message->nfds)
		return;
	exec_door_close(c);
	c->door.fd = message_take_fd(message, 0);
	c->door.at = info.offset;
	c->door.open = c->door.fd >= 0;
}

/* A word of the file, 0 where it can not be read. */
static uint32_t door_word(const struct exec_connection *c, uint64_t offset)
{
	uint32_t word;

	if (pread(c->door.fd, &word, sizeof(word), (off_t)(c->door.at + offset)) != sizeof(word))
		return 0;
	return word;
}

static uint32_t door_status(const struct exec_connection *c, uint32_t slot)
{
	return door_word(c, DOOR_STATES + slot * sizeof(uint32_t));
}

static enum program_state door_state(const struct exec_connection *c, uint32_t slot)
{
	return (door_status(c, slot) & 0xff) + 1;
}

/* Takes in what comes meanwhile; false when it is of no use to wait any more. */
static bool door_waits(struct exec *exec, uint32_t index, struct deadline deadline)
{
	const struct exec_connection *c = &exec->connection[index];

	exec_serve(exec, index);
	if (!deadline_left_ms(deadline) || exec->interrupted || exec->error || c->ended)
		return false;
	exec_receive(exec, index, DOOR_LOOK_MS);
	return c->door.open && !c->ended;
}

/* ---- what a slot is to come to ---- */

static bool door_is_there(const struct exec *exec, const struct program_step *step)
{
	const struct exec_connection *c = &exec->connection[step->connection];
	enum program_state state = door_state(c, step->command);
	enum program_state wanted = (enum program_state)step->number[DOOR_STATE];

	if (step->number[DOOR_NOT] && state == step->number[DOOR_NOT])
		return false;
	if (wanted != PROGRAM_REST)
		return wanted == PROGRAM_ANY || wanted == state;
	if (state == PROGRAM_WAITS_PAGE)
		return c->npages;
	if (state == PROGRAM_WAITS_MESSAGE)
		return c->nrequests;
	return state != PROGRAM_QUEUED && state != PROGRAM_RUNS;
}

static void door_judge(struct exec *exec, const struct program_step *step)
{
	const struct exec_connection *c = &exec->connection[step->connection];
	struct deadline deadline = deadline_in(exec->options.long_ms);
	const char *wanted = text_slot_state((uint32_t)step->number[DOOR_STATE]);
	const char *other = text_slot_state((uint32_t)step->number[DOOR_NOT]);
	char text[160];
	uint32_t status;

	while (!door_is_there(exec, step)) {
		if (door_waits(exec, step->connection, deadline))
			continue;
		if (!c->door.open || c->ended || exec->interrupted || exec->error)
			return;
		status = door_status(c, step->command);
		snprintf(text, sizeof(text), "the program expects slot %u in %s%s%s; it is in %s, "
			 "with errno %u", step->command, step->number[DOOR_STATE] ? wanted : "any",
			 step->number[DOOR_NOT] ? " but " : "", step->number[DOOR_NOT] ? other : "",
			 text_slot_state((status & 0xff) + 1), status >> 16);
		exec_blame_text(exec, step->connection, "effect", text);
		return;
	}
}

/* ---- what a slot is told ---- */

/* Until it is held: as long as it goes by itself, or a little longer. */
static bool door_is_held(struct exec *exec, const struct program_step *step)
{
	const struct exec_connection *c = &exec->connection[step->connection];
	struct deadline running = deadline_in(exec->options.long_ms);
	struct deadline resting = deadline_in(exec->options.short_ms);
	enum program_state state;

	while ((state = door_state(c, step->command)) != PROGRAM_HOLDS) {
		bool runs = state == PROGRAM_QUEUED || state == PROGRAM_RUNS;

		if (!door_waits(exec, step->connection, runs ? running : resting))
			return false;
	}
	return true;
}

static void door_go_on(struct exec *exec, const struct program_step *step)
{
	const struct exec_connection *c = &exec->connection[step->connection];
	struct deadline deadline = deadline_in(exec->options.long_ms);
	const uint32_t code = (uint32_t)step->number[DOOR_STEP];
	off_t place = (off_t)(c->door.at + step->command * sizeof(code));
	uint32_t status;

	while (c->must && c->door.open &&
	       exec_receive(exec, step->connection, exec->options.short_ms < DOOR_MOMENT_MS ?
			    exec->options.short_ms : DOOR_MOMENT_MS))
		exec_serve(exec, step->connection);
	if (!c->door.open || !door_is_held(exec, step)) {
		if (exec->verdict)
			verdict_note(exec->verdict, exec->step, "slot %u is not held",
				     step->command);
		return;
	}
	status = door_status(c, step->command);
	if (pwrite(c->door.fd, &code, sizeof(code), place) != sizeof(code))
		return;
	/* Taken first, and shown then. */
	while ((door_word(c, step->command * sizeof(code)) ||
		door_status(c, step->command) == status) &&
	       door_waits(exec, step->connection, deadline))
		;
}

void exec_door(struct exec *exec, const struct program_step *step)
{
	const struct exec_connection *c = &exec->connection[step->connection];

	if (!c->door.open) {
		if (exec->verdict)
			verdict_note(exec->verdict, exec->step,
				     "not done: no reply has brought the side door");
		return;
	}
	if (step->number[DOOR_STATE] || step->number[DOOR_NOT])
		door_judge(exec, step);
	if (step->number[DOOR_STEP] && c->door.open)
		door_go_on(exec, step);
}
