/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clock.h - time in milliseconds, real or virtual.
 *
 * All time-outs of the server ask here, so that a test can move the time instead of waiting.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Stands for "not running" where a start time is kept. */
#define CLOCK_NEVER UINT64_MAX

/* Milliseconds since an arbitrary start; does not go back. */
uint64_t clock_now(void);

/* From now on the time stands at `now`, until the next call; CLOCK_NEVER returns to real time. */
void clock_hold(uint64_t now);

#endif
