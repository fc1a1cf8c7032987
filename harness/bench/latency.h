/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * latency.h - how long a client waits for one reply: the median and the 99th percentile of `count`
 * round trips each, as figures of the subject that has begun. Two things that are compared are
 * measured in turns.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

/*
 * REGION_READ of 4 bytes, and exchanges of as many bytes with children of ours: bare ones, and such
 * as make the four system calls of a server; also the processor time of each of them for one.
 */
void latency_read(uint64_t count);

/*
 * DMA_UNMAP of an idle mapping, of an idle one while the device writes elsewhere, and of the one
 * that the device writes to (test device vdma); also what the latter two take more than the first.
 */
void latency_unmap(uint64_t count);

/* DMA_UNMAP of an idle mapping alone. */
void latency_unmap_idle(uint64_t count);

#endif
