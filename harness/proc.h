/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proc.h - what /proc tells about a process: whether it lives, what it holds, where its threads
 * are.
 *
 * Nothing here stops a process or keeps a descriptor open. All answers are snapshots; a process
 * that ends between two lines of the same answer is reported as -ESRCH. -EACCES means that it is
 * not ours to look at.
 */
#ifndef PROC_H
#define PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a process holds. The layout is that of struct vuc_resources. */
struct proc_resources {
	int64_t fds;
	int64_t vmas;
	int64_t threads;
	int64_t rss_anon_kib;
	int64_t rss_file_kib;
	int64_t rss_shmem_kib;
	int64_t page_tables_kib;
	int64_t cpu_ms;		/* user and system time so far */
};

/* One line of /proc/PID/stat; the state is the letter of ps: Z and X are dead. */
struct proc_stat {
	char state;
	pid_t session;
	int64_t cpu_ticks;
};

/* 0; -ESRCH when there is no such process. */
int proc_stat(pid_t pid, struct proc_stat *out);

/* 0; -ESRCH when there is no such process or it is a zombie; -EACCES. */
int proc_resources(pid_t pid, struct proc_resources *out);

/* How many descriptors it has open; -ESRCH; -EACCES. */
int64_t proc_fds(pid_t pid);

/*
 * Call `visit` for each process of `session`, of all sessions if it is 0, in ascending order of
 * pid and without the dead ones, until it returns something else than 0. Returns that, or 0; -errno
 * when /proc can not be read.
 */
int proc_each(pid_t session, int (*visit)(pid_t pid, void *arg), void *arg);

/*
 * State, system call, wait channel and kernel stack of each thread, as far as they are shown.
 * Returns the length of the text, cut to size - 1 and NUL-terminated; -ESRCH; -EINVAL if size is 0.
 */
int proc_stacks(pid_t pid, char *text, size_t size);

#endif
