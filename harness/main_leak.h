/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main_leak.h - does a server keep descriptors of clients that have left? [DISC-CLI-008]
 *
 * What it opens once and keeps is no leak, and it may take a second to close what a client leaves
 * behind: so a program is run again and again, and leaks if the number grows with the runs.
 */
#ifndef MAIN_LEAK_H
#define MAIN_LEAK_H

#include "main.h"
#include "main_watch.h"

/* How many it has open; -ESRCH; -ENOTSUP where its process can not be seen. */
int64_t main_leak_count(const struct main_watch *watch);

/*
 * The program was run, and nobody is connected: how many the server has open when the time is over,
 * if that is more than watch->fds; else, or if nobody can tell, 0.
 */
int64_t main_leak_fds(const struct main_watch *watch, const struct program *program,
		      int patience_ms);

/* The finding of a leak, at *step; its command is that which most likely led to it. */
void main_leak_finding(const struct program *program, const char *text,
		       struct model_finding *finding, uint32_t *step);

/*
 * The program was run on a server that was started for it, which had watch->fds open then, and no
 * connection is left. Runs it again if it looks so, by `again`, which returns false when it could
 * not be run, and tells the verdict.
 */
void main_leak_look(const struct main_watch *watch, const struct program *program,
		    bool (*again)(void *arg), void *arg, struct verdict *verdict);

#endif
