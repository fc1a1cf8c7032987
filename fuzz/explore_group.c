/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_group.c - see explore_group.h. */
#include "explore_group.h"

#include <errno.h>
#include <string.h>

#include "device_slot_flow.h"
#include "explore_device.h"
#include "explore_memory.h"
#include "explore_record.h"

static struct {
	const struct explore_scenario *scenario;
	struct watch_group it[WATCH_REQUESTS];
	uint32_t count;
	uint32_t since;			/* slots, by bit, since the last ALL of their space */
	bool ended[EXPLORE_MAPPINGS];	/* spaces by ALL, as of its reply */
} groups;

void group_begin(const struct explore_scenario *scenario)
{
	memset(&groups, 0, sizeof(groups));
	groups.scenario = scenario;
}

const struct watch_group *group_get(uint32_t number)
{
	return number < groups.count ? &groups.it[number] : NULL;
}

uint32_t group_space(uint32_t attr)
{
	return attr & WIRE_ATTR_PASID_VALID ? (attr >> WIRE_ATTR_PASID_SHIFT) + 1 : 0;
}

/* The slots of a space, by bit. */
static uint32_t group_slots_of(uint32_t space)
{
	uint32_t slots = 0;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		uint32_t cmd = groups.scenario->slot[i].cmd;
		uint32_t its = cmd & CMD_PASID ? (cmd >> CMD_PASID_SHIFT) + 1 : 0;

		slots |= its == space ? 1u << i : 0;
	}
	return slots;
}

void group_retire(bool any, uint32_t space, bool spared)
{
	for (uint32_t i = 0; i < groups.count; i++) {
		struct watch_group *group = &groups.it[i];

		if (group->state != WATCH_OUTSTANDING || (!any && group->space != space))
			continue;
		group->state = WATCH_RETIRED;
		group->spared = spared;
	}
}

/* A response finds its group outstanding, or nothing. */
bool group_answered(const struct explore_step *step, uint32_t error)
{
	struct watch_group *group = &groups.it[step->what];
	bool good = group->state == WATCH_OUTSTANDING && !group->expired;

	/* Time has passed that nobody has seen. */
	if (good && error == ENOENT && groups.scenario->pr_timeout && !explore_owns_time()) {
		group->expired = true;
		good = false;
	}
	if (explore_owns_time() || !groups.scenario->pr_timeout || error != (good ? 0u : ENOENT))
		record_expects(good ? 0u : ENOENT);
	if (error != (good ? 0u : ENOENT))
		explore_violation("the response to a group that %s is answered with %u",
				  good ? "is outstanding" : "is over", error);
	if (group->state == WATCH_OUTSTANDING)
		group->state = WATCH_ANSWERED;
	if (good && step->with == WIRE_PAGE_FAILURE)
		group_retire(true, 0, false);
	return !good && !group->spared;
}

uint32_t group_pages(void)
{
	uint32_t pages = 0;

	for (uint32_t i = 0; i < groups.count; i++)
		pages += groups.it[i].state == WATCH_OUTSTANDING ? groups.it[i].pages : 0;
	return pages;
}

/* Whether a group is outstanding that has this cookie. */
bool group_knows(uint32_t cookie)
{
	for (uint32_t i = 0; i < groups.count; i++) {
		if (groups.it[i].cookie == cookie && groups.it[i].state == WATCH_OUTSTANDING)
			return true;
	}
	return false;
}

/*
 * Who waited for a page or credit when its space ended asks for nothing more. An operation that
 * stood at a hold point may.
 */
static bool group_is_of_dead(const struct watch_group *group, const struct wire_page_range *range)
{
	const uint32_t spared = 1u << HOLD_PRE | 1u << HOLD_PREREQ | 1u << HOLD_POSTRESP;
	uint32_t dead = group_slots_of(group->space) & ~groups.since;

	if (!groups.ended[group->space % EXPLORE_MAPPINGS] || groups.scenario->twin)
		return false;
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (dead & 1u << i && !(explore_holds(i) & spared) &&
		    groups.scenario->slot[i].dst / MEMORY_PAGE == range->address / MEMORY_PAGE)
			return true;
	}
	return false;
}

void group_take(const struct message *m, uint32_t crossing)
{
	struct watch_group *group = &groups.it[groups.count];
	struct wire_page_request head;
	struct wire_page_range range;

	memcpy(&head, m->body, sizeof(head));
	if (groups.count == WATCH_REQUESTS)
		explore_violation("explore: too many page requests");
	*group = (struct watch_group){ .cookie = head.cookie, .space = group_space(head.attr) };
	for (uint32_t i = 0; i < groups.count; i++) {
		if (groups.it[i].cookie == head.cookie)
			explore_violation("cookie %u is used again", head.cookie);
	}
	for (uint32_t i = 0; i < head.nr; i++) {
		memcpy(&range, m->body + sizeof(head) + i * sizeof(range), sizeof(range));
		group->pages += range.size / MEMORY_PAGE;
		if (group_is_of_dead(group, &range))
			explore_violation("a page is asked for in a space that has ended");
	}
	groups.count++;
	if (group_pages() - crossing > groups.scenario->credit)
		explore_violation("%u pages are outstanding, with credit for %u", group_pages(),
				  groups.scenario->credit);
}

/* Groups that the device has given up show that in the register of their operation. */
void group_expire(void)
{
	struct explore_view slot;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (!explore_view(i, &slot) || slot.error != ETIMEDOUT)
			continue;
		for (uint32_t k = 0; k < groups.count; k++)
			groups.it[k].expired |= slot.cookie == groups.it[k].cookie;
	}
}

void group_started(uint32_t slot)
{
	groups.since |= 1u << slot;
}

void group_ends(uint32_t space)
{
	groups.since &= ~group_slots_of(space);
}

void group_ended(uint32_t space)
{
	groups.ended[space] = space;
}
