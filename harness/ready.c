/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ready.c - inotify on the directory of a socket; what happened there is not looked at, as any
 * event is a reason to ask who listens.
 */
#include "ready.h"

#include <libgen.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define READY_TICK_MS 5

int ready_watch(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;

	if (fd >= 0 && inotify_add_watch(fd, dirname(copy), IN_CREATE | IN_MOVED_TO) < 0) {
		close(fd);
		fd = -1;
	}
	free(copy);
	return fd;
}

void ready_wait(const char *path, int watch, int pidfd, int left_ms)
{
	struct pollfd pollers[] = {
		{ .fd = watch, .events = POLLIN },
		{ .fd = pidfd, .events = POLLIN },
	};
	bool tick = watch < 0 || access(path, F_OK) == 0;
	char events[4096];

	poll(pollers, 2, tick && left_ms > READY_TICK_MS ? READY_TICK_MS : left_ms);
	while (watch >= 0 && read(watch, events, sizeof(events)) > 0)
		;
}
