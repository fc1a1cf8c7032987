/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * probe.h - a pipe whose write end is passed where the server has no use for it (FD-PASS-003..007).
 *
 * The read end hangs up when the last copy of the write end is closed, in whatever process or
 * socket queue it is; this proves release or possession of descriptors alone. Both ends are
 * non-blocking, so that a server which signals into the pipe is not held up by us. Condition: the
 * copy here was closed, and no process was forked from this one meanwhile without executing.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

struct probe;

/* 0 and a probe that is the caller's; -ENOMEM, -EMFILE, -ENFILE. */
int probe_create(struct probe **out);

/* Close what is left of both ends and free. NULL is fine. */
void probe_free(struct probe *probe);

/* The write end, still the probe's; -EBADF after probe_close_fd. */
int probe_fd(struct probe *probe);
void probe_close_fd(struct probe *probe);

/* 1 when nobody holds the write end, 0 when somebody does after the timeout, -EBUSY if we do. */
int probe_released(struct probe *probe, int timeout_ms);

/* Number of bytes that came through so far; -errno. */
int64_t probe_bytes(struct probe *probe);

#endif
