/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.h - the process under test: start or attach, wait until it listens, watch how it ends,
 * see where it hangs and what it holds, stop it.
 *
 * A started target is the leader of a session, and so of a process group, of its own. It may be a
 * wrapper (a shell, setarch, a debugger): the process that matters is the one that holds the
 * listening socket, found through /proc without connecting, because some servers serve a single
 * connection and exit when it closes. As long as nobody listens it is the started process. That
 * one has to stay: a server that puts itself into the background is seen as one that has exited.
 *
 * The started process is left unreaped until target_stop or target_free, so that neither its pid
 * nor its process group can be given to somebody else meanwhile. Nobody else in this program may
 * reap it; where that happens its end is reported as TARGET_GONE.
 *
 * The parent-death signal follows the thread that called target_start, not the program: that
 * thread has to outlive the target. A child of a wrapper does not inherit it.
 *
 * A target is used by one thread at a time. Times are relative milliseconds; 0 asks once.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "proc.h"

struct target;

enum target_phase {
	TARGET_RUNNING = 0,
	TARGET_EXITED = 1,	/* status = exit code */
	TARGET_KILLED = 2,	/* status = signal */
	TARGET_GONE = 3,	/* dead, and nobody can tell how */
	TARGET_UNKNOWN = 4,	/* attached, and there is no process to look at */
};

/*
 * The layout is that of struct vuc_target_state. When a wrapper has outlived the process that
 * listened, the phase is GONE; when it has followed it with an exit code above 128, which is how
 * shells pass on a signal, the phase is KILLED by that signal.
 */
struct target_state {
	uint32_t phase;		/* enum target_phase */
	int32_t status;
	int32_t pid;		/* of the process that listens, or was started; 0 if unknown */
	uint32_t sanitizer;	/* 1 when the log holds a sanitizer report of this run */
};

/* The layout is that of struct vuc_start. All of it is copied or used up before the return. */
struct target_start {
	const char *const *argv;	/* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env;		/* NULL-terminated "NAME=value" additions; may be NULL */
	const char *socket_path;	/* NULL if it is handed descriptors only */
	const char *log_path;		/* stdout and stderr, appended; NULL = discarded */
	const int32_t *fds;		/* inherited under the same numbers; not 0, 1 or 2 */
	size_t nfds;
	int64_t limit_nofile;		/* RLIMIT_NOFILE, soft and hard; -1 = leave */
};

/*
 * Start a server. Its standard input is /dev/null, its signal mask is empty, its signals have
 * their default action, and of our descriptors it has those in `fds` only.
 *
 * Returns 0 once the program has been executed, and *out is the caller's, to be freed by
 * target_free; -ENOENT or -EACCES when it can not be executed; -EBADF or -EINVAL for a wrong
 * descriptor; -EPERM for a limit that is out of reach; what open() says of the log; -ENOMEM,
 * -EMFILE, -EAGAIN. Nothing is left behind on failure but the log file.
 */
int target_start(const struct target_start *what, struct target **out);

/*
 * Attach to a server that listens on `path`. It is never stopped, only looked at. 0; -ENOENT
 * without such a file; -ENOTSOCK if it is something else. A server that can not be seen, because
 * it runs in another namespace or as another user, is no error: its phase is UNKNOWN.
 */
int target_attach(const char *path, struct target **out);

/*
 * Wait until somebody of the target listens on its socket path. Without a path it is ready as
 * long as it lives. 0; -ETIMEDOUT; -ESRCH when the process has ended before. An attached target
 * whose process can not be seen is ready when somebody is seen to listen on exactly its path.
 */
int target_wait_ready(struct target *target, int timeout_ms);

/*
 * Wait until the process that listened, or was started, has ended. A wrapper is given a moment
 * to follow with a status. 0; -ETIMEDOUT; -ENOTSUP when there is no process to look at.
 */
int target_wait_exit(struct target *target, int timeout_ms);

/* How the target is now. 0 always, but for -EIO when its log can not be read. */
int target_state(struct target *target, struct target_state *out);

/* Signal the process that listens, or was started. 0; -EINVAL; -ESRCH; -ENOTSUP without one. */
int target_signal(struct target *target, int signo);

/*
 * SIGTERM to the process that listens (or to the group while nobody does), then SIGKILL to all of
 * the session: after the timeout, or when the listener has ended and its wrapper has not. Reaps
 * the started process and fills *out, which may be NULL, with how it ended; a target that had
 * ended before keeps its own ending. 0; -ENOTSUP for an attached target; -ETIMEDOUT when the
 * kernel does not let it die.
 */
int target_stop(struct target *target, int timeout_ms, struct target_state *out);

/* SIGKILL, reap, remove the socket file unless somebody else listens on it, free. NULL is fine. */
void target_free(struct target *target);

/*
 * Where the threads are: user stacks from gdb or eu-stack where one is installed and may look,
 * else kernel stacks and wait channels from /proc. Stops the process for that moment; takes up to
 * ten seconds. Returns the length of the text, cut to size - 1 and NUL-terminated; -ESRCH;
 * -ENOTSUP without a process; -EINVAL if size is 0.
 */
int target_stacks(struct target *target, char *text, size_t size);

/* What the process holds now. 0; -ESRCH; -EACCES; -ENOTSUP without a process. */
int target_resources(struct target *target, struct proc_resources *out);

#endif
