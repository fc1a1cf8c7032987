/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hazard.c - see hazard.h.
 *
 * In a slot `space` and `last` are stored before `first`, and loaded after it. So a `first` that is
 * seen comes with its own, or with those of a later use; then the use that was seen is over, and
 * the later one has not been published when the pages were taken away.
 */
#include "hazard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fault.h"

#if defined(__SANITIZE_THREAD__)
#define HAZARD_NO_FENCES 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAZARD_NO_FENCES 1
#endif
#endif
#ifndef HAZARD_NO_FENCES
#define HAZARD_NO_FENCES 0
#endif

/* ThreadSanitizer does not know fences; there a read-modify-write of one word takes the place. */
static void hazard_fence(struct hazard_set *set)
{
#if HAZARD_NO_FENCES
	atomic_fetch_add_explicit(&set->fence, 1, memory_order_seq_cst);
#else
	(void)set;
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

int hazard_init(struct hazard_set *set)
{
	for (size_t i = 0; i < HAZARD_SLOTS; i++) {
		atomic_init(&set->slot[i].first, HAZARD_NOTHING);
		atomic_init(&set->slot[i].last, 0);
		atomic_init(&set->slot[i].space, 0);
	}
	atomic_init(&set->awaited, false);
	atomic_init(&set->epoch, 0);
	atomic_init(&set->fence, 0);
	set->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return set->kick < 0 ? -errno : 0;
}

void hazard_end(struct hazard_set *set)
{
	close(set->kick);
	set->kick = -1;
}

void hazard_publish_in(struct hazard_set *set, unsigned int slot, uint32_t space, uint64_t first,
		       uint64_t last)
{
	if (fault_on(FAULT_hazards_are_not_published))
		return;
	atomic_store_explicit(&set->slot[slot].space, space, memory_order_release);
	atomic_store_explicit(&set->slot[slot].last, last, memory_order_release);
	atomic_store_explicit(&set->slot[slot].first, first, memory_order_release);
	hazard_fence(set);
}

/* The fence is the other half of hazard_await(): either the kick is seen there or the release. */
static void hazard_kick(struct hazard_set *set)
{
	const uint64_t one = 1;

	hazard_fence(set);
	if (!atomic_load_explicit(&set->awaited, memory_order_relaxed) ||
	    !atomic_exchange_explicit(&set->awaited, false, memory_order_relaxed))
		return;
	/* Fails only where the counter is full, and so readable. */
	(void)!write(set->kick, &one, sizeof(one));
}

void hazard_narrow(struct hazard_set *set, unsigned int slot, uint64_t last)
{
	atomic_store_explicit(&set->slot[slot].last, last, memory_order_release);
	hazard_kick(set);
}

void hazard_clear(struct hazard_set *set, unsigned int slot)
{
	atomic_store_explicit(&set->slot[slot].first, HAZARD_NOTHING, memory_order_release);
	hazard_kick(set);
}

uint64_t hazard_epoch(const struct hazard_set *set)
{
	return atomic_load_explicit(&set->epoch, memory_order_acquire);
}

/* hazard_overlaps() has the fence between this and the look at the slots. */
void hazard_put_aside(struct hazard_set *set)
{
	atomic_fetch_add_explicit(&set->epoch, 1, memory_order_release);
}

/* Whether what the slot holds is of that space. */
static bool hazard_is_in(const struct hazard_slot *slot, uint32_t space)
{
	return space == HAZARD_ANY ||
	       atomic_load_explicit(&slot->space, memory_order_acquire) == space;
}

bool hazard_overlaps_in(struct hazard_set *set, uint32_t space, uint64_t first, uint64_t last)
{
	hazard_fence(set);
	for (size_t i = 0; i < HAZARD_SLOTS; i++) {
		const struct hazard_slot *slot = &set->slot[i];
		uint64_t used = atomic_load_explicit(&slot->first, memory_order_acquire);

		if (used != HAZARD_NOTHING && used <= last && hazard_is_in(slot, space) &&
		    atomic_load_explicit(&slot->last, memory_order_acquire) >= first)
			return true;
	}
	return false;
}

bool hazard_await_in(struct hazard_set *set, uint32_t space, uint64_t first, uint64_t last)
{
	atomic_store_explicit(&set->awaited, true, memory_order_relaxed);
	if (hazard_overlaps_in(set, space, first, last))
		return true;
	atomic_store_explicit(&set->awaited, false, memory_order_relaxed);
	return false;
}

void hazard_kicked(struct hazard_set *set)
{
	uint64_t count;

	(void)!read(set->kick, &count, sizeof(count));
}
