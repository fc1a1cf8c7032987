/* SPDX-License-Identifier: BSD-3-Clause */
/* clock.c - see clock.h. */
#include "clock.h"

#include <time.h>

static uint64_t clock_held = CLOCK_NEVER;

uint64_t clock_now(void)
{
	struct timespec now;

	if (clock_held != CLOCK_NEVER)
		return clock_held;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void clock_hold(uint64_t now)
{
	clock_held = now;
}
