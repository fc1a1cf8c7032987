/* SPDX-License-Identifier: BSD-3-Clause */
/* dma.c - see dma.h: the table of mappings, and waiting. The accesses are in dma_part.c. */
#include "dma.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"

#define DMA_FLAGS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

/* What DMA_MAP asks for, in pages. */
struct dma_request {
	uint64_t first;
	uint64_t pages;
	unsigned int flags;	/* enum space_flag */
	unsigned int access;	/* enum window_access */
};

/* Tells the log which pages are mapped; mappings without a window are none of its business. */
static bool dma_next_run(void *owner, uint64_t page, struct dirty_run *run)
{
	const struct dma *dma = owner;
	struct space_mapping mapping;

	while (page < SPACE_PAGES && space_next(&dma->space, page, &mapping)) {
		*run = (struct dirty_run){
			.address = mapping.first,
			.pages = mapping.pages,
			.window = space_entry_window(mapping.entry),
			.page = space_entry_page(mapping.entry),
		};
		if (!(mapping.entry & SPACE_MESSAGE))
			return true;
		page = mapping.first + mapping.pages;
	}
	return false;
}

int dma_init(struct dma *dma)
{
	const struct space_quota ample = { SIZE_MAX, SIZE_MAX };
	int error;

	memset(dma, 0, sizeof(*dma));
	error = hazard_init(&dma->hazards);
	space_init(&dma->space, &dma->hazards, ample);
	window_init(&dma->windows);
	dirty_init(&dma->dirty, &dma->windows, (struct dirty_source){ dma_next_run, dma });
	return error;
}

void dma_close(struct dma *dma)
{
	hazard_end(&dma->hazards);
}

void dma_set_quotas(struct dma *dma, const struct dma_quotas *quotas)
{
	struct space_quota quota = dma->space.quota;

	quota.bytes = quotas->table_bytes;
	space_init(&dma->space, &dma->hazards, quota);
	dma->windows.max_count = quotas->windows;
	dma->windows.max_pages = quotas->window_bytes / WINDOW_PAGE;
	dma->dirty.quota = quotas->dirty_bytes;
}

void dma_set_owner(struct dma *dma, const struct dma_ops *ops, void *owner)
{
	dma->ops = ops;
	dma->owner = owner;
}

void dma_attach(struct dma *dma, struct session *session)
{
	dma->session = session;
}

void dma_detach(struct dma *dma)
{
	dirty_end(&dma->dirty);
	space_clear(&dma->space);
	if (!fault_on(FAULT_unmap_keeps_backing))
		window_clear(&dma->windows);
	dma->unmapping = false;
	dma->quiescing = false;
	dma->session = NULL;
}

void dma_fence(struct dma *dma)
{
	window_fence(&dma->windows);
}

int dma_wake_fd(const struct dma *dma)
{
	return dma->hazards.kick;
}

void dma_awake(struct dma *dma)
{
	hazard_kicked(&dma->hazards);
}

void dma_kick(struct dma *dma)
{
	const uint64_t one = 1;

	/* Fails only where the counter is full, and so readable. */
	(void)!write(dma->hazards.kick, &one, sizeof(one));
}

/* Whether parts of what is waited for are held. */
static bool dma_is_held(struct dma *dma)
{
	uint64_t first = dma->range.first / DMA_PAGE, last = range_last(dma->range) / DMA_PAGE;

	if (dma->cause == DMA_UNMAPS && fault_on(FAULT_unmap_does_not_scan))
		return false;
	if (fault_on(FAULT_unmap_waits_for_all_dma)) {
		first = 0;
		last = SPACE_PAGES - 1;
	}
	return hazard_overlaps(&dma->hazards, first, last) &&
	       hazard_await(&dma->hazards, first, last);
}

bool dma_is_quiet(struct dma *dma)
{
	if (!dma->quiescing)
		return true;
	if (dma_is_held(dma))
		return false;
	return !dma->ops || !dma->ops->works(dma->owner, dma->cause);
}

/* As dma_quiesce(), for a range. */
static int dma_settle(struct dma *dma, enum dma_cause cause, struct range range)
{
	if (!dma->quiescing || dma->cause != cause) {
		dma->quiescing = true;
		dma->cause = cause;
		dma->range = range;
		dma->since = clock_now();
		if (dma->ops)
			dma->ops->quiesce(dma->owner, cause, range);
	}
	if (!dma_is_quiet(dma))
		return -EINPROGRESS;
	dma->quiescing = false;
	if (dma->ops)
		dma->ops->quiet(dma->owner, cause, range);
	space_reclaim(&dma->space);
	return 0;
}

int dma_quiesce(struct dma *dma, enum dma_cause cause)
{
	const struct range everything = { 0, 0 };

	return dma_settle(dma, cause, everything);
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

/* The lowest mapping that overlaps the range. */
static bool dma_find(const struct dma *dma, struct range range, struct space_mapping *out)
{
	return space_overlap(&dma->space, range.first / DMA_PAGE, range_last(range) / DMA_PAGE,
			     out);
}

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

/* 0 and *out, which has pages if there is something to map; or what the reply says. */
static int dma_map_check(const struct dma *dma, const struct wire_dma_map *map,
			 struct dma_request *out)
{
	struct space_mapping there;
	struct range range;

	out->pages = 0;
	if (map->argsz < sizeof(*map))
		return -EINVAL;
	if (!map->flags || (map->flags & ~DMA_FLAGS && !fault_on(FAULT_map_flags_are_ignored)))
		return -EINVAL;
	if (dma_range(map->address, map->size, &range))
		return -EINVAL;
	if (dma_find(dma, range, &there))
		return dma_overlap(range, &there);
	if (space_count(&dma->space) >= dma->session->limits.max_dma_maps &&
	    !fault_on(FAULT_maps_without_limit))
		return -ENOSPC;
	out->first = range.first / DMA_PAGE;
	out->pages = range_size(range) / DMA_PAGE;
	out->flags = map->flags & WIRE_DMA_MAP_READ ? SPACE_READ : 0;
	out->flags |= map->flags & WIRE_DMA_MAP_WRITE ? SPACE_WRITE : 0;
	out->access = map->flags & WIRE_DMA_MAP_READ ? WINDOW_READ : 0;
	out->access |= map->flags & WIRE_DMA_MAP_WRITE ? WINDOW_WRITE : 0;
	return 0;
}

/* One mapping less in the window of an entry. */
static void dma_drop(struct dma *dma, uint64_t entry)
{
	unsigned int window = space_entry_window(entry);

	if (!(entry & SPACE_MESSAGE) && window_drop(&dma->windows, window))
		dirty_drop(&dma->dirty, window);
}

static int dma_insert(struct dma *dma, const struct dma_request *request, uint64_t entry)
{
	int error = space_insert(&dma->space, request->first, request->pages, entry);

	if (error)
		dma_drop(dma, entry);
	return error;
}

static int dma_map_file(struct dma *dma, const struct dma_request *request, struct msg *msg,
			uint64_t offset)
{
	int window;

	if (offset % DMA_PAGE)
		return -EINVAL;
	window = window_take(&dma->windows, msg->fd[0], offset, request->pages * DMA_PAGE,
			     request->access);
	if (window < 0)
		return window;
	if (fault_on(FAULT_map_fd_is_never_closed))
		msg_take(msg, 0);
	return dma_insert(dma, request, space_entry(request->flags, (unsigned int)window,
						    offset / DMA_PAGE));
}

int dma_map(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	struct dma_request request;
	struct wire_dma_map map;
	int error;

	(void)reply;
	if (dma->cause == DMA_STOPS && fault_on(FAULT_map_is_refused_while_stopped))
		return -EINVAL;
	msg_read(msg, &map, sizeof(map));
	error = dma_map_check(dma, &map, &request);
	if (error || !request.pages)
		return error;
	if (msg->count)
		return dma_map_file(dma, &request, msg, map.offset);
	/* Without a descriptor the offset has no meaning and is ignored. */
	return dma_insert(dma, &request, space_entry(request.flags | SPACE_MESSAGE, 0, 0));
}

/* Takes the mapping out of the table; it is `going` from then on. */
static int dma_take_out(struct dma *dma, const struct wire_dma_unmap *unmap)
{
	struct space_mapping there;
	struct range range;
	int error;

	if (unmap->argsz < sizeof(*unmap) || unmap->flags)
		return -EINVAL;
	if (dma_range(unmap->address, unmap->size, &range))
		return -EINVAL;
	if (fault_on(FAULT_unmap_of_a_part_takes_all) && dma_find(dma, range, &there) &&
	    range_make(there.first * DMA_PAGE, there.pages * DMA_PAGE, &range))
		return -EINVAL;
	error = space_remove(&dma->space, range.first / DMA_PAGE, range_size(range) / DMA_PAGE,
			     &dma->going_entry);
	if (error)
		return error;
	dma->going = range;
	dma->unmapping = true;
	return 0;
}

int dma_unmap(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	struct wire_dma_unmap unmap;
	int error = 0;

	msg_read(msg, &unmap, sizeof(unmap));
	if (!dma->unmapping)
		error = dma_take_out(dma, &unmap);
	if (error == -ENOENT && fault_on(FAULT_unmap_of_nothing_succeeds)) {
		session_reply_put(reply, &unmap, sizeof(unmap));
		return 0;
	}
	if (!error)
		error = dma_settle(dma, DMA_UNMAPS, dma->going);
	if (error == -EINPROGRESS && msg->header.flags & WIRE_NO_REPLY &&
	    fault_on(FAULT_unmap_without_reply_waits_for_nobody))
		error = 0;
	if (error)
		return error;
	dma->unmapping = false;
	if (!fault_on(FAULT_unmap_keeps_backing))
		dma_drop(dma, dma->going_entry);
	unmap.argsz = sizeof(unmap);
	session_reply_put(reply, &unmap, sizeof(unmap));
	return 0;
}
