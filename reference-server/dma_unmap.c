/* SPDX-License-Identifier: BSD-3-Clause */
/* dma_unmap.c - see dma.h: DMA_UNMAP, of one mapping or of many. */
#include <errno.h>
#include <stdlib.h>

#include "dma_table.h"
#include "fault.h"

/* So many mappings are taken out before others have their turn, by however many messages. */
#define DMA_STRIDE 4096

/* The forms: of exactly one mapping, of those in a range, of all. */
#define DMA_FORMS (WIRE_DMA_UNMAP_RANGE | WIRE_DMA_UNMAP_ALL)
/* A backing window is removed like a mapping, and nothing of these goes with it. */
#define DMA_NOT_BACKED (DMA_FORMS | WIRE_ATTR_PASID_VALID)

/* The bits that mean something to this client. */
static uint32_t dma_unmap_flags(const struct session_viommu *viommu)
{
	if (!viommu->version && !viommu->poc)
		return 0;
	return WIRE_DMA_UNMAP_ALL | (viommu->unmap_range ? WIRE_DMA_UNMAP_RANGE : 0) |
	       (viommu->backing ? WIRE_DMA_UNMAP_BACKING : 0) |
	       (viommu->pasid_bits ? WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK : 0);
}

/* What is to be taken out: 0, or -EINVAL. */
static int dma_unmap_check(struct dma *dma, const struct wire_dma_unmap *unmap)
{
	const struct range everything = { 0, 0 };
	struct dma_going *going = &dma->going;
	uint32_t flags = unmap->flags, form = flags & DMA_FORMS;

	*going = (struct dma_going){ .next = 1 };
	if (flags & WIRE_DMA_UNMAP_GET_DIRTY_BITMAP && flags & WIRE_ATTR_PASID_VALID &&
	    fault_on(FAULT_poc_bitmap_crashes))
		abort();
	if (unmap->argsz < sizeof(*unmap) || flags & ~dma_unmap_flags(dma_viommu(dma)) ||
	    form == DMA_FORMS || (flags & WIRE_DMA_UNMAP_BACKING && flags & DMA_NOT_BACKED) ||
	    dma_space_of(dma, flags, &going->space))
		return -EINVAL;
	going->table = dma_space(dma, going->space);
	going->range = everything;
	if (form == WIRE_DMA_UNMAP_ALL && dma_viommu(dma)->poc && going->space)
		return -ENOENT;
	if (form == WIRE_DMA_UNMAP_ALL)
		return unmap->address || unmap->size ? -EINVAL : 0;
	if (form == WIRE_DMA_UNMAP_RANGE && !unmap->address && !unmap->size)
		return 0;
	return dma_range(unmap->address, unmap->size, &going->range);
}

/* Takes the one mapping out that has the range. */
static int dma_take_out(struct dma *dma)
{
	struct dma_going *going = &dma->going;
	struct space_mapping there;
	uint64_t entry;
	int error;

	if (fault_on(FAULT_unmap_of_a_part_takes_all) &&
	    dma_find(going->table, going->range, &there) &&
	    range_make(there.first * DMA_PAGE, there.pages * DMA_PAGE, &going->range))
		return -EINVAL;
	if (!going->table)
		return -ENOENT;
	if (fault_on(FAULT_unmap_fails_in_secret) && space_count(going->table) > 1024)
		return 0;
	error = space_remove(going->table, going->range.first / DMA_PAGE,
			     range_size(going->range) / DMA_PAGE, &entry);
	if (!error)
		dma_leave(dma, entry);
	return error;
}

/* Whether the first or the last page of the range is in the middle of a mapping. */
static bool dma_cuts(const struct space *table, struct range range)
{
	uint64_t first = range.first / DMA_PAGE, last = range_last(range) / DMA_PAGE;
	struct space_mapping there;

	if (!table)
		return false;
	return (space_overlap(table, first, first, &there) && there.first < first) ||
	       (space_overlap(table, last, last, &there) && there.first + there.pages - 1 > last);
}

static int dma_unmap_begin(struct dma *dma, const struct wire_dma_unmap *unmap)
{
	struct dma_going *going = &dma->going;
	int error = dma_unmap_check(dma, unmap);

	if (!error && unmap->flags & WIRE_DMA_UNMAP_BACKING) {
		error = dma_unback(dma, going->range);
		going->space = DMA_BACKING;
		going->table = &dma->backing;
	} else if (!error && !(unmap->flags & DMA_FORMS)) {
		error = dma_take_out(dma);
	} else if (!error && dma_cuts(going->table, going->range)) {
		error = -EINVAL;
	} else if (!error) {
		going->next = going->range.first / DMA_PAGE;
		going->last = range_last(going->range) / DMA_PAGE;
		going->ends = unmap->flags & WIRE_DMA_UNMAP_ALL && going->space;
		going->every = unmap->flags & WIRE_DMA_UNMAP_ALL && dma_viommu(dma)->poc;
		if (going->every)
			going->space = HAZARD_ANY;
	}
	going->on = !error;
	return error;
}

/* The table behind the one that is done with; false: there is none. */
static bool dma_unmap_turn(struct dma *dma)
{
	struct dma_going *going = &dma->going;

	going->next = going->last + 1;
	if (going->table && going->table != &dma->space && (going->ends || going->every))
		space_set_drop(&dma->pasids, going->table);
	if (!going->every)
		return false;
	going->table = space_set_any(&dma->pasids);
	going->next = 0;
	return going->table;
}

/* Takes out the next ones of many: 0 if those were the last, or -EINPROGRESS. */
static int dma_unmap_walk(struct dma *dma)
{
	struct dma_going *going = &dma->going;
	struct space_mapping there;
	uint64_t entry;

	for (; going->table; dma->strides++) {
		if (going->next > going->last ||
		    !space_overlap(going->table, going->next, going->last, &there)) {
			if (!dma_unmap_turn(dma))
				break;
			continue;
		}
		if (dma->strides >= DMA_STRIDE) {
			dma->strides = 0;
			dma_kick(dma);
			return -EINPROGRESS;
		}
		space_remove(going->table, there.first, there.pages, &entry);
		dma_leave(dma, entry);
		if (!going->pages && fault_on(FAULT_range_waits_for_its_first))
			range_make(there.first * DMA_PAGE, there.pages * DMA_PAGE, &going->range);
		going->pages += there.pages;
		going->next = there.first + there.pages;
	}
	going->next = going->last + 1;
	return 0;
}

/* The reply of the client's entry; of many, the bytes that were taken out. */
static void dma_unmap_reply(const struct dma *dma, struct wire_dma_unmap unmap,
			    struct session_reply *reply)
{
	uint64_t pages = dma->going.pages;

	if (unmap.flags & DMA_FORMS)
		unmap.size = pages >= SPACE_PAGES ? WIRE_DMA_UNMAP_EVERYTHING : pages * DMA_PAGE;
	unmap.argsz = sizeof(unmap);
	session_reply_put(reply, &unmap, sizeof(unmap));
}

/* All that has to happen before the reply. */
static int dma_unmap_run(struct dma *dma, const struct msg *msg)
{
	int error = 0;

	if (dma->going.next <= dma->going.last)
		error = dma_unmap_walk(dma);
	if (!error)
		error = dma_await(dma, DMA_UNMAPS);
	if (error == -EINPROGRESS && msg->header.flags & WIRE_NO_REPLY &&
	    fault_on(FAULT_unmap_without_reply_waits_for_nobody)) {
		dma_sweep(dma);
		error = 0;
	}
	return error;
}

int dma_unmap(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	struct wire_dma_unmap unmap;
	int error = 0;

	msg_read(msg, &unmap, sizeof(unmap));
	dma_hear(dma, unmap.flags);
	if (!dma->going.on)
		error = dma_unmap_begin(dma, &unmap);
	if (error == -ENOENT && fault_on(FAULT_unmap_of_nothing_succeeds)) {
		session_reply_put(reply, &unmap, sizeof(unmap));
		return 0;
	}
	if (!error)
		error = dma_unmap_run(dma, msg);
	if (error)
		return error;
	dma->going.on = false;
	if (dma->going.ends && pri_end_pasid(&dma->pri, dma->going.space - 1, reply)) {
		session_advance(dma->session, SESSION_BROKEN);
		return -ENOMEM;
	}
	dma_unmap_reply(dma, unmap, reply);
	return 0;
}
