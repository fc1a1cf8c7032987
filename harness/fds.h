/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fds.h - a list of descriptors that owns what is in it.
 *
 * A descriptor is owned by the list from fds_add until fds_take hands it out; fds_close closes
 * what is left. Positions do not change: where one was taken the list holds -1. A zeroed struct is
 * an empty list.
 */
#ifndef FDS_H
#define FDS_H

#include <stddef.h>
#include <stdint.h>

struct fds {
	int32_t *fd;		/* `count` entries, -1 where taken */
	uint32_t count;
	uint32_t room;
};

/*
 * Append `count` descriptors, which are the list's from then on. 0; on -ENOMEM they are closed,
 * as there is nobody else who could.
 */
int fds_add(struct fds *list, const int *fd, size_t count);

/* Hand out the descriptor at `index`, the caller's from then on. -ENOENT if there is none. */
int fds_take(struct fds *list, uint32_t index);

/* Close what was not taken and empty the list. */
void fds_close(struct fds *list);

#endif
