/* SPDX-License-Identifier: BSD-3-Clause */
/* device_slot.c - see device_slot.h. */
#include "device_slot.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "clock.h"
#include "crc.h"
#include "device_slot_flow.h"
#include "fault.h"

/* Steps in one go: a chunk takes five, so that a slot moves a few hundred KiB in its turn. */
#define SLOT_STEPS 256

#define CMD_OP 0xfu

uint32_t device_slot_space(const struct device_slot *slot)
{
	uint32_t cmd = device_slot_job(slot, SLOT_CMD);

	return cmd & CMD_PASID ? (cmd >> CMD_PASID_SHIFT) + 1 : 0;
}

void device_slot_event(struct device_slot *slot, enum device_event event, uint64_t arg)
{
	uint32_t space = slot->env->viommu ? device_slot_space(slot) : 0;
	uint32_t pasid = space ? space - 1 : 0;

	device_events_add(&slot->env->events, event, pasid << 4 | slot->number, arg);
}

uint32_t device_slot_ctl(const struct device_slot *slot)
{
	return slot->reg[SLOT_CTL / 4];
}

void device_slot_init(struct device_slot *slot, struct device_slot_env *env, uint32_t number)
{
	/* The bytes of a chunk are only read when they have been written. */
	memset(slot, 0, offsetof(struct device_slot, bytes));
	slot->env = env;
	slot->number = number;
	slot->source.place = 2 * number;
	slot->sink.place = 2 * number + 1;
}

bool device_slot_is_live(const struct device_slot *slot)
{
	return slot->state != SLOT_IDLE && slot->state < SLOT_DONE;
}

uint32_t device_slot_status(const struct device_slot *slot)
{
	uint32_t hold = slot->state == SLOT_HELD ? slot->hold : 0;

	return slot->error << 16 | hold << 8 | slot->state;
}

void device_slot_release(struct device_slot *slot)
{
	dma_cancel(slot->env->dma, &slot->move);
	pri_withdraw(&slot->env->dma->pri, &slot->request);
	if (slot->source.held || slot->sink.held)
		device_slot_event(slot, DEVICE_EVENT_RETIRE, slot->moved);
	dma_release(slot->env->dma, &slot->source);
	dma_release(slot->env->dma, &slot->sink);
}

static void slot_finish(struct device_slot *slot, enum device_slot_state state, int error)
{
	static const enum device_counter counters[] = {
		[SLOT_DONE] = COUNTER_DONE,
		[SLOT_FAULT] = COUNTER_FAULTED,
		[SLOT_ABORTED] = COUNTER_ABORTED,
	};

	slot->state = state;
	slot->error = (uint32_t)-error;
	slot->to_abort = false;
	slot->to_stop = false;
	slot->to_renew = false;
	slot->barred = false;
	slot->unsent = false;
	slot->armed = false;
	slot->draining = false;
	slot->env->counters[counters[state]]++;
	device_slot_release(slot);
	device_slot_event(slot, DEVICE_EVENT_REPORT, device_slot_status(slot));
}

static void slot_interrupt(struct device_slot *slot)
{
	uint32_t vector = CTL_VECTOR(device_slot_ctl(slot));

	if (!(device_slot_job(slot, SLOT_CMD) & CMD_IRQ))
		return;
	device_slot_event(slot, DEVICE_EVENT_IRQ, vector);
	irq_raise(slot->env->irq, WIRE_IRQ_INDEX_MSIX, vector);
}

static void slot_last(struct device_slot *slot)
{
	if (slot->moved)
		device_slot_event(slot, DEVICE_EVENT_LAST, slot->moved);
}

void device_slot_fail(struct device_slot *slot, int error, uint64_t address)
{
	slot->fault_address = address;
	if (fault_on(FAULT_fault_forgets_what_moved))
		slot->moved = 0;
	slot_last(slot);
	slot_finish(slot, SLOT_FAULT, error);
	slot_interrupt(slot);
}

static void slot_count(struct device_slot *slot)
{
	uint32_t csum;

	device_slot_leave(slot);
	csum = crc_add(slot->csum, slot->bytes, slot->chunk);
	device_slot_enter(slot);
	slot->csum = csum;
	slot->moved += slot->chunk;
	slot->offset += slot->chunk;
	slot->last_seq = slot->env->events.head;
	if (slot->trouble)
		device_slot_fail(slot, slot->trouble, slot->fault_address);
	else
		slot->phase = PHASE_MID;
}

/* Counts a chunk that has arrived; whether the operation goes on. */
static bool slot_settle(struct device_slot *slot)
{
	if (slot->state == SLOT_RUN && slot->phase == PHASE_COUNT)
		slot_count(slot);
	return device_slot_is_live(slot);
}

static void slot_abort(struct device_slot *slot, bool silently)
{
	if (!slot_settle(slot))
		return;
	if (slot->phase != PHASE_END && slot->phase != PHASE_RETIRED)
		slot_last(slot);
	if (fault_on(FAULT_aborted_chunk_is_not_counted))
		slot->moved = slot->moved > slot->chunk ? slot->moved - slot->chunk : 0;
	slot_finish(slot, SLOT_ABORTED, -ECANCELED);
	if (!silently && !fault_on(FAULT_abort_signals_nothing))
		slot_interrupt(slot);
}

void device_slot_abort(struct device_slot *slot, bool silently)
{
	if (!device_slot_is_live(slot))
		return;
	if (!silently && fault_on(FAULT_aborted_slot_moves_on)) {
		device_slot_step(slot, STEP_END);
		return;
	}
	if (!slot->busy) {
		slot_abort(slot, silently);
		return;
	}
	slot->to_abort_silently = silently || (slot->to_abort && slot->to_abort_silently);
	slot->to_abort = true;
}

/* With memory that no unmap may take away: parts that are copied from or to. */
static bool slot_pins(const struct device_slot *slot)
{
	return (slot->source.held && slot->source.host) || (slot->sink.held && slot->sink.host);
}

/* Aborts, or begins to drain. What waits for the client cannot drain. */
static void slot_give_way(struct device_slot *slot)
{
	if (!(device_slot_ctl(slot) & CTL_DRAIN) || device_slot_needs_client(slot) ||
	    fault_on(FAULT_drain_is_abort)) {
		device_slot_abort(slot, false);
		return;
	}
	slot->draining = true;
	slot->drain_at = clock_now() + slot->env->drain_ms;
	if (fault_on(FAULT_reply_comes_before_the_drain))
		dma_unpin(slot->env->dma, &slot->sink);
}

/* Comes to rest where nothing is held; what was under way is done again. */
static void slot_park(struct device_slot *slot)
{
	if (slot->state == SLOT_WAIT_MSG && fault_on(FAULT_given_up_message_counts))
		slot_count(slot);
	if (!slot_settle(slot))
		return;
	device_slot_release(slot);
	slot->unsent = false;
	slot->trouble = 0;
	if (slot->state == SLOT_WAIT_PAGE)
		device_slot_forget_pages(slot);
	if (slot->state == SLOT_WAIT_MSG || slot->state == SLOT_WAIT_PAGE)
		slot->state = SLOT_RUN;
	if (slot->state == SLOT_RUN && (slot->phase == PHASE_FETCH || slot->phase == PHASE_STORE ||
					slot->phase >= PHASE_REQUEST))
		slot->phase = PHASE_PARTS;
}

void device_slot_stop(struct device_slot *slot)
{
	if (!device_slot_is_live(slot) || slot->state == SLOT_QUEUED || slot->draining)
		return;
	if (fault_on(FAULT_stop_drops_operations))
		device_slot_abort(slot, true);
	else if (slot->busy)
		slot->to_stop = !fault_on(FAULT_thread_is_not_told_of_a_stop);
	else if (slot->state == SLOT_HELD && slot_pins(slot))
		slot_give_way(slot);
	else
		slot_park(slot);
}

/* Gives memory back whose mapping was replaced. */
static void slot_renew(struct device_slot *slot)
{
	if (slot->state == SLOT_HELD) {
		slot_give_way(slot);
		return;
	}
	slot_park(slot);
	slot->barred = device_slot_is_live(slot);
}

/* What others wanted while the slot was busy. */
static void slot_obey(struct device_slot *slot)
{
	if (slot->to_renew && slot_pins(slot))
		slot_renew(slot);
	slot->to_renew = false;
	if (slot->to_stop && slot->state == SLOT_HELD && slot_pins(slot))
		slot_give_way(slot);
	else if (slot->to_stop)
		slot_park(slot);
	slot->to_stop = false;
	if (slot->to_abort)
		slot_abort(slot, slot->to_abort_silently);
}

bool device_slot_holds(struct device_slot *slot, enum slot_hold point)
{
	uint32_t bit = 1u << point;

	if (slot->passed & bit)
		return false;
	slot->passed |= bit;
	if (!(device_slot_ctl(slot) & bit) || slot->unheld)
		return false;
	if (slot->draining && clock_now() >= slot->drain_at && point != HOLD_RETIRED)
		return false;
	slot->state = SLOT_HELD;
	slot->hold = point;
	return true;
}

/* What the device does not know, or what is not enabled. */
static bool slot_is_refused(const struct device_slot *slot, uint32_t cmd)
{
	if (cmd & CMD_RESERVED || (cmd & CMD_VIOMMU && !slot->env->viommu))
		return true;
	return cmd & CMD_PASID ? !slot->env->pasids : cmd >> CMD_PASID_SHIFT != 0;
}

static void slot_pre(struct device_slot *slot)
{
	uint32_t cmd = device_slot_job(slot, SLOT_CMD);

	if (fault_on(FAULT_interrupt_comes_first))
		slot_interrupt(slot);
	if (slot_is_refused(slot, cmd) || (cmd & CMD_OP) >= OPS ||
	    device_slot_path(slot) > DMA_MESSAGES)
		device_slot_fail(slot, -ENOTSUP, 0);
	else if (!device_slot_holds(slot, HOLD_PRE))
		slot->phase = PHASE_PARTS;
}

/* Whether there is another iteration, and then the operation is at its start. */
static bool slot_next_iteration(struct device_slot *slot)
{
	uint32_t count = device_slot_job(slot, SLOT_COUNT);

	if (slot->iteration + 1 >= (count ? count : 1))
		return false;
	slot->iteration++;
	slot->offset = 0;
	return true;
}

static void slot_parts(struct device_slot *slot)
{
	uint32_t length = device_slot_op(slot) == OP_NOP ? 0 : device_slot_job(slot, SLOT_LEN);
	uint64_t address;
	int error;

	if (slot->offset == length && (!length || !slot_next_iteration(slot))) {
		slot_last(slot);
		slot->phase = PHASE_END;
		return;
	}
	error = device_slot_reach(slot, &address);
	if (error && fault_on(FAULT_burst_skips_faults) && slot_next_iteration(slot))
		return;
	if (error && device_slot_misses(slot, error, address, false))
		return;
	if (error) {
		device_slot_fail(slot, error, address);
		return;
	}
	/* It may have begun to go after it was looked up, and before anybody could see it. */
	if (slot->env->unmapping)
		device_slot_unmap(slot);
	device_slot_unpin(slot);
	if (fault_on(FAULT_reference_ends_at_the_look_up))
		dma_unpin(slot->env->dma, &slot->sink);
	if (fault_on(FAULT_source_is_let_go_early))
		dma_unpin(slot->env->dma, &slot->source);
	if (!device_slot_is_live(slot) || slot->barred)
		return;
	if (slot->draining && device_slot_needs_client(slot))
		device_slot_abort(slot, false);
	else if (!device_slot_holds(slot, HOLD_POST))
		slot->phase = PHASE_FETCH;
}

/* A half of a chunk is done, waits for a message, or cannot be done. */
static void slot_half(struct device_slot *slot, int error)
{
	if (error == -EINPROGRESS)
		return;
	if (error)
		device_slot_fail(slot, error, slot->move.address);
	else
		slot->phase = slot->phase == PHASE_FETCH ? PHASE_STORE : PHASE_COUNT;
}

void device_slot_moved(struct device_slot *slot, int result)
{
	int error = device_slot_arrived(slot, result);

	slot->state = SLOT_RUN;
	if (!error || !device_slot_misses(slot, error, slot->move.address, true))
		slot_half(slot, error);
}

static void slot_fetch(struct device_slot *slot)
{
	if (device_slot_op(slot) == OP_TOUCH) {
		device_slot_skip(slot);
		slot->phase = PHASE_PARTS;
		return;
	}
	if (slot->moved == 0 && !slot->unsent)
		device_slot_event(slot, DEVICE_EVENT_FIRST, 0);
	slot_half(slot, device_slot_chunk_fetch(slot));
}

static void slot_step(struct device_slot *slot)
{
	switch (slot->phase) {
	case PHASE_PRE:
		slot_pre(slot);
		break;
	case PHASE_PARTS:
		slot_parts(slot);
		break;
	case PHASE_FETCH:
		slot_fetch(slot);
		break;
	case PHASE_STORE:
		slot_half(slot, device_slot_chunk_store(slot));
		break;
	case PHASE_COUNT:
		slot_count(slot);
		break;
	case PHASE_MID:
		if (slot->moved != device_slot_job(slot, SLOT_MID) ||
		    !device_slot_holds(slot, HOLD_MID))
			slot->phase = PHASE_PARTS;
		break;
	case PHASE_END:
		if (device_slot_holds(slot, HOLD_END))
			break;
		if (!fault_on(FAULT_retired_operation_is_in_use))
			device_slot_release(slot);
		slot->phase = PHASE_RETIRED;
		break;
	case PHASE_RETIRED:
		if (device_slot_holds(slot, HOLD_RETIRED))
			break;
		slot_finish(slot, SLOT_DONE, 0);
		slot_interrupt(slot);
		break;
	case PHASE_REQUEST:
		device_slot_request(slot);
		break;
	case PHASE_RESPONDED:
		device_slot_respond(slot);
		break;
	}
}

/* Whether a held operation lets go by itself now. */
static bool slot_is_drained(const struct device_slot *slot)
{
	return slot->draining && slot->state == SLOT_HELD && slot->hold != HOLD_RETIRED &&
	       clock_now() >= slot->drain_at;
}

/*
 * What goes on by a message, and where nothing is held yet: so the first reference of an operation
 * is taken in the order of the commands, before one that is behind it can unmap its memory.
 */
static bool slot_is_for_main(const struct device_slot *slot)
{
	bool begins = slot->phase == PHASE_PARTS && !slot->source.held && !slot->sink.held;

	if (slot->unsent || slot->phase == PHASE_PRE || begins || slot->phase >= PHASE_REQUEST)
		return true;
	return (slot->phase == PHASE_FETCH && slot->source.held && !slot->source.host) ||
	       (slot->phase == PHASE_STORE && slot->sink.held && !slot->sink.host);
}

bool device_slot_runs(const struct device_slot *slot, enum device_slot_runner by)
{
	if (slot->barred || (slot->state != SLOT_RUN && !slot->unsent && !slot_is_drained(slot) &&
			     !device_slot_is_granted(slot)))
		return false;
	return by == RUN_BY_ANY || (by == RUN_BY_MAIN) == slot_is_for_main(slot);
}

void device_slot_run(struct device_slot *slot, enum device_slot_runner by)
{
	int steps = slot->env->by_hand ? 1 : SLOT_STEPS;

	if (slot->unsent || slot_is_drained(slot) || device_slot_is_granted(slot))
		slot->state = SLOT_RUN;
	for (; steps > 0 && slot->state == SLOT_RUN; steps--) {
		if (!device_slot_runs(slot, by))
			break;
		slot_step(slot);
		if (slot->to_abort || slot->to_stop || slot->to_renew)
			slot_obey(slot);
	}
}

void device_slot_begin(struct device_slot *slot)
{
	if (slot->state != SLOT_QUEUED || slot->armed)
		return;
	slot->state = SLOT_RUN;
	slot->phase = PHASE_PRE;
	slot->env->counters[COUNTER_STARTED]++;
	device_slot_event(slot, DEVICE_EVENT_START, device_slot_job(slot, SLOT_CMD));
}

void device_slot_go(struct device_slot *slot)
{
	slot->armed = false;
}

void device_slot_step(struct device_slot *slot, uint32_t code)
{
	if (!device_slot_is_live(slot))
		return;
	if (code == STEP_ABORT)
		device_slot_abort(slot, false);
	if (code == STEP_END)
		slot->unheld = true;
	if (slot->state == SLOT_HELD && (code == STEP_NEXT || code == STEP_END))
		slot->state = SLOT_RUN;
}

/* Whether the part lies in what goes. */
static bool slot_uses(const struct dma_part *part, const struct device_slot_env *env)
{
	struct range held;

	return part->held &&
	       (env->going_space == HAZARD_ANY || part->space == env->going_space) &&
	       range_make(part->address, part->size, &held) == 0 &&
	       range_overlaps(held, env->going);
}

void device_slot_unmap(struct device_slot *slot)
{
	if (!device_slot_is_live(slot) ||
	    (!slot_uses(&slot->source, slot->env) && !slot_uses(&slot->sink, slot->env) &&
	     !fault_on(FAULT_unmap_aborts_all_dma)))
		return;
	if (device_slot_needs_client(slot) && (fault_on(FAULT_unmap_waits_for_the_client) ||
					       fault_on(FAULT_unmap_spares_messages)))
		return;
	if (slot->draining)
		return;
	if (!slot->env->replacing)
		slot_give_way(slot);
	else if (slot->busy)
		slot->to_renew = true;
	else
		slot_renew(slot);
}

void device_slot_quiet(struct device_slot *slot)
{
	slot->barred = false;
	slot->draining = false;
}
