/* SPDX-License-Identifier: BSD-3-Clause */
/* dma_part.c - see dma.h: looking up, copying and messages. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "dma_table.h"
#include "fault.h"

/* Whether a mapping lets the device do that. */
static bool dma_allows(uint64_t entry, uint32_t access)
{
	if (access == WINDOW_READ && entry & SPACE_WRITE && fault_on(FAULT_write_implies_read))
		return true;
	return entry & (access == WINDOW_READ ? SPACE_READ : SPACE_WRITE) ||
	       fault_on(FAULT_dma_against_the_rights);
}

uint32_t dma_missing(struct dma *dma, uint32_t space, const struct dma_miss *miss)
{
	const struct space *table = dma_space(dma, space);
	uint64_t first = miss->address / DMA_PAGE, last, run;
	uint32_t pages;

	if (__builtin_add_overflow(miss->address, miss->size - 1, &last))
		last = UINT64_MAX;
	last /= DMA_PAGE;
	for (pages = 0; pages < PRI_CAPACITY && pages <= last - first; pages++) {
		uint64_t entry = table ? space_find(table, first + pages, 1, &run) : 0;

		if (entry && dma_allows(entry, miss->access))
			break;
	}
	return pages;
}

/* What is found at the front of the part, which is pinned; the part is cut to it. */
static int dma_translate(struct dma *dma, struct dma_part *part)
{
	const struct space *space = dma_space(dma, part->space);
	uint64_t page = part->address / DMA_PAGE, skip = part->address % DMA_PAGE;
	uint64_t last = (part->address + part->size - 1) / DMA_PAGE;
	struct atc_found found = { .entry = 0 };
	uint64_t entry;

	if (space)
		found = atc_find(part->atc, space, page, last - page + 1);
	entry = found.entry;
	part->cached = found.hit;
	if (!entry)
		return -ENOENT;
	if (!dma_allows(entry, part->access))
		return -EACCES;
	if (part->size > found.run * DMA_PAGE - skip)
		part->size = found.run * DMA_PAGE - skip;
	part->host = NULL;
	if (!(entry & SPACE_MESSAGE) && part->path != DMA_MESSAGES) {
		part->window = space_entry_window(entry);
		part->page = space_entry_page(entry);
		part->host = window_at(&dma->windows, part->window, part->page) + skip;
	}
	return !part->host && part->path == DMA_DIRECT ? -ENOTSUP : 0;
}

int dma_hold(struct dma *dma, struct dma_part *part)
{
	uint64_t first = part->address / DMA_PAGE;
	int error;

	if (part->address && part->size > -part->address)
		part->size = -part->address;
	/* Published before it is looked up, so that no DMA_UNMAP can pass between the two. */
	hazard_publish_in(&dma->hazards, part->place, part->space, first,
			  (part->address + part->size - 1) / DMA_PAGE);
	part->pinned = true;
	error = dma_translate(dma, part);
	part->held = !error;
	if (error) {
		part->host = NULL;
		hazard_clear(&dma->hazards, part->place);
		part->pinned = false;
	} else {
		hazard_narrow(&dma->hazards, part->place,
			      (part->address + part->size - 1) / DMA_PAGE);
	}
	return error;
}

void dma_unpin(struct dma *dma, struct dma_part *part)
{
	if (!part->pinned || (part->held && fault_on(FAULT_unmap_waits_for_the_client)))
		return;
	part->pinned = false;
	hazard_clear(&dma->hazards, part->place);
}

void dma_release(struct dma *dma, struct dma_part *part)
{
	part->held = false;
	dma_unpin(dma, part);
}

uint32_t dma_limit(const struct dma *dma, const struct dma_part *part)
{
	uint32_t limit = DMA_CHUNK;

	if (!part->host && dma->session && !fault_on(FAULT_dma_messages_without_limit) &&
	    dma->session->limits.client_max_data_xfer_size < limit)
		limit = dma->session->limits.client_max_data_xfer_size;
	return limit;
}

/* Logs that the first `size` bytes of a move were written. */
static void dma_mark(struct dma *dma, const struct dma_move *move, size_t size)
{
	const struct dma_part *part = move->part;
	uint64_t base = part->page - part->address / DMA_PAGE;

	if (size && !fault_on(FAULT_writes_are_not_logged))
		dirty_mark(&dma->dirty, part->window, base + move->address / DMA_PAGE,
			   base + (move->address + size - 1) / DMA_PAGE);
}

static int dma_copy(struct dma *dma, const struct dma_move *move)
{
	uint8_t *host = move->part->host + (move->address - move->part->address);
	bool reads = move->part->access == WINDOW_READ;
	unsigned char there;
	size_t n;

	if (fault_on(FAULT_holes_are_faults) &&
	    !mincore(host - move->address % DMA_PAGE, DMA_PAGE, &there) && !there)
		return -EFAULT;
	/* So many as the client takes to put its canaries where it has unmapped. */
	for (int i = 0; i < 500 && fault_on(FAULT_lookup_yields); i++)
		sched_yield();
	if (reads)
		n = window_copy(move->bytes, host, move->size);
	else
		n = window_copy(host, move->bytes, move->size);
	if (!reads || fault_on(FAULT_reads_are_logged))
		dma_mark(dma, move, n);
	if (fault_on(FAULT_torn_copy_counts_whole))
		n = move->size;
	return n ? (int)n : -EFAULT;
}

/* The count of a message, with the attribute word in its upper half. */
static uint64_t dma_count(const struct dma *dma, const struct dma_part *part, uint32_t size)
{
	uint32_t valid = dma_viommu(dma)->poc ? 0 : WIRE_ATTR_PASID_VALID, attr = 0;

	if (part->space)
		attr = valid | (part->space - 1) << WIRE_ATTR_PASID_SHIFT;
	return (uint64_t)attr << 32 | size;
}

/* Whether the reply repeats what was asked, with the data that a read has to bring. */
static bool dma_reply_fits(const struct dma_move *move, const struct msg *msg)
{
	struct wire_dma_access access;
	size_t data = move->part->access == WINDOW_READ ? move->size : 0;
	uint64_t count = dma_count(move->dma, move->part, move->size);

	if (msg->size == WIRE_DMA_WRITE_SHORT_REPLY && data == 0) {
		memset(&access, 0, sizeof(access));
		msg_read(msg, &access, WIRE_DMA_WRITE_SHORT_REPLY);
		/* It ends before the attribute word, which the poc dialect wants to see. */
		if (!dma_viommu(move->dma)->poc)
			count = move->size;
	} else if (msg->size == sizeof(access) + data) {
		msg_read(msg, &access, sizeof(access));
	} else {
		return false;
	}
	return access.address == move->address && access.count == count;
}

static void dma_answered(struct session_request *request, int error, const struct msg *msg)
{
	struct dma_move *move = request->owner;
	const struct dma *dma = move->dma;

	move->sent = false;
	/* With the extension only a miss is known by its number. */
	if (error != -EFAULT && error != -EACCES && error && dma_viommu(dma)->version)
		error = -EIO;
	if (!error && !dma_reply_fits(move, msg) && !fault_on(FAULT_dma_reply_of_any_size))
		error = -EIO;
	if (!error && move->part->access == WINDOW_READ &&
	    msg->size >= sizeof(struct wire_dma_access) + move->size)
		memcpy(move->bytes, msg->body + sizeof(struct wire_dma_access), move->size);
	dma->ops->moved(dma->owner, move, error ? error : (int)move->size);
}

/* The part may have been unmapped: that does not wait for messages. This thread is who unmaps. */
static int dma_check_again(struct dma *dma, const struct dma_move *move)
{
	const struct space *space = dma_space(dma, move->part->space);
	uint64_t page = move->address / DMA_PAGE, run;
	uint64_t pages = (move->address + move->size - 1) / DMA_PAGE - page + 1;
	uint64_t entry = space ? space_find(space, page, pages, &run) : 0;

	if (fault_on(FAULT_unmap_spares_messages))
		return 0;
	if (!entry || run < pages)
		return -ENOENT;
	return dma_allows(entry, move->part->access) ? 0 : -EACCES;
}

static int dma_send(struct dma *dma, struct dma_move *move)
{
	bool reads = move->part->access == WINDOW_READ;
	const struct wire_dma_access access = { move->address,
						dma_count(dma, move->part, move->size) };
	int error = dma_check_again(dma, move);

	if (error)
		return error;
	move->dma = dma;
	move->request = (struct session_request){
		.command = reads ? WIRE_DMA_READ : WIRE_DMA_WRITE,
		.answered = dma_answered,
		.owner = move,
	};
	error = session_send(dma->session, &move->request, &access, move->bytes,
			     reads ? 0 : move->size);
	move->sent = !error;
	return error ? error : -EINPROGRESS;
}

int dma_move(struct dma *dma, struct dma_move *move)
{
	if (move->part->host)
		return dma_copy(dma, move);
	return dma->session ? dma_send(dma, move) : -ENOTCONN;
}

void dma_cancel(struct dma *dma, struct dma_move *move)
{
	if (!move->sent)
		return;
	move->sent = false;
	if (dma->session && !fault_on(FAULT_aborted_operation_takes_replies))
		session_give_up(dma->session, &move->request);
}
