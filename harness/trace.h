/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - what the harness does, line by line, for whoever debugs the harness.
 *
 * Off unless the environment has VUC_TRACE=1 when the first line is due; then every line goes to
 * stderr as one write, with milliseconds since that first line. Verdicts never depend on it.
 */
#ifndef TRACE_H
#define TRACE_H

/* 1 when lines are written: ask before computing what only a trace would show. */
int trace_on(void);

/* Write one line; the newline is added. Longer than 400 bytes is cut. errno is left as it was. */
void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
