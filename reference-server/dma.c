/* SPDX-License-Identifier: BSD-3-Clause */
/* dma.c - see dma.h: the tables of mappings, and waiting. The accesses are in dma_part.c. */
#include "dma.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "dma_table.h"
#include "fault.h"

/*
 * Tells the log which pages are mapped; mappings without a window are none of its business. With
 * backing windows its addresses are theirs.
 */
static bool dma_next_run(void *owner, uint64_t page, struct dirty_run *run)
{
	const struct dma *dma = owner;
	const struct space *space = space_count(&dma->backing) ? &dma->backing : &dma->space;
	struct space_mapping mapping;

	while (page < SPACE_PAGES && space_next(space, page, &mapping)) {
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
	space_set_init(&dma->pasids, &dma->space);
	space_init_beside(&dma->backing, &dma->space, DMA_BACKING);
	pri_init(&dma->pri);
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
	if (fault_on(FAULT_windows_without_limit)) {
		dma->windows.max_count = WINDOW_MAX;
		dma->windows.max_pages = UINT64_MAX;
	}
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
	pri_attach(&dma->pri, session);
}

void dma_detach(struct dma *dma)
{
	dirty_end(&dma->dirty);
	pri_attach(&dma->pri, NULL);
	space_set_close(&dma->pasids);
	space_clear(&dma->space);
	space_init_beside(&dma->backing, &dma->space, DMA_BACKING);
	dma->count = 0;
	dma->crowded = false;
	if (!fault_on(FAULT_unmap_keeps_backing))
		window_clear(&dma->windows);
	dma->going.on = false;
	dma->strides = 0;
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
	return hazard_overlaps_in(&dma->hazards, dma->where, first, last) &&
	       hazard_await_in(&dma->hazards, dma->where, first, last);
}

bool dma_is_quiet(struct dma *dma)
{
	if (!dma->quiescing)
		return true;
	if (dma_is_held(dma))
		return false;
	return !dma->ops || !dma->ops->works(dma->owner, dma->cause);
}

/* As dma_quiesce(), for a range of a space. */
static int dma_settle(struct dma *dma, enum dma_cause cause, uint32_t where, struct range range)
{
	if (!dma->quiescing || dma->cause != cause) {
		dma->quiescing = true;
		dma->cause = cause;
		dma->where = where;
		dma->range = range;
		dma->since = clock_now();
		if (dma->ops)
			dma->ops->quiesce(dma->owner, cause, where, range);
	}
	if (!dma_is_quiet(dma))
		return -EINPROGRESS;
	dma->quiescing = false;
	if (dma->ops)
		dma->ops->quiet(dma->owner, cause, range);
	return 0;
}

int dma_quiesce(struct dma *dma, enum dma_cause cause)
{
	const struct range everything = { 0, 0 };
	int error = dma_settle(dma, cause, HAZARD_ANY, everything);

	if (!error)
		space_reclaim(&dma->space);
	return error;
}

int dma_await(struct dma *dma, enum dma_cause cause)
{
	int error = dma_settle(dma, cause, dma->going.space, dma->going.range);

	if (error)
		return error;
	if (dma->going.table)
		space_reclaim(dma->going.table);
	if (dma->going.every)
		space_set_reclaim(&dma->pasids);
	dma_sweep(dma);
	return 0;
}

void dma_leave(struct dma *dma, uint64_t entry)
{
	if (!fault_on(FAULT_unmap_returns_no_quota))
		dma->count--;
	dma->crowded = false;
	if (!(entry & SPACE_MESSAGE))
		window_leave(&dma->windows, space_entry_window(entry));
}

void dma_sweep(struct dma *dma)
{
	int window;

	while (!fault_on(FAULT_unmap_keeps_backing) &&
	       (window = window_sweep(&dma->windows)) >= 0)
		dirty_drop(&dma->dirty, (unsigned int)window);
}

void dma_hear(struct dma *dma, uint32_t flags)
{
	struct session_limits *limits = &dma->session->limits;

	if (flags & WIRE_ATTR_PASID_VALID && limits->latent.poc) {
		limits->viommu = limits->latent;
		limits->latent.poc = false;
	}
}

int dma_space_of(const struct dma *dma, uint32_t attr, uint32_t *out)
{
	uint32_t pasid = attr >> WIRE_ATTR_PASID_SHIFT;

	*out = 0;
	if (!(attr & WIRE_ATTR_PASID_VALID))
		return attr & WIRE_ATTR_PASID_MASK ? -EINVAL : 0;
	if (pasid >> dma_viommu(dma)->pasid_bits || !dma_viommu(dma)->pasid_bits)
		return -EINVAL;
	*out = pasid + 1;
	return 0;
}

struct space *dma_space(struct dma *dma, uint32_t number)
{
	return number ? space_set_find(&dma->pasids, number) : &dma->space;
}

int dma_range(uint64_t address, uint64_t size, struct range *out)
{
	if ((address | size) % DMA_PAGE)
		return -EINVAL;
	if (size == 0 && fault_on(FAULT_map_of_nothing_is_taken))
		size = DMA_PAGE;
	if (address && size > -address && fault_on(FAULT_map_may_wrap))
		size = -address;
	return range_make(address, size, out);
}

bool dma_find(const struct space *space, struct range range, struct space_mapping *out)
{
	return space && space_overlap(space, range.first / DMA_PAGE, range_last(range) / DMA_PAGE,
				      out);
}
