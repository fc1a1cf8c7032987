/* SPDX-License-Identifier: BSD-3-Clause */
/* account_process.c - see account_process.h. */
#include "account_process.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define ACCOUNT_POLLED 128

const struct account_rule account_anything = {
	"something of the clients", "DISC-CLI-008",
	"it keeps something of its clients when all connections are closed",
};

/* What was read last; nobody has if it has no descriptors. */
static struct account_process account_last;

static bool account_has(const struct account_process *process, unsigned int fd)
{
	return fd < 8 * sizeof(process->open) && process->open[fd / 8] & 1u << fd % 8;
}

static int account_fds(struct account_process *out)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (!folder)
		return -errno;
	while ((entry = readdir(folder))) {
		unsigned long fd = strtoul(entry->d_name, NULL, 10);

		if (entry->d_name[0] == '.' || fd == (unsigned long)dirfd(folder))
			continue;
		out->fds++;
		if (fd < 8 * sizeof(out->open))
			out->open[fd / 8] |= (uint8_t)(1u << fd % 8);
	}
	closedir(folder);
	return 0;
}

/* Programs and libraries come and go with what a sanitizer does; files of clients are memfds. */
static int account_maps(struct account_process *out)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps))
		out->maps += strstr(line, "/memfd:") != NULL;
	fclose(maps);
	return 0;
}

static int account_read(struct account_process *out)
{
	int error;

	memset(out, 0, sizeof(*out));
	error = account_fds(out);
	return error ? error : account_maps(out);
}

int account_process(struct account_process *out)
{
	int error = account_read(out);

	if (!error)
		account_last = *out;
	return error;
}

int account_new_fd(const struct account_process *before, unsigned int count)
{
	struct pollfd polled[ACCOUNT_POLLED];
	nfds_t n = 0;

	for (unsigned int fd = 0; fd < count && n < ACCOUNT_POLLED; fd++) {
		if (!account_has(before, fd))
			polled[n++] = (struct pollfd){ .fd = (int)fd };
	}
	if (poll(polled, n, 0) == (int)n)
		return -1;
	for (nfds_t i = 0; i < n; i++) {
		if (!(polled[i].revents & POLLNVAL))
			return polled[i].fd;
	}
	return -1;
}

bool account_same_process(const struct account_process *before, char *text, size_t size)
{
	struct buf_writer writer = buf_text_over(text, size);
	struct account_process after;
	int error = account_read(&after);

	if (error)
		buf_text(&writer, "/proc cannot be read: %s", strerror(-error));
	else if (after.fds > before->fds)
		buf_text(&writer, "%u descriptors before, %u now; ", before->fds, after.fds);
	if (!error && after.maps > before->maps)
		buf_text(&writer, "%u files mapped before, %u now", before->maps, after.maps);
	return writer.at == 0;
}

void account_census(char *text, size_t size)
{
	struct buf_writer writer = buf_text_over(text, size);
	struct account_process now;

	if (!account_last.fds)
		return;
	if (account_read(&now))
		buf_text(&writer, "/proc cannot be read");
	else
		buf_text(&writer, "%u descriptors and %u mapped files of clients in this process, "
			 "%u and %u at the last look with nobody connected", now.fds, now.maps,
			 account_last.fds, account_last.maps);
}
