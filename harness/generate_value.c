/* SPDX-License-Identifier: BSD-3-Clause */
/* generate_value.c - the values of fields; see generate.h. */
#include <string.h>

#include "generate_draft.h"
#include "wire.h"

#define GENERATE_TOP (UINT64_C(1) << 63)

const uint64_t generate_sizes[GENERATE_SIZES] = {
	0x1000, 0x2000, 0x4000, 0x10000, 0x100000, 0x40000000,
};

uint64_t generate_limit(struct generate *generate, uint32_t width)
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

/* Of a mapping, beside one, or anywhere. */
uint64_t generate_address(struct generate *generate, const struct generate_sketch *sketch)
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

uint64_t generate_size(struct generate *generate, const struct generate_sketch *sketch)
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
