/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ready.h - wait for a socket to appear, for whoever then asks by other means if somebody listens.
 *
 * A new file in the directory is an event (inotify). listen() is none that a third party could
 * wait for, and a directory that does not exist yet can not be watched; so in these two cases the
 * wait ends after a few milliseconds and the question is to be put again.
 */
#ifndef READY_H
#define READY_H

/* Watch the directory of `path`. A descriptor, the caller's; -1 when that can not be done. */
int ready_watch(const char *path);

/*
 * Wait until the answer may have changed: a new file beside `path`, the end of the process of
 * `pidfd`, a few milliseconds if one of the cases above is at hand, or left_ms. `watch` is what
 * ready_watch returned; a pidfd of -1 never ends.
 */
void ready_wait(const char *path, int watch, int pidfd, int left_ms);

#endif
