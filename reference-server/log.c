/* SPDX-License-Identifier: BSD-3-Clause */
/* log.c - see log.h. */
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"

#define LOG_LINE 512
#define LOG_BURST 50
#define LOG_PER_SECOND 10

static bool log_debugging;
static int log_allowance = LOG_BURST;
static time_t log_second;
static unsigned long log_dropped;

void log_verbose(bool on)
{
	log_debugging = on;
}

static bool log_may(void)
{
	struct timespec now;

	if (fault_on(FAULT_log_lines_without_limit))
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != log_second) {
		log_second = now.tv_sec;
		log_allowance += LOG_PER_SECOND;
		if (log_allowance > LOG_BURST)
			log_allowance = LOG_BURST;
	}
	if (log_allowance > 0) {
		log_allowance--;
		return true;
	}
	log_dropped++;
	return false;
}

/* A blocking pipe that nobody reads must not stop the server, hence the question before. */
static void log_write(const char *line, size_t size)
{
	struct pollfd pollfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLOUT))
		return;
	if (write(STDERR_FILENO, line, size) < 0)
		log_dropped++;
}

static void log_format(const char *format, va_list args)
{
	char line[LOG_LINE];
	int size, more = 0;

	if (!log_may())
		return;
	size = snprintf(line, sizeof(line), "vuc-server: ");
	if (log_dropped)
		more = snprintf(line + size, sizeof(line) - (size_t)size, "(%lu lines dropped) ",
				log_dropped);
	size += more;
	log_dropped = 0;
	more = vsnprintf(line + size, sizeof(line) - (size_t)size, format, args);
	if (more < 0)
		return;
	size += more;
	if (size > LOG_LINE - 1)
		size = LOG_LINE - 1;
	line[size] = '\n';
	log_write(line, (size_t)size + 1);
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_format(format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	if (!log_debugging)
		return;
	va_start(args, format);
	log_format(format, args);
	va_end(args);
}
