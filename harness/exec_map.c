/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_map.c - what the client has mapped, by space, and its bytes; see exec_state.h.
 *
 * Space 0 is that of addresses without PASID, which is the only one without the vIOMMU extension.
 * A backing window is a mapping in a space of its own; a mapping that refers to one has its bytes.
 */
#include "exec_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "wire_ext.h"

#define EXEC_BACKING UINT64_MAX	/* the space of backing windows */

uint64_t exec_space(uint32_t attr)
{
	return attr & WIRE_ATTR_PASID_VALID ? (attr >> WIRE_ATTR_PASID_SHIFT) + UINT64_C(1) : 0;
}

struct exec_map *exec_map_at(const struct exec_connection *c, uint64_t space, uint64_t address)
{
	for (uint32_t i = 0; i < c->nmaps; i++)
		if (c->map[i].space == space && address >= c->map[i].address &&
		    address - c->map[i].address < c->map[i].size)
			return &c->map[i];
	return NULL;
}

/* The bytes that a mapping shows by way of a backing window. */
static void exec_map_indirect(const struct exec_connection *c, struct exec_map *map)
{
	const struct exec_map *window = exec_map_at(c, EXEC_BACKING, map->offset);

	if (!window)
		return;
	map->offset = window->offset + (map->offset - window->address);
	map->file = window->file;
}

void exec_map_of(const struct exec *exec, uint32_t index, const struct model_message *message,
		 struct exec_map *out)
{
	const struct exec_connection *c = &exec->connection[index];
	bool extended = model_extension(c->model);
	struct wire_dma_unmap unmap;
	struct wire_dma_map map;

	if (message->header->command == WIRE_DMA_MAP && message->size >= sizeof(map)) {
		memcpy(&map, message->body, sizeof(map));
		*out = (struct exec_map){
			.address = map.address,
			.size = map.size,
			.offset = map.offset,
			.file = message->nfds ? exec->passed.first : NULL,
			.flags = extended ? map.flags : 0,
		};
	} else if (message->header->command == WIRE_DMA_UNMAP && message->size >= sizeof(unmap)) {
		memcpy(&unmap, message->body, sizeof(unmap));
		*out = (struct exec_map){
			.address = unmap.address,
			.size = unmap.size,
			.flags = extended ? unmap.flags : 0,
		};
	}
	out->space = exec_space(out->flags);
	if (out->flags & WIRE_DMA_MAP_BACKING)
		out->space = EXEC_BACKING;
	else if (out->flags & WIRE_DMA_MAP_INDIRECT)
		exec_map_indirect(c, out);
}

static void exec_map_add(struct exec_connection *c, const struct exec_map *map)
{
	if (!c->map)
		c->map = calloc(EXEC_MAPS, sizeof(*c->map));
	if (!c->map || c->nmaps == EXEC_MAPS)
		c->unmapped = true;
	else
		c->map[c->nmaps++] = *map;
}

/* Is that mapping among those that the message of `map` is about? */
static bool exec_map_is_meant(const struct exec_map *one, const struct exec_map *map, bool many)
{
	bool all = many && !map->size;

	if (one->space != map->space)
		return false;
	if (!many)
		return one->address == map->address && one->size == map->size;
	return all || (one->address >= map->address &&
		       one->address - map->address + one->size <= map->size);
}

/* Takes out what a message has removed, or replaced. */
static void exec_map_remove(struct exec *exec, uint32_t index, const struct exec_asked *asked,
			    bool many)
{
	struct exec_connection *c = &exec->connection[index];

	for (uint32_t i = c->nmaps; i-- > 0;) {
		const struct exec_map gone = c->map[i];

		if (!exec_map_is_meant(&gone, &asked->map, many))
			continue;
		c->map[i] = c->map[--c->nmaps];
		exec_guard_unmapped(exec, index, asked, &gone);
		if (!many)
			return;
	}
}

void exec_mapped(struct exec *exec, uint32_t index, const struct exec_asked *asked)
{
	struct exec_connection *c = &exec->connection[index];
	const struct exec_map *map = &asked->map;
	struct exec_map *old;

	if (asked->command == WIRE_DMA_UNMAP) {
		exec_map_remove(exec, index, asked,
				map->flags & (WIRE_DMA_UNMAP_ALL | WIRE_DMA_UNMAP_RANGE));
	} else if (asked->command == WIRE_DMA_MAP && map->flags & WIRE_DMA_MAP_REPLACE) {
		old = exec_map_at(c, map->space, map->address);
		if (old && exec_map_is_meant(old, map, false)) {
			const struct exec_map gone = *old;

			*old = *map;
			exec_guard_unmapped(exec, index, asked, &gone);
		}
	} else if (asked->command == WIRE_DMA_MAP) {
		exec_map_add(c, map);
	}
}

/* Move bytes of one mapping: to `in`, or from `from`. 0, or what keeps them from being moved. */
static int exec_move_one(const struct exec_map *map, const struct exec_access *part, uint8_t *in,
			 const uint8_t *from)
{
	uint64_t offset = map->offset + (part->address - map->address);

	if (!map->file && in)
		for (uint64_t i = 0; i < part->count; i++)
			in[i] = arena_pattern(0, part->address + i);
	if (!map->file)
		return 0;
	return in ? arena_read(map->file, offset, in, (uint32_t)part->count) :
		    arena_write(map->file, offset, from, (uint32_t)part->count);
}

uint32_t exec_move(const struct exec_connection *c, struct exec_access access, uint8_t *in,
		   const uint8_t *from)
{
	while (access.count) {
		const struct exec_map *map = exec_map_at(c, access.space, access.address);
		struct exec_access part = access;
		uint64_t left;

		if (!map)
			return c->unmapped ? ENOMEM : EFAULT;
		left = map->size - (access.address - map->address);
		if (part.count > left)
			part.count = left;
		if (exec_move_one(map, &part, in, from))
			return EFAULT;
		in = in ? in + part.count : NULL;
		from = from ? from + part.count : NULL;
		access.address += part.count;
		access.count -= part.count;
	}
	return 0;
}
