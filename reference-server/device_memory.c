/* SPDX-License-Identifier: BSD-3-Clause */
/* device_memory.c - see device_memory.h. */
#include "device_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "range.h"

/* Stored parts are whole pages. */
#define DEVICE_MEMORY_PAGE 4096u

static const uint8_t device_memory_zero[DEVICE_MEMORY_PAGE];

int device_memory_open(struct device_memory *memory, uint64_t size,
		       const struct wire_sparse_area *stored, uint32_t stored_count)
{
	int fd = memfd_create("vuc-bar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	*memory = (struct device_memory){ .fd = -1 };
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		error = -errno;
		close(fd);
		return error;
	}
	*memory = (struct device_memory){ fd, size, stored, stored_count };
	return 0;
}

void device_memory_close(struct device_memory *memory)
{
	if (memory->fd >= 0)
		close(memory->fd);
	memory->fd = -1;
}

/* Whether nothing is stored; then clearing would change nothing. */
static bool device_memory_is_empty(const struct device_memory *memory)
{
	struct stat stat;

	return fstat(memory->fd, &stat) == 0 && stat.st_blocks == 0;
}

void device_memory_clear(struct device_memory *memory)
{
	if (device_memory_is_empty(memory))
		return;
	if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)memory->size))
		log_info("cannot clear device memory: %s", strerror(errno));
}

/* One access, cut down to what lies in a stored part; false if nothing of it does. */
static bool device_memory_part(const struct wire_sparse_area *area, struct range access,
			       struct range *out)
{
	struct range stored;
	uint64_t first, last;

	if (range_make(area->offset, area->size, &stored) || !range_overlaps(stored, access))
		return false;
	first = stored.first > access.first ? stored.first : access.first;
	last = range_last(stored) < range_last(access) ? range_last(stored) : range_last(access);
	return range_make(first, last - first + 1, out) == 0;
}

static int device_memory_load(int fd, uint8_t *data, uint64_t offset, uint64_t count)
{
	while (count) {
		ssize_t n = pread(fd, data, count, (off_t)offset);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		offset += (uint64_t)n;
		count -= (uint64_t)n;
	}
	return 0;
}

static int device_memory_store(int fd, const uint8_t *data, uint64_t offset, uint64_t count)
{
	while (count) {
		ssize_t n = pwrite(fd, data, count, (off_t)offset);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		offset += (uint64_t)n;
		count -= (uint64_t)n;
	}
	return 0;
}

int device_memory_replace(struct device_memory *memory, uint32_t part, const uint8_t *data)
{
	const struct wire_sparse_area *area = &memory->stored[part];
	int error = 0;

	if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)area->offset,
		      (off_t)area->size))
		return -errno;
	for (uint64_t at = 0; at < area->size && !error; at += DEVICE_MEMORY_PAGE) {
		if (memcmp(data + at, device_memory_zero, DEVICE_MEMORY_PAGE) != 0)
			error = device_memory_store(memory->fd, data + at, area->offset + at,
						    DEVICE_MEMORY_PAGE);
	}
	return error;
}

/* Where there is nothing: a page that is zero, perhaps because it was never touched, stays so. */
static void device_memory_blank(uint8_t *data, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += DEVICE_MEMORY_PAGE) {
		if (memcmp(data + at, device_memory_zero, DEVICE_MEMORY_PAGE) != 0)
			memset(data + at, 0, DEVICE_MEMORY_PAGE);
	}
}

int device_memory_save(const struct device_memory *memory, uint32_t part, uint8_t *data)
{
	const struct wire_sparse_area *area = &memory->stored[part];
	off_t first = lseek(memory->fd, (off_t)area->offset, SEEK_DATA);
	bool empty = first < 0 ? errno == ENXIO : (uint64_t)first - area->offset >= area->size;

	if (!empty)
		return device_memory_load(memory->fd, data, area->offset, area->size);
	device_memory_blank(data, area->size);
	return 0;
}

static int device_memory_read(void *owner, uint64_t offset, void *data, uint32_t count)
{
	const struct device_memory *memory = owner;
	struct range access, part;
	int error = range_make(offset, count, &access);

	memset(data, 0, count);
	for (uint32_t i = 0; i < memory->stored_count && !error; i++) {
		if (device_memory_part(&memory->stored[i], access, &part))
			error = device_memory_load(memory->fd,
						   (uint8_t *)data + (part.first - offset),
						   part.first, range_size(part));
	}
	return error;
}

static int device_memory_write(void *owner, uint64_t offset, const void *data, uint32_t count)
{
	const struct device_memory *memory = owner;
	struct range access, part;
	int error = range_make(offset, count, &access);

	for (uint32_t i = 0; i < memory->stored_count && !error; i++) {
		if (device_memory_part(&memory->stored[i], access, &part))
			error = device_memory_store(memory->fd,
						    (const uint8_t *)data + (part.first - offset),
						    part.first, range_size(part));
	}
	return error;
}

const struct region_ops device_memory_ops = {
	.read = device_memory_read,
	.write = device_memory_write,
};
