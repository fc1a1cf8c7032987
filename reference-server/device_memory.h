/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_memory.h - device memory that the client can map: BAR2 and BAR4.
 *
 * The content is a memfd, sealed so that no client can change its size. The server reads and
 * writes it by system calls and has no mapping of it. Bytes outside the stored parts read 0 and
 * ignore writes.
 */
#ifndef DEVICE_MEMORY_H
#define DEVICE_MEMORY_H

#include <stdint.h>

#include "region.h"

struct device_memory {
	int fd;
	uint64_t size;
	const struct wire_sparse_area *stored;	/* ascending */
	uint32_t stored_count;
};

extern const struct region_ops device_memory_ops;

/* `stored` outlives the memory. 0, or -errno with fd -1 if the system has no such file for us. */
int device_memory_open(struct device_memory *memory, uint64_t size,
		       const struct wire_sparse_area *stored, uint32_t stored_count);
void device_memory_close(struct device_memory *memory);

/*
 * Takes over the bytes of one stored part, all of them; what is 0 takes no memory. 0 or -errno,
 * and the part may have changed.
 */
int device_memory_replace(struct device_memory *memory, uint32_t part, const uint8_t *data);

/* The bytes of one stored part, all of them. 0 or -errno. */
int device_memory_save(const struct device_memory *memory, uint32_t part, uint8_t *data);

/* All bytes become 0, in the client's mappings too. */
void device_memory_clear(struct device_memory *memory);

#endif
