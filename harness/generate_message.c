/* SPDX-License-Identifier: BSD-3-Clause */
/* generate_message.c - messages of each kind, and in which manner; see generate.h. */
#include "generate_draft.h"
#include "wire.h"
#include "wire_ext.h"

/* With what is mapped: the same range, or one that shares a page of it. */
static void generate_collide(const struct generate_draft *draft)
{
	const struct generate_sketch *sketch = draft->sketch;
	const struct generate_map *map =
		&sketch->map[generate_below(draft->generate, sketch->nmaps)];

	draft->step->connection = map->connection;
	generate_give(draft, "address", map->address);
	generate_give(draft, "size", map->size);
	if (generate_chance(draft->generate, 30))
		generate_give(draft, "address", map->address + map->size - GENERATE_PAGE);
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
	generate_give(draft, "flags", 1 + generate_below(generate, 3));
	generate_give(draft, "address", (uint64_t)generate_below(generate, 256) * GENERATE_PAGE);
	generate_give(draft, "size", size);
	if (draft->sketch->nmaps && generate_chance(generate, 15))
		generate_collide(draft);
	generate_give(draft, "offset", offset & ~(uint64_t)(GENERATE_PAGE - 1));
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

	generate_give(draft, "address", 0);
	generate_give(draft, "size", GENERATE_PAGE);
	if (!sketch->nmaps)
		return;
	map = &sketch->map[generate_below(draft->generate, sketch->nmaps)];
	draft->step->connection = map->connection;
	generate_give(draft, "address", map->address);
	generate_give(draft, "size", map->size);
}

static void generate_access(const struct generate_draft *draft)
{
	static const uint32_t regions[] = { 0, 2, 4, 6, 7, 9 };
	struct generate *generate = draft->generate;
	uint32_t region = regions[generate_below(generate, 6)];
	uint32_t count = 1u << generate_below(generate, 4);

	generate_give(draft, "region", region);
	generate_give(draft, "offset", (uint64_t)generate_below(generate, 0x100) * 4);
	if (draft->step->command == WIRE_REGION_READ) {
		generate_give(draft, "count", count);
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
	generate_give(draft, "wr_cnt", count);
	generate_data(draft, entries, count * sizeof(*entries));
}

static void generate_info(const struct generate_draft *draft)
{
	generate_give(draft, "index", generate_below(draft->generate, 10));
	if (generate_chance(draft->generate, 60))
		generate_give(draft, "argsz", GENERATE_PAGE);
}

static void generate_device(const struct generate_draft *draft)
{
	if (generate_chance(draft->generate, 30))
		generate_give(draft, "argsz", generate_below(draft->generate, 20));
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
	generate_give(draft, "flags", (WIRE_IRQ_SET_DATA_NONE << data) |
		      (WIRE_IRQ_SET_ACTION_MASK << generate_below(generate, 3)));
	generate_give(draft, "index", generate_below(generate, WIRE_IRQ_INDEX_NUM));
	generate_give(draft, "start", generate_chance(generate, 80) ? 0 :
								     generate_below(generate, 9));
	generate_give(draft, "count", count);
	if (data == 1)
		generate_data(draft, vectors, count);
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
	{ WIRE_DMA_MAP, 33, PROGRAM_MEMFD, 75, generate_map },
	{ WIRE_DMA_UNMAP, 14, 0, 0, generate_unmap },
	{ WIRE_DEVICE_GET_INFO, 2, 0, 0, generate_device },
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
	{ WIRE_PAGE_RESPONSE, 1, 0, 0, generate_response },
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

/* A handle of that kind, opened right before the message if there is none. */
static uint8_t generate_handle(struct generate_draft *draft, uint8_t kind)
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
	step = generate_next(draft, PROGRAM_OPEN);
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
	/* More descriptors than a message may have, or than one piece can. */
	if (step->nfds && generate_chance(generate, 2))
		step->fd[0].times = (uint8_t)(2 + generate_below(generate, 20));
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

/* What the vIOMMU extension adds. */
static void generate_extend(const struct generate_draft *draft)
{
	if (draft->step->command == WIRE_DMA_MAP && generate_chance(draft->generate, 60))
		generate_map_attr(draft);
	else if (draft->step->command == WIRE_DMA_UNMAP && generate_chance(draft->generate, 70))
		generate_unmap_attr(draft);
}

bool generate_message(struct generate *generate, struct program *program, uint32_t at,
		      const struct generate_sketch *sketch)
{
	const struct generate_kind *kind = generate_pick(generate);
	bool passes = generate_chance(generate, kind->passes ? kind->passes : 1);
	struct generate_draft draft = {
		.generate = generate,
		.program = program,
		.sketch = sketch,
		.at = at,
		.connection = (uint8_t)generate_below(generate, PROGRAM_CONNECTIONS),
	};
	struct generate_sketch with;
	uint8_t handle = passes ? generate_handle(&draft, kind->kind) : 0;

	if (!(sketch->open >> draft.connection & 1))
		draft.connection = 0;
	if (passes) {
		generate_sketch(program, draft.at, &with);
		draft.sketch = &with;
	}
	generate_send(&draft, kind->command);
	if (passes) {
		draft.step->nfds = 1;
		draft.step->fd[0] = (struct program_fd){ handle, 1 };
	}
	kind->fill(&draft);
	if (draft.sketch->extended >> draft.step->connection & 1)
		generate_extend(&draft);
	generate_manner(&draft);
	if (generate_chance(generate, 25))
		generate_disturb(&draft);
	return !draft.full;
}
