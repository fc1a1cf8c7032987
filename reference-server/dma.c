/* SPDX-License-Identifier: BSD-3-Clause */
/* dma.c - see dma.h. */
#include "dma.h"

#include <errno.h>
#include <unistd.h>

#include "fault.h"

#define DMA_FLAGS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

void dma_init(struct dma *dma)
{
	space_init(&dma->space);
	dma->limits = NULL;
}

void dma_attach(struct dma *dma, const struct session_limits *limits)
{
	dma->limits = limits;
}

static void dma_close_window(struct space_mapping *mapping, void *arg)
{
	(void)arg;
	window_close(&mapping->window, range_size(mapping->range));
}

void dma_detach(struct dma *dma)
{
	const struct range low = { 0, UINT64_C(1) << 63 }, high = { UINT64_C(1) << 63, 0 };

	space_walk(&dma->space, low, dma_close_window, NULL);
	space_walk(&dma->space, high, dma_close_window, NULL);
	space_clear(&dma->space);
	dma->limits = NULL;
}

static int dma_range(uint64_t address, uint64_t size, struct range *out)
{
	if ((address | size) % DMA_PAGE)
		return -EINVAL;
	if (size == 0 && fault_on(FAULT_map_of_nothing_is_taken))
		size = DMA_PAGE;
	if (address && size > -address && fault_on(FAULT_map_may_wrap))
		size = -address;
	return range_make(address, size, out);
}

static int dma_map_check(const struct dma *dma, const struct wire_dma_map *map,
			 struct space_mapping *out)
{
	if (map->argsz < sizeof(*map))
		return -EINVAL;
	if (!map->flags || (map->flags & ~DMA_FLAGS && !fault_on(FAULT_map_flags_are_ignored)))
		return -EINVAL;
	if (dma_range(map->address, map->size, &out->range))
		return -EINVAL;
	if (space_find(&dma->space, out->range))
		return fault_on(FAULT_overlap_is_einval) ? -EINVAL : -EEXIST;
	if (space_count(&dma->space) >= dma->limits->max_dma_maps &&
	    !fault_on(FAULT_maps_without_limit))
		return -ENOSPC;
	out->access = 0;
	if (map->flags & WIRE_DMA_MAP_READ)
		out->access |= WINDOW_READ;
	if (map->flags & WIRE_DMA_MAP_WRITE)
		out->access |= WINDOW_WRITE;
	return 0;
}

int dma_map(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	struct space_mapping mapping = { .window.base = NULL };
	struct wire_dma_map map;
	int error;

	(void)reply;
	msg_read(msg, &map, sizeof(map));
	error = dma_map_check(dma, &map, &mapping);
	if (error == -EEXIST && fault_on(FAULT_identical_map_is_taken) &&
	    range_equal(space_find(&dma->space, mapping.range)->range, mapping.range))
		return 0;
	if (error)
		return error;
	/* Without a descriptor the offset has no meaning and is ignored. */
	if (msg->count) {
		if (map.offset % DMA_PAGE)
			return -EINVAL;
		error = window_open(&mapping.window, msg->fd[0], map.offset, map.size,
				    mapping.access);
		if (error)
			return error;
		if (fault_on(FAULT_map_fd_is_never_closed))
			msg_take(msg, 0);
	}
	error = space_insert(&dma->space, &mapping);
	if (error)
		window_close(&mapping.window, map.size);
	return error;
}

int dma_unmap(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	struct space_mapping mapping = { .window.base = NULL };
	struct wire_dma_unmap unmap;
	struct range range;
	int error;

	msg_read(msg, &unmap, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap) || unmap.flags)
		return -EINVAL;
	if (dma_range(unmap.address, unmap.size, &range))
		return -EINVAL;
	if (fault_on(FAULT_unmap_of_a_part_takes_all) && space_find(&dma->space, range))
		range = space_find(&dma->space, range)->range;
	error = space_remove(&dma->space, range, &mapping);
	if (error && !fault_on(FAULT_unmap_of_nothing_succeeds))
		return error;
	if (!fault_on(FAULT_unmap_keeps_backing))
		window_close(&mapping.window, unmap.size);
	unmap.argsz = sizeof(unmap);
	session_reply_put(reply, &unmap, sizeof(unmap));
	return 0;
}
