/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flood_files.h - the descriptors that floods of mappings pass: of every kind, made once.
 *
 * PROGRAM_SELF is not among them: the connection of a flood is over memory (stage.h), and has no
 * socket that could be passed. The server would see a connected stream socket that is no file,
 * which PROGRAM_SOCKET is.
 */
#ifndef FLOOD_FILES_H
#define FLOOD_FILES_H

#include <stdint.h>

#define FLOOD_FILES 18u
#define FLOOD_PAGE 4096u

enum flood_mode {
	FLOOD_NO_FILE,
	FLOOD_READ = 1,
	FLOOD_WRITE = 2,
	FLOOD_BOTH = 3,
};

/* A descriptor, and what may be mapped of it. */
struct flood_file {
	uint64_t pages;		/* 0: not a page, or no file */
	uint32_t kind;
	uint32_t seals;
	enum flood_mode mode;
};

extern const struct flood_file flood_files[FLOOD_FILES];

/* Fills in the descriptors, which stay this module's; the first call makes them. */
void flood_files_open(int fd[FLOOD_FILES]);

#endif
