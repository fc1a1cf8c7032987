/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * launch.h - run a program as the leader of a session of its own, with nothing of ours but what it
 * is given.
 *
 * The program starts with /dev/null as standard input, an empty signal mask, default actions for
 * all signals, and SIGKILL as the signal that it gets when the thread that launched it ends. It is
 * safe to call in a program with threads.
 */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct launch {
	const char *const *argv;	/* NULL-terminated; argv[0] is looked up in our PATH */
	const char *const *env;		/* additions, NULL-terminated; may be NULL */
	int out;			/* its standard output and error */
	const int32_t *fds;		/* inherited under the same numbers; not 0, 1 or 2 */
	size_t nfds;
	int64_t limit_nofile;		/* RLIMIT_NOFILE, soft and hard; -1 = leave */
};

struct launched {
	pid_t pid;	/* to be reaped by the caller */
	int pidfd;	/* the caller's */
};

/*
 * Returns 0 once the program has been executed; -EINVAL or -EBADF for a wrong descriptor; what
 * execve() or setrlimit() say; -ENOMEM, -EMFILE, -EAGAIN. On failure nothing is left to reap.
 */
int launch_start(const struct launch *what, struct launched *out);

/* Wait until `pidfd` tells that its process has ended: 0 or -ETIMEDOUT. */
int launch_wait(int pidfd, int timeout_ms);

/*
 * SIGKILL to all of a session whose leader is our child, reaped by nobody yet, and wait for their
 * end: 0; -ETIMEDOUT; -errno when /proc can not be read. The leader is left to be reaped.
 */
int launch_kill_session(pid_t leader, int timeout_ms);

/* Wait for the end of a child, however long it takes: its status as of waitpid(), or -errno. */
int launch_reap(pid_t pid);

#endif
