/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h - one line of log to standard error.
 *
 * A line is formatted into a bounded buffer and written with one call. It never blocks and never
 * fails: when standard error is closed, full or gone, the line is dropped. A client can cause
 * lines, so they are rate-limited: after a burst, a few per second; the next line that passes
 * says how many did not.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

/* Lines by log_debug() are written only after log_verbose(true). */
void log_verbose(bool on);

void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
