/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_slot_state.c - a slot as part of the saved state of its device: results, and operations
 * at rest. What is restored is believed only if a slot can be in that state.
 */
#include <errno.h>
#include <string.h>

#include "device_slot_flow.h"

/* The largest errno. */
#define SLOT_MAX_ERRNO 4095u

/* As it is saved, in host byte order. */
struct slot_image {
	uint64_t moved;
	uint64_t fault_address;
	uint64_t last_seq;
	uint64_t offset;
	uint32_t state;
	uint32_t hold;
	uint32_t error;
	uint32_t csum;
	uint32_t phase;
	uint32_t passed;
	uint32_t iteration;
	uint8_t armed;
	uint8_t unheld;
	uint16_t zero;
	uint32_t job[SLOT_STATE / 4];
};
_Static_assert(sizeof(struct slot_image) == DEVICE_SLOT_IMAGE, "the image has no gaps");

/* The phase in which an operation is held at a point. */
static const enum device_slot_phase slot_hold_phases[HOLDS] = {
	[HOLD_PRE] = PHASE_PRE,
	[HOLD_POST] = PHASE_PARTS,
	[HOLD_MID] = PHASE_MID,
	[HOLD_END] = PHASE_END,
	[HOLD_RETIRED] = PHASE_RETIRED,
	[HOLD_PREREQ] = PHASE_REQUEST,
	[HOLD_POSTRESP] = PHASE_RESPONDED,
};

/* Whether it will be done again from its look-up on: while the device runs (PRE_COPY). */
static bool slot_begins_again(const struct device_slot *slot)
{
	return slot->phase == PHASE_FETCH || slot->phase == PHASE_STORE ||
	       slot->phase == PHASE_COUNT ||
	       (slot->phase >= PHASE_REQUEST && slot->state != SLOT_HELD);
}

static bool slot_waits(const struct device_slot *slot)
{
	return slot->state == SLOT_WAIT_MSG || slot->state == SLOT_WAIT_PAGE;
}

void device_slot_save(const struct device_slot *slot, uint8_t *image)
{
	struct slot_image out = {
		.moved = slot->moved,
		.fault_address = slot->fault_address,
		.last_seq = slot->last_seq,
		.offset = slot->offset,
		.state = slot_waits(slot) ? SLOT_RUN : slot->state,
		.hold = slot->state == SLOT_HELD ? slot->hold : 0,
		.error = slot->error,
		.csum = slot->csum,
		.phase = slot->phase,
		.passed = slot->passed,
		.iteration = slot->iteration,
		.armed = slot->armed,
		.unheld = slot->unheld,
	};

	if (slot_begins_again(slot))
		out.phase = PHASE_PARTS;
	memcpy(out.job, slot->job, sizeof(out.job));
	memcpy(image, &out, sizeof(out));
}

/* Whether the values are of their types, and idle fields are zero. */
static bool slot_image_is_sound(const struct slot_image *image)
{
	bool ended = image->state == SLOT_FAULT || image->state == SLOT_ABORTED;

	if (image->zero || image->armed > 1 || image->unheld > 1 || image->passed >> HOLDS)
		return false;
	if (image->error > SLOT_MAX_ERRNO || (image->error != 0) != ended)
		return false;
	if (image->phase > (image->state == SLOT_HELD ? PHASE_RESPONDED : PHASE_RETIRED) ||
	    image->phase == PHASE_FETCH ||
	    image->phase == PHASE_STORE || image->phase == PHASE_COUNT)
		return false;
	if (image->state > SLOT_ABORTED || image->state == SLOT_WAIT_PAGE ||
	    image->state == SLOT_WAIT_MSG)
		return false;
	if (image->state != SLOT_HELD)
		return image->hold == 0 && (!image->armed || image->state == SLOT_QUEUED);
	return image->hold < HOLDS && image->phase == slot_hold_phases[image->hold] &&
	       image->passed & 1u << image->hold && !image->armed;
}

/* Whether an operation that is under way can be where the image says. */
static bool slot_is_in_its_job(const struct device_slot *slot)
{
	uint32_t count = device_slot_job(slot, SLOT_COUNT);
	uint64_t length = device_slot_job(slot, SLOT_LEN), done;
	enum device_slot_operation op = device_slot_op(slot);

	if (op == OP_NOP || op >= OPS)
		length = 0;
	done = slot->iteration * length + slot->offset;
	return slot->iteration < (count ? count : 1) && slot->offset <= length &&
	       slot->moved == (op == OP_TOUCH ? 0 : done);
}

int device_slot_restore(struct device_slot *slot, const uint8_t *image)
{
	struct slot_image in;

	memcpy(&in, image, sizeof(in));
	if (!slot_image_is_sound(&in))
		return -EINVAL;
	device_slot_abort(slot, true);
	memcpy(slot->job, in.job, sizeof(slot->job));
	slot->moved = in.moved;
	slot->fault_address = in.fault_address;
	slot->last_seq = in.last_seq;
	slot->offset = in.offset;
	slot->state = (enum device_slot_state)in.state;
	slot->hold = in.hold;
	slot->error = in.error;
	slot->csum = in.csum;
	slot->phase = (enum device_slot_phase)in.phase;
	slot->passed = in.passed;
	slot->iteration = in.iteration;
	slot->armed = in.armed;
	slot->unheld = in.unheld;
	slot->trouble = 0;
	device_slot_forget_pages(slot);
	if (!device_slot_is_live(slot) || slot_is_in_its_job(slot))
		return 0;
	slot->state = SLOT_IDLE;
	return -EINVAL;
}
