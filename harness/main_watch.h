/* SPDX-License-Identifier: BSD-3-Clause */
/* main_watch.h - what becomes of the process of a server under test. */
#ifndef MAIN_WATCH_H
#define MAIN_WATCH_H

#include <limits.h>
#include <stdbool.h>

#include "target.h"
#include "verdict.h"

struct main_watch {
	struct target *target;	/* NULL until it is there */
	bool started;		/* by us: it is stopped at the end */
	bool once;		/* it ends with its connection, and is given time for that */
	bool hung;		/* it has left something unanswered */
	uint32_t step;		/* at which that was, or it left */
	int64_t fds;		/* open when nobody was connected; negative if that is unknown */
	char directory[PATH_MAX / 4];
	char socket[PATH_MAX / 2];
	char log[PATH_MAX / 2];
};

/*
 * Looks how the server is when all its connections are closed, and stops it if it was started. How
 * it ended becomes findings of the verdict, with what it has written. True when it is dead, hangs,
 * or a sanitizer has complained.
 */
bool main_watch_end(struct main_watch *watch, struct verdict *verdict, int short_ms);

/* Attaches the end of its log to the verdict, the place of a crash if it shows one. */
void main_watch_log(const struct main_watch *watch, struct verdict *verdict);

/* Asks a server on a connection of its own whether it has the test device. */
bool main_watch_device(const struct main_watch *watch, int timeout_ms);

#endif
