/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_pool.h - the memory of a table: dense nodes of 4 KiB and sparse ones of 128 bytes.
 *
 * Memory comes from the system in chunks of 1 MiB, aligned to that, the first page of which is
 * their own. Each other page is free, a dense node, or 32 sparse nodes. A page that has become
 * free gives its memory back, but for a few; a chunk that has become free goes as a whole if
 * there are enough free pages without it.
 *
 * Reserving can fail; taking after that and giving back can not.
 */
#ifndef SPACE_POOL_H
#define SPACE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "space.h"

#define SPACE_PAGE 4096U
#define SPACE_DENSE_WIDTH 512U	/* entries of a node */
#define SPACE_SPARSE_WIDTH 16U
#define SPACE_CHUNK_PAGES 256U

struct space_page {
	uint16_t used;		/* entries of a dense node, or sparse nodes that are taken */
	uint8_t next;		/* of the free pages of the chunk; 0: none */
	bool dirty;		/* free, and neither zero nor given back */
};

struct space_chunk {
	struct space_chunk *next, *previous;
	void *mapped;		/* what munmap has to get */
	size_t mapped_size;
	unsigned int used;	/* pages taken */
	unsigned int fresh;	/* this page and all behind it were never taken */
	uint8_t free;		/* the first of those that were, 0: none */
	struct space_page page[SPACE_CHUNK_PAGES];
};

void space_pool_init(struct space_pool *pool, size_t quota);

/* Gives everything back at once. */
void space_pool_clear(struct space_pool *pool);

/*
 * Sees to it that so many nodes (few: they fit into one chunk) can be taken: 0, or -ENOSPC if they
 * might go beyond the quota, or -ENOMEM. A further call does not add to it.
 */
int space_pool_reserve(struct space_pool *pool, size_t dense, size_t sparse);

/* A node of zeros, out of what was reserved. */
_Atomic uint64_t *space_pool_take(struct space_pool *pool, bool sparse);

/* Nobody reads the node any more. */
void space_pool_give(struct space_pool *pool, _Atomic uint64_t *node, bool sparse);

/* The number of entries of a dense node, which those who change the node keep. */
static inline uint16_t *space_pool_used(_Atomic uint64_t *dense)
{
	uintptr_t at = (uintptr_t)dense, mask = SPACE_CHUNK_PAGES * SPACE_PAGE - 1;
	struct space_chunk *chunk = (struct space_chunk *)(at & ~mask);

	return &chunk->page[(at & mask) / SPACE_PAGE].used;
}

#endif
