/* SPDX-License-Identifier: BSD-3-Clause */
/* flood_files.c - see flood_files.h. */
#include "flood_files.h"

#include <fcntl.h>

#include "arena.h"
#include "driver.h"

const struct flood_file flood_files[FLOOD_FILES] = {
	{ 1, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 4, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 16, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 256, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 4096, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 1 << 16, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 1 << 20, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 1 << 20, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 1 << 20, PROGRAM_MEMFD, 0, FLOOD_READ },
	{ 16, PROGRAM_MEMFD, 0, FLOOD_READ },
	{ 256, PROGRAM_MEMFD, F_SEAL_WRITE, FLOOD_READ },
	{ 256, PROGRAM_MEMFD, F_SEAL_SHRINK, FLOOD_BOTH },
	{ 0, PROGRAM_MEMFD, 0, FLOOD_BOTH },
	{ 0, PROGRAM_EVENTFD, 0, FLOOD_NO_FILE },
	{ 0, PROGRAM_PIPE, 0, FLOOD_NO_FILE },
	{ 0, PROGRAM_SOCKET, 0, FLOOD_NO_FILE },
	{ 0, PROGRAM_DIRECTORY, 0, FLOOD_NO_FILE },
	{ 0, PROGRAM_NULL, 0, FLOOD_NO_FILE },
};

static struct arena *flood_arena;

void flood_files_open(int fd[FLOOD_FILES])
{
	struct arena_fd *one;

	if (flood_arena)
		return;
	if (arena_new(true, &flood_arena))
		driver_finding("no memory for the descriptors");
	for (uint32_t i = 0; i < FLOOD_FILES; i++) {
		const struct flood_file *file = &flood_files[i];
		const struct arena_want want = {
			.size = file->pages ? file->pages * FLOOD_PAGE : 100,
			.kind = file->kind,
			.seals = file->seals,
			.read_only = file->mode == FLOOD_READ && !file->seals,
		};

		if (arena_open(flood_arena, &want, &one))
			driver_finding("descriptor %u cannot be made", i);
		fd[i] = arena_pass(one);
	}
}
