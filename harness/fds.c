/* SPDX-License-Identifier: BSD-3-Clause */
/* fds.c - see fds.h. */
#include "fds.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fds_grow(struct fds *list, size_t count)
{
	size_t room = (size_t)list->count + count;
	int32_t *larger;

	if (room <= list->room)
		return 0;
	if (room > UINT32_MAX / sizeof(*larger))
		return -ENOMEM;
	larger = realloc(list->fd, room * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	list->fd = larger;
	list->room = (uint32_t)room;
	return 0;
}

int fds_add(struct fds *list, const int *fd, size_t count)
{
	int error = fds_grow(list, count);

	for (size_t i = 0; i < count; i++) {
		if (error)
			close(fd[i]);
		else
			list->fd[list->count++] = fd[i];
	}
	return error;
}

int fds_take(struct fds *list, uint32_t index)
{
	int fd;

	if (index >= list->count || list->fd[index] < 0)
		return -ENOENT;
	fd = list->fd[index];
	list->fd[index] = -1;
	return fd;
}

void fds_close(struct fds *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->fd[i] >= 0)
			close(list->fd[i]);
	free(list->fd);
	*list = (struct fds){ 0 };
}
