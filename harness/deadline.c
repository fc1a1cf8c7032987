/* SPDX-License-Identifier: BSD-3-Clause */
/* deadline.c - see deadline.h. */
#include "deadline.h"

#include <limits.h>
#include <time.h>

#define DEADLINE_NS_PER_MS INT64_C(1000000)

static int64_t deadline_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 * DEADLINE_NS_PER_MS + now.tv_nsec;
}

struct deadline deadline_in(int timeout_ms)
{
	int64_t left_ms = timeout_ms > 0 ? timeout_ms : 0;

	return (struct deadline){ .at_ns = deadline_now_ns() + left_ms * DEADLINE_NS_PER_MS };
}

int deadline_left_ms(struct deadline deadline)
{
	int64_t left_ns = deadline.at_ns - deadline_now_ns();
	int64_t left_ms;

	if (left_ns <= 0)
		return 0;
	left_ms = (left_ns + DEADLINE_NS_PER_MS - 1) / DEADLINE_NS_PER_MS;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}
