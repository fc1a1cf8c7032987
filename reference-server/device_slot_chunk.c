/* SPDX-License-Identifier: BSD-3-Clause */
/* device_slot_chunk.c - see device_slot_chunk.h. */
#include "device_slot_chunk.h"

#include <errno.h>
#include <string.h>

#include "fault.h"

#define CHUNK_PATTERN_STEP 0x9du

/* Which sides of an operation are memory of the client. */
static const struct chunk_sides {
	bool source;
	bool sink;
} chunk_sides[OPS] = {
	[OP_NOP] = { false, false },
	[OP_READ] = { true, false },
	[OP_WRITE] = { false, true },
	[OP_COPY] = { true, true },
	[OP_TOUCH] = { true, false },
	[OP_FILL] = { false, true },
	[OP_CHECK] = { true, false },
};

uint32_t device_slot_job(const struct device_slot *slot, enum device_slot_register offset)
{
	return slot->job[offset / 4];
}

static uint64_t chunk_job64(const struct device_slot *slot, enum device_slot_register offset)
{
	return (uint64_t)slot->job[offset / 4 + 1] << 32 | slot->job[offset / 4];
}

enum device_slot_operation device_slot_op(const struct device_slot *slot)
{
	return (enum device_slot_operation)(device_slot_job(slot, SLOT_CMD) & 0xf);
}

uint32_t device_slot_path(const struct device_slot *slot)
{
	return device_slot_job(slot, SLOT_CMD) >> 4 & 3;
}

bool device_slot_has_side(const struct device_slot *slot, enum device_slot_register side)
{
	const struct chunk_sides *sides = &chunk_sides[device_slot_op(slot)];

	return side == SLOT_SRC ? sides->source : sides->sink;
}

int device_slot_address(const struct device_slot *slot, enum device_slot_register side,
			uint64_t *out)
{
	uint64_t stride = device_slot_job(slot, SLOT_STRIDE);
	uint64_t skip = slot->iteration * stride + slot->offset;

	return __builtin_add_overflow(chunk_job64(slot, side), skip, out) ? -ENOENT : 0;
}

/* What is left of a held part, from an address on; 0 if the address is not in it. */
static uint64_t chunk_left(const struct dma_part *part, uint64_t address)
{
	if (!part->held || address < part->address || address - part->address >= part->size)
		return 0;
	return part->size - (address - part->address);
}

/* Sees to it that the memory of one side is held, from where the operation is. */
static int chunk_hold(struct device_slot *slot, struct dma_part *part,
		      enum device_slot_register side, uint64_t *address)
{
	int error = device_slot_address(slot, side, address);
	struct dma_part next;

	if (!error && chunk_left(part, *address))
		return 0;
	dma_release(slot->env->dma, part);
	if (error)
		return error;
	if (fault_on(FAULT_translation_outlives_its_mapping) && part->host &&
	    part->address == *address) {
		part->held = true;
		return 0;
	}
	if (fault_on(FAULT_misses_are_remembered) && part->size && !part->host &&
	    part->address == *address)
		return -ENOENT;
	if (fault_on(FAULT_miss_is_cached) && part->size && !part->host &&
	    part->address == *address) {
		part->size = 0;
		return -ENOENT;
	}
	next = (struct dma_part){
		.space = device_slot_space(slot),
		.address = *address,
		.size = device_slot_job(slot, SLOT_LEN) - slot->offset,
		.access = side == SLOT_SRC ? WINDOW_READ : WINDOW_WRITE,
		.path = (enum dma_path)device_slot_path(slot),
		.place = part->place,
		.atc = slot->atc,
	};
	device_slot_event(slot, DEVICE_EVENT_REF, *address);
	device_slot_leave(slot);
	error = dma_hold(slot->env->dma, &next);
	device_slot_enter(slot);
	*part = next;
	slot->env->counters[COUNTER_ATC_HITS] += next.cached;
	if (!error)
		device_slot_event(slot, DEVICE_EVENT_XLAT, part->size);
	return error;
}

int device_slot_reach(struct device_slot *slot, uint64_t *address)
{
	const struct chunk_sides *sides = &chunk_sides[device_slot_op(slot)];
	int error = 0;

	if (sides->source)
		error = chunk_hold(slot, &slot->source, SLOT_SRC, address);
	if (!error && sides->sink)
		error = chunk_hold(slot, &slot->sink, SLOT_DST, address);
	return error;
}

void device_slot_unpin(struct device_slot *slot)
{
	if (!slot->source.host)
		dma_unpin(slot->env->dma, &slot->source);
	if (!slot->sink.host)
		dma_unpin(slot->env->dma, &slot->sink);
}

bool device_slot_needs_client(const struct device_slot *slot)
{
	return (slot->source.held && !slot->source.host) || (slot->sink.held && !slot->sink.host);
}

/* A side's part bounds the chunk. */
static uint64_t chunk_bound(const struct device_slot *slot, const struct dma_part *part,
			   enum device_slot_register side, uint64_t size)
{
	uint64_t address, left;
	uint32_t limit = dma_limit(slot->env->dma, part);

	device_slot_address(slot, side, &address);
	left = chunk_left(part, address);
	size = left < size ? left : size;
	return limit < size ? limit : size;
}

/* The place of the next byte in the device's buffer, which is used in the round. */
static uint32_t chunk_buffer_at(const struct device_slot *slot)
{
	return (uint32_t)((device_slot_job(slot, SLOT_BUF) + slot->moved) % DEVICE_BUFFER_SIZE);
}

static uint32_t chunk_size(const struct device_slot *slot)
{
	const struct chunk_sides *sides = &chunk_sides[device_slot_op(slot)];
	uint64_t size = device_slot_job(slot, SLOT_LEN) - slot->offset;
	uint64_t mid = device_slot_job(slot, SLOT_MID);

	if (size > DMA_CHUNK)
		size = DMA_CHUNK;
	if (sides->source)
		size = chunk_bound(slot, &slot->source, SLOT_SRC, size);
	if (sides->sink)
		size = chunk_bound(slot, &slot->sink, SLOT_DST, size);
	if (mid > slot->moved && size > mid - slot->moved)
		size = mid - slot->moved;
	if (size > DEVICE_BUFFER_SIZE - chunk_buffer_at(slot))
		size = DEVICE_BUFFER_SIZE - chunk_buffer_at(slot);
	return (uint32_t)size;
}

static uint8_t chunk_pattern(const struct device_slot *slot, uint32_t index)
{
	uint64_t step = (slot->moved + index) * CHUNK_PATTERN_STEP;

	return (uint8_t)(device_slot_job(slot, SLOT_PAT) + step);
}

static void chunk_fill(struct device_slot *slot)
{
	device_slot_leave(slot);
	for (uint32_t i = 0; i < slot->chunk; i++)
		slot->bytes[i] = chunk_pattern(slot, i);
	device_slot_enter(slot);
}

/* Less of the chunk can be moved than was meant, and then the operation fails. */
static void chunk_cut(struct device_slot *slot, uint32_t chunk, int error)
{
	slot->chunk = chunk;
	slot->trouble = error;
	slot->fault_address = slot->move.address + chunk;
}

/* Finds the first byte that is not the pattern's. */
static void chunk_check(struct device_slot *slot)
{
	uint32_t same = 0;

	device_slot_leave(slot);
	while (same < slot->chunk && slot->bytes[same] == chunk_pattern(slot, same))
		same++;
	device_slot_enter(slot);
	if (same < slot->chunk)
		chunk_cut(slot, same, -EILSEQ);
}

int device_slot_arrived(struct device_slot *slot, int result)
{
	if (result < 0)
		return result;
	if ((uint32_t)result < slot->chunk)
		chunk_cut(slot, (uint32_t)result, -EFAULT);
	return 0;
}

static int chunk_move(struct device_slot *slot, const struct dma_part *part,
		      enum device_slot_register side)
{
	int result;

	slot->move.part = part;
	slot->move.bytes = slot->bytes;
	slot->move.size = slot->chunk;
	device_slot_address(slot, side, &slot->move.address);
	device_slot_leave(slot);
	result = dma_move(slot->env->dma, &slot->move);
	device_slot_enter(slot);
	slot->unsent = result == -EAGAIN;
	if (result == -EINPROGRESS || result == -EAGAIN) {
		slot->state = SLOT_WAIT_MSG;
		return -EINPROGRESS;
	}
	return device_slot_arrived(slot, result);
}

void device_slot_skip(struct device_slot *slot)
{
	uint64_t address;

	device_slot_address(slot, SLOT_SRC, &address);
	slot->offset += chunk_left(&slot->source, address);
}

int device_slot_chunk_fetch(struct device_slot *slot)
{
	slot->chunk = chunk_size(slot);
	switch (device_slot_op(slot)) {
	case OP_READ:
	case OP_COPY:
	case OP_CHECK:
		return chunk_move(slot, &slot->source, SLOT_SRC);
	case OP_WRITE:
		memcpy(slot->bytes, slot->env->buffer + chunk_buffer_at(slot), slot->chunk);
		return 0;
	case OP_FILL:
		chunk_fill(slot);
		return 0;
	case OP_NOP:
	case OP_TOUCH:
	case OPS:
		break;
	}
	return 0;
}

int device_slot_chunk_store(struct device_slot *slot)
{
	switch (device_slot_op(slot)) {
	case OP_WRITE:
	case OP_COPY:
	case OP_FILL:
		return chunk_move(slot, &slot->sink, SLOT_DST);
	case OP_READ:
		memcpy(slot->env->buffer + chunk_buffer_at(slot), slot->bytes, slot->chunk);
		slot->env->written = true;
		return 0;
	case OP_CHECK:
		chunk_check(slot);
		return 0;
	case OP_NOP:
	case OP_TOUCH:
	case OPS:
		break;
	}
	return 0;
}
