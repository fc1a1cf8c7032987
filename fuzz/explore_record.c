/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_record.c - see explore_record.h. */
#include "explore_record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "device_slot_flow.h"
#include "explore_watch.h"
#include "note.h"
#include "pack.h"
#include "text.h"

#define RECORD_VERSION "{\"capabilities\":{\"viommu\":{\"version\":1,\"pasid_bits\":8," \
		       "\"max_pasids\":4,\"page_requests\":%u,\"unmap_range\":true," \
		       "\"replace\":true}%s,\"max_msg_fds\":8}}"
#define RECORD_TWIN ",\"twin_socket\":{\"supported\":true}"
#define RECORD_PAGES 64u
#define RECORD_OVER 2u
#define RECORD_DOOR 2u		/* the region */

static struct record {
	const struct explore_scenario *scenario;
	struct program program;
	struct note note;
	bool full;			/* steps are missing */
	bool stopped;			/* the device, as of the last message */
	bool left;
	uint32_t over;			/* a violation: what is left is written, or was */
	uint16_t owed[WATCH_COMMANDS];	/* the steps of commands without reply, the oldest first */
	uint32_t owed_count;
	uint32_t answered;		/* the step of the reply that came last */
	uint32_t cookie[WATCH_REQUESTS];
	uint32_t pages, requests;	/* of the server, that have come */
	uint32_t started[EXPLORE_SLOTS];	/* the step of the last start, + 1 */
	uint32_t point[EXPLORE_SLOTS];	/* that it has passed last, + 1, and stands at, */
	bool held[EXPLORE_SLOTS];	/* as something has happened since then */
	uint32_t cut;			/* the step that was sent in part, + 1, */
	uint32_t cut_at;		/* and how much of it */
} *record;

void record_on(void)
{
	void *shared = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared != MAP_FAILED)
		record = shared;
}

void record_off(void)
{
	if (record)
		munmap(record, sizeof(*record));
	record = NULL;
}

bool record_is_on(void)
{
	return record;
}

/* ---- steps ---- */


/* Something happens that has to come before what operations do next. */
static void record_happens(void)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++)
		record->held[i] = record->point[i];
}

static struct program_step *record_step(enum program_op op)
{
	static struct program_step nowhere;
	struct program_step *step = program_insert(&record->program, record->program.count);

	record->full |= !step;
	if (!step)
		step = &nowhere;
	step->op = (uint8_t)op;
	return step;
}

/* Registers of a slot that follow each other are one step, up to its command. */
static bool record_joins(const struct program_step *step)
{
	const struct program_step *before = step - 1;

	return record->program.count > 1 && step->op == PROGRAM_SLOT &&
	       before->op == PROGRAM_SLOT && step->command == before->command &&
	       !(before->set & (1u | step->set));
}

static void record_join(void)
{
	struct program_step *step = &record->program.step[record->program.count - 1];
	struct program_step *before = step - 1;

	if (!record_joins(step))
		return;
	for (uint32_t i = 0; i < PROGRAM_FIELDS; i++) {
		if (step->set >> i & 1)
			before->field[i] = step->field[i];
	}
	before->set |= step->set;
	program_remove(&record->program, record->program.count - 1, 1);
}

/* A response names the request and not its number. */
static void record_cookie(struct program_step *step)
{
	int index = program_field(step, "cookie");
	struct program_value *value = &step->field[index < 0 ? 0 : index];

	for (uint32_t i = 0; i < record->pages && step->command == WIRE_PAGE_RESPONSE; i++) {
		if (value->base || record->cookie[i] != value->number ||
		    PROGRAM_COOKIE_0 + i > PROGRAM_COOKIE_LAST)
			continue;
		*value = (struct program_value){ 0, (uint8_t)(PROGRAM_COOKIE_0 + i) };
	}
}

static void record_owe(uint16_t step)
{
	if (record->owed_count < WATCH_COMMANDS)
		record->owed[record->owed_count++] = step;
}

/* Whether the step is one of those that come before everything else: nothing holds those up. */
static bool record_is_before(const struct explore_step *step)
{
	const struct explore_step *before = record->scenario->before;

	return step >= before && step < before + EXPLORE_STEPS;
}

/* One message of a step; `last` is the one that it is about. */
static void record_send(const struct explore_message *from, size_t at, size_t cut)
{
	const int32_t fds[] = { from->fd };
	struct note_message message = { .bytes = from->bytes + at, .fds = fds };
	struct program_step *step;
	struct wire_header header;
	int index;

	memcpy(&header, message.bytes, sizeof(header));
	message.size = header.msg_size;
	message.nfds = from->fd >= 0;
	index = record->full ? -ENOSPC : note_add(&record->note, &message);
	if (index < 0) {
		record->full = true;
		return;
	}
	step = &record->program.step[index];
	pack_unslot(&record->program, step);
	record_cookie(step);
	if (cut > at && cut < at + message.size) {
		step->npieces = 1;
		step->piece[0] = (struct program_piece){ (uint32_t)(cut - at), from->fd >= 0 };
		record->cut = (uint32_t)index + 1;
		record->cut_at = (uint32_t)(cut - at);
	}
	if (step->op != PROGRAM_REPLY && !record_is_before(from->step))
		step->properties |= PROGRAM_NOWAIT;
	record_join();
	if ((header.flags & WIRE_TYPE_MASK) == WIRE_TYPE_COMMAND)
		record_owe((uint16_t)(record->program.count - 1));
}

/* ---- what happens ---- */

static void record_version(void)
{
	struct {
		struct wire_version version;
		char text[256];
	} body = { .version = { .minor = 1 } };
	struct program_step *step = record_step(PROGRAM_SEND);
	uint32_t credit = record->scenario->credit ? record->scenario->credit : RECORD_PAGES;
	int length = snprintf(body.text, sizeof(body.text), RECORD_VERSION, credit,
			      record->scenario->twin ? RECORD_TWIN : "");
	int minor;

	step->command = WIRE_VERSION;
	minor = program_field(step, "minor");
	step->set = (uint16_t)(1u << minor);
	step->field[minor].number = body.version.minor;
	record->full |= program_set_data(&record->program, step, body.text,
					 (uint32_t)length + 1) < 0;
}

void record_begin(const struct explore_scenario *scenario)
{
	struct program_step *step;
	int index;

	if (!record)
		return;
	memset(record, 0, sizeof(*record));
	record->scenario = scenario;
	record->note.program = &record->program;
	record_step(PROGRAM_GUARD);
	record_version();
	step = record_step(PROGRAM_SEND);
	step->command = WIRE_DEVICE_GET_REGION_INFO;
	index = program_field(step, "index");
	step->set = (uint16_t)(1u << index);
	step->field[index].number = RECORD_DOOR;
}

/* What the step of the last message is. */
static void record_knows(const struct explore_step *step)
{
	if (step->op == EXPLORE_START) {
		record->started[step->what] = record->program.count;
		record->point[step->what] = 0;
		record->held[step->what] = false;
	}
	if (step->op == EXPLORE_STOP || step->op == EXPLORE_RUN)
		record->stopped = step->op == EXPLORE_STOP;
}

void record_sends(const struct explore_message *message, size_t cut)
{
	struct wire_header header;

	if (!record)
		return;
	record->cut = 0;
	record_happens();
	for (size_t at = 0; at < message->size; at += header.msg_size) {
		memcpy(&header, message->bytes + at, sizeof(header));
		record_send(message, at, cut);
	}
	record_knows(message->step);
}

void record_came(const struct message *m)
{
	struct wire_page_request head;

	if (!record)
		return;
	if ((m->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY && record->owed_count) {
		record->answered = record->owed[0];
		memmove(record->owed, record->owed + 1,
			--record->owed_count * sizeof(record->owed[0]));
	}
	if ((m->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY)
		return;
	if (m->command != WIRE_PAGE_REQUEST) {
		record_step(PROGRAM_AWAIT)->number[1] = ++record->requests;
		return;
	}
	memcpy(&head, m->body, sizeof(head));
	if (!head.nr || record->pages == WATCH_REQUESTS)
		return;
	record->cookie[record->pages++] = head.cookie;
	record_step(PROGRAM_AWAIT)->number[0] = record->pages;
}

void record_expects(uint32_t error)
{
	struct program_step *step;

	if (!record || record->answered >= record->program.count)
		return;
	step = &record->program.step[record->answered];
	step->expect = error ? PROGRAM_ERROR : PROGRAM_OK;
	step->expect_errno = (uint16_t)error;
}

void record_door(uint32_t slot, uint32_t code)
{
	struct program_step *step;

	if (!record)
		return;
	record->point[slot] = 0;
	record->held[slot] = false;
	record_happens();
	step = record_step(PROGRAM_DOOR);
	step->command = (uint16_t)slot;
	step->number[0] = code;
}

/* Where it is held is told to it when it is started. */
static void record_hold(uint32_t slot)
{
	struct program_step *step = &record->program.step[record->started[slot] - 1];
	int ctl = program_field(step, "ctl");

	step->set |= (uint16_t)(1u << ctl);
	step->field[ctl].number |= 1u << (record->point[slot] - 1);
}

void record_moves(uint32_t slot, bool ends)
{
	if (!record || !record->started[slot])
		return;
	if (record->held[slot])
		record_hold(slot);
	if (record->held[slot] && !ends)
		record_door(slot, STEP_NEXT);
	record->point[slot] = 0;
	record->held[slot] = false;
}

void record_stands(uint32_t slot, uint32_t point)
{
	if (record && record->started[slot])
		record->point[slot] = point + 1;
}

void record_time(uint64_t ms)
{
	if (!record)
		return;
	record_happens();
	record_step(PROGRAM_TICK)->number[0] = ms < PROGRAM_MS ? ms : PROGRAM_MS;
}

void record_leaves(void)
{
	struct program_step *step;

	if (!record)
		return;
	if (record->cut) {
		step = &record->program.step[record->cut - 1];
		step->npieces = 0;
		step->properties |= PROGRAM_CUT;
		step->cut = record->cut_at;
	}
	record_step(PROGRAM_DISCONNECT);
	record->left = true;
}

static void record_state(uint32_t slot, uint32_t number, enum program_state state)
{
	struct program_step *step = record_step(PROGRAM_DOOR);

	step->command = (uint16_t)slot;
	step->number[number] = state;
}

void record_blames(uint32_t slot, uint32_t state)
{
	if (record)
		record_state(slot, 2, state + 1);
}

void record_wants(uint32_t slot, uint32_t state)
{
	if (!record)
		return;
	record_time(RECORD_PACE);
	record_state(slot, 1, state + 1);
}

/* ---- the end ---- */

static void record_let_go(void)
{
	for (uint32_t i = 0; i < EXPLORE_SLOTS && !record->stopped; i++) {
		const struct program_step *start = record->started[i] ?
			&record->program.step[record->started[i] - 1] : NULL;
		int ctl = start ? program_field(start, "ctl") : -ENOENT;

		if (ctl >= 0 && start->field[ctl].number & ((1u << HOLDS) - 1))
			record_door(i, STEP_END);
	}
}

/* The steps that a thread has not come to, but for what answers what has not come. */
static void record_thread(const struct explore_step *step)
{
	struct explore_message message;

	for (; step && step->op; step++) {
		if (step->op == EXPLORE_RELEASE ||
		    (step->op == EXPLORE_RESPOND && !watch_group(step->what)) ||
		    (step->op == EXPLORE_ANSWER && !watch_dma(step->what)))
			continue;
		message_of_step(record->scenario, step, &message);
		record_sends(&message, 0);
	}
}

/* What is left of the threads. */
static void record_remaining(const struct explore_step *(*rest)(uint32_t thread))
{
	struct program *program = &record->program;

	/* What came last need not come at all. */
	if (program->step[program->count - 1].op == PROGRAM_AWAIT)
		program_remove(program, program->count - 1, 1);
	record_happens();
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (record->held[i])
			record_hold(i);
	}
	if (record->left)
		return;
	record_let_go();
	for (uint32_t i = 0; i < EXPLORE_THREADS; i++)
		record_thread(rest(i));
}

/* What can be seen at last. */
static void record_close(void)
{
	if (record->left) {
		record_step(PROGRAM_CONNECT);
		record_version();
	} else {
		record_let_go();
	}
	record_step(PROGRAM_AWAIT)->expect = PROGRAM_OK;
	for (uint32_t i = 0; i < EXPLORE_SLOTS && !record->stopped && !record->left; i++) {
		if (record->started[i])
			record_state(i, 1, PROGRAM_REST);
	}
}

void record_rest(const struct explore_step *(*rest)(uint32_t thread))
{
	if (!record || record->over == RECORD_OVER)
		return;
	if (record->over++ == 0)
		record_remaining(rest);
	/* What is made of the rest may be one more violation, which comes here again. */
	record->over = RECORD_OVER;
	record_close();
}

int record_print(char *text, size_t size)
{
	if (!record || record->full)
		return -ENOSPC;
	program_fix(&record->program);
	return text_print(&record->program, text, size);
}
