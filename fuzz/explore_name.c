/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_name.c - see explore.h: events as short names, and back. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore.h"

static const char name_kinds[] = "stgbwxl";	/* by enum explore_kind */

void explore_name(struct explore_event event, char *text, size_t size)
{
	snprintf(text, size, "%c%u.%u", name_kinds[event.kind], event.who, event.cut);
}

bool explore_parse(const char *text, struct explore_event *out)
{
	const char *kind = *text ? strchr(name_kinds, *text) : NULL;
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
	*out = (struct explore_event){ (uint8_t)(kind - name_kinds), (uint8_t)who, (uint8_t)cut };
	return true;
}
