/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.c - from a socket path to the sockets of that name, and from those to their holder.
 */
#include "listener.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proc.h"

#define LISTENER_FLAG 0x10000	/* of /proc/net/unix: listen() was called */

struct listener_socket {
	unsigned long inode;
	bool exact;		/* bound to an absolute path, spelled as ours */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
};

struct listener_search {
	const char *path;
	struct listener_socket *sockets;
	size_t nsockets;
	bool exact;		/* one of the sockets is */
};

static const char *listener_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int listener_add(struct listener_search *search, unsigned long inode, const char *path)
{
	struct listener_socket *sockets, *socket;

	if (strcmp(listener_name(path), listener_name(search->path)) != 0)
		return 0;
	sockets = reallocarray(search->sockets, search->nsockets + 1, sizeof(*sockets));
	if (!sockets)
		return -ENOMEM;
	search->sockets = sockets;
	socket = &sockets[search->nsockets++];
	socket->inode = inode;
	socket->exact = path[0] == '/' && strcmp(path, search->path) == 0;
	snprintf(socket->path, sizeof(socket->path), "%s", path);
	search->exact |= socket->exact;
	return 0;
}

/* Collect the listening sockets that are bound to a path with our last component. */
static int listener_collect(struct listener_search *search)
{
	FILE *file = fopen("/proc/net/unix", "re");
	char *line = NULL, flags[16], inode[24];
	size_t size = 0;
	int path, ret = 0;

	if (!file)
		return -errno;
	while (!ret && getline(&line, &size, file) > 0) {
		path = 0;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%*s %*s %*s %15s %*s %*s %23s %n", flags, inode, &path) == 2 &&
		    path && (strtoul(flags, NULL, 16) & LISTENER_FLAG))
			ret = listener_add(search, strtoul(inode, NULL, 10), line + path);
	}
	free(line);
	fclose(file);
	return ret;
}

/* Is the file that `pid` sees under the name of its socket the one that we see under ours? */
static bool listener_same_file(const struct listener_search *search, pid_t pid,
			       const struct listener_socket *socket)
{
	struct stat ours, theirs;
	char path[160];

	if (socket->exact)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/%s/%s", pid, socket->path[0] == '/' ? "root" : "cwd",
		 socket->path);
	return stat(search->path, &ours) == 0 && stat(path, &theirs) == 0 &&
	       ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static bool listener_is_socket(const struct listener_search *search, pid_t pid, const char *link)
{
	static const char kind[] = "socket:[";
	unsigned long inode;
	size_t i;

	if (strncmp(link, kind, strlen(kind)) != 0)
		return false;
	inode = strtoul(link + strlen(kind), NULL, 10);
	for (i = 0; i < search->nsockets; i++) {
		if (search->sockets[i].inode == inode)
			return listener_same_file(search, pid, &search->sockets[i]);
	}
	return false;
}

/* For proc_each: the pid if it holds one of the sockets, else 0. */
static int listener_visit(pid_t pid, void *arg)
{
	char path[32], link[64];
	struct dirent *entry;
	bool found = false;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return 0;	/* it has ended, or is not ours to look at */
	while (!found && (entry = readdir(dir))) {
		n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		if (n <= 0)
			continue;
		link[n] = '\0';
		found = listener_is_socket(arg, pid, link);
	}
	closedir(dir);
	return found ? pid : 0;
}

pid_t listener_find(const char *path, pid_t session)
{
	struct listener_search search = { .path = path };
	int ret = listener_collect(&search);

	if (!ret && search.nsockets)
		ret = proc_each(session, listener_visit, &search);
	if (!ret && (session || !search.exact))
		ret = -ENOENT;
	free(search.sockets);
	return ret;
}
