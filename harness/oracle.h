/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * oracle.h - evidence outside the messages, and the proof that it can be believed here.
 *
 * The oracles are in memory.h (lease, seal) and probe.h (pipe). They rest on what one kernel does
 * and another, or a sandbox, may not; so each is tried on a helper process of ours which holds and
 * releases a descriptor and a mapping on command, and only what told the truth in every position
 * is used to judge a server.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <stddef.h>

#include "memory.h"
#include "probe.h"

enum oracle {
	ORACLE_LEASE = 1,	/* memory_held */
	ORACLE_SEAL = 2,	/* memory_mapped */
	ORACLE_PIPE = 4,	/* probe_released */
};

/*
 * Try each oracle. Returns the mask of those that told the truth; `why` receives a line for each
 * other one, cut to size - 1 and NUL-terminated (size 0: nothing). An oracle that does not work
 * is no error; -errno says that the question could not be put, because there was no helper process.
 */
int oracle_selftest(char *why, size_t size);

#endif
