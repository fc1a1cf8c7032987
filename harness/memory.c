/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c - guest memory that knows whether somebody else still has it. What the two questions
 * prove, and on what condition, is in memory.h.
 */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_CHUNK 65536
#define MEMORY_STRIDE 0x9d	/* of the pattern: odd, so that all byte values come */

struct memory {
	int kept;
	int passed;	/* -1 once closed */
	uint64_t size;
	bool reopened;	/* kept and passed are descriptions of their own: leases tell something */
};

static int memory_reopen(int fd)
{
	char path[40];
	int copy;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, O_RDWR | O_CLOEXEC);
	return copy < 0 ? -errno : copy;
}

/*
 * The description that memfd_create makes is not counted as an opener of the file and could
 * neither hold a lease nor stand in its way, so it is replaced by two that are. Without /proc the
 * memory serves as plain memory.
 */
static int memory_open(struct memory *memory, int original)
{
	memory->kept = memory_reopen(original);
	if (memory->kept >= 0) {
		memory->passed = memory_reopen(original);
		close(original);
		memory->reopened = true;
		/* Should the lease ever be broken, the signal must be one that does not kill. */
		fcntl(memory->kept, F_SETSIG, SIGURG);
		return memory->passed < 0 ? memory->passed : 0;
	}
	memory->kept = original;
	memory->passed = fcntl(original, F_DUPFD_CLOEXEC, 0);
	return memory->passed < 0 ? -errno : 0;
}

int memory_create(uint64_t size, struct memory **out)
{
	struct memory *memory;
	int original, ret;

	if (!size)
		return -EINVAL;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->kept = memory->passed = -1;
	original = memfd_create("vuc-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ret = original < 0 ? -errno : memory_open(memory, original);
	if (!ret)
		ret = memory_truncate(memory, size);
	if (ret) {
		memory_free(memory);
		return ret;
	}
	*out = memory;
	return 0;
}

void memory_free(struct memory *memory)
{
	if (!memory)
		return;
	memory_close_fd(memory);
	if (memory->kept >= 0)
		close(memory->kept);
	free(memory);
}

int memory_fd(struct memory *memory)
{
	return memory->passed < 0 ? -EBADF : memory->passed;
}

void memory_close_fd(struct memory *memory)
{
	if (memory->passed >= 0)
		close(memory->passed);
	memory->passed = -1;
}

int memory_held(struct memory *memory)
{
	if (memory->passed >= 0)
		return -EBUSY;
	if (!memory->reopened)
		return -ENOTSUP;
	if (fcntl(memory->kept, F_SETLEASE, F_WRLCK) < 0)
		return errno == EAGAIN ? 1 : -errno;
	return fcntl(memory->kept, F_SETLEASE, F_UNLCK) < 0 ? -errno : 0;
}

int memory_mapped(struct memory *memory)
{
	if (fcntl(memory->kept, F_ADD_SEALS, F_SEAL_WRITE) < 0)
		return errno == EBUSY ? 1 : -errno;
	return 0;
}

static int memory_check(const struct memory *memory, uint64_t offset, size_t size)
{
	return offset > memory->size || size > memory->size - offset ? -ERANGE : 0;
}

int memory_read(struct memory *memory, uint64_t offset, void *data, size_t size)
{
	uint8_t *at = data;
	int ret = memory_check(memory, offset, size);

	while (!ret && size > 0) {
		ssize_t n = pread(memory->kept, at, size, (off_t)offset);

		if (n <= 0)	/* 0: the peer has cut the file */
			return n < 0 ? -errno : -EIO;
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return ret;
}

int memory_write(struct memory *memory, uint64_t offset, const void *data, size_t size)
{
	const uint8_t *at = data;
	int ret = memory_check(memory, offset, size);

	while (!ret && size > 0) {
		ssize_t n = pwrite(memory->kept, at, size, (off_t)offset);

		if (n < 0)
			return -errno;
		at += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return ret;
}

static uint8_t memory_pattern(uint32_t seed, uint64_t i)
{
	return (uint8_t)(seed + i * MEMORY_STRIDE);
}

static size_t memory_chunk(const struct memory *memory, uint64_t at)
{
	uint64_t left = memory->size - at;

	return left < MEMORY_CHUNK ? (size_t)left : MEMORY_CHUNK;
}

int memory_fill(struct memory *memory, uint32_t seed)
{
	uint8_t chunk[MEMORY_CHUNK];
	uint64_t at;
	int ret;

	/* The pattern repeats every 256 bytes, so all chunks have the same contents. */
	for (at = 0; at < sizeof(chunk); at++)
		chunk[at] = memory_pattern(seed, at);
	for (at = 0; at < memory->size; at += sizeof(chunk)) {
		ret = memory_write(memory, at, chunk, memory_chunk(memory, at));
		if (ret)
			return ret;
	}
	return 0;
}

int64_t memory_differs(struct memory *memory, uint32_t seed)
{
	uint8_t chunk[MEMORY_CHUNK];
	int64_t count = 0;
	uint64_t at;
	size_t i, n;
	int ret;

	for (at = 0; at < memory->size; at += n) {
		n = memory_chunk(memory, at);
		ret = memory_read(memory, at, chunk, n);
		if (ret)
			return ret;
		for (i = 0; i < n; i++)
			count += chunk[i] != memory_pattern(seed, at + i);
	}
	return count;
}

int memory_truncate(struct memory *memory, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(memory->kept, (off_t)size) < 0)
		return -errno;
	memory->size = size;
	return 0;
}
