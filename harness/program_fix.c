/* SPDX-License-Identifier: BSD-3-Clause */
/* program_fix.c - what the parts of a step may be, by its op; see program.h. */
#include <fcntl.h>
#include <string.h>

#include "program.h"

#define SEALS ((uint32_t)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | \
			  F_SEAL_FUTURE_WRITE))
#define MESSAGE (PROGRAM_ON | PROGRAM_IN_LANE | PROGRAM_WITH_DATA | PROGRAM_WITH_FDS | \
		 PROGRAM_WITH_PIECES | PROGRAM_REPEATED | PROGRAM_JUDGED)
#define REGISTERS (PROGRAM_ON | PROGRAM_IN_LANE | PROGRAM_REPEATED | PROGRAM_JUDGED)
#define FILE_STEP (PROGRAM_IN_LANE | PROGRAM_WITH_HANDLE)
#define SOCKET (PROGRAM_ON | PROGRAM_IN_LANE)

struct rule {
	const char *name;
	uint16_t parts;
	uint8_t properties;
	uint8_t numbers;
	const char *number[3];
};

static const struct rule program_rules[PROGRAM_OPS] = {
	[PROGRAM_SEND] = { "send", MESSAGE | PROGRAM_WITH_FIELDS,
			   PROGRAM_NOWAIT | PROGRAM_NO_REPLY | PROGRAM_TWIN | PROGRAM_CUT |
			   PROGRAM_MAYBE, 0, { NULL } },
	[PROGRAM_RAW] = { "raw", MESSAGE, PROGRAM_NOWAIT | PROGRAM_TWIN | PROGRAM_MAYBE, 0,
			  { NULL } },
	[PROGRAM_REPLY] = { "reply", MESSAGE | PROGRAM_WITH_FIELDS, PROGRAM_TWIN | PROGRAM_CUT, 0,
			    { NULL } },
	[PROGRAM_AWAIT] = { "await", SOCKET | PROGRAM_JUDGED, 0, 2, { "pages", "requests" } },
	[PROGRAM_OPEN] = { "open", FILE_STEP, PROGRAM_HELD, 1, { "size" } },
	[PROGRAM_CLOSE] = { "close", FILE_STEP, 0, 0, { NULL } },
	[PROGRAM_TRUNCATE] = { "truncate", FILE_STEP, 0, 1, { "size" } },
	[PROGRAM_PUNCH] = { "punch", FILE_STEP, 0, 2, { "offset", "size" } },
	[PROGRAM_FILL] = { "fill", FILE_STEP, 0, 3, { "offset", "size", "seed" } },
	[PROGRAM_CHECK] = { "check", FILE_STEP, 0, 3, { "offset", "size", "seed" } },
	[PROGRAM_CONNECT] = { "connect", SOCKET, 0, 0, { NULL } },
	[PROGRAM_DISCONNECT] = { "disconnect", SOCKET, 0, 0, { NULL } },
	[PROGRAM_SHUTDOWN] = { "shutdown", SOCKET, 0, 0, { NULL } },
	[PROGRAM_SLOT] = { "slot", REGISTERS | PROGRAM_WITH_FIELDS,
			   PROGRAM_NOWAIT | PROGRAM_TWIN | PROGRAM_MAYBE, 0, { NULL } },
	[PROGRAM_POKE] = { "poke", REGISTERS, PROGRAM_NOWAIT | PROGRAM_TWIN | PROGRAM_MAYBE, 1,
			   { "step" } },
	[PROGRAM_TICK] = { "tick", PROGRAM_IN_LANE, 0, 1, { "ms" } },
	[PROGRAM_BARRIER] = { "barrier", 0, 0, 0, { NULL } },
	[PROGRAM_PAGES] = { "pages", SOCKET | PROGRAM_WITH_FDS, 0, 1, { "how" } },
	[PROGRAM_DOOR] = { "door", SOCKET, 0, 3, { "step", "state", "not" } },
	[PROGRAM_GUARD] = { "guard", 0, 0, 0, { NULL } },
};

static const char *const program_kinds[PROGRAM_KINDS] = {
	[PROGRAM_MEMFD] = "memfd", [PROGRAM_EVENTFD] = "eventfd", [PROGRAM_PIPE] = "pipe",
	[PROGRAM_SOCKET] = "socket", [PROGRAM_DIRECTORY] = "directory", [PROGRAM_SELF] = "self",
	[PROGRAM_NULL] = "null",
};

static const char *const program_bases[PROGRAM_BASES] = {
	[PROGRAM_NUMBER] = "number",
	[PROGRAM_MAX_MSG_FDS] = "max_msg_fds",
	[PROGRAM_MAX_DATA_XFER_SIZE] = "max_data_xfer_size",
	[PROGRAM_MAX_DMA_MAPS] = "max_dma_maps",
	[PROGRAM_PGSIZE] = "pgsize",
	[PROGRAM_REGION_SIZE] = "region_size",
	[PROGRAM_COOKIE] = "cookie",
	[PROGRAM_COOKIE_0] = "cookie0", "cookie1", "cookie2", "cookie3", "cookie4", "cookie5",
	"cookie6", "cookie7",
};

const char *program_op_name(uint32_t op)
{
	return op < PROGRAM_OPS ? program_rules[op].name : NULL;
}

const char *program_kind_name(uint32_t kind)
{
	return kind < PROGRAM_KINDS ? program_kinds[kind] : NULL;
}

const char *program_base_name(uint32_t base)
{
	return base < PROGRAM_BASES ? program_bases[base] : NULL;
}

uint32_t program_parts(uint32_t op)
{
	return op < PROGRAM_OPS ? program_rules[op].parts : 0;
}

uint32_t program_properties(uint32_t op)
{
	return op < PROGRAM_OPS ? program_rules[op].properties : 0;
}

bool program_has_slot(const struct program_step *step)
{
	return step->op == PROGRAM_SLOT || step->op == PROGRAM_POKE || step->op == PROGRAM_DOOR;
}

uint32_t program_numbers(const struct program_step *step)
{
	if (step->op == PROGRAM_OPEN)
		return step->kind == PROGRAM_MEMFD || step->kind == PROGRAM_EVENTFD;
	return step->op < PROGRAM_OPS ? program_rules[step->op].numbers : 0;
}

const char *program_number_name(const struct program_step *step, uint32_t index)
{
	return index < program_numbers(step) ? program_rules[step->op].number[index] : NULL;
}

static uint64_t program_least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t program_narrow(uint64_t number, uint32_t width)
{
	return width < 8 ? number & ((UINT64_C(1) << 8 * width) - 1) : number;
}

static void program_fix_numbers(struct program_step *step)
{
	uint32_t count = program_numbers(step);

	for (uint32_t i = count; i < 3; i++)
		step->number[i] = 0;
	if (step->op == PROGRAM_FILL || step->op == PROGRAM_CHECK)
		step->number[1] = program_least(step->number[1], PROGRAM_FILLED);
	else if (step->op == PROGRAM_TICK)
		step->number[0] = program_least(step->number[0], PROGRAM_MS);
	else if (step->op == PROGRAM_POKE)
		step->number[0] = program_narrow(step->number[0], 4);
	else if (step->op == PROGRAM_PAGES)
		step->number[0] %= PROGRAM_PAGES_WAYS;
	if (step->op == PROGRAM_AWAIT) {
		step->number[0] = program_least(step->number[0], PROGRAM_REQUESTS);
		step->number[1] = program_least(step->number[1], PROGRAM_REQUESTS);
	}
	if (step->op != PROGRAM_DOOR)
		return;
	step->number[0] = program_narrow(step->number[0], 4);
	step->number[1] %= PROGRAM_STATES;
	step->number[2] %= PROGRAM_STATES;
}

static void program_fix_open(struct program_step *step)
{
	bool open = step->op == PROGRAM_OPEN;
	bool memfd;

	step->kind = open ? step->kind % PROGRAM_KINDS : 0;
	memfd = open && step->kind == PROGRAM_MEMFD;
	step->seals = memfd ? step->seals & SEALS : 0;
	if (open && !memfd)
		step->properties = 0;
	/* Its own socket is the one thing to open that is some connection's. */
	if (open && step->kind == PROGRAM_SELF)
		step->connection %= PROGRAM_CONNECTIONS;
	else if (open)
		step->connection = 0;
}

static void program_fix_plain(struct program_step *step, uint32_t parts)
{
	if (!(parts & PROGRAM_ON) && step->op != PROGRAM_OPEN)
		step->connection = 0;
	step->connection %= PROGRAM_CONNECTIONS;
	step->lane = parts & PROGRAM_IN_LANE ? step->lane % PROGRAM_LANES : 0;
	step->handle = parts & PROGRAM_WITH_HANDLE ? step->handle % PROGRAM_HANDLES : 0;
	step->properties &= (uint8_t)program_properties(step->op);
	program_fix_open(step);
	step->expect = parts & PROGRAM_JUDGED ? step->expect % (PROGRAM_SILENCE + 1) : 0;
	if (step->expect != PROGRAM_ERROR)
		step->expect_errno = 0;
	if (!(step->properties & PROGRAM_CUT))
		step->cut = 0;
	else if (step->cut == 0)
		step->cut = 1;
	if (program_has_slot(step))
		step->command %= PROGRAM_SLOTS;
	else if (!(parts & PROGRAM_WITH_FIELDS))
		step->command = 0;
}

static void program_fix_fields(struct program_step *step)
{
	const struct schema_field *rows;
	size_t count = program_fields(step, &rows);

	step->set &= (uint16_t)((1u << count) - 1);
	for (uint32_t i = 0; i < PROGRAM_FIELDS; i++) {
		struct program_value *value = &step->field[i];

		if (!(step->set >> i & 1)) {
			*value = (struct program_value){ 0 };
			continue;
		}
		value->base %= PROGRAM_BASES;
		value->number = program_narrow(value->number, rows[i].width);
	}
}

static void program_fix_repeat(struct program_step *step, uint32_t parts)
{
	const struct schema_field *rows;
	size_t count = program_fields(step, &rows);

	if (step->repeat == 0 || !(parts & PROGRAM_REPEATED))
		step->repeat = 1;
	if (step->repeat > PROGRAM_REPEAT)
		step->repeat = PROGRAM_REPEAT;
	if (count && step->repeat > 1) {
		step->stride_field %= (uint8_t)count;
		step->stride = program_narrow(step->stride, rows[step->stride_field].width);
	} else {
		step->stride = 0;
	}
	if (step->stride == 0)
		step->stride_field = 0;
}

static void program_fix_lists(struct program_step *step, uint32_t parts)
{
	uint32_t before = 0;

	step->nfds = parts & PROGRAM_WITH_FDS ? step->nfds % (PROGRAM_FDS + 1) : 0;
	step->npieces = parts & PROGRAM_WITH_PIECES ? step->npieces % (PROGRAM_PIECES + 1) : 0;
	for (uint32_t i = 0; i < PROGRAM_FDS; i++) {
		if (i >= step->nfds)
			step->fd[i] = (struct program_fd){ 0 };
		else if (step->fd[i].times == 0)
			step->fd[i].times = 1;
		step->fd[i].handle %= PROGRAM_HANDLES;
	}
	for (uint32_t i = 0; i < PROGRAM_PIECES; i++) {
		struct program_piece *piece = &step->piece[i];

		if (i >= step->npieces) {
			*piece = (struct program_piece){ 0 };
			continue;
		}
		/* Each leaves room for those behind it, so that all ends can grow. */
		if (piece->end > PROGRAM_END - (step->npieces - i))
			piece->end = PROGRAM_END - (step->npieces - i);
		if (piece->end <= before)
			piece->end = before + 1;
		before = piece->end;
	}
}

static void program_fix_data(const struct program *program, struct program_step *step,
			     uint32_t parts)
{
	struct program_data *data = &step->data;

	if (!(parts & PROGRAM_WITH_DATA) || data->size == 0) {
		*data = (struct program_data){ 0 };
	} else if (data->filled) {
		data->at = 0;
		data->size = (uint32_t)program_least(data->size, PROGRAM_FILLED);
	} else {
		data->fill = 0;
		if (data->at > program->nbytes)
			data->at = program->nbytes;
		data->size = (uint32_t)program_least(data->size, program->nbytes - data->at);
	}
}

void program_fix(struct program *program)
{
	if (program->count > PROGRAM_STEPS)
		program->count = PROGRAM_STEPS;
	if (program->nbytes > PROGRAM_BYTES)
		program->nbytes = PROGRAM_BYTES;
	for (uint32_t i = 0; i < program->count; i++) {
		struct program_step *step = &program->step[i];
		uint32_t parts;

		step->op %= PROGRAM_OPS;
		parts = program_parts(step->op);
		program_fix_plain(step, parts);
		program_fix_numbers(step);
		program_fix_fields(step);
		program_fix_repeat(step, parts);
		program_fix_lists(step, parts);
		program_fix_data(program, step, parts);
	}
	program_compact(program);
}
