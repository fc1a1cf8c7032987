/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generate_viommu.c - the vIOMMU extension: offers of it, and steps that belong together where it
 * was negotiated: mappings in several spaces, operations that miss pages, backing windows.
 */
#include "generate_draft.h"
#include "wire_ext.h"

#define GENERATE_PART ((uint64_t)GENERATE_PAGE)
#define GENERATE_HANDLE 7u	/* of the file that pages are of */
#define GENERATE_BEGIN (96 * GENERATE_PART)	/* where stories of this file map */
#define GENERATE_WINDOW (512 * GENERATE_PART)	/* and where their backing windows are */
#define GENERATE_PAGES_BIT 0x40u	/* of cmd: an operation may ask for pages */
#define GENERATE_TRANSLATE_BIT 0x200u
#define GENERATE_ARMED_BIT 0x400u
#define GENERATE_GO 0x50u	/* in BAR0: starts the slots that are armed, by bit */
#define GENERATE_PR_TIMEOUT 0x20u

static uint32_t generate_one(const struct generate_draft *draft, const uint32_t *of, uint32_t count)
{
	return of[generate_below(draft->generate, count)];
}
#define GENERATE_ONE(draft, of) generate_one(draft, of, sizeof(of) / sizeof(*(of)))

/* ---- the capability ---- */

static const char *generate_truth(struct generate *generate, uint32_t percent)
{
	return generate_chance(generate, percent) ? "true" : "false";
}

void generate_offer(struct generate *generate, struct buf_writer *text)
{
	static const uint32_t bits[] = { 8, 8, 20, 1, 0, 21 }, pasids[] = { 16, 16, 2, 1, 256, 0 };
	static const uint32_t pages[] = { 64, 32, 32, 4, 2, 1, 512, 0 };

	if (generate_chance(generate, 5)) {
		buf_text(text, ",\"viommu\":{\"version\":%u}", generate_below(generate, 3));
		return;
	}
	buf_text(text, ",\"viommu\":{\"version\":1,\"pasid_bits\":%u,\"max_pasids\":%u,",
		 bits[generate_chance(generate, 90) ? 0 : generate_below(generate, 6)],
		 pasids[generate_below(generate, 6)]);
	buf_text(text, "\"page_requests\":%u,\"unmap_range\":%s,\"replace\":%s,\"backing\":%s",
		 pages[generate_below(generate, 8)], generate_truth(generate, 90),
		 generate_truth(generate, 90), generate_truth(generate, 40));
	if (generate_chance(generate, 10))
		buf_text(text, ",\"address_bits\":%u", 32 + generate_below(generate, 33));
	buf_text(text, "}");
}

/* ---- attribute words ---- */

/* A space: most often of a few PASIDs, so that steps meet. */
static uint32_t generate_space(struct generate *generate)
{
	uint32_t pasid = generate_below(generate, 4);

	if (generate_chance(generate, 20))
		return 0;
	if (generate_chance(generate, 5))
		pasid = (uint32_t)generate_limit(generate, 4);
	return WIRE_ATTR_PASID_VALID | pasid << WIRE_ATTR_PASID_SHIFT;
}

/* The space of a mapping in the sketch, or any. */
static uint32_t generate_space_of(const struct generate_draft *draft)
{
	const struct generate_sketch *sketch = draft->sketch;

	if (!sketch->nmaps || generate_chance(draft->generate, 30))
		return generate_space(draft->generate);
	return sketch->map[generate_below(draft->generate, sketch->nmaps)].attr;
}

void generate_map_attr(const struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	int flags = program_field(draft->step, "flags");
	uint32_t attr = generate_space(generate);

	if (generate_chance(generate, 15)) {
		static const uint32_t bits[] = {
			WIRE_DMA_MAP_REPLACE, WIRE_DMA_MAP_REPLACE, WIRE_DMA_MAP_REPLACE,
			WIRE_DMA_MAP_BACKING, WIRE_DMA_MAP_INDIRECT,
		};

		attr |= GENERATE_ONE(draft, bits);
	}
	draft->step->field[flags].number |= attr;
}

void generate_unmap_attr(const struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	uint32_t attr = generate_space_of(draft);

	switch (generate_below(generate, 8)) {
	case 0:
	case 1:
		attr |= WIRE_DMA_UNMAP_RANGE;
		if (generate_chance(generate, 60)) {
			generate_give(draft, "address", 0);
			generate_give(draft, "size", generate_chance(generate, 50) ? 0 :
				      UINT64_C(1) << 20);
		}
		break;
	case 2:
	case 3:
		attr |= WIRE_DMA_UNMAP_ALL;
		if (generate_chance(generate, 95)) {
			generate_give(draft, "address", 0);
			generate_give(draft, "size", 0);
		}
		break;
	case 4:
		attr = generate_chance(generate, 20) ? WIRE_DMA_UNMAP_BACKING : attr;
		break;
	default:
		break;
	}
	generate_give(draft, "flags", attr);
}

void generate_response(const struct generate_draft *draft)
{
	static const uint32_t codes[] = { 0, 0, 0, 0, 1, 1, 15, 2 };

	if (generate_chance(draft->generate, 90))
		generate_count(draft, "cookie", PROGRAM_COOKIE,
			       generate_chance(draft->generate, 85) ? 0 : 1);
	generate_give(draft, "code", GENERATE_ONE(draft, codes));
}

/* ---- mappings in several spaces ---- */

static void generate_place_map(struct generate_draft *draft, uint32_t attr, uint64_t page,
			       uint32_t file)
{
	generate_send(draft, WIRE_DMA_MAP);
	generate_give(draft, "flags", attr | (1 + generate_below(draft->generate, 3)));
	generate_give(draft, "address", GENERATE_BEGIN + page * GENERATE_PART);
	generate_give(draft, "size", (1 + generate_below(draft->generate, 2)) * GENERATE_PART);
	draft->step->nfds = file ? 1 : 0;
	draft->step->fd[0] = (struct program_fd){ (uint8_t)file, (uint8_t)(file ? 1 : 0) };
}

static void generate_file_of_pages(struct generate_draft *draft)
{
	generate_next(draft, PROGRAM_OPEN);
	draft->step->handle = GENERATE_HANDLE;
	draft->step->number[0] = 16 * GENERATE_PART;
}

static void generate_take_away(struct generate_draft *draft)
{
	uint64_t page = 2 * (uint64_t)generate_below(draft->generate, 4);

	generate_send(draft, WIRE_DMA_UNMAP);
	generate_give(draft, "address", GENERATE_BEGIN + page * GENERATE_PART);
	generate_give(draft, "size", (1 + generate_below(draft->generate, 4)) * GENERATE_PART);
	generate_unmap_attr(draft);
	if (generate_chance(draft->generate, 20))
		draft->step->properties |= PROGRAM_NOWAIT;
	if (generate_chance(draft->generate, 10))
		draft->step->properties |= PROGRAM_NO_REPLY;
}

static void generate_spaces(struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	bool file = generate_chance(generate, 50);

	if (file)
		generate_file_of_pages(draft);
	for (uint32_t i = 0; i < 2 + generate_below(generate, 4); i++) {
		uint64_t page = 2 * (uint64_t)generate_below(generate, 4);
		uint32_t attr = generate_space(generate);

		if (generate_chance(generate, 15))
			attr |= WIRE_DMA_MAP_REPLACE;
		generate_place_map(draft, attr, page,
				   file && generate_chance(generate, 60) ? GENERATE_HANDLE : 0);
		if (generate_chance(generate, 25))
			generate_take_away(draft);
	}
	for (uint32_t i = 0; i < 1 + generate_below(generate, 3); i++)
		generate_take_away(draft);
}

/* ---- operations that miss pages ---- */

static void generate_config(struct generate_draft *draft, uint32_t offset, const void *data,
			    size_t size)
{
	generate_send(draft, WIRE_REGION_WRITE);
	generate_give(draft, "offset", offset);
	generate_give(draft, "region", WIRE_REGION_INDEX_CONFIG);
	generate_data(draft, data, size);
}

/* The registers of ATS, PRI and PASID stand in a row: three enable bits and the allocation. */
static void generate_permit(struct generate_draft *draft)
{
	static const uint32_t allocations[] = { 64, 64, 64, 64, 4, 1, 0 };
	static const uint8_t master[] = { 0x06, 0x00 };
	struct generate *generate = draft->generate;
	uint32_t registers[9] = { 0x80000000, 0, 0, 0, 1, 0, 0, 0, 0x10000 };

	registers[6] = GENERATE_ONE(draft, allocations);
	if (generate_chance(generate, 5))
		registers[(size_t)4 * generate_below(generate, 3)] = 0;
	generate_config(draft, 4, master, sizeof(master));
	generate_config(draft, 0x104, registers, sizeof(registers));
}

static void generate_policy(struct generate_draft *draft)
{
	static const uint32_t ways[] = {
		PROGRAM_AT_ONCE, PROGRAM_AT_ONCE, PROGRAM_RANDOM, PROGRAM_LATE, PROGRAM_PARTIAL,
		PROGRAM_TWICE, PROGRAM_INVALID, PROGRAM_NEVER, PROGRAM_NEVER, PROGRAM_FAILURE,
	};

	generate_next(draft, PROGRAM_PAGES);
	draft->step->number[0] = GENERATE_ONE(draft, ways);
	draft->step->nfds = generate_chance(draft->generate, 70);
	draft->step->fd[0] = (struct program_fd){ GENERATE_HANDLE, 1 };
}

static void generate_missing(struct generate_draft *draft, uint32_t slot, uint32_t cmd)
{
	static const uint32_t lengths[] = { 64, 4096, 4097, 0x2800, 0x4000 };
	struct generate *generate = draft->generate;

	generate_next(draft, PROGRAM_SLOT);
	draft->step->command = (uint16_t)slot;
	generate_give(draft, "cmd", cmd | (1 + generate_below(generate, 6)) | GENERATE_PAGES_BIT |
		      generate_space(generate) |
		      (generate_chance(generate, 10) ? GENERATE_TRANSLATE_BIT : 0));
	generate_give(draft, "src", GENERATE_BEGIN + generate_below(generate, 4) * GENERATE_PART);
	generate_give(draft, "dst", GENERATE_BEGIN + (4 + generate_below(generate, 4)) *
						     GENERATE_PART);
	generate_give(draft, "len", GENERATE_ONE(draft, lengths));
	if (generate_chance(generate, 25))
		generate_give(draft, "ctl", (1u << generate_below(generate, 7)) |
			      (generate_chance(generate, 30) ? 1u << 8 : 0) |
			      generate_below(generate, 4) << 24);
	if (generate_chance(generate, 40))
		draft->step->properties |= PROGRAM_NOWAIT;
}

static void generate_bar(struct generate_draft *draft, uint32_t offset, uint32_t value)
{
	generate_send(draft, WIRE_REGION_WRITE);
	generate_give(draft, "offset", offset);
	generate_give(draft, "region", WIRE_REGION_INDEX_BAR0);
	generate_data(draft, &value, sizeof(value));
}

/* Several at once: nothing is between their requests. */
static void generate_volley(struct generate_draft *draft)
{
	for (uint32_t slot = 0; slot < 3; slot++)
		generate_missing(draft, slot, GENERATE_ARMED_BIT);
	generate_bar(draft, GENERATE_GO, 7);
}

/* The interface is disabled, reset, or enabled again. */
static void generate_interface(struct generate_draft *draft)
{
	static const uint32_t controls[] = { 0, 2, 3, 1 };
	uint32_t control = GENERATE_ONE(draft, controls);

	generate_config(draft, 0x114, &control, 2);
}

/* What happens to an operation that waits for a page. */
static void generate_in_between(struct generate_draft *draft)
{
	struct generate *generate = draft->generate;

	switch (generate_below(generate, 12)) {
	case 0:
	case 1:
	case 2:
		generate_send(draft, WIRE_PAGE_RESPONSE);
		generate_response(draft);
		break;
	case 3:
	case 4:
		generate_take_away(draft);
		break;
	case 5:
		generate_policy(draft);
		break;
	case 6:
		generate_next(draft, PROGRAM_TICK)->number[0] = PROGRAM_MS;
		break;
	case 7:
		generate_interface(draft);
		break;
	case 8:
		generate_send(draft, WIRE_DEVICE_RESET);
		generate_permit(draft);
		break;
	case 9:
		generate_send(draft, WIRE_DEVICE_FEATURE);
		generate_state(draft, 1 + generate_below(generate, 3));
		break;
	case 10:
		generate_next(draft, PROGRAM_POKE);
		draft->step->command = (uint16_t)generate_below(generate, 2);
		draft->step->number[0] = 1 + generate_below(generate, 3);
		break;
	default:
		generate_missing(draft, generate_below(generate, 2), 0);
	}
}

static void generate_faults(struct generate_draft *draft)
{
	struct generate *generate = draft->generate;

	generate_permit(draft);
	if (generate_chance(generate, 10))
		generate_bar(draft, GENERATE_PR_TIMEOUT, generate_below(generate, 100));
	if (generate_chance(generate, 60))
		generate_file_of_pages(draft);
	generate_policy(draft);
	if (generate_chance(generate, 20))
		generate_volley(draft);
	else
		generate_missing(draft, 0, 0);
	for (uint32_t i = 0; i < 1 + generate_below(generate, 5); i++)
		generate_in_between(draft);
}

/* ---- backing windows ---- */

static void generate_windows(struct generate_draft *draft)
{
	struct generate *generate = draft->generate;

	generate_file_of_pages(draft);
	generate_send(draft, WIRE_DMA_MAP);
	generate_give(draft, "flags", WIRE_DMA_MAP_BACKING | 3);
	generate_give(draft, "address", GENERATE_WINDOW);
	generate_give(draft, "size", 8 * GENERATE_PART);
	draft->step->nfds = 1;
	draft->step->fd[0] = (struct program_fd){ GENERATE_HANDLE, 1 };
	for (uint32_t i = 0; i < 1 + generate_below(generate, 3); i++) {
		generate_place_map(draft, generate_space(generate) | WIRE_DMA_MAP_INDIRECT,
				   2 * (uint64_t)generate_below(generate, 4), 0);
		generate_give(draft, "offset", GENERATE_WINDOW +
			      generate_below(generate, 9) * GENERATE_PART);
	}
	if (generate_chance(generate, 50))
		generate_take_away(draft);
	generate_send(draft, WIRE_DMA_UNMAP);
	generate_give(draft, "flags", WIRE_DMA_UNMAP_BACKING);
	generate_give(draft, "address", GENERATE_WINDOW);
	generate_give(draft, "size", 8 * GENERATE_PART);
}

void generate_extension(struct generate_draft *draft)
{
	uint32_t which = generate_below(draft->generate, 10);

	if (which < 6)
		generate_faults(draft);
	else if (which < 9)
		generate_spaces(draft);
	else
		generate_windows(draft);
}
