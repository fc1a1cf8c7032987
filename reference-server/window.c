/* SPDX-License-Identifier: BSD-3-Clause */
/* window.c - see window.h. */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "range.h"

#define WINDOW_GUARD 4096u

/* The protection that the descriptor's mode allows, or -errno when `access` needs more. */
static int window_protection(int fd, unsigned int access)
{
	int flags = fcntl(fd, F_GETFL);
	int mode = flags & O_ACCMODE;

	if (flags < 0)
		return -errno;
	if (flags & O_PATH || mode == O_WRONLY)
		return -EACCES;
	if (access & WINDOW_WRITE && mode != O_RDWR)
		return -EACCES;
	return mode == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ;
}

static int window_check(int fd, uint64_t offset, uint64_t size)
{
	struct range file, part;
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -ENODEV;
	if (range_make(0, (uint64_t)stat.st_size, &file) || range_make(offset, size, &part) ||
	    !range_contains(file, part))
		return -EINVAL;
	return 0;
}

/* A reserved place, so that the page behind the file can be given back and stays free. */
static int window_place(struct window *window, int fd, uint64_t offset, uint64_t size, int prot)
{
	uint8_t *place = mmap(NULL, size + WINDOW_GUARD, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int error;

	if (place == MAP_FAILED)
		return -errno;
	if (mmap(place, size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset) ==
	    MAP_FAILED) {
		error = -errno;
		munmap(place, size + WINDOW_GUARD);
		return error;
	}
	munmap(place + size, WINDOW_GUARD);
	window->base = place;
	return 0;
}

int window_open(struct window *window, int fd, uint64_t offset, uint64_t size,
		unsigned int access)
{
	int error = window_check(fd, offset, size);
	int prot;

	if (error)
		return error;
	prot = window_protection(fd, access);
	if (prot < 0)
		return prot;
	error = window_place(window, fd, offset, size, prot);
	/* A file sealed against writing can still be read through a descriptor that may write. */
	if (error == -EPERM && !(access & WINDOW_WRITE))
		error = window_place(window, fd, offset, size, PROT_READ);
	return error;
}

void window_close(struct window *window, uint64_t size)
{
	if (window->base)
		munmap(window->base, size);
	window->base = NULL;
}
