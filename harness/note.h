/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * note.h - what a client sends as steps of a program: messages, and the descriptors with them.
 *
 * Each descriptor becomes a step that makes another of its kind, size and seals, before the message
 * that it comes with first; the same file again is the same handle, and one whose size has changed
 * since is truncated. A message that has more different descriptors than a step takes has the last
 * of those more often.
 */
#ifndef NOTE_H
#define NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

/* What a handle stands for. */
struct note_file {
	bool used;
	bool read_only;
	uint64_t device;
	uint64_t inode;
	uint64_t number;	/* of an eventfd, as all of them share an inode */
	uint64_t size;
};

/* Begins as zeros, but for the program, which is the caller's. */
struct note {
	struct program *program;
	struct note_file file[PROGRAM_HANDLES];
	uint32_t next;		/* handle to be used, or used again */
};

struct note_message {
	const uint8_t *bytes;
	size_t size;
	const int32_t *fds;
	size_t nfds;
	bool raw;		/* not as a message: the bytes as they are */
	bool twin;
};

/* What a descriptor is; `seals` and `size` of files. enum program_kind. */
uint8_t note_kind(int fd);

/*
 * Adds the message behind the steps that there are, and those that its descriptors take. The index
 * of its step; -ENOSPC when the program has no room, -EBADF for a descriptor that is none, -EINVAL
 * for bytes that are shorter than a header and not raw: then the program is as before.
 */
int note_add(struct note *note, const struct note_message *message);

#endif
