/* SPDX-License-Identifier: BSD-3-Clause */
/* files.h - files for windows, and what the process has mapped of them. */
#ifndef FILES_H
#define FILES_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)

/* A file of that many bytes that can be sealed. */
static inline int file_of(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* Areas of the address space that show such files, or all areas. */
static inline unsigned int file_areas(bool all)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += all || strstr(line, "memfd:test") != NULL;
	fclose(maps);
	return n;
}

#endif
