/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_print.c - see explore.h: events and steps as text, and back. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	[EXPLORE_INFO] = "DEVICE_GET_INFO",
};

static const char *const print_phases[] = {
	"PRE", "PARTS", "FETCH", "STORE", "COUNT", "MID", "END", "RETIRED", "REQUEST", "RESPONDED",
};

static const char print_kinds[] = "stgbwxl";	/* by enum explore_kind */

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

void explore_name(struct explore_event event, char *text, size_t size)
{
	snprintf(text, size, "%c%u.%u", print_kinds[event.kind], event.who, event.cut);
}

bool explore_parse(const char *text, struct explore_event *out)
{
	const char *kind = *text ? strchr(print_kinds, *text) : NULL;
	unsigned long who, cut;
	char *end;

	if (!kind || !isdigit((unsigned char)text[1]))
		return false;
	who = strtoul(text + 1, &end, 10);
	if (*end != '.' || !isdigit((unsigned char)end[1]) || who >= EXPLORE_THREADS)
		return false;
	cut = strtoul(end + 1, NULL, 10);
	if (cut > 3)
		return false;
	*out = (struct explore_event){ (uint8_t)(kind - print_kinds), (uint8_t)who, (uint8_t)cut };
	return true;
}
