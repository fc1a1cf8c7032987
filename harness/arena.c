/* SPDX-License-Identifier: BSD-3-Clause */
/* arena.c - see arena.h. What is kept hangs in one list, the last that was given back first. */
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_CHUNK 4096u
#define ARENA_KEPT 64u		/* descriptors that wait to be used again */

struct arena_fd {
	struct arena_fd *next;
	struct arena_want want;
	uint64_t size;		/* of the file now */
	int pass;		/* -1 once dropped */
	int own;		/* -1: there is nothing to look at */
};

struct arena {
	struct arena_fd *used;
	struct arena_fd *idle;
	uint32_t nidle;
	bool keep;
};

int arena_new(bool keep, struct arena **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->keep = keep;
	return 0;
}

static void arena_destroy(struct arena_fd *fd)
{
	if (fd->pass >= 0)
		close(fd->pass);
	if (fd->own >= 0 && fd->own != fd->pass)
		close(fd->own);
	free(fd);
}

static void arena_destroy_all(struct arena_fd *fd)
{
	while (fd) {
		struct arena_fd *next = fd->next;

		arena_destroy(fd);
		fd = next;
	}
}

void arena_free(struct arena *arena)
{
	if (!arena)
		return;
	arena_destroy_all(arena->used);
	arena_destroy_all(arena->idle);
	free(arena);
}

static int arena_reopen(int fd, int flags)
{
	char path[40];
	int copy;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, flags | O_CLOEXEC);
	return copy < 0 ? -errno : copy;
}

static int arena_make_memfd(struct arena_fd *fd)
{
	if (fd->want.size > INT64_MAX)
		return -EFBIG;
	fd->own = memfd_create("vuc-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd->own < 0 || ftruncate(fd->own, (off_t)fd->want.size) < 0)
		return -errno;
	fd->size = fd->want.size;
	if (fd->want.seals && fcntl(fd->own, F_ADD_SEALS, fd->want.seals) < 0)
		return -errno;
	/* A description of its own, so that the one kept here is not touched by the peer. */
	fd->pass = arena_reopen(fd->own, fd->want.read_only ? O_RDONLY : O_RDWR);
	return fd->pass < 0 ? fd->pass : 0;
}

static int arena_make_pair(struct arena_fd *fd)
{
	int pair[2];
	int error = fd->want.kind == PROGRAM_PIPE ?
		pipe2(pair, O_CLOEXEC | O_NONBLOCK) :
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);

	if (error < 0)
		return -errno;
	fd->own = pair[0];
	fd->pass = pair[1];
	return 0;
}

static int arena_count(struct arena_fd *fd)
{
	uint64_t counter = fd->want.size == UINT64_MAX ? UINT64_MAX - 1 : fd->want.size;
	uint64_t before;

	/* Empty unless it was used; it does not block. */
	if (read(fd->own, &before, sizeof(before)) < 0 && errno != EAGAIN)
		return -errno;
	if (counter && write(fd->own, &counter, sizeof(counter)) < 0)
		return -errno;
	return 0;
}

static int arena_make_eventfd(struct arena_fd *fd)
{
	fd->own = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd->own < 0)
		return -errno;
	fd->pass = fd->own;
	return arena_count(fd);
}

static int arena_make_path(struct arena_fd *fd, const char *path, int flags)
{
	fd->pass = open(path, flags | O_CLOEXEC);
	return fd->pass < 0 ? -errno : 0;
}

static int arena_make(struct arena_fd *fd)
{
	switch ((enum program_kind)fd->want.kind) {
	case PROGRAM_MEMFD:
		return arena_make_memfd(fd);
	case PROGRAM_EVENTFD:
		return arena_make_eventfd(fd);
	case PROGRAM_PIPE:
	case PROGRAM_SOCKET:
		return arena_make_pair(fd);
	case PROGRAM_DIRECTORY:
		return arena_make_path(fd, "/", O_RDONLY | O_DIRECTORY);
	case PROGRAM_NULL:
		return arena_make_path(fd, "/dev/null", fd->want.read_only ? O_RDONLY : O_RDWR);
	case PROGRAM_SELF:
	case PROGRAM_KINDS:
		break;
	}
	return -EINVAL;
}

/* As new: nothing in a file, its size, its counter. Pipes and sockets are not kept. */
static int arena_reset(struct arena_fd *fd)
{
	struct stat stat;

	if (fd->want.kind == PROGRAM_EVENTFD)
		return arena_count(fd);
	if (fd->want.kind != PROGRAM_MEMFD)
		return 0;
	if (fstat(fd->own, &stat) < 0 || (stat.st_blocks && ftruncate(fd->own, 0) < 0))
		return -errno;
	if ((stat.st_blocks || (uint64_t)stat.st_size != fd->want.size) &&
	    ftruncate(fd->own, (off_t)fd->want.size) < 0)
		return -errno;
	fd->size = fd->want.size;
	return 0;
}

/* Files without seals, and counters, can be of any size again. */
static bool arena_same(const struct arena_want *a, const struct arena_want *b)
{
	return a->kind == b->kind && (a->size == b->size || !a->seals) && a->seals == b->seals &&
	       a->read_only == b->read_only;
}

/* One that was used before, reset; NULL if there is none. */
static struct arena_fd *arena_again(struct arena *arena, const struct arena_want *want)
{
	struct arena_fd **at = &arena->idle;
	struct arena_fd *fd;

	while (*at && !arena_same(&(*at)->want, want))
		at = &(*at)->next;
	fd = *at;
	if (!fd)
		return NULL;
	*at = fd->next;
	arena->nidle--;
	fd->want = *want;
	if (!arena_reset(fd))
		return fd;
	arena_destroy(fd);
	return NULL;
}

int arena_open(struct arena *arena, const struct arena_want *want, struct arena_fd **out)
{
	struct arena_fd *fd = arena_again(arena, want);
	int error;

	if (!fd) {
		fd = calloc(1, sizeof(*fd));
		if (!fd)
			return -ENOMEM;
		fd->want = *want;
		fd->pass = fd->own = -1;
		error = arena_make(fd);
		if (error) {
			arena_destroy(fd);
			return error;
		}
	}
	fd->next = arena->used;
	arena->used = fd;
	*out = fd;
	return 0;
}

static bool arena_keeps(const struct arena *arena, const struct arena_fd *fd)
{
	if (!arena->keep || fd->pass < 0)
		return false;
	return fd->want.kind != PROGRAM_PIPE && fd->want.kind != PROGRAM_SOCKET;
}

/*
 * Those that were used longest ago go, so that the same program finds what it had: a second run of
 * it leaves as many descriptors as the first.
 */
static void arena_trim(struct arena *arena)
{
	struct arena_fd **at = &arena->idle;

	if (arena->nidle <= ARENA_KEPT)
		return;
	for (uint32_t i = 0; i < ARENA_KEPT; i++)
		at = &(*at)->next;
	arena_destroy_all(*at);
	*at = NULL;
	arena->nidle = ARENA_KEPT;
}

void arena_clear(struct arena *arena)
{
	while (arena->used) {
		struct arena_fd *fd = arena->used;

		arena->used = fd->next;
		if (!arena_keeps(arena, fd)) {
			arena_destroy(fd);
			continue;
		}
		fd->next = arena->idle;
		arena->idle = fd;
		arena->nidle++;
	}
	arena_trim(arena);
}

int arena_pass(const struct arena_fd *fd)
{
	return fd->pass < 0 ? -EBADF : fd->pass;
}

void arena_drop(struct arena_fd *fd)
{
	if (fd->pass >= 0)
		close(fd->pass);
	if (fd->own == fd->pass)
		fd->own = -1;
	fd->pass = -1;
}

void arena_describe(const struct arena_fd *fd, struct model_fd *out)
{
	*out = (struct model_fd){ .kind = MODEL_FD_OTHER };
	if (fd->want.kind == PROGRAM_EVENTFD)
		out->kind = MODEL_FD_EVENTFD;
	if (fd->want.kind != PROGRAM_MEMFD)
		return;
	out->kind = MODEL_FD_MEMORY;
	out->writable = !fd->want.read_only &&
			!(fd->want.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
	out->shrinks = !(fd->want.seals & F_SEAL_SHRINK);
	out->fixed = fd->want.seals & F_SEAL_GROW;
	out->size = fd->size;
}

int arena_truncate(struct arena_fd *fd, uint64_t size)
{
	if (fd->want.kind != PROGRAM_MEMFD)
		return -EBADF;
	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(fd->own, (off_t)size) < 0)
		return -errno;
	fd->size = size;
	return 0;
}

int arena_punch(struct arena_fd *fd, uint64_t offset, uint64_t size)
{
	if (fd->want.kind != PROGRAM_MEMFD)
		return -EBADF;
	if (offset > INT64_MAX || size > INT64_MAX)
		return -EFBIG;
	if (fallocate(fd->own, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)size) < 0)
		return -errno;
	return 0;
}

int arena_read(const struct arena_fd *fd, uint64_t offset, void *data, uint32_t size)
{
	uint8_t *at = data;

	if (fd->want.kind != PROGRAM_MEMFD)
		return -EBADF;
	while (size) {
		ssize_t n = offset > INT64_MAX ? 0 : pread(fd->own, at, size, (off_t)offset);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += n;
		offset += (uint64_t)n;
		size -= (uint32_t)n;
	}
	return 0;
}

int arena_write(struct arena_fd *fd, uint64_t offset, const void *data, uint32_t size)
{
	const uint8_t *at = data;

	if (fd->want.kind != PROGRAM_MEMFD)
		return -EBADF;
	if (offset > fd->size || size > fd->size - offset)
		return -EIO;
	while (size) {
		ssize_t n = pwrite(fd->own, at, size, (off_t)offset);

		if (n < 0)
			return -errno;
		at += n;
		offset += (uint64_t)n;
		size -= (uint32_t)n;
	}
	return 0;
}

/* How many bytes of [offset, offset + size) there are. */
static uint64_t arena_within(const struct arena_fd *fd, uint64_t offset, uint64_t size)
{
	uint64_t left = offset < fd->size ? fd->size - offset : 0;

	if (size > left)
		size = left;
	return size < ARENA_FILL ? size : ARENA_FILL;
}

static uint32_t arena_chunk(uint64_t left)
{
	return left < ARENA_CHUNK ? (uint32_t)left : ARENA_CHUNK;
}

int arena_fill(struct arena_fd *fd, uint64_t offset, uint64_t size, uint32_t seed)
{
	uint8_t chunk[ARENA_CHUNK];
	uint64_t end = arena_within(fd, offset, size);

	for (uint64_t at = 0; at < end; at += sizeof(chunk)) {
		uint32_t n = arena_chunk(end - at);
		int error;

		for (uint32_t i = 0; i < n; i++)
			chunk[i] = arena_pattern(seed, at + i);
		error = arena_write(fd, offset + at, chunk, n);
		if (error)
			return error;
	}
	return fd->want.kind == PROGRAM_MEMFD ? 0 : -EBADF;
}

int64_t arena_differs(const struct arena_fd *fd, uint64_t offset, uint64_t size, uint32_t seed,
		      uint64_t *first)
{
	uint8_t chunk[ARENA_CHUNK];
	uint64_t end = arena_within(fd, offset, size);
	int64_t count = 0;

	for (uint64_t at = 0; at < end; at += sizeof(chunk)) {
		uint32_t n = arena_chunk(end - at);
		int error = arena_read(fd, offset + at, chunk, n);

		if (error)
			return error;
		for (uint32_t i = 0; i < n; i++) {
			if (chunk[i] == arena_pattern(seed, at + i))
				continue;
			if (!count++)
				*first = offset + at + i;
		}
	}
	return fd->want.kind == PROGRAM_MEMFD ? count : -EBADF;
}
