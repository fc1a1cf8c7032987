/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stacks.c - runs a debugger on a process, without a shell and with a deadline, and reads what it
 * printed from a memfd, which unlike a pipe takes any amount.
 */
#include "stacks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proc.h"
#include "launch.h"

#define STACKS_TIMEOUT_MS 10000
#define STACKS_FRAME "#0 "	/* what both tools print in front of an innermost frame */

/* Length of what the tool has printed, or -errno. */
static int stacks_run(const char *const *argv, char *text, size_t size)
{
	int out = memfd_create("stacks", MFD_CLOEXEC), ret;
	struct launch what = { .argv = argv, .out = out, .limit_nofile = -1 };
	struct launched child;
	ssize_t n;

	if (out < 0)
		return -errno;
	ret = launch_start(&what, &child);
	if (ret)
		goto out;
	ret = launch_wait(child.pidfd, STACKS_TIMEOUT_MS);
	kill(-child.pid, SIGKILL);
	launch_reap(child.pid);
	close(child.pidfd);
	if (ret)
		goto out;
	n = pread(out, text, size - 1, 0);
	ret = n < 0 ? -errno : (int)n;
	text[n < 0 ? 0 : n] = '\0';
out:
	close(out);
	return ret;
}

int stacks_collect(pid_t pid, char *text, size_t size)
{
	char number[16];
	const char *const gdb[] = {
		"gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off",
		"-iex", "set pagination off", "-p", number, "-ex", "thread apply all bt 64", NULL,
	};
	const char *const eu_stack[] = { "eu-stack", "-p", number, NULL };

	if (!size)
		return -EINVAL;
	snprintf(number, sizeof(number), "%d", pid);
	if (stacks_run(gdb, text, size) > 0 && strstr(text, STACKS_FRAME))
		return (int)strlen(text);
	if (stacks_run(eu_stack, text, size) > 0 && strstr(text, STACKS_FRAME))
		return (int)strlen(text);
	return proc_stacks(pid, text, size);
}
