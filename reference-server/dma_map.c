/* SPDX-License-Identifier: BSD-3-Clause */
/* dma_map.c - see dma.h: DMA_MAP. */
#include <errno.h>

#include "dma_table.h"
#include "fault.h"

#define DMA_ACCESS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

/* What a request for a range that overlaps the mapping is answered with. */
static int dma_overlap(struct range range, const struct space_mapping *mapping)
{
	if (fault_on(FAULT_overlap_is_einval))
		return -EINVAL;
	if (fault_on(FAULT_identical_map_is_taken) && mapping->first == range.first / DMA_PAGE &&
	    mapping->pages == range_size(range) / DMA_PAGE)
		return 0;
	return -EEXIST;
}

/* The bits that mean something to this client. */
static uint32_t dma_map_flags(const struct session_viommu *viommu)
{
	return DMA_ACCESS | (viommu->replace ? WIRE_DMA_MAP_REPLACE : 0) |
	       (viommu->backing ? WIRE_DMA_MAP_BACKING | WIRE_DMA_MAP_INDIRECT : 0) |
	       (viommu->pasid_bits ? WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK : 0);
}

/* A backing window has no space but its own, and is not changed. */
static bool dma_flags_fit(uint32_t flags)
{
	const uint32_t others = WIRE_DMA_MAP_REPLACE | WIRE_DMA_MAP_INDIRECT |
				WIRE_ATTR_PASID_VALID;

	return !(flags & WIRE_DMA_MAP_BACKING) || !(flags & others);
}

static int dma_check_flags(const struct dma *dma, uint32_t flags, struct dma_request *out)
{
	uint32_t known = dma_map_flags(dma_viommu(dma));

	if (fault_on(FAULT_map_flags_are_ignored))
		flags &= known;
	if (!(flags & DMA_ACCESS) || flags & ~known || !dma_flags_fit(flags))
		return -EINVAL;
	out->replaces = flags & WIRE_DMA_MAP_REPLACE;
	out->backing = flags & WIRE_DMA_MAP_BACKING;
	out->indirect = flags & WIRE_DMA_MAP_INDIRECT;
	out->flags = flags & WIRE_DMA_MAP_READ ? SPACE_READ : 0;
	out->flags |= flags & WIRE_DMA_MAP_WRITE ? SPACE_WRITE : 0;
	out->access = flags & WIRE_DMA_MAP_READ ? WINDOW_READ : 0;
	out->access |= flags & WIRE_DMA_MAP_WRITE ? WINDOW_WRITE : 0;
	return dma_space_of(dma, flags, &out->space);
}

/* Whether the range ends where the client said that addresses end. */
static bool dma_is_inside(const struct dma *dma, struct range range)
{
	uint32_t bits = dma_viommu(dma)->address_bits;

	return bits == 0 || bits >= 64 || range_last(range) >> bits == 0;
}

/* Whether exactly this is mapped: in the poc dialect, that is how a mapping is changed. */
static bool dma_is_there(const struct dma_request *request)
{
	struct space_mapping there;

	return dma_find(request->table, request->range, &there) &&
	       there.first == request->first &&
	       there.pages == range_size(request->range) / DMA_PAGE;
}

/* Whether there may be no more mappings. */
static bool dma_is_full(const struct dma *dma)
{
	uint32_t most = dma->session->limits.max_dma_maps;

	if (fault_on(FAULT_half_of_the_maps_is_enough))
		most /= 2;
	return dma->count >= most && !fault_on(FAULT_maps_without_limit);
}

/* 0 and *out, which has pages if there is something to map; or what the reply says. */
static int dma_map_check(struct dma *dma, const struct wire_dma_map *map, struct dma_request *out)
{
	struct space_mapping there;

	*out = (struct dma_request){ .pages = 0 };
	if (map->argsz < sizeof(*map) || dma_check_flags(dma, map->flags, out) ||
	    dma_range(map->address, map->size, &out->range) ||
	    (!out->backing && !dma_is_inside(dma, out->range)) ||
	    (dma_viommu(dma)->version && map->offset % DMA_PAGE))
		return -EINVAL;
	out->first = out->range.first / DMA_PAGE;
	out->offset = map->offset;
	out->table = out->backing ? &dma->backing : dma_space(dma, out->space);
	if (dma_viommu(dma)->poc)
		out->replaces = dma_is_there(out);
	for (volatile uint64_t i = 0; fault_on(FAULT_overlap_is_searched) && i < dma->count;
	     i += 32)
		continue;
	if (!out->replaces && dma_find(out->table, out->range, &there))
		return dma_overlap(out->range, &there);
	if (out->replaces && !out->table)
		return -ENOENT;
	if (!out->replaces && !out->backing && dma_is_full(dma))
		return fault_on(FAULT_full_is_einval) ? -EINVAL : -ENOSPC;
	out->pages = range_size(out->range) / DMA_PAGE;
	return 0;
}

/*
 * A space without mappings ends, if there is one in which nobody looks for any just now: that is
 * known when it can not be found any more.
 */
static void dma_make_room(struct dma *dma)
{
	struct space *space;
	uint32_t at = 0;

	if (dma->crowded)
		return;
	dma->crowded = true;
	while ((space = space_set_empty(&dma->pasids, &at)) != NULL) {
		dma->crowded = false;
		space_set_drop(&dma->pasids, space);
		if (!hazard_overlaps_in(&dma->hazards, space->number, 0, SPACE_PAGES - 1)) {
			/* Whose place this becomes knows nothing of nodes that were put aside. */
			space_reclaim(space);
			return;
		}
		space_set_add(&dma->pasids, space);
	}
}

/* The space comes with its first mapping, and is not found before it has it. */
static int dma_make_space(struct dma *dma, struct dma_request *request)
{
	int error = 0;

	if (!dma->pasids.places)
		error = space_set_open(&dma->pasids, dma_viommu(dma)->max_pasids);
	if (dma->pasids.count >= dma->pasids.max)
		dma_make_room(dma);
	return error ? error : space_set_make(&dma->pasids, request->space, &request->table);
}

static int dma_insert(struct dma *dma, struct dma_request *request, uint64_t entry)
{
	bool fresh = !request->table;
	int error = fresh ? dma_make_space(dma, request) : 0;

	if (error)
		return error;
	error = space_insert(request->table, request->first, request->pages, entry);
	if (!error && fresh)
		space_set_add(&dma->pasids, request->table);
	dma->count += !error && !request->backing;
	if (!error && fault_on(FAULT_map_forgets_a_record))
		fault_forget(128);
	return error;
}

/* The new entry is in; the old one's window stays until its references are gone. */
static int dma_replace(struct dma *dma, const struct dma_request *request, uint64_t entry)
{
	uint64_t old;
	int error = space_replace(request->table, request->first, request->pages, entry, &old);

	if (error)
		return error;
	dma_leave(dma, old);
	dma->count++;
	dma->going = (struct dma_going){
		.on = true,
		.table = request->table,
		.space = request->space,
		.range = request->range,
	};
	return 0;
}

static int dma_put(struct dma *dma, struct dma_request *request, uint64_t entry)
{
	int error = request->replaces ? dma_replace(dma, request, entry) :
					dma_insert(dma, request, entry);

	if (error && !(entry & SPACE_MESSAGE)) {
		window_leave(&dma->windows, space_entry_window(entry));
		dma_sweep(dma);
	}
	return error;
}

static int dma_map_file(struct dma *dma, const struct dma_request *request, struct msg *msg,
			uint64_t *out)
{
	int window;

	if (request->offset % DMA_PAGE)
		return -EINVAL;
	window = window_take(&dma->windows, msg->fd[0], request->offset,
			     request->pages * DMA_PAGE, request->access);
	if (window < 0)
		return window;
	if (fault_on(FAULT_map_fd_is_never_closed) ||
	    (request->replaces && fault_on(FAULT_poc_equal_map_keeps_its_descriptor)))
		msg_take(msg, 0);
	*out = space_entry(request->flags, (unsigned int)window, request->offset / DMA_PAGE);
	return 0;
}

/* What the mapping leads to; it counts in its window from then on. */
static int dma_entry(struct dma *dma, const struct dma_request *request, struct msg *msg,
		     uint64_t *out)
{
	if (request->indirect && msg->count)
		return -EINVAL;
	if (request->indirect)
		return dma_lean(dma, request, out);
	if (request->backing)
		return dma_back(dma, request, msg, out);
	if (msg->count)
		return dma_map_file(dma, request, msg, out);
	/* Without a descriptor the offset has no meaning and is ignored. */
	*out = space_entry(request->flags | SPACE_MESSAGE, 0, 0);
	return 0;
}

/* Everything but the wait. */
static int dma_map_begin(struct dma *dma, struct msg *msg)
{
	struct dma_request request;
	struct wire_dma_map map;
	uint64_t entry;
	int error;

	msg_read(msg, &map, sizeof(map));
	dma_hear(dma, map.flags);
	error = dma_map_check(dma, &map, &request);
	if (error || !request.pages)
		return error;
	error = dma_entry(dma, &request, msg, &entry);
	return error ? error : dma_put(dma, &request, entry);
}

int dma_map(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	int error = 0;

	(void)reply;
	if (dma->cause == DMA_STOPS && fault_on(FAULT_map_is_refused_while_stopped))
		return -EINVAL;
	if (!dma->going.on)
		error = dma_map_begin(dma, msg);
	if (error || !dma->going.on)
		return error;
	error = fault_on(FAULT_replace_does_not_wait) ? 0 : dma_await(dma, DMA_REPLACES);
	if (!error)
		dma->going.on = false;
	return error;
}
