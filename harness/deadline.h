/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * deadline.h - a point of the monotonic clock, made from a relative time in milliseconds.
 *
 * A function that takes a timeout makes its deadline once and asks it before every wait, so that
 * interrupted and repeated waits do not add up. A deadline of 0 ms has passed when it is made: its
 * user asks once, without waiting.
 */
#ifndef DEADLINE_H
#define DEADLINE_H

#include <stdint.h>

struct deadline {
	int64_t at_ns;
};

/* The point `timeout_ms` from now; a negative timeout counts as 0. */
struct deadline deadline_in(int timeout_ms);

/* Milliseconds that are left, rounded up, for poll(): 0 once it has passed, never negative. */
int deadline_left_ms(struct deadline deadline);

#endif
