/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * launch.c - fork and exec. Everything that allocates is done before the fork, as the child of a
 * program with threads may find any lock taken.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"
#include "proc.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

#define LAUNCH_FIRST_FD 3	/* behind standard input, output and error */

struct launch_plan {
	const struct launch *what;
	char **env;
	pid_t parent;
	int null;	/* these three lie above what the child replaces */
	int out;
	int error[2];	/* the child writes the errno of what failed; exec closes it */
};

/* The child can only refuse by its exit; what it says is read by launch_result. */
static void launch_fail(const struct launch_plan *plan)
{
	int error = errno;

	if (write(plan->error[1], &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static void launch_reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;
	int signo;

	/* SIGKILL, SIGSTOP and those of the C library refuse, and need no reset. */
	for (signo = 1; signo < NSIG; signo++)
		sigaction(signo, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void launch_set_fds(const struct launch_plan *plan)
{
	const struct launch *what = plan->what;
	size_t i;

	if (dup2(plan->null, 0) < 0 || dup2(plan->out, 1) < 0 || dup2(plan->out, 2) < 0)
		launch_fail(plan);
	/* By the system call, as not every C library has a function for it. */
	if (syscall(SYS_close_range, LAUNCH_FIRST_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		launch_fail(plan);
	for (i = 0; i < what->nfds; i++) {
		if (fcntl(what->fds[i], F_SETFD, 0) < 0)
			launch_fail(plan);
	}
}

static void launch_set_limit(const struct launch_plan *plan)
{
	struct rlimit limit;

	if (plan->what->limit_nofile < 0)
		return;
	limit.rlim_cur = limit.rlim_max = (rlim_t)plan->what->limit_nofile;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		launch_fail(plan);
}

static void launch_child(const struct launch_plan *plan)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != plan->parent)	/* it died before the line above */
		_exit(127);
	/* Where the Yama module lets none but ancestors trace, a debugger that we run may do so. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	setsid();
	launch_set_fds(plan);
	launch_set_limit(plan);
	launch_reset_signals();
	execvpe(plan->what->argv[0], (char *const *)plan->what->argv, plan->env);
	launch_fail(plan);
}

static bool launch_same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

static size_t launch_count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

/* Our environment with the additions in place of what they replace. The strings are shared. */
static char **launch_environment(const char *const *additions)
{
	const char *const *old = (const char *const *)environ;
	size_t nadd = launch_count(additions), nold = launch_count(old), n = 0, i, j;
	char **env = calloc(nadd + nold + 1, sizeof(*env));

	if (!env)
		return NULL;
	for (i = 0; i < nold; i++) {
		for (j = 0; j < nadd && !launch_same_name(old[i], additions[j]); j++)
			;
		if (j == nadd)
			env[n++] = environ[i];
	}
	for (i = 0; i < nadd; i++)
		env[n++] = (char *)(uintptr_t)additions[i];
	return env;
}

static int launch_check(const struct launch *what)
{
	size_t i;

	if (!what->argv || !what->argv[0])
		return -EINVAL;
	for (i = 0; i < what->nfds; i++) {
		if (what->fds[i] >= 0 && what->fds[i] < LAUNCH_FIRST_FD)
			return -EINVAL;
		if (fcntl(what->fds[i], F_GETFD) < 0)
			return -errno;
	}
	return 0;
}

/* Ours may be 0, 1 or 2 where the program was started without standard descriptors. */
static int launch_lift(int *fd)
{
	int copy;

	if (*fd >= LAUNCH_FIRST_FD)
		return 0;
	copy = fcntl(*fd, F_DUPFD_CLOEXEC, LAUNCH_FIRST_FD);
	if (copy < 0)
		return -errno;
	close(*fd);
	*fd = copy;
	return 0;
}

/* 0 when exec has closed the pipe, else the errno that came through it. */
static int launch_result(struct launch_plan *plan)
{
	int error = 0;
	ssize_t n;

	close(plan->error[1]);
	plan->error[1] = -1;
	do {
		n = read(plan->error[0], &error, sizeof(error));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : -error;
}

int launch_reap(pid_t pid)
{
	int status;
	pid_t ret;

	do {
		ret = waitpid(pid, &status, 0);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : status;
}

static int launch_fork(struct launch_plan *plan, struct launched *out)
{
	sigset_t all, before;
	int ret = 0;

	plan->parent = getpid();
	/* No handler of ours may run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	out->pid = fork();
	if (out->pid == 0)
		launch_child(plan);
	if (out->pid < 0)
		ret = -errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret)
		return ret;
	ret = launch_result(plan);
	if (!ret) {
		out->pidfd = (int)syscall(SYS_pidfd_open, out->pid, 0);
		ret = out->pidfd < 0 ? -errno : 0;
	}
	if (ret) {
		kill(out->pid, SIGKILL);
		launch_reap(out->pid);
	}
	return ret;
}

static int launch_prepare(struct launch_plan *plan)
{
	int ret;

	plan->env = launch_environment(plan->what->env);
	if (!plan->env)
		return -ENOMEM;
	plan->out = fcntl(plan->what->out, F_DUPFD_CLOEXEC, LAUNCH_FIRST_FD);
	if (plan->out < 0)
		return -errno;
	plan->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (plan->null < 0 || pipe2(plan->error, O_CLOEXEC) < 0)
		return -errno;
	ret = launch_lift(&plan->null);
	return ret ? ret : launch_lift(&plan->error[1]);
}

static void launch_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

int launch_start(const struct launch *what, struct launched *out)
{
	struct launch_plan plan = { .what = what, .null = -1, .out = -1, .error = { -1, -1 } };
	int ret = launch_check(what);

	if (!ret)
		ret = launch_prepare(&plan);
	if (!ret)
		ret = launch_fork(&plan, out);
	free(plan.env);
	launch_close(plan.null);
	launch_close(plan.out);
	launch_close(plan.error[0]);
	launch_close(plan.error[1]);
	return ret;
}

int launch_wait(int pidfd, int timeout_ms)
{
	struct deadline deadline = deadline_in(timeout_ms);
	struct pollfd poller = { .fd = pidfd, .events = POLLIN };
	int ret;

	do {
		ret = poll(&poller, 1, deadline_left_ms(deadline));
	} while (ret < 0 && errno == EINTR);
	return ret > 0 ? 0 : ret < 0 ? -errno : -ETIMEDOUT;
}

static int launch_visit(pid_t pid, void *arg)
{
	(void)arg;
	return pid;
}

int launch_kill_session(pid_t leader, int timeout_ms)
{
	struct deadline deadline = deadline_in(timeout_ms);
	int pidfd, ret;
	pid_t pid;

	kill(-leader, SIGKILL);
	/* One by one those that are left, perhaps in groups of their own, as each tells its end. */
	while ((pid = proc_each(leader, launch_visit, NULL)) > 0) {
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (pidfd < 0 && errno == ESRCH)
			continue;
		if (pidfd < 0)
			return -errno;
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
		ret = launch_wait(pidfd, deadline_left_ms(deadline));
		close(pidfd);
		if (ret)
			return ret;
	}
	return pid;
}
