/* SPDX-License-Identifier: BSD-3-Clause */
/* generate.c - see generate.h: numbers, sketches, and steps that are no messages. */
#include "generate.h"

#include <string.h>

#include "wire.h"
#include "wire_ext.h"

#define GENERATE_SPACE (WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK)

/* So often of a hundred a step is several that belong together, or is with the vIOMMU extension. */
#define GENERATE_STORIES 15
#define GENERATE_EXTENSIONS 35

/* ---- numbers ---- */

void generate_seed(struct generate *generate, uint64_t seed)
{
	generate->state = seed;
}

/* A counter, stirred: any seed will do, and none is like its neighbour. */
uint64_t generate_random(struct generate *generate)
{
	uint64_t x = generate->state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint32_t generate_below(struct generate *generate, uint32_t end)
{
	return (uint32_t)(generate_random(generate) >> 32) % end;
}

bool generate_chance(struct generate *generate, uint32_t percent)
{
	return generate_below(generate, 100) < percent;
}

/* ---- sketches ---- */

/* What a field is set to, or 0. */
static uint64_t generate_given(const struct program_step *step, const char *name)
{
	int index = program_field(step, name);

	return index < 0 || !(step->set >> index & 1) ? 0 : step->field[index].number;
}

static void generate_sketch_unmap(struct generate_sketch *sketch, const struct program_step *step)
{
	uint64_t address = generate_given(step, "address"), size = generate_given(step, "size");
	uint64_t attr = generate_given(step, "flags") & GENERATE_SPACE;

	for (uint32_t i = 0; i < sketch->nmaps; i++) {
		const struct generate_map *map = &sketch->map[i];

		if (map->address != address || map->size != size || map->attr != attr ||
		    map->connection != step->connection)
			continue;
		sketch->map[i] = sketch->map[--sketch->nmaps];
		return;
	}
}

static void generate_sketch_map(struct generate_sketch *sketch, const struct program_step *step)
{
	struct generate_map map = {
		.address = generate_given(step, "address"),
		.size = generate_given(step, "size"),
		.attr = (uint32_t)generate_given(step, "flags") & GENERATE_SPACE,
		.connection = step->connection,
	};

	if ((map.address | map.size) % GENERATE_PAGE || !map.size ||
	    sketch->nmaps == GENERATE_MAPS)
		return;
	for (uint32_t i = 0; i < step->repeat && sketch->nmaps < GENERATE_MAPS; i++) {
		sketch->map[sketch->nmaps++] = map;
		map.address += step->stride;
	}
}

static void generate_sketch_version(struct generate_sketch *sketch,
				    const struct program *program, const struct program_step *step)
{
	static const char twin[] = "twin_socket\":{\"supported\":true";
	static const char viommu[] = "viommu\":{\"version\":1";
	const uint8_t *text = program->bytes + step->data.at;

	sketch->negotiated |= 1u << step->connection;
	if (step->data.filled)
		return;
	if (memmem(text, step->data.size, twin, sizeof(twin) - 1))
		sketch->twins |= 1u << step->connection;
	if (memmem(text, step->data.size, viommu, sizeof(viommu) - 1))
		sketch->extended |= 1u << step->connection;
}

static void generate_sketch_feature(struct generate_sketch *sketch, const struct program *program,
				    const struct program_step *step)
{
	uint64_t flags = generate_given(step, "flags");

	if (flags == (WIRE_FEATURE_SET | WIRE_FEATURE_MIG_DEVICE_STATE) && !step->data.filled &&
	    step->data.size >= sizeof(sketch->state))
		memcpy(&sketch->state, program->bytes + step->data.at, sizeof(sketch->state));
}

static void generate_sketch_message(struct generate_sketch *sketch, const struct program *program,
				    const struct program_step *step)
{
	switch (step->command) {
	case WIRE_VERSION:
		generate_sketch_version(sketch, program, step);
		break;
	case WIRE_DMA_MAP:
		generate_sketch_map(sketch, step);
		break;
	case WIRE_DMA_UNMAP:
		generate_sketch_unmap(sketch, step);
		break;
	case WIRE_DEVICE_FEATURE:
		generate_sketch_feature(sketch, program, step);
		break;
	case WIRE_DEVICE_RESET:
		sketch->state = WIRE_STATE_RUNNING;
		break;
	default:
		break;
	}
}

/* A connection ends, and with it what it had. */
static void generate_sketch_end(struct generate_sketch *sketch, uint8_t connection)
{
	uint32_t bit = 1u << connection;

	sketch->open &= ~bit;
	sketch->negotiated &= ~bit;
	sketch->twins &= ~bit;
	sketch->extended &= ~bit;
	for (uint32_t i = sketch->nmaps; i-- > 0;) {
		if (sketch->map[i].connection == connection)
			sketch->map[i] = sketch->map[--sketch->nmaps];
	}
}

static void generate_sketch_step(struct generate_sketch *sketch, const struct program *program,
				 const struct program_step *step)
{
	struct generate_handle *handle = &sketch->handle[step->handle];

	switch ((enum program_op)step->op) {
	case PROGRAM_SEND:
		generate_sketch_message(sketch, program, step);
		break;
	case PROGRAM_OPEN:
		*handle = (struct generate_handle){ true, step->kind, step->number[0] };
		break;
	case PROGRAM_CLOSE:
		handle->open = false;
		break;
	case PROGRAM_TRUNCATE:
		handle->size = step->number[0];
		break;
	case PROGRAM_CONNECT:
		generate_sketch_end(sketch, step->connection);
		sketch->open |= 1u << step->connection;
		break;
	case PROGRAM_DISCONNECT:
	case PROGRAM_SHUTDOWN:
		generate_sketch_end(sketch, step->connection);
		break;
	case PROGRAM_SLOT:
	case PROGRAM_POKE:
	case PROGRAM_PAGES:
	case PROGRAM_DOOR:
		sketch->slots = true;
		break;
	case PROGRAM_RAW:
	case PROGRAM_REPLY:
	case PROGRAM_AWAIT:
	case PROGRAM_PUNCH:
	case PROGRAM_FILL:
	case PROGRAM_CHECK:
	case PROGRAM_TICK:
	case PROGRAM_BARRIER:
	case PROGRAM_GUARD:
	case PROGRAM_OPS:
		break;
	}
}

void generate_sketch(const struct program *program, uint32_t end, struct generate_sketch *out)
{
	memset(out, 0, sizeof(*out));
	out->open = 1;
	out->state = WIRE_STATE_RUNNING;
	for (uint32_t i = 0; i < end && i < program->count; i++)
		generate_sketch_step(out, program, &program->step[i]);
}

/* ---- steps that are no messages ---- */

/* A connection that is there, or 0. */
static uint8_t generate_connection(struct generate *generate, const struct generate_sketch *sketch)
{
	uint8_t connection = (uint8_t)generate_below(generate, PROGRAM_CONNECTIONS);

	return sketch->open >> connection & 1 ? connection : 0;
}

static uint64_t generate_offset(struct generate *generate)
{
	return (uint64_t)generate_below(generate, 5) * GENERATE_PAGE;
}

static void generate_file(struct generate *generate, struct program_step *step)
{
	static const uint8_t ops[] = {
		PROGRAM_TRUNCATE, PROGRAM_PUNCH, PROGRAM_FILL, PROGRAM_CLOSE,
	};

	step->op = ops[generate_below(generate, sizeof(ops))];
	step->handle = (uint8_t)generate_below(generate, 4);
	step->number[0] = generate_offset(generate);
	step->number[1] = GENERATE_PAGE + generate_offset(generate);
	step->number[2] = generate_below(generate, 3);
}

/* The registers of the test device: an operation on what is mapped. */
static void generate_slot(struct generate *generate, struct program_step *step,
			  const struct generate_sketch *sketch)
{
	static const uint32_t bits[] = { 0, 0, 0, 1u << 4, 2u << 4, 1u << 7, 1u << 10, 1u << 8 };
	static const char *const names[] = { "cmd", "src", "dst", "len" };
	uint32_t count = generate_chance(generate, 20) ? 10 : 4;

	step->op = PROGRAM_SLOT;
	step->command = (uint16_t)generate_below(generate, 2);
	for (uint32_t i = 0; i < count; i++) {
		int index = i < 4 ? program_field(step, names[i]) :
				    (int)generate_below(generate, 10);

		step->set |= (uint16_t)(1u << index);
		step->field[index] = generate_value(generate, step, (uint32_t)index, sketch);
	}
	step->field[4].number &= 0x1ffff;	/* len */
	step->field[8].number &= 7;	/* count */
	step->field[0].base = 0;
	step->field[0].number = generate_below(generate, 7) |
				bits[generate_below(generate, sizeof(bits) / sizeof(*bits))];
	if (generate_chance(generate, 25)) {
		step->set |= 2;
		step->field[1] = (struct program_value){
			.number = UINT64_C(1) << generate_below(generate, 9),
		};
	}
}

static void generate_answer(struct generate *generate, struct program_step *step)
{
	step->op = PROGRAM_REPLY;
	if (generate_chance(generate, 30)) {
		step->set = 1u << 4;
		step->field[4].number = generate_below(generate, 200);
	} else if (generate_chance(generate, 20)) {
		step->data.filled = true;
		step->data.size = generate_below(generate, 5000);
	} else if (generate_chance(generate, 10)) {
		step->set = 1;
		step->field[0].number = generate_below(generate, 4);
	}
	if (generate_chance(generate, 10))
		step->properties = PROGRAM_TWIN;
}

/* Bytes that are no message, or not quite. */
static void generate_raw(struct generate *generate, struct program *program,
			 struct program_step *step)
{
	struct wire_header header = {
		.id = (uint16_t)generate_below(generate, 8),
		.command = (uint16_t)generate_below(generate, 20),
		.msg_size = generate_below(generate, 64),
		.flags = generate_below(generate, 64),
	};
	uint8_t bytes[96] = { 0 };
	uint32_t size = 1 + generate_below(generate, sizeof(bytes));

	memcpy(bytes, &header, sizeof(header));
	step->op = PROGRAM_RAW;
	step->properties = PROGRAM_MAYBE;
	program_set_data(program, step, bytes, size);
}

static void generate_socket(struct generate *generate, struct program_step *step)
{
	uint32_t what = generate_below(generate, 8);

	step->op = what < 4 ? PROGRAM_CONNECT : what < 6 ? PROGRAM_DISCONNECT : PROGRAM_SHUTDOWN;
	step->connection = (uint8_t)generate_below(generate, PROGRAM_CONNECTIONS);
	if (what == 7)
		step->op = PROGRAM_AWAIT;
}

/* What the device does, what it asks for, and how long it may take. */
static void generate_work(struct generate *generate, struct program_step *step,
			  const struct generate_sketch *sketch)
{
	switch (generate_below(generate, sketch->slots ? 8 : 4)) {
	case 4:
	case 5:
		generate_answer(generate, step);
		break;
	case 6:
		step->op = PROGRAM_POKE;
		step->command = (uint16_t)generate_below(generate, 2);
		step->number[0] = generate_below(generate, 5);
		break;
	case 7:
		step->op = PROGRAM_TICK;
		step->number[0] = generate_below(generate, 20);
		if (generate_chance(generate, 10))
			step->number[0] = PROGRAM_MS - step->number[0];
		break;
	default:
		generate_slot(generate, step, sketch);
	}
}

static bool generate_other(struct generate *generate, struct program *program, uint32_t at,
			   const struct generate_sketch *sketch)
{
	struct program_step *step = program_insert(program, at);
	uint32_t what = generate_below(generate, 20);

	if (!step)
		return false;
	step->connection = generate_connection(generate, sketch);
	if (what < 10)
		generate_work(generate, step, sketch);
	else if (what < 14)
		generate_file(generate, step);
	else if (what < 17)
		generate_raw(generate, program, step);
	else
		generate_socket(generate, step);
	return true;
}

bool generate_step(struct generate *generate, struct program *program, uint32_t at)
{
	struct generate_sketch sketch;
	uint8_t connection;
	bool made;

	generate_sketch(program, at, &sketch);
	connection = generate_connection(generate, &sketch);
	if (!(sketch.negotiated >> connection & 1) && generate_chance(generate, 90))
		made = generate_version(generate, program, at, connection);
	else if (generate_chance(generate, sketch.extended >> connection & 1 ?
				 GENERATE_EXTENSIONS : GENERATE_STORIES))
		made = generate_story(generate, program, at, &sketch);
	else if (generate_chance(generate, 80))
		made = generate_message(generate, program, at, &sketch);
	else
		made = generate_other(generate, program, at, &sketch);
	program_fix(program);
	return made;
}

/* Steps that send something of their own. */
static uint32_t generate_senders(const struct program *program)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < program->count; i++)
		count += program_parts(program->step[i].op) & PROGRAM_REPEATED ? 1 : 0;
	return count;
}

void generate_program(struct generate *generate, struct program *program, uint32_t messages)
{
	program_clear(program);
	program->seed = (uint32_t)generate_random(generate);
	if (generate_chance(generate, 98))
		generate_version(generate, program, 0, 0);
	for (uint32_t i = 1; i < messages && generate_senders(program) < messages; i++)
		generate_step(generate, program, program->count);
	program_fix(program);
}
