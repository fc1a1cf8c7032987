/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.c - the process under test. Processes are watched and signalled through pidfds; a pid
 * serves only to find one in /proc and to name the session.
 */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"
#include "listener.h"
#include "ready.h"
#include "sanitizer.h"
#include "launch.h"
#include "stacks.h"
#include "trace.h"

#define TARGET_FOLLOW_MS 500	/* for a wrapper to follow its server */
#define TARGET_DIE_MS 10000	/* from SIGKILL to the end of a process */

struct target {
	char *socket_path;
	pid_t child;		/* leader of the session; 0 when attached */
	int child_fd;		/* pidfd; -1 when attached or reaped */
	pid_t listener;		/* 0 as long as it is not known; may be the child */
	int listener_fd;	/* pidfd */
	bool reaped;
	struct target_state end;	/* once reaped */
	int log;		/* for reading; -1 without one */
	off_t log_at;
	bool sanitizer;
};

static void target_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool target_ended(int pidfd)
{
	return pidfd >= 0 && launch_wait(pidfd, 0) == 0;
}

/*
 * Learn who listens, once: a worker that shares the socket must not hide that its server died.
 * 1 when the process is known and lives; 0 when somebody listens who can not be seen; -ENOENT.
 */
static int target_look(struct target *target)
{
	pid_t pid;
	int fd;

	if (target->listener_fd >= 0)
		return target_ended(target->listener_fd) ? -ENOENT : 1;
	if (!target->socket_path)
		return -ENOENT;
	pid = listener_find(target->socket_path, target->child);
	if (pid <= 0)
		return pid;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ESRCH ? -ENOENT : -errno;
	target->listener = pid;
	target->listener_fd = fd;
	trace_line("target: process %d listens on %s", pid, target->socket_path);
	return 1;
}

/* How the child ended, without reaping it. False while it runs. */
static bool target_child_end(const struct target *target, struct target_state *out)
{
	bool wrapper = target->listener && target->listener != target->child;
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PIDFD, (id_t)target->child_fd, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
		out->phase = TARGET_GONE;	/* somebody else has reaped it */
		return true;
	}
	if (!info.si_pid)
		return false;
	out->phase = info.si_code == CLD_EXITED ? TARGET_EXITED : TARGET_KILLED;
	out->status = info.si_status;
	if (wrapper && out->phase == TARGET_EXITED && out->status > 128 &&
	    out->status - 128 < NSIG) {
		out->phase = TARGET_KILLED;
		out->status -= 128;
	}
	return true;
}

static void target_phase(struct target *target, struct target_state *out)
{
	bool listens = target_look(target) > 0;

	*out = (struct target_state) { .phase = TARGET_RUNNING };
	if (target->child_fd >= 0 && target_child_end(target, out))
		return;
	if (target_ended(target->listener_fd))
		out->phase = TARGET_GONE;
	else if (!target->child && !listens)
		out->phase = TARGET_UNKNOWN;
}

int target_state(struct target *target, struct target_state *out)
{
	int ret = 0;

	if (target->reaped)
		*out = target->end;
	else
		target_phase(target, out);
	out->pid = target->listener ? target->listener : target->child;
	if (target->log >= 0 && !target->sanitizer) {
		ret = sanitizer_scan(target->log, &target->log_at);
		target->sanitizer = ret > 0;
	}
	out->sanitizer = target->sanitizer;
	return ret < 0 ? ret : 0;
}

static struct target *target_new(const char *socket_path)
{
	struct target *target = calloc(1, sizeof(*target));

	if (!target)
		return NULL;
	target->child_fd = target->listener_fd = target->log = -1;
	target->socket_path = socket_path ? strdup(socket_path) : NULL;
	if (socket_path && !target->socket_path) {
		free(target);
		return NULL;
	}
	return target;
}

/* Open the log for the child, and for us behind what it holds already. */
static int target_open_log(struct target *target, const char *path)
{
	int out = open(path ? path : "/dev/null", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	int ret;

	if (out < 0 || !path)
		return out < 0 ? -errno : out;
	target->log = open(path, O_RDONLY | O_CLOEXEC);
	target->log_at = target->log < 0 ? -1 : lseek(target->log, 0, SEEK_END);
	if (target->log_at >= 0)
		return out;
	ret = -errno;
	close(out);
	return ret;
}

int target_start(const struct target_start *what, struct target **out)
{
	struct launch launch = {
		.argv = what->argv, .env = what->env, .fds = what->fds, .nfds = what->nfds,
		.limit_nofile = what->limit_nofile,
	};
	struct target *target = target_new(what->socket_path);
	struct launched child;
	int ret;

	if (!target)
		return -ENOMEM;
	ret = launch.out = target_open_log(target, what->log_path);
	if (ret >= 0) {
		ret = launch_start(&launch, &child);
		close(launch.out);
	}
	if (ret < 0) {
		target_free(target);
		return ret;
	}
	target->child = child.pid;
	target->child_fd = child.pidfd;
	trace_line("target: started %s as process %d", what->argv[0], child.pid);
	*out = target;
	return 0;
}

int target_attach(const char *path, struct target **out)
{
	struct target *target;
	struct stat file;

	if (stat(path, &file) < 0)
		return -errno;
	if (!S_ISSOCK(file.st_mode))
		return -ENOTSOCK;
	target = target_new(path);
	if (!target)
		return -ENOMEM;
	target_look(target);
	*out = target;
	return 0;
}

static int target_wait_listener(struct target *target, int watch, int timeout_ms)
{
	struct deadline deadline = deadline_in(timeout_ms);
	bool last;
	int ret, left;

	for (;;) {
		/* Before the look, as it may have begun to listen and ended between the two. */
		last = target_ended(target->child_fd) || target_ended(target->listener_fd);
		left = deadline_left_ms(deadline);
		ret = target_look(target);
		if (ret != -ENOENT)
			return ret < 0 ? ret : 0;
		if (last)
			return -ESRCH;
		if (!left)
			return -ETIMEDOUT;
		ready_wait(target->socket_path, watch, target->child_fd, left);
	}
}

int target_wait_ready(struct target *target, int timeout_ms)
{
	int watch, ret;

	if (target->reaped)
		return -ESRCH;
	if (!target->socket_path)
		return target_ended(target->child_fd) ? -ESRCH : 0;
	watch = ready_watch(target->socket_path);
	ret = target_wait_listener(target, watch, timeout_ms);
	target_close(&watch);
	return ret;
}

int target_wait_exit(struct target *target, int timeout_ms)
{
	struct deadline deadline = deadline_in(timeout_ms);
	struct pollfd pollers[2] = { { .events = POLLIN }, { .events = POLLIN } };
	struct target_state state;
	int left;

	for (;;) {
		left = deadline_left_ms(deadline);
		if (target->reaped)
			return 0;
		target_phase(target, &state);
		if (state.phase == TARGET_UNKNOWN)
			return -ENOTSUP;
		if (state.phase != TARGET_RUNNING)
			break;
		if (!left)
			return -ETIMEDOUT;
		pollers[0].fd = target->child_fd;
		pollers[1].fd = target->listener_fd;
		poll(pollers, 2, left);
	}
	if (target->child_fd >= 0)
		launch_wait(target->child_fd, left < TARGET_FOLLOW_MS ? left : TARGET_FOLLOW_MS);
	return 0;
}

/* The pidfd of the process that matters. -ESRCH when it has ended, -ENOTSUP when there is none. */
static int target_pidfd(struct target *target)
{
	struct target_state state;

	if (target->reaped)
		return -ESRCH;
	target_phase(target, &state);
	if (state.phase == TARGET_UNKNOWN)
		return -ENOTSUP;
	if (state.phase != TARGET_RUNNING)
		return -ESRCH;
	return target->listener ? target->listener_fd : target->child_fd;
}

int target_signal(struct target *target, int signo)
{
	int pidfd = target_pidfd(target);

	if (pidfd < 0)
		return pidfd;
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

/* Kill what is left, note how it ended if it had not before, and reap. */
static int target_finish(struct target *target)
{
	struct target_state state;
	int ret = 0;

	target_phase(target, &state);
	if (waitid(P_PIDFD, (id_t)target->child_fd, &(siginfo_t){ 0 },
		   WEXITED | WNOHANG | WNOWAIT) == 0) {
		ret = launch_kill_session(target->child, TARGET_DIE_MS);
		if (!ret && state.phase == TARGET_RUNNING)
			target_phase(target, &state);
		if (!ret)
			launch_reap(target->child);
	}
	if (ret)
		return ret;
	target->end = state;
	target->reaped = true;
	target_close(&target->child_fd);
	target_close(&target->listener_fd);
	return 0;
}

int target_stop(struct target *target, int timeout_ms, struct target_state *out)
{
	int ret = 0;

	if (!target->child)
		return -ENOTSUP;
	if (!target->reaped) {
		/* A wrapper is to pass on how its server ended, so it is not told to end. */
		if (target->listener && target->listener != target->child)
			target_signal(target, SIGTERM);
		else if (target_pidfd(target) >= 0)
			kill(-target->child, SIGTERM);
		target_wait_exit(target, timeout_ms);
		ret = target_finish(target);
	}
	if (out && !ret)
		ret = target_state(target, out);
	return ret;
}

/* The file that our server left behind. One on which somebody still listens is not ours. */
static void target_unlink(const struct target *target)
{
	struct stat file;

	if (lstat(target->socket_path, &file) == 0 && S_ISSOCK(file.st_mode) &&
	    listener_find(target->socket_path, 0) == -ENOENT)
		unlink(target->socket_path);
}

void target_free(struct target *target)
{
	if (!target)
		return;
	if (target->child && !target->reaped)
		target_finish(target);
	if (target->child && target->socket_path)
		target_unlink(target);
	target_close(&target->child_fd);
	target_close(&target->listener_fd);
	target_close(&target->log);
	free(target->socket_path);
	free(target);
}

int target_stacks(struct target *target, char *text, size_t size)
{
	int pidfd = target_pidfd(target);

	if (pidfd < 0)
		return pidfd;
	return stacks_collect(target->listener ? target->listener : target->child, text, size);
}

int target_resources(struct target *target, struct proc_resources *out)
{
	int pidfd = target_pidfd(target);

	if (pidfd < 0)
		return pidfd;
	return proc_resources(target->listener ? target->listener : target->child, out);
}
