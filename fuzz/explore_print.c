/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_print.c - see explore.h: events and steps in words. */
#include <stdio.h>

#include "explore_peer.h"
#include "explore_world.h"

static const char *const print_ops[] = {
	[EXPLORE_END] = "nothing",
	[EXPLORE_MAP] = "DMA_MAP of mapping %u",
	[EXPLORE_REPLACE] = "DMA_MAP with REPLACE of mapping %u by %u",
	[EXPLORE_UNMAP] = "DMA_UNMAP of mapping %u",
	[EXPLORE_RANGE] = "DMA_UNMAP with RANGE in space %u, %u pages",
	[EXPLORE_ALL] = "DMA_UNMAP with ALL of space %u",
	[EXPLORE_START] = "the command of slot %u",
	[EXPLORE_RELEASE] = "slot %u is released at the side door",
	[EXPLORE_RESPOND] = "PAGE_RESPONSE to request %u, code %u",
	[EXPLORE_INVENT] = "PAGE_RESPONSE with cookie %u, which nobody has",
	[EXPLORE_ANSWER] = "the reply to DMA request %u, error %u",
	[EXPLORE_RESET] = "DEVICE_RESET",
	[EXPLORE_PRI_RESET] = "the reset of the page request interface",
	[EXPLORE_STOP] = "the migration state STOP",
	[EXPLORE_RUN] = "the migration state RUNNING",
	[EXPLORE_ENABLE] = "the enable bits",
	[EXPLORE_NO_MASTER] = "Bus Master Enable goes to 0",
	[EXPLORE_INFO] = "DEVICE_GET_INFO",
};

static const char *const print_phases[] = {
	"PRE", "PARTS", "FETCH", "STORE", "COUNT", "MID", "END", "RETIRED", "REQUEST", "RESPONDED",
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void print_step(const struct explore_step *step, char *text, size_t size)
{
	snprintf(text, size, print_ops[step->op], step->what, step->with);
}
#pragma GCC diagnostic pop

static void print_send(struct explore_event event, char *text, size_t size)
{
	static const char *const cuts[] = {
		"", ", cut in its header", ", cut behind its header", ", cut in its body",
	};
	char step[128];

	print_step(world_next(event.who), step, sizeof(step));
	snprintf(text, size, "client %u: %s%s%s", event.who,
		 world_is_cut(event.who) ? "the rest of " : "", step, cuts[event.cut & 3]);
}

void explore_tell(struct explore_event event, char *text, size_t size)
{
	const struct device_slot *slot =
		&explore_server()->device.bar0.engine.slots[event.who % EXPLORE_SLOTS];

	switch ((enum explore_kind)event.kind) {
	case EXPLORE_SEND:
		print_send(event, text, size);
		break;
	case EXPLORE_TAKE:
		snprintf(text, size, "slot %u: a thread takes it", event.who);
		break;
	case EXPLORE_GIVE:
		snprintf(text, size, "slot %u: the thread does %s and gives it back", event.who,
			 print_phases[slot->phase]);
		break;
	case EXPLORE_BOTH:
		snprintf(text, size, "slot %u: a thread does %s", event.who,
			 print_phases[slot->phase]);
		break;
	case EXPLORE_LOOK:
		snprintf(text, size, "server: one round of its loop");
		break;
	case EXPLORE_TIME:
		snprintf(text, size, "%llu ms pass", (unsigned long long)world_due());
		break;
	case EXPLORE_LEAVE:
		snprintf(text, size, "the client goes");
		break;
	}
}
