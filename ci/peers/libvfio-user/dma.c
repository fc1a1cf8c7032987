/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma.c - reference-server/dma.h over the scatter-gather lists of libvfio-user.
 *
 * A part that is held is one entry between vfu_sgl_get() and vfu_sgl_put(). libvfio-user refuses
 * a range as a whole when its end is not mapped, so the ranges that it reports are kept, and a
 * part is cut at the end of its mapping before it is asked for. The answer is the library's.
 *
 * vfu_sgl_read() and vfu_sgl_write() wait for the client, who meanwhile must not send a command on
 * the same socket. So messages go out only while the client waits for the reply to an access.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port.h"
#include "window_copy.h"

#define DMA_PARTS (DEVICE_SLOTS * 2u)
/* The library announces no limit, so that of the specification holds (max_dma_maps). */
#define DMA_MAPS 65535
/* The policy in CTL of a slot. */
#define DMA_DRAINS (1u << 8)

/* What a part stands for that is held to be copied; that of an equal part is as good. */
struct dma_reference {
	uint64_t address;
	uint64_t size;
	dma_sg_t *sg;
	struct iovec iov;
	uint32_t access;
	bool used;
};

static struct dma_reference dma_references[DMA_PARTS];
static dma_sg_t *dma_sg;	/* of one message */

/* What is mapped, ascending. */
static struct range *dma_ranges;
static size_t dma_range_count;

static struct dma_reference *dma_free_reference(void)
{
	struct dma_reference *reference = dma_references;

	while (reference->used)
		reference++;
	return reference;
}

static struct dma_reference *dma_reference_of(const struct dma_part *part)
{
	struct dma_reference *reference = dma_references;

	while (!reference->used || reference->address != part->address ||
	       reference->size != part->size || reference->access != part->access)
		reference++;
	return reference;
}

static bool dma_range(const struct iovec *iova, struct range *out)
{
	return range_make((uint64_t)(uintptr_t)iova->iov_base, iova->iov_len, out) == 0;
}

/* The number of ranges that end before an address: the place of the one that has it. */
static size_t dma_place(uint64_t address)
{
	size_t low = 0, high = dma_range_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (range_last(dma_ranges[middle]) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The library tells of a range again that it takes a second time. */
/* Whether what is mapped at this place is exactly that range. */
static bool dma_is_at(size_t place, struct range range)
{
	return place < dma_range_count && range_contains(dma_ranges[place], range) &&
	       range_contains(range, dma_ranges[place]);
}

static void dma_registered(vfu_ctx_t *ctx, vfu_dma_info_t *info)
{
	struct range range;
	size_t place;

	(void)ctx;
	if (!dma_range(&info->iova, &range) || dma_range_count == DMA_MAPS)
		return;
	place = dma_place(range.first);
	if (dma_is_at(place, range))
		return;
	memmove(&dma_ranges[place + 1], &dma_ranges[place],
		(dma_range_count - place) * sizeof(*dma_ranges));
	dma_ranges[place] = range;
	dma_range_count++;
}

static void dma_forget(struct range range)
{
	size_t place = dma_place(range.first);

	if (!dma_is_at(place, range))
		return;
	dma_range_count--;
	memmove(&dma_ranges[place], &dma_ranges[place + 1],
		(dma_range_count - place) * sizeof(*dma_ranges));
}

void port_dma_forget(void)
{
	dma_range_count = 0;
}

static const struct dma_part *dma_pinned(const struct device_slot *slot)
{
	if (slot->source.held && slot->source.host)
		return &slot->source;
	return slot->sink.held && slot->sink.host ? &slot->sink : NULL;
}

/* The slots are about to be told that this range is being unmapped. */
static void dma_going(struct range range)
{
	struct device_slot_env *env = &port.device.bar0.engine.env;

	env->replacing = false;
	env->going_space = HAZARD_ANY;
	env->going = range;
}

/* Nothing of the range may be held when this returns; what drains has done so by now. */
static void dma_unregistered(vfu_ctx_t *ctx, vfu_dma_info_t *info)
{
	struct device_engine *engine = &port.device.bar0.engine;
	struct range range;

	(void)ctx;
	if (!dma_range(&info->iova, &range))
		return;
	dma_forget(range);
	dma_going(range);
	engine->env.counters[COUNTER_UNMAPS]++;
	device_events_add(&engine->env.events, DEVICE_EVENT_UNMAP_BEGIN, 0, range.first);
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		struct device_slot *slot = &engine->slots[i];

		device_slot_unmap(slot);
		if (slot->draining && dma_pinned(slot))
			device_slot_abort(slot, false);
		device_slot_quiet(slot);
	}
	device_events_add(&engine->env.events, DEVICE_EVENT_UNMAP_QUIET, 0, range.first);
}

int port_dma_open(void)
{
	window_catch_faults();
	dma_ranges = calloc(DMA_MAPS, sizeof(*dma_ranges));
	dma_sg = malloc(dma_sg_size());
	if (!dma_ranges || !dma_sg)
		return -ENOMEM;
	for (uint32_t i = 0; i < DMA_PARTS; i++) {
		dma_references[i].sg = malloc(dma_sg_size());
		if (!dma_references[i].sg)
			return -ENOMEM;
	}
	if (vfu_setup_device_dma(port.ctx, DMA_MAPS, dma_registered, dma_unregistered))
		return -errno;
	return 0;
}

void port_dma_close(void)
{
	free(dma_ranges);
	free(dma_sg);
	for (uint32_t i = 0; i < DMA_PARTS; i++)
		free(dma_references[i].sg);
}

/* The engine is told by name. */
void dma_set_owner(struct dma *dma, const struct dma_ops *ops, void *owner)
{
	(void)dma;
	(void)ops;
	(void)owner;
}

/* As far as one mapping goes. */
static void dma_cut(struct dma_part *part)
{
	size_t place = dma_place(part->address);
	uint64_t left;

	if (place == dma_range_count || dma_ranges[place].first > part->address)
		return;
	left = range_last(dma_ranges[place]) - part->address + 1;
	if (left && left < part->size)
		part->size = left;
}

static int dma_look_up(uint64_t address, uint64_t size, uint32_t access, dma_sg_t *sg)
{
	vfu_dma_addr_t place = (vfu_dma_addr_t)(uintptr_t)address;
	int prot = access == WINDOW_READ ? PROT_READ : PROT_WRITE;

	errno = 0;
	if (vfu_addr_to_sgl(port.ctx, place, size, sg, 1, prot) == 1)
		return 0;
	return errno ? -errno : -ENOENT;
}

int dma_hold(struct dma *dma, struct dma_part *part)
{
	struct dma_reference *reference = dma_free_reference();
	bool mapped;
	int error;

	(void)dma;
	dma_cut(part);
	error = dma_look_up(part->address, part->size, part->access, reference->sg);
	if (error)
		return error;
	part->host = NULL;
	mapped = vfu_sg_is_mappable(port.ctx, reference->sg);
	if (!mapped && part->path == DMA_DIRECT)
		return -ENOTSUP;
	if (mapped && part->path != DMA_MESSAGES) {
		if (vfu_sgl_get(port.ctx, reference->sg, &reference->iov, 1, 0))
			return -errno;
		part->host = reference->iov.iov_base;
		reference->used = true;
		reference->address = part->address;
		reference->size = part->size;
		reference->access = part->access;
	}
	part->held = true;
	return 0;
}

void dma_release(struct dma *dma, struct dma_part *part)
{
	struct dma_reference *reference;

	(void)dma;
	if (!part->held)
		return;
	part->held = false;
	if (!part->host)
		return;
	reference = dma_reference_of(part);
	reference->used = false;
	vfu_sgl_put(port.ctx, reference->sg, &reference->iov, 1);
}

uint32_t dma_limit(const struct dma *dma, const struct dma_part *part)
{
	(void)dma;
	(void)part;
	return DMA_CHUNK;
}

static int dma_send(const struct dma_move *move)
{
	int error = dma_look_up(move->address, move->size, move->part->access, dma_sg);

	if (error)
		return error;
	error = move->part->access == WINDOW_READ ?
		vfu_sgl_read(port.ctx, dma_sg, 1, move->bytes, 0) :
		vfu_sgl_write(port.ctx, dma_sg, 1, move->bytes, 0);
	return error ? -errno : (int)move->size;
}

int dma_move(struct dma *dma, struct dma_move *move)
{
	const struct dma_part *part = move->part;
	uint8_t *host;
	size_t moved;

	(void)dma;
	if (!part->host)
		return port.talking ? dma_send(move) : -EAGAIN;
	host = part->host + (move->address - part->address);
	moved = part->access == WINDOW_READ ? window_copy(move->bytes, host, move->size) :
					      window_copy(host, move->bytes, move->size);
	return moved ? (int)moved : -EFAULT;
}

/* A move is over when dma_move() returns. */
void dma_cancel(struct dma *dma, struct dma_move *move)
{
	(void)dma;
	(void)move;
}

/*
 * The library does not say what it will do to which range. What would abort need not be touched
 * before the range is named; what wants to drain has to begin now.
 */
bool port_dma_drain(void)
{
	bool draining = false;

	if (port.device.bar0.engine.parked)
		return false;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		struct device_slot *slot = &port.device.bar0.engine.slots[i];
		const struct dma_part *part = dma_pinned(slot);
		struct range range;

		if (!part || range_make(part->address, part->size, &range) ||
		    !(device_slot_load(slot, SLOT_CTL) & DMA_DRAINS))
			continue;
		if (!slot->draining) {
			device_events_add(&slot->env->events, DEVICE_EVENT_UNMAP_BEGIN, 0,
					  range.first);
			dma_going(range);
			device_slot_unmap(slot);
		}
		draining = draining || dma_pinned(slot);
	}
	return draining;
}

/* A reset or a stop: the library has asked for quiet before, and what wanted to drain has. */
int dma_quiesce(struct dma *dma, enum dma_cause cause)
{
	(void)dma;
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		struct device_slot *slot = &port.device.bar0.engine.slots[i];

		if (cause == DMA_STOPS)
			device_slot_stop(slot);
		else
			device_slot_abort(slot, true);
	}
	return 0;
}

/* No thread and no hazard is here. */
void dma_kick(struct dma *dma)
{
	(void)dma;
}

void dma_unpin(struct dma *dma, struct dma_part *part)
{
	(void)dma;
	(void)part;
}

/* There are no page requests here. */
uint32_t dma_missing(struct dma *dma, uint32_t space, const struct dma_miss *miss)
{
	(void)dma;
	(void)space;
	(void)miss;
	return 0;
}
