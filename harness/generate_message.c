/* SPDX-License-Identifier: BSD-3-Clause */
/* generate_message.c - see generate.h: messages, and the values of their fields. */
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "generate.h"
#include "wire.h"

#define GENERATE_TOP (UINT64_C(1) << 63)

/* Sizes of files and mappings that are tried most. */
static const uint64_t generate_sizes[] = {
	0x1000, 0x2000, 0x4000, 0x10000, 0x100000, 0x40000000,
};
#define GENERATE_SIZES (sizeof(generate_sizes) / sizeof(*generate_sizes))

/* ---- values ---- */

/* A number at the end of what a field of that width can hold, or near to it. */
static uint64_t generate_limit(struct generate *generate, uint32_t width)
{
	static const uint64_t near[] = { 0, 1, 2, 4, 7, 8, 15, 16, 17, 255, 4095, 4096, 4097 };
	uint64_t top = width < 8 ? (UINT64_C(1) << 8 * width) - 1 : UINT64_MAX;

	switch (generate_below(generate, 4)) {
	case 0:
		return top - generate_below(generate, 3);
	case 1:
		return top / 2 + generate_below(generate, 3);
	case 2:
		return UINT64_C(1) << generate_below(generate, 8 * width);
	default:
		return near[generate_below(generate, sizeof(near) / sizeof(*near))];
	}
}

/* An address: of a mapping, beside one, or anywhere. */
static uint64_t generate_address(struct generate *generate, const struct generate_sketch *sketch)
{
	static const uint64_t ends[] = { 0, GENERATE_TOP, -(uint64_t)GENERATE_PAGE,
					 UINT64_C(1) << 32, -(uint64_t)(2 * GENERATE_PAGE) };
	const struct generate_map *map;

	if (!sketch->nmaps || generate_chance(generate, 25))
		return generate_chance(generate, 30) ? ends[generate_below(generate, 5)] :
			(uint64_t)generate_below(generate, 64) * GENERATE_PAGE;
	map = &sketch->map[generate_below(generate, sketch->nmaps)];
	switch (generate_below(generate, 6)) {
	case 0:
		return map->address + map->size;
	case 1:
		return map->address - GENERATE_PAGE;
	case 2:
		return map->address + map->size - 1;
	case 3:
		return map->address + GENERATE_PAGE;
	default:
		return map->address;
	}
}

static uint64_t generate_size(struct generate *generate, const struct generate_sketch *sketch)
{
	uint64_t size = generate_sizes[generate_below(generate, GENERATE_SIZES)];

	if (sketch->nmaps && generate_chance(generate, 50))
		size = sketch->map[generate_below(generate, sketch->nmaps)].size;
	if (generate_chance(generate, 20))
		size += generate_chance(generate, 50) ? GENERATE_PAGE : -(uint64_t)GENERATE_PAGE;
	return generate_chance(generate, 5) ? size + 1 : size;
}

/* Some of the bits that have a name. */
static uint64_t generate_flags(struct generate *generate, const char *set)
{
	const struct schema_constant *rows;
	size_t count = schema_constants(&rows);
	uint64_t flags = 0;

	for (size_t i = 0; i < count; i++) {
		if (set && strcmp(rows[i].set, set) == 0 && generate_chance(generate, 40))
			flags |= rows[i].value;
	}
	if (generate_chance(generate, 10))
		flags |= UINT64_C(1) << generate_below(generate, 32);
	return flags;
}

static uint64_t generate_length(struct generate *generate, struct program_value *value)
{
	static const uint32_t lengths[] = { 0, 1, 2, 3, 4, 8, 64, 4096 };

	if (generate_chance(generate, 20)) {
		value->base = PROGRAM_MAX_DATA_XFER_SIZE;
		return generate_below(generate, 3) - UINT64_C(1);
	}
	return lengths[generate_below(generate, 8)];
}

/* Where in a region: its ends, or its registers. */
static uint64_t generate_place(struct generate *generate, struct program_value *value)
{
	if (generate_chance(generate, 30)) {
		value->base = PROGRAM_REGION_SIZE;
		return -(uint64_t)generate_below(generate, 9);
	}
	return (uint64_t)generate_below(generate, 0x400) * 4;
}

struct program_value generate_value(struct generate *generate, const struct program_step *step,
				    uint32_t index, const struct generate_sketch *sketch)
{
	const struct schema_field *rows;
	struct program_value value = { 0 };
	uint32_t width;

	if (index >= program_fields(step, &rows))
		return value;
	width = rows[index].width;
	value.number = generate_limit(generate, width);
	if (generate_chance(generate, 15))
		return value;
	switch ((enum schema_role)rows[index].role) {
	case SCHEMA_FLAGS:
		value.number = generate_flags(generate, rows[index].constants);
		break;
	case SCHEMA_INDEX:
		value.number = generate_below(generate, 11);
		break;
	case SCHEMA_IOVA:
		value.number = generate_address(generate, sketch);
		break;
	case SCHEMA_SIZE:
		value.number = generate_size(generate, sketch);
		break;
	case SCHEMA_LENGTH:
		value.number = generate_length(generate, &value);
		break;
	case SCHEMA_OFFSET:
		value.number = step->op == PROGRAM_SEND && step->command == WIRE_DMA_MAP ?
			generate_size(generate, sketch) : generate_place(generate, &value);
		break;
	case SCHEMA_ARGSZ:
		value.number = generate_below(generate, 64) * UINT64_C(4);
		break;
	case SCHEMA_COUNT:
	case SCHEMA_START:
		value.number = generate_below(generate, 9);
		break;
	case SCHEMA_VALUE:
	case SCHEMA_RESERVED:
	case SCHEMA_DATA:
		break;
	}
	return value;
}

/* ---- messages ---- */

/* What is made, where, and in view of what. */
struct generate_draft {
	struct generate *generate;
	struct program *program;
	struct program_step *step;
	const struct generate_sketch *sketch;
};

static void generate_give(struct program_step *step, const char *name, uint64_t number)
{
	int index = program_field(step, name);

	if (index < 0)
		return;
	step->set |= (uint16_t)(1u << index);
	step->field[index] = (struct program_value){ .number = number };
}

static void generate_data(const struct generate_draft *draft, const void *data, size_t size)
{
	/* Without room for it the message is short, which is a message too. */
	(void)program_set_data(draft->program, draft->step, data, (uint32_t)size);
}

/* A number that a client may say, or one that it may not. */
static uint32_t generate_some(struct generate *generate, uint32_t usual)
{
	return generate_chance(generate, 85) ? usual :
					       (uint32_t)generate_limit(generate, 4);
}

static void generate_capabilities(struct generate *generate, struct buf_writer *text)
{
	buf_text(text, "{\"capabilities\":{\"max_msg_fds\":%u",
		 generate_some(generate, 1 + generate_below(generate, 16)));
	if (generate_chance(generate, 60))
		buf_text(text, ",\"max_data_xfer_size\":%u",
			 generate_some(generate, GENERATE_PAGE << generate_below(generate, 9)));
	if (generate_chance(generate, 30))
		buf_text(text, ",\"max_dma_maps\":%u",
			 generate_some(generate, generate_below(generate, 70000)));
	if (generate_chance(generate, 30))
		buf_text(text, ",\"pgsizes\":%u", generate_some(generate, GENERATE_PAGE));
	if (generate_chance(generate, 40))
		buf_text(text, ",\"write_multiple\":true");
	if (generate_chance(generate, 10))
		buf_text(text, ",\"twin_socket\":{\"supported\":true}");
	if (generate_chance(generate, 10))
		buf_text(text, ",\"migration\":{\"pgsize\":%u}", GENERATE_PAGE);
	buf_text(text, "}}");
}

bool generate_version(struct generate *generate, struct program *program, uint32_t at,
		      uint8_t connection)
{
	struct program_step *step = program_insert(program, at);
	char bytes[256];
	struct buf_writer text = buf_text_over(bytes, sizeof(bytes));

	if (!step)
		return false;
	step->op = PROGRAM_SEND;
	step->command = WIRE_VERSION;
	step->connection = connection;
	generate_give(step, "minor", generate_chance(generate, 90) ? 1 : 0);
	if (generate_chance(generate, 3))
		generate_give(step, "major", 1);
	if (generate_chance(generate, 10))
		return true;
	generate_capabilities(generate, &text);
	program_set_data(program, step, bytes,
			 (uint32_t)strlen(bytes) + (generate_chance(generate, 98) ? 1 : 0));
	return true;
}

static void generate_map(const struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	struct program_step *step = draft->step;
	const struct generate_handle *file =
		&draft->sketch->handle[step->nfds ? step->fd[0].handle : 0];
	uint64_t size = generate_sizes[generate_below(generate, 4)], offset = 0;

	if (step->nfds && size > file->size)
		size = file->size & ~(uint64_t)(GENERATE_PAGE - 1);
	if (step->nfds && size < file->size && generate_chance(generate, 40))
		offset = file->size - size;
	generate_give(step, "flags", 1 + generate_below(generate, 3));
	generate_give(step, "address", (uint64_t)generate_below(generate, 256) * GENERATE_PAGE);
	generate_give(step, "size", size);
	generate_give(step, "offset", offset & ~(uint64_t)(GENERATE_PAGE - 1));
	if (generate_chance(generate, 3)) {
		step->repeat = 1 + generate_below(generate, 8);
		step->stride_field = (uint8_t)program_field(step, "address");
		step->stride = size;
	}
}

static void generate_unmap(const struct generate_draft *draft)
{
	const struct generate_sketch *sketch = draft->sketch;
	const struct generate_map *map;

	generate_give(draft->step, "address", 0);
	generate_give(draft->step, "size", GENERATE_PAGE);
	if (!sketch->nmaps)
		return;
	map = &sketch->map[generate_below(draft->generate, sketch->nmaps)];
	draft->step->connection = map->connection;
	generate_give(draft->step, "address", map->address);
	generate_give(draft->step, "size", map->size);
}

static void generate_access(const struct generate_draft *draft)
{
	static const uint32_t regions[] = { 0, 2, 4, 6, 7, 9 };
	struct generate *generate = draft->generate;
	uint32_t region = regions[generate_below(generate, 6)];
	uint32_t count = 1u << generate_below(generate, 4);

	generate_give(draft->step, "region", region);
	generate_give(draft->step, "offset", (uint64_t)generate_below(generate, 0x100) * 4);
	if (draft->step->command == WIRE_REGION_READ) {
		generate_give(draft->step, "count", count);
		return;
	}
	draft->step->data.filled = true;
	draft->step->data.fill = (uint8_t)generate_below(generate, 256);
	draft->step->data.size = count;
}

static void generate_write_multi(const struct generate_draft *draft)
{
	struct wire_write_multi_entry entries[4] = { 0 };
	uint32_t count = 1 + generate_below(draft->generate, 4);

	for (uint32_t i = 0; i < count; i++) {
		entries[i].region = generate_below(draft->generate, 3) * 2;
		entries[i].offset = (uint64_t)generate_below(draft->generate, 0x100) * 4;
		entries[i].count = generate_chance(draft->generate, 95) ? 4 : 9;
	}
	generate_give(draft->step, "wr_cnt", count);
	generate_data(draft, entries, count * sizeof(*entries));
}

static void generate_info(const struct generate_draft *draft)
{
	generate_give(draft->step, "index", generate_below(draft->generate, 10));
	if (generate_chance(draft->generate, 60))
		generate_give(draft->step, "argsz", GENERATE_PAGE);
}

static void generate_irqs(const struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	struct program_step *step = draft->step;
	uint32_t count = generate_below(generate, 5);
	uint32_t data = step->nfds ? 2 : generate_below(generate, 3);
	uint8_t vectors[4] = { 1, 0, 1, 1 };

	if (step->nfds) {
		count = generate_chance(generate, 80) ? 1 : 4;
		step->fd[0].times = (uint8_t)count;
	}
	generate_give(step, "flags", (WIRE_IRQ_SET_DATA_NONE << data) |
		      (WIRE_IRQ_SET_ACTION_MASK << generate_below(generate, 3)));
	generate_give(step, "index", generate_below(generate, WIRE_IRQ_INDEX_NUM));
	generate_give(step, "start", generate_chance(generate, 80) ? 0 :
								     generate_below(generate, 9));
	generate_give(step, "count", count);
	if (data == 1)
		generate_data(draft, vectors, count);
}

static void generate_migrate(const struct generate_draft *draft)
{
	const uint32_t state[2] = { generate_below(draft->generate, 9), UINT32_MAX };
	bool set = generate_chance(draft->generate, 80);

	generate_give(draft->step, "flags", WIRE_FEATURE_MIG_DEVICE_STATE |
		      (set ? WIRE_FEATURE_SET : WIRE_FEATURE_GET));
	if (set)
		generate_data(draft, state, sizeof(state));
}

static void generate_report(const struct generate_draft *draft)
{
	struct wire_logging_report report = {
		.iova = generate_address(draft->generate, draft->sketch),
		.length = generate_size(draft->generate, draft->sketch),
		.page_size = GENERATE_PAGE << generate_below(draft->generate, 3),
	};

	generate_give(draft->step, "flags", WIRE_FEATURE_DMA_LOGGING_REPORT | WIRE_FEATURE_GET);
	generate_give(draft->step, "argsz", GENERATE_PAGE);
	generate_data(draft, &report, sizeof(report));
}

static void generate_log(const struct generate_draft *draft)
{
	struct {
		struct wire_logging_control control;
		struct wire_logging_range range;
	} start = {
		.control.page_size = GENERATE_PAGE,
		.control.num_ranges = generate_below(draft->generate, 2),
		.range.iova = generate_address(draft->generate, draft->sketch),
		.range.length = generate_size(draft->generate, draft->sketch),
	};
	size_t size = sizeof(start.control) + start.control.num_ranges * sizeof(start.range);

	if (generate_chance(draft->generate, 20)) {
		generate_give(draft->step, "flags",
			      WIRE_FEATURE_DMA_LOGGING_STOP | WIRE_FEATURE_SET);
		return;
	}
	generate_give(draft->step, "flags", WIRE_FEATURE_DMA_LOGGING_START | WIRE_FEATURE_SET);
	generate_data(draft, &start, size);
}

static void generate_feature(const struct generate_draft *draft)
{
	/* To save the state of a device takes as long as many a program. */
	switch (generate_below(draft->generate, 10)) {
	case 0:
		generate_migrate(draft);
		break;
	case 1:
	case 2:
	case 3:
		generate_log(draft);
		break;
	case 4:
	case 5:
		generate_report(draft);
		break;
	default:
		generate_give(draft->step, "flags",
			      generate_below(draft->generate, 12) |
			      WIRE_FEATURE_GET << generate_below(draft->generate, 3));
	}
}

static void generate_migration_data(const struct generate_draft *draft)
{
	uint8_t bytes[64];

	if (draft->step->command == WIRE_MIG_DATA_READ) {
		generate_give(draft->step, "size", 1u << generate_below(draft->generate, 18));
		return;
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)generate_random(draft->generate);
	generate_data(draft, bytes, generate_below(draft->generate, sizeof(bytes)));
}

static void generate_plain(const struct generate_draft *draft)
{
	draft->step->data.filled = true;
	draft->step->data.size = generate_chance(draft->generate, 70) ? 0 : 16;
}

/* What is sent, how often of a hundred, with what descriptor. */
static const struct generate_kind {
	uint16_t command;
	uint8_t weight;
	uint8_t kind;		/* enum program_kind */
	uint8_t passes;		/* percent that do */
	void (*fill)(const struct generate_draft *draft);
} generate_kinds[] = {
	{ WIRE_DMA_MAP, 34, PROGRAM_MEMFD, 75, generate_map },
	{ WIRE_DMA_UNMAP, 14, 0, 0, generate_unmap },
	{ WIRE_DEVICE_GET_INFO, 2, 0, 0, generate_plain },
	{ WIRE_DEVICE_GET_REGION_INFO, 6, 0, 0, generate_info },
	{ WIRE_DEVICE_GET_REGION_IO_FDS, 3, 0, 0, generate_info },
	{ WIRE_DEVICE_GET_IRQ_INFO, 3, 0, 0, generate_info },
	{ WIRE_DEVICE_SET_IRQS, 9, PROGRAM_EVENTFD, 50, generate_irqs },
	{ WIRE_REGION_READ, 7, 0, 0, generate_access },
	{ WIRE_REGION_WRITE, 5, 0, 0, generate_access },
	{ WIRE_REGION_WRITE_MULTI, 3, 0, 0, generate_write_multi },
	{ WIRE_DEVICE_FEATURE, 8, 0, 0, generate_feature },
	{ WIRE_MIG_DATA_READ, 1, 0, 0, generate_migration_data },
	{ WIRE_MIG_DATA_WRITE, 1, 0, 0, generate_migration_data },
	{ WIRE_DEVICE_RESET, 1, 0, 0, generate_plain },
	{ WIRE_VERSION, 1, 0, 0, generate_plain },
	{ WIRE_DMA_WRITE, 1, 0, 0, generate_plain },
	{ 14, 1, PROGRAM_SOCKET, 30, generate_plain },
};

static const struct generate_kind *generate_pick(struct generate *generate)
{
	const struct generate_kind *kind = generate_kinds;
	uint32_t left = generate_below(generate, 100);

	while (left >= kind->weight)
		left -= (kind++)->weight;
	return kind;
}

/* A handle of that kind, opened right before the message if there is none. -1: no room. */
static int generate_handle(const struct generate_draft *draft, uint8_t kind, uint32_t *at)
{
	struct generate *generate = draft->generate;
	struct program_step *step;
	uint8_t wanted = generate_chance(generate, 95) ? kind :
			 (uint8_t)generate_below(generate, PROGRAM_KINDS);
	uint8_t handle = (uint8_t)generate_below(generate, 4);

	for (uint8_t i = 0; i < PROGRAM_HANDLES; i++) {
		if (draft->sketch->handle[i].open && draft->sketch->handle[i].kind == wanted)
			return i;
	}
	step = program_insert(draft->program, *at);
	if (!step)
		return -1;
	++*at;
	step->op = PROGRAM_OPEN;
	step->handle = handle;
	step->kind = wanted;
	step->number[0] = wanted == PROGRAM_MEMFD ?
		generate_sizes[generate_below(generate, GENERATE_SIZES)] : 0;
	if (generate_chance(generate, 10))
		step->seals = generate_below(generate, 32);
	if (generate_chance(generate, 10))
		step->properties = PROGRAM_HELD;
	return handle;
}

/* What a message may have beside its fields. */
static void generate_manner(const struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	struct program_step *step = draft->step;

	if (generate_chance(generate, 25))
		step->properties |= PROGRAM_NOWAIT;
	if (generate_chance(generate, 4))
		step->properties |= PROGRAM_NO_REPLY;
	if (generate_chance(generate, 2) && draft->sketch->twins >> step->connection & 1)
		step->properties |= PROGRAM_TWIN;
	if (generate_chance(generate, 1)) {
		step->properties |= PROGRAM_CUT;
		step->cut = generate_below(generate, 48);
	}
	if (generate_chance(generate, 4)) {
		step->npieces = 1;
		step->piece[0].end = 1 + generate_below(generate, 40);
		step->piece[0].nfds = (uint8_t)generate_below(generate, 2);
	}
}

/* One field that is not as it should be. */
static void generate_disturb(const struct generate_draft *draft)
{
	const struct schema_field *rows;
	struct program_step *step = draft->step;
	uint32_t count = (uint32_t)program_fields(step, &rows), index;

	if (!count)
		return;
	/* A wrong header mostly ends the connection, so it is rare. */
	index = count > PROGRAM_HEADER && generate_chance(draft->generate, 92) ?
		PROGRAM_HEADER + generate_below(draft->generate, count - PROGRAM_HEADER) :
		generate_below(draft->generate, PROGRAM_HEADER);
	step->set |= (uint16_t)(1u << index);
	step->field[index] = generate_value(draft->generate, step, index, draft->sketch);
}

bool generate_message(struct generate *generate, struct program *program, uint32_t at,
		      const struct generate_sketch *sketch)
{
	const struct generate_kind *kind = generate_pick(generate);
	struct generate_draft draft = { generate, program, NULL, sketch };
	struct generate_sketch with;
	bool passes = generate_chance(generate, kind->passes ? kind->passes : 1);
	int handle = passes ? generate_handle(&draft, kind->kind, &at) : -1;

	draft.step = program_insert(program, at);
	if (!draft.step)
		return false;
	if (handle >= 0) {
		generate_sketch(program, at, &with);
		draft.sketch = &with;
		draft.step->nfds = 1;
		draft.step->fd[0] = (struct program_fd){ (uint8_t)handle, 1 };
	}
	draft.step->op = PROGRAM_SEND;
	draft.step->command = kind->command;
	draft.step->connection = (uint8_t)generate_below(generate, PROGRAM_CONNECTIONS);
	if (!(sketch->open >> draft.step->connection & 1))
		draft.step->connection = 0;
	kind->fill(&draft);
	generate_manner(&draft);
	if (generate_chance(generate, 25))
		generate_disturb(&draft);
	return true;
}
