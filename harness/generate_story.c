/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generate_story.c - steps that belong together: what a single one can not show, since a server
 * has to be brought somewhere first, or has to tell something before it can be held to it.
 */
#include "generate_draft.h"
#include "wire.h"

#define GENERATE_LONG 4096u	/* argsz with room for everything */
#define GENERATE_MANY 1024u	/* mappings in a row */
#define GENERATE_PART ((uint64_t)GENERATE_PAGE)
#define GENERATE_MEMORY (4 * GENERATE_PART)	/* of a file, and a mapping, of a story */

static uint32_t generate_one(const struct generate_draft *draft, const uint32_t *of, uint32_t count)
{
	return of[generate_below(draft->generate, count)];
}
#define GENERATE_ONE(draft, of) generate_one(draft, of, sizeof(of) / sizeof(*(of)))

/* So many times in a hundred the newest step goes on without the reply. */
static void generate_hurry(const struct generate_draft *draft, uint32_t percent)
{
	if (generate_chance(draft->generate, percent))
		draft->step->properties |= PROGRAM_NOWAIT;
}

static void generate_any(struct generate_draft *draft)
{
	uint32_t before = draft->program->count;

	generate_message(draft->generate, draft->program, draft->at, draft->sketch);
	draft->at += draft->program->count - before;
}

/* ---- what is told, and its edges ---- */

/* Around the end of a region that was told, of the address space, and its beginning. */
static void generate_edge(struct generate_draft *draft, uint32_t region)
{
	static const uint16_t commands[] = { WIRE_REGION_READ, WIRE_REGION_WRITE };
	static const uint32_t counts[] = { 0, 1, 2, 4, 8, 3, 9, 16 };
	struct generate *generate = draft->generate;
	uint32_t count = GENERATE_ONE(draft, counts), before = generate_below(generate, 10);

	generate_send(draft, commands[generate_below(generate, 2)]);
	generate_give(draft, "region", region);
	if (generate_chance(generate, 50))
		generate_count(draft, "offset", PROGRAM_REGION_SIZE, -(uint64_t)before);
	else
		generate_give(draft, "offset", generate_chance(generate, 30) ? -(uint64_t)before :
			      4 * (uint64_t)generate_below(generate, 17));
	if (draft->step->command == WIRE_REGION_READ || generate_chance(generate, 20))
		generate_give(draft, "count", count);
	if (draft->step->command == WIRE_REGION_READ)
		return;
	draft->step->data.filled = true;
	draft->step->data.size = count;
}

static void generate_tell_region(struct generate_draft *draft)
{
	static const uint32_t regions[] = { 0, 2, 4, 6, 7, 9, 1, 8 };
	static const uint32_t rooms[] = { GENERATE_LONG, GENERATE_LONG, 32, 40, 16, 0 };
	uint32_t region = GENERATE_ONE(draft, regions);
	uint32_t times = 1 + generate_below(draft->generate, 3);

	generate_send(draft, WIRE_DEVICE_GET_REGION_INFO);
	generate_give(draft, "index", region);
	generate_give(draft, "argsz", GENERATE_ONE(draft, rooms));
	if (generate_chance(draft->generate, 20)) {
		generate_send(draft, WIRE_DEVICE_GET_REGION_IO_FDS);
		generate_give(draft, "index", generate_chance(draft->generate, 80) ? 4 : region);
		generate_give(draft, "argsz", GENERATE_ONE(draft, rooms));
	}
	for (uint32_t i = 0; i < times; i++)
		generate_edge(draft, region);
}

/* Several writes, one of which may be to a region that was told not to be there. */
static void generate_tell_writes(struct generate_draft *draft)
{
	static const uint32_t regions[] = { 2, 2, 4, 7, 99 };
	struct wire_write_multi_entry entries[4] = { 0 };
	uint32_t count = 2 + generate_below(draft->generate, 3);

	for (uint32_t i = 0; i < count; i++) {
		entries[i].region = GENERATE_ONE(draft, regions);
		entries[i].offset = 4 * (uint64_t)generate_below(draft->generate, 8);
		entries[i].count = generate_below(draft->generate, 9);
	}
	generate_send(draft, WIRE_DEVICE_GET_INFO);
	generate_send(draft, WIRE_REGION_WRITE_MULTI);
	generate_give(draft, "wr_cnt", count);
	generate_data(draft, entries, count * sizeof(*entries));
}

/* Descriptors for vectors, not always as many as it says. */
static void generate_tell_irqs(struct generate_draft *draft)
{
	static const uint32_t starts[] = { 0, 0, 0, 1, 7, 8, UINT32_MAX, UINT32_MAX - 1 };
	static const uint32_t counts[] = { 1, 1, 2, 3, 8, 9, 0, UINT32_MAX };
	struct generate *generate = draft->generate;
	uint32_t index = generate_below(generate, WIRE_IRQ_INDEX_NUM), data;

	generate_send(draft, WIRE_DEVICE_GET_IRQ_INFO);
	generate_give(draft, "index", index);
	generate_give(draft, "argsz", 16);
	generate_next(draft, PROGRAM_OPEN);
	draft->step->kind = PROGRAM_EVENTFD;
	draft->step->handle = 5;
	for (uint32_t i = 0; i < 1 + generate_below(generate, 3); i++) {
		uint32_t count = GENERATE_ONE(draft, counts);

		data = WIRE_IRQ_SET_DATA_NONE << generate_below(generate, 3);
		generate_send(draft, WIRE_DEVICE_SET_IRQS);
		generate_give(draft, "index", index);
		generate_give(draft, "flags", data | WIRE_IRQ_SET_ACTION_MASK <<
			      (generate_chance(generate, 60) ? 2 : generate_below(generate, 3)));
		generate_give(draft, "start", GENERATE_ONE(draft, starts));
		generate_give(draft, "count", count);
		draft->step->data.filled = data == WIRE_IRQ_SET_DATA_BOOL;
		draft->step->data.size = draft->step->data.filled ? count & 15 : 0;
		draft->step->nfds = data == WIRE_IRQ_SET_DATA_EVENTFD;
		draft->step->fd[0] = (struct program_fd){ 5, (uint8_t)(1 + (count & 15)) };
		if (generate_chance(generate, 80))
			draft->step->fd[0].times = (uint8_t)(count & 15);
	}
}

static void generate_tell_features(struct generate_draft *draft)
{
	for (uint32_t i = 0; i < 1 + generate_below(draft->generate, 4); i++) {
		generate_send(draft, WIRE_DEVICE_FEATURE);
		if (generate_chance(draft->generate, 60))
			generate_probe(draft);
		else
			generate_feature(draft);
	}
	generate_send(draft, WIRE_DEVICE_GET_INFO);
}

/* ---- from state to state ---- */

static void generate_enter(struct generate_draft *draft, uint32_t state)
{
	generate_send(draft, WIRE_DEVICE_FEATURE);
	generate_state(draft, state);
}

/* What a state is good for, or something that it is not. */
static void generate_in_state(struct generate_draft *draft, uint32_t state)
{
	static const uint8_t magic[] = "VUCSTAT0 and so on: no state that a device could have";
	struct generate *generate = draft->generate;

	if (state == WIRE_STATE_RESUMING || generate_chance(generate, 10)) {
		generate_send(draft, WIRE_MIG_DATA_WRITE);
		generate_data(draft, magic, 1 + generate_below(generate, sizeof(magic)));
	} else if (generate_chance(generate, 70)) {
		generate_send(draft, WIRE_MIG_DATA_READ);
		generate_give(draft, "size", 1u << generate_below(generate, 18));
		draft->step->repeat = 1 + generate_below(generate, 4);
	} else {
		generate_any(draft);
	}
}

static void generate_migration(struct generate_draft *draft)
{
	static const uint32_t states[] = {
		WIRE_STATE_STOP, WIRE_STATE_STOP_COPY, WIRE_STATE_RESUMING, WIRE_STATE_RESUMING,
		WIRE_STATE_PRE_COPY, WIRE_STATE_RUNNING,
	};
	uint32_t state;

	generate_send(draft, WIRE_DEVICE_FEATURE);
	generate_give(draft, "flags", WIRE_FEATURE_MIGRATION | WIRE_FEATURE_GET);
	generate_give(draft, "argsz", GENERATE_LONG);
	for (uint32_t i = 0; i < 1 + generate_below(draft->generate, 3); i++) {
		state = GENERATE_ONE(draft, states);
		generate_enter(draft, state);
		if (generate_chance(draft->generate, 60))
			generate_in_state(draft, state);
		if (state == WIRE_STATE_RESUMING)
			generate_enter(draft, WIRE_STATE_STOP);
		if (generate_chance(draft->generate, 30)) {
			generate_send(draft, WIRE_DEVICE_FEATURE);
			generate_give(draft, "flags",
				      WIRE_FEATURE_MIG_DEVICE_STATE | WIRE_FEATURE_GET);
			generate_give(draft, "argsz", GENERATE_LONG);
		}
	}
}

static void generate_logging(struct generate_draft *draft)
{
	for (uint32_t i = 0; i < 2 + generate_below(draft->generate, 4); i++) {
		generate_send(draft, WIRE_DEVICE_FEATURE);
		generate_feature(draft);
	}
}

/* ---- one client after the other ---- */

/* A client that says little, and one that says nothing: the defaults are for each. */
static void generate_again(struct generate_draft *draft)
{
	static const char small[] = "{\"capabilities\":{\"max_data_xfer_size\":1,"
				    "\"max_msg_fds\":0,\"max_dma_maps\":1}}";

	generate_next(draft, PROGRAM_CONNECT);
	generate_send(draft, WIRE_VERSION);
	generate_give(draft, "minor", 1);
	generate_data(draft, small, sizeof(small));
	if (generate_chance(draft->generate, 50))
		generate_any(draft);
	generate_next(draft, PROGRAM_CONNECT);
	generate_send(draft, WIRE_VERSION);
	generate_give(draft, "minor", 1);
	generate_send(draft, WIRE_DEVICE_GET_REGION_INFO);
	generate_give(draft, "index", WIRE_REGION_INDEX_CONFIG);
	generate_give(draft, "argsz", GENERATE_LONG);
	generate_send(draft, WIRE_REGION_READ);
	generate_give(draft, "region", WIRE_REGION_INDEX_CONFIG);
	generate_give(draft, "count", 4);
}

/* As many mappings as a server takes, and one more: few of these cost as much as all others. */
static void generate_crowd(struct generate_draft *draft)
{
	if (!generate_chance(draft->generate, 25))
		return;
	generate_send(draft, WIRE_DMA_MAP);
	generate_give(draft, "flags", WIRE_DMA_MAP_READ);
	generate_give(draft, "address", UINT64_C(1) << 40);
	generate_give(draft, "size", GENERATE_PAGE);
	draft->step->repeat = GENERATE_MANY + 2;
	draft->step->stride_field = (uint8_t)program_field(draft->step, "address");
	draft->step->stride = GENERATE_PAGE;
}

/* Several at once, which a server may read together. */
static void generate_burst(struct generate_draft *draft)
{
	static const uint32_t commands[] = {
		WIRE_DEVICE_GET_INFO, WIRE_DEVICE_GET_REGION_INFO, WIRE_DMA_UNMAP, 99,
	};

	generate_send(draft, (uint16_t)GENERATE_ONE(draft, commands));
	draft->step->repeat = 2 + generate_below(draft->generate, 6);
	generate_hurry(draft, 50);
}

/* A header that says less than there is of it. */
static void generate_short(struct generate_draft *draft)
{
	static const uint32_t commands[] = {
		WIRE_DEVICE_RESET, WIRE_DEVICE_GET_INFO, WIRE_VERSION,
	};

	generate_send(draft, (uint16_t)GENERATE_ONE(draft, commands));
	generate_give(draft, "header.msg_size", generate_below(draft->generate, 16));
	draft->step->properties |= PROGRAM_CUT;
	draft->step->cut = sizeof(struct wire_header);
}

/* ---- work of the device ---- */

static void generate_memory(struct generate_draft *draft, uint64_t address, bool file)
{
	struct generate *generate = draft->generate;

	if (file) {
		generate_next(draft, PROGRAM_OPEN);
		draft->step->handle = 6;
		draft->step->number[0] = GENERATE_MEMORY;
		if (generate_chance(generate, 5))
			draft->step->number[0] = GENERATE_MEMORY / 2;
		if (generate_chance(generate, 10))
			draft->step->properties = PROGRAM_HELD;
		if (generate_chance(generate, 10))
			draft->step->seals = generate_below(generate, 32);
	}
	generate_send(draft, WIRE_DMA_MAP);
	generate_give(draft, "flags", generate_chance(generate, 70) ? 3 :
		      1 + generate_below(generate, 2));
	generate_give(draft, "address", address);
	generate_give(draft, "size", GENERATE_MEMORY);
	draft->step->nfds = file;
	draft->step->fd[0] = (struct program_fd){ 6, 1 };
}

/* An operation on the memory at `address`, which may stop on its way. */
static void generate_operate(struct generate_draft *draft, uint64_t address)
{
	static const uint32_t lengths[] = { 1, 64, 4096, 4097, 0x2800, 0x4000, 0x4001 };
	struct generate *generate = draft->generate;

	generate_next(draft, PROGRAM_SLOT);
	draft->step->command = (uint16_t)generate_below(generate, 2);
	generate_give(draft, "cmd", (1 + generate_below(generate, 6)) |
		      (generate_chance(generate, 30) ? 2u << 4 : 0) |
		      (generate_chance(generate, 30) ? 1u << 7 : 0));
	generate_give(draft, "src", address + generate_below(generate, 3) * GENERATE_PART);
	generate_give(draft, "dst", address + generate_below(generate, 2) * GENERATE_PART);
	generate_give(draft, "len", GENERATE_ONE(draft, lengths));
	if (generate_chance(generate, 50))
		generate_give(draft, "ctl", (1u << generate_below(generate, 5)) |
			      (generate_chance(generate, 40) ? 1u << 8 : 0));
	generate_hurry(draft, 50);
}

static void generate_release(struct generate_draft *draft, uint64_t address)
{
	generate_send(draft, WIRE_DMA_UNMAP);
	generate_give(draft, "address", address);
	generate_give(draft, "size", GENERATE_MEMORY);
	generate_hurry(draft, 50);
	if (generate_chance(draft->generate, 10))
		draft->step->properties |= PROGRAM_NO_REPLY;
}

/* What happens to an operation that is under way. */
static void generate_meanwhile(struct generate_draft *draft, uint64_t address, uint64_t other)
{
	struct generate *generate = draft->generate;

	switch (generate_below(generate, 10)) {
	case 0:
	case 1:
		generate_release(draft, address);
		break;
	case 2:
	case 3:
		generate_release(draft, other);
		break;
	case 4:
		generate_next(draft, PROGRAM_TRUNCATE)->handle = 6;
		draft->step->number[0] = generate_below(generate, 3) * GENERATE_PART;
		break;
	case 5:
		generate_next(draft, PROGRAM_POKE);
		draft->step->command = (uint16_t)generate_below(generate, 2);
		draft->step->number[0] = 1 + generate_below(generate, 3);
		break;
	case 6:
		generate_send(draft, generate_chance(generate, 50) ? WIRE_DEVICE_RESET :
						     WIRE_DEVICE_GET_INFO);
		break;
	case 7:
		generate_enter(draft, 1 + generate_below(generate, 3));
		break;
	case 8:
		generate_next(draft, PROGRAM_TICK)->number[0] = PROGRAM_MS;
		break;
	default:
		generate_next(draft, PROGRAM_REPLY);
		if (generate_chance(generate, 50))
			generate_give(draft, "header.error", 14);
	}
}

static void generate_dma(struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	uint64_t address = (64 + 8 * generate_below(generate, 4)) * GENERATE_PART;
	uint64_t other = address + (generate_chance(generate, 50) ? 4 : 64) * GENERATE_PART;
	bool file = generate_chance(generate, 60);

	generate_memory(draft, address, file);
	if (generate_chance(generate, 60))
		generate_memory(draft, other, generate_chance(generate, 60));
	if (file && generate_chance(generate, 15)) {
		generate_next(draft, PROGRAM_TRUNCATE)->handle = 6;
		draft->step->number[0] = generate_below(generate, 3) * GENERATE_PART;
	}
	generate_operate(draft, address);
	if (generate_chance(generate, 30))
		generate_operate(draft, generate_chance(generate, 50) ? other : address);
	for (uint32_t i = 0; i < 1 + generate_below(generate, 4); i++)
		generate_meanwhile(draft, address, other);
}

/* Which, and how often of a hundred. */
static const struct generate_story_kind {
	uint8_t weight;
	void (*tell)(struct generate_draft *draft);
} generate_stories[] = {
	{ 27, generate_dma },
	{ 18, generate_tell_region },
	{ 3, generate_tell_writes },
	{ 15, generate_tell_irqs },
	{ 12, generate_tell_features },
	{ 6, generate_migration },
	{ 6, generate_logging },
	{ 4, generate_again },
	{ 1, generate_crowd },
	{ 6, generate_burst },
	{ 2, generate_short },
};

bool generate_story(struct generate *generate, struct program *program, uint32_t at,
		    const struct generate_sketch *sketch)
{
	const struct generate_story_kind *kind = generate_stories;
	uint32_t left = generate_below(generate, 100);
	struct generate_draft draft = {
		.generate = generate,
		.program = program,
		.sketch = sketch,
		.at = at,
		.connection = (uint8_t)generate_below(generate, PROGRAM_CONNECTIONS),
	};

	if (!(sketch->open >> draft.connection & 1))
		draft.connection = 0;
	if (sketch->extended >> draft.connection & 1 && generate_chance(generate, 60)) {
		generate_extension(&draft);
		return !draft.full;
	}
	while (left >= kind->weight)
		left -= (kind++)->weight;
	kind->tell(&draft);
	return !draft.full;
}
