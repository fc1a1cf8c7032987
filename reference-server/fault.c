/* SPDX-License-Identifier: BSD-3-Clause */
/* fault.c - see fault.h. */
#include "fault.h"

#ifdef VUC_FAULTS

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fault_selected[FAULT_COUNT];

static const struct fault_text {
	const char *name;
	const char *sentence;
} fault_texts[] = {
#define FAULT_TEXT(name, sentence) { #name, sentence },
	FAULT_LIST(FAULT_TEXT)
	FAULT_FLOOD_LIST(FAULT_TEXT)
	FAULT_POC_LIST(FAULT_TEXT)
	FAULT_ORDER_LIST(FAULT_TEXT)
#undef FAULT_TEXT
};

bool fault_on(enum fault fault)
{
	return fault_selected[fault];
}

int fault_select(const char *name)
{
	for (int i = 0; i < FAULT_COUNT; i++) {
		if (strcmp(fault_texts[i].name, name) != 0)
			continue;
		fault_selected[i] = true;
		return 0;
	}
	return -ENOENT;
}

void fault_forget(size_t size)
{
	static void *volatile last;

	last = malloc(size);
	if (last)
		memset(last, 1, size);
}

void fault_print(bool floods)
{
	const int first = floods ? FAULT_FLOODS : 0, end = floods ? FAULT_POC : FAULT_FLOODS;

	for (int i = first; i < end; i++)
		printf("%s: %s\n", fault_texts[i].name, fault_texts[i].sentence);
}

bool fault_order(unsigned int number, const char **name, const char **sentence)
{
	if (number >= FAULT_COUNT - FAULT_ORDER)
		return false;
	*name = fault_texts[FAULT_ORDER + number].name;
	*sentence = fault_texts[FAULT_ORDER + number].sentence;
	return true;
}

#else

/* ISO C wants a declaration in each file. */
_Static_assert(FAULT_COUNT > 0, "the list of faults is not empty");

#endif
