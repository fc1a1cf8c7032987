/* SPDX-License-Identifier: BSD-3-Clause */
/* note.c - see note.h. */
#include "note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack.h"

uint8_t note_kind(int fd)
{
	char path[40], name[64];
	struct stat stat;
	ssize_t n;

	if (fstat(fd, &stat) < 0)
		return PROGRAM_NULL;
	if (S_ISREG(stat.st_mode))
		return PROGRAM_MEMFD;
	if (S_ISDIR(stat.st_mode))
		return PROGRAM_DIRECTORY;
	if (S_ISFIFO(stat.st_mode))
		return PROGRAM_PIPE;
	if (S_ISSOCK(stat.st_mode))
		return PROGRAM_SOCKET;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	return strstr(name, "eventfd") ? PROGRAM_EVENTFD : PROGRAM_NULL;
}

/* What tells one eventfd from another; kernels that do not say it have all of them differ. */
static uint64_t note_eventfd(int fd)
{
	static const char key[] = "eventfd-id:";
	char path[40], text[512];
	const char *at;
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	n = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (info >= 0)
		close(info);
	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : UINT64_MAX - (uint64_t)fd;
}

/* 0 or -EBADF. */
static int note_describe(int fd, struct note_file *out)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -EBADF;
	*out = (struct note_file){
		.used = true,
		.read_only = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY,
		.device = stat.st_dev,
		.inode = stat.st_ino,
		.size = S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : 0,
	};
	if (note_kind(fd) == PROGRAM_EVENTFD)
		out->number = note_eventfd(fd);
	return 0;
}

static bool note_same(const struct note_file *a, const struct note_file *b)
{
	return a->used && a->device == b->device && a->inode == b->inode &&
	       a->number == b->number && a->read_only == b->read_only;
}

static struct program_step *note_step(struct note *note, uint8_t op, uint32_t handle)
{
	struct program_step *step = program_insert(note->program, note->program->count);

	if (!step)
		return NULL;
	step->op = op;
	step->handle = (uint8_t)handle;
	return step;
}

/* The step that makes one like it. 0 or -ENOSPC. */
static int note_open(struct note *note, uint32_t handle, int fd)
{
	struct program_step *step = note_step(note, PROGRAM_OPEN, handle);
	int seals;

	if (!step)
		return -ENOSPC;
	step->kind = note_kind(fd);
	if (step->kind != PROGRAM_MEMFD)
		return 0;
	step->number[0] = note->file[handle].size;
	seals = fcntl(fd, F_GET_SEALS);
	step->seals = seals > 0 ? (uint32_t)seals : 0;
	if (note->file[handle].read_only)
		step->properties = PROGRAM_HELD;
	return 0;
}

/* The handle of a known file, with the step that gives it the size that it has now. */
static int note_again(struct note *note, uint32_t handle, const struct note_file *file)
{
	struct program_step *step;

	if (note->file[handle].size == file->size)
		return (int)handle;
	step = note_step(note, PROGRAM_TRUNCATE, handle);
	if (!step)
		return -ENOSPC;
	step->number[0] = file->size;
	note->file[handle].size = file->size;
	return (int)handle;
}

/* The handle of a descriptor; `taken` are those of the message, which stay. -ENOSPC, -EBADF. */
static int note_handle(struct note *note, int fd, uint32_t taken)
{
	struct note_file file;
	uint32_t handle;
	int error = note_describe(fd, &file);

	if (error)
		return error;
	for (uint32_t i = 0; i < PROGRAM_HANDLES; i++)
		if (note_same(&note->file[i], &file))
			return note_again(note, i, &file);
	do
		handle = note->next++ % PROGRAM_HANDLES;
	while (taken >> handle & 1);
	note->file[handle] = file;
	error = note_open(note, handle, fd);
	return error ? error : (int)handle;
}

/* The descriptors of a message, and the steps that make them. 0 or -errno. */
static int note_fds(struct note *note, const struct note_message *message,
		    struct program_step *out)
{
	uint32_t taken = 0;

	for (size_t i = 0; i < message->nfds; i++) {
		bool full = out->nfds == PROGRAM_FDS;
		struct program_fd *last = out->nfds ? &out->fd[out->nfds - 1] : NULL;
		int handle = last && full ? last->handle :
					    note_handle(note, message->fds[i], taken);

		if (handle < 0)
			return handle;
		taken |= UINT32_C(1) << handle;
		if (last && last->handle == handle && last->times < UINT8_MAX)
			last->times++;
		else if (!full)
			out->fd[out->nfds++] = (struct program_fd){ (uint8_t)handle, 1 };
	}
	return 0;
}

/* The step of the message itself; its index or -errno. */
static int note_bytes(struct note *note, const struct note_message *message,
		      const struct program_step *fds)
{
	struct program_step *step = program_insert(note->program, note->program->count);
	int error;

	if (!step)
		return -ENOSPC;
	error = message->raw ? pack_unraw(note->program, step, message->bytes, message->size) :
			       pack_unmessage(note->program, step, message->bytes, message->size);
	if (error)
		return error;
	if (message->twin)
		step->properties |= PROGRAM_TWIN;
	step->nfds = fds->nfds;
	memcpy(step->fd, fds->fd, sizeof(step->fd));
	return (int)note->program->count - 1;
}

int note_add(struct note *note, const struct note_message *message)
{
	uint32_t before = note->program->count;
	struct program_step fds = { .nfds = 0 };
	int result = note_fds(note, message, &fds);

	if (!result)
		result = note_bytes(note, message, &fds);
	if (result < 0)
		program_remove(note->program, before, note->program->count - before);
	return result;
}
