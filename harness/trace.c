/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.c - see trace.h. */
#include "trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum trace_state {
	TRACE_UNKNOWN,
	TRACE_OFF,
	TRACE_ON,
};

static int64_t trace_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int trace_on(void)
{
	static atomic_int state = TRACE_UNKNOWN;
	int known = atomic_load(&state);

	if (known == TRACE_UNKNOWN) {
		const char *value = getenv("VUC_TRACE");

		known = value && strcmp(value, "1") == 0 ? TRACE_ON : TRACE_OFF;
		atomic_store(&state, known);
	}
	return known == TRACE_ON;
}

void trace_line(const char *format, ...)
{
	static _Atomic int64_t start;
	int64_t now = trace_now_ms();
	int64_t none = 0;
	int kept = errno;
	char line[400];
	va_list args;
	size_t length;

	if (!trace_on())
		return;
	atomic_compare_exchange_strong(&start, &none, now);
	length = (size_t)snprintf(line, sizeof(line), "vuc %7lld ",
				  (long long)(now - atomic_load(&start)));
	va_start(args, format);
	vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	dprintf(STDERR_FILENO, "%s\n", line);
	errno = kept;
}
