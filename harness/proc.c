/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * proc.c - reads /proc/PID. Text is taken apart by name where the kernel gives names, and by
 * position behind the last parenthesis in stat, as the name of a program may contain anything.
 */
#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct proc_text {
	char *at;
	size_t size;
	size_t used;
};

/* A file or directory that is not there means that the process is not. */
static int proc_errno(int error)
{
	return error == ENOENT ? -ESRCH : -error;
}

static int proc_open(const char *directory, const char *name)
{
	char path[320];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? proc_errno(errno) : fd;
}

/* Length of the text, cut to size - 1 and NUL-terminated, or -errno. */
static ssize_t proc_read(const char *directory, const char *name, char *text, size_t size)
{
	int fd = proc_open(directory, name);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	do {
		n = read(fd, text + used, size - 1 - used);
		if (n > 0)
			used += (size_t)n;
	} while (n > 0 && used < size - 1);
	n = n < 0 ? proc_errno(errno) : (ssize_t)used;
	close(fd);
	text[used] = '\0';
	return n;
}

static int64_t proc_count_lines(const char *directory, const char *name)
{
	int fd = proc_open(directory, name);
	int64_t lines = 0;
	char chunk[16384];
	ssize_t n, i;

	if (fd < 0)
		return fd;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		for (i = 0; i < n; i++)
			lines += chunk[i] == '\n';
	}
	if (n < 0)
		lines = proc_errno(errno);
	close(fd);
	return lines;
}

static int64_t proc_count_entries(const char *directory, const char *name)
{
	struct dirent *entry;
	int64_t entries = 0;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	dir = opendir(path);
	if (!dir)
		return proc_errno(errno);
	while ((entry = readdir(dir)))
		entries += entry->d_name[0] != '.';
	closedir(dir);
	return entries;
}

int64_t proc_fds(pid_t pid)
{
	char directory[32];

	snprintf(directory, sizeof(directory), "/proc/%d", pid);
	return proc_count_entries(directory, "fd");
}

int proc_stat(pid_t pid, struct proc_stat *out)
{
	enum { STATE = 3, SESSION = 6, USER_TIME = 14, SYSTEM_TIME = 15 };
	char directory[32], text[1024], *rest, *word;
	ssize_t ret;
	int field;

	snprintf(directory, sizeof(directory), "/proc/%d", pid);
	ret = proc_read(directory, "stat", text, sizeof(text));
	if (ret < 0)
		return (int)ret;
	*out = (struct proc_stat) { .state = 'X' };
	rest = strrchr(text, ')');
	rest = rest && rest[1] ? rest + 2 : NULL;
	for (field = STATE; field <= SYSTEM_TIME && (word = strsep(&rest, " ")); field++) {
		if (field == STATE)
			out->state = word[0];
		else if (field == SESSION)
			out->session = (pid_t)strtol(word, NULL, 10);
		else if (field == USER_TIME || field == SYSTEM_TIME)
			out->cpu_ticks += strtoll(word, NULL, 10);
	}
	return 0;
}

/* The number behind `name`, which begins with the newline before it; 0 if there is none. */
static int64_t proc_number(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

static int proc_memory(const char *directory, struct proc_resources *out)
{
	char text[8192];
	ssize_t ret = proc_read(directory, "status", text, sizeof(text));

	if (ret < 0)
		return (int)ret;
	out->threads = proc_number(text, "\nThreads:");
	out->rss_anon_kib = proc_number(text, "\nRssAnon:");
	out->rss_file_kib = proc_number(text, "\nRssFile:");
	out->rss_shmem_kib = proc_number(text, "\nRssShmem:");
	out->page_tables_kib = proc_number(text, "\nVmPTE:");
	return 0;
}

int proc_resources(pid_t pid, struct proc_resources *out)
{
	struct proc_stat stat;
	char directory[32];
	int ret;

	snprintf(directory, sizeof(directory), "/proc/%d", pid);
	out->fds = proc_fds(pid);
	if (out->fds < 0)
		return (int)out->fds;
	out->vmas = proc_count_lines(directory, "maps");
	if (out->vmas < 0)
		return (int)out->vmas;
	ret = proc_memory(directory, out);
	if (ret)
		return ret;
	/* Last, so that a process that dies on the way is not said to hold nothing. */
	ret = proc_stat(pid, &stat);
	if (ret || stat.state == 'Z' || stat.state == 'X')
		return ret ? ret : -ESRCH;
	out->cpu_ms = stat.cpu_ticks * 1000 / sysconf(_SC_CLK_TCK);
	return 0;
}

int proc_each(pid_t session, int (*visit)(pid_t pid, void *arg), void *arg)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	struct proc_stat stat;
	int ret = 0;
	pid_t pid;

	if (!dir)
		return -errno;
	while (!ret && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (proc_stat(pid, &stat) < 0 || stat.state == 'Z' || stat.state == 'X')
			continue;
		if (!session || stat.session == session)
			ret = visit(pid, arg);
	}
	closedir(dir);
	return ret;
}

__attribute__((format(printf, 2, 3)))
static void proc_print(struct proc_text *text, const char *format, ...)
{
	size_t room = text->size - text->used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->at + text->used, room, format, args);
	va_end(args);
	if (n > 0)
		text->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* The lines of one file behind its name; nothing if it is empty, or not ours to read. */
static void proc_print_file(struct proc_text *text, const char *directory, const char *name)
{
	char content[4096], *line, *rest = content;

	if (proc_read(directory, name, content, sizeof(content)) <= 0)
		return;
	while ((line = strsep(&rest, "\n"))) {
		if (*line)
			proc_print(text, "    %s %s\n", name, line);
	}
}

static void proc_print_thread(struct proc_text *text, pid_t pid, const char *tid)
{
	char directory[320], comm[64] = "", status[8192] = "", *state;

	snprintf(directory, sizeof(directory), "/proc/%d/task/%s", pid, tid);
	if (proc_read(directory, "comm", comm, sizeof(comm)) < 0)
		return;
	comm[strcspn(comm, "\n")] = '\0';
	proc_read(directory, "status", status, sizeof(status));
	state = strstr(status, "\nState:\t");
	state = state ? state + strlen("\nState:\t") : status;
	proc_print(text, "thread %s \"%s\" %.*s\n", tid, comm, (int)strcspn(state, "\n"), state);
	proc_print_file(text, directory, "wchan");
	proc_print_file(text, directory, "syscall");
	proc_print_file(text, directory, "stack");
}

int proc_stacks(pid_t pid, char *text, size_t size)
{
	struct proc_text out = { .at = text, .size = size };
	struct dirent *entry;
	char path[32];
	DIR *dir;

	if (!size)
		return -EINVAL;
	text[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return proc_errno(errno);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			proc_print_thread(&out, pid, entry->d_name);
	}
	closedir(dir);
	return (int)out.used;
}
