/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.h - the table of an address space: which pages are mapped, and to what.
 *
 * Pages are addresses shifted right by 12, so they are below 2^52. A mapping is a run of pages with
 * one entry: a window and the page of its file at which the mapping begins, linear from there on.
 * Mappings never overlap and are taken out as they were put in, never in part.
 *
 * A radix tree of 9 bits per level, as high as the highest page needs. An aligned run of 512^n
 * pages is one leaf of 8 bytes, whatever its backing is aligned to. A node with few entries takes
 * 128 bytes, one with many 4 KiB. A mapping of one page costs a bit over 8 bytes where pages are
 * dense.
 *
 * One thread changes the table. Others may call space_find() meanwhile, without a lock, for pages
 * that they have published as a hazard before. Nodes that such a reader could still be in are put
 * aside and freed when no hazard overlaps the addresses that they stood for.
 *
 * Several spaces may share the memory of one, and with it the quota of bytes. Each has a number of
 * its own, under which its readers publish.
 *
 * What stands behind a window is the owner's. No I/O and no protocol here.
 */
#ifndef SPACE_H
#define SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hazard.h"

#define SPACE_PAGES (UINT64_C(1) << 52)		/* of a space */
#define SPACE_FILE_PAGES (UINT64_C(1) << 38)	/* of a file, that an entry can name: 1 PiB */
#define SPACE_WINDOWS (1U << 12)

/* The flags of an entry. In the table bits 5 to 13 are its place in the node; elsewhere 0. */
enum space_flag {
	SPACE_LEAF = 1,		/* an entry, and so never 0 */
	SPACE_READ = 2,		/* the device may read */
	SPACE_WRITE = 4,	/* the device may write */
	SPACE_FIRST = 8,	/* the first page of its mapping */
	SPACE_MESSAGE = 16,	/* no window: the memory is reached by messages */
};

static inline uint64_t space_entry(unsigned int flags, unsigned int window, uint64_t file_page)
{
	return file_page << 26 | (uint64_t)window << 14 | flags | SPACE_LEAF;
}

static inline unsigned int space_entry_window(uint64_t entry)
{
	return (unsigned int)(entry >> 14) & (SPACE_WINDOWS - 1);
}

/* Of an entry with SPACE_MESSAGE it says nothing. */
static inline uint64_t space_entry_page(uint64_t entry)
{
	return entry >> 26;
}

struct space_mapping {
	uint64_t first;	/* page */
	uint64_t pages;
	uint64_t entry;	/* as it was inserted, with SPACE_FIRST */
};

struct space_quota {
	size_t mappings;
	size_t bytes;	/* of the table, all included */
};

struct space_chunk;
struct space_free;

/* The memory of a table (space_pool.c). */
struct space_pool {
	struct space_chunk *chunks;	/* those with free pages in front */
	struct space_free *nodes;	/* free sparse nodes */
	size_t node_count;		/* of these */
	size_t page_count;		/* free pages of all chunks */
	size_t dirty;			/* free pages that still have memory behind them */
	size_t bytes;			/* of pages in use, with the heads of their chunks */
	size_t quota;
};

struct space {
	_Atomic uint64_t root;
	uint32_t number;
	struct hazard_set *hazards;
	struct space_quota quota;
	size_t count;
	size_t retired_count;
	_Atomic uint64_t *retired;	/* records of nodes put aside, the oldest first */
	_Atomic uint64_t *retired_last;
	struct space_pool *memory;	/* `pool`, or that of the first space */
	struct space_pool pool;
};

/*
 * An empty space, number 0, whose readers publish in `hazards`, which outlives it. Takes no memory
 * and does not move.
 */
void space_init(struct space *space, struct hazard_set *hazards, struct space_quota quota);

/* An empty space with another number, over the memory of the first one, which outlives it. */
void space_init_beside(struct space *space, struct space *first, uint32_t number);

/*
 * Frees the table at once, and leaves an empty one; of all spaces that share its memory, which are
 * not to be used any more. No reader is in it any more. For the first space.
 */
void space_clear(struct space *space);

/* Mappings that are in. */
size_t space_count(const struct space *space);

/*
 * Bytes of memory in use, nodes that wait for readers included; 0 when there is neither. Besides,
 * up to 68 KiB are kept for what comes next.
 */
size_t space_bytes(const struct space *space);

/*
 * Maps the pages `first` to `first + pages - 1`; of `entry` (space_entry()) SPACE_FIRST does not
 * matter. 0; or, with nothing changed: -EINVAL if there are no pages, or they end beyond the last
 * page of a space or of a file; -EEXIST if one of them is mapped; -ENOSPC if the quota of mappings
 * or bytes would be exceeded; -ENOMEM.
 *
 * A reader that goes upwards sees all of the mapping from the page on that it first sees, or
 * nothing of it.
 */
int space_insert(struct space *space, uint64_t first, uint64_t pages, uint64_t entry);

/*
 * Takes out the mapping of exactly these pages: 0 and *entry as it was inserted, with SPACE_FIRST;
 * or -ENOENT and nothing changed. Needs no memory. Readers may still use the mapping: what stands
 * behind it stays until hazard_overlaps() of its pages is false.
 */
int space_remove(struct space *space, uint64_t first, uint64_t pages, uint64_t *entry);

/*
 * Puts `entry` in the place of the mapping of exactly these pages: 0 and *old as it was inserted,
 * with SPACE_FIRST; -ENOENT, or -EINVAL if they end beyond the last page of a file, and nothing
 * changed. Needs no memory. There is no moment in which a page is not mapped, and each page has
 * the old entry or the new one; readers may still use the old as with space_remove().
 */
int space_replace(struct space *space, uint64_t first, uint64_t pages, uint64_t entry,
		  uint64_t *old);

/*
 * For readers, who have published `page` to `page + max_pages - 1` (max_pages > 0): the entry of
 * this very page (space_entry_page() is the page of the file; SPACE_FIRST only on the first), and
 * in *run how many pages from there on belong to the same mapping, at most max_pages. 0 if the page
 * is not mapped; then *run is 0.
 */
uint64_t space_find(const struct space *space, uint64_t page, uint64_t max_pages, uint64_t *run);

/* The node in which a leaf was found, with its level; `child` 0: none. */
struct space_spot {
	uint64_t child;
	unsigned int level;
};

/*
 * The same, beginning in the node of *spot, if there is one: it has been over this page, and is in
 * the table still, or has been published longer than it is not. *spot becomes the node in which the
 * entry was found.
 */
uint64_t space_find_from(const struct space *space, struct space_spot *spot, uint64_t page,
			 uint64_t max_pages, uint64_t *run);

/*
 * For the writer: the lowest mapping that reaches up to `page` or beyond. False if there is none.
 * For a walk, go on with mapping->first + mapping->pages. The time of a call has a bound, whatever
 * is mapped (some 10,000 entries are looked at in the worst case, for most a few).
 */
bool space_next(const struct space *space, uint64_t page, struct space_mapping *mapping);

/* The same among the mappings over the pages from `page` to `last`; looks no further than these. */
bool space_overlap(const struct space *space, uint64_t page, uint64_t last,
		   struct space_mapping *mapping);

/*
 * Frees the nodes put aside that no reader can be in; returns how many still wait. Each insert and
 * remove does so for some; who waits for a hazard to end calls this for all.
 */
size_t space_reclaim(struct space *space);

#endif
