/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * paging.h - memory of a guest that does not fit: pages over a pool of fewer frames, with books of
 * what each of them contains.
 *
 * What a page contains follows from a number, its value, which is its own at the beginning and
 * then that of the page from which a device copied it. So a page that is put out needs no room: its
 * bytes are compared with those of its value, and made again when it comes back. A free frame keeps
 * what was in it, and still has to when it is used again: who writes to a page that is not there is
 * found, in the frame or in the page that has it now.
 *
 * While a copy is under way each page that it writes may have its old contents or the new ones, and
 * none may have a part of both; behind its end it has the new ones. What is not as it has to be
 * ends the program (subject.h).
 */
#ifndef PAGING_H
#define PAGING_H

#include <stdbool.h>
#include <stdint.h>

#define PAGING_PAGE UINT64_C(4096)
#define PAGING_COPIES 8
#define PAGING_NONE UINT32_MAX

/* What a device is doing: `count` pages from one place to another, which do not overlap. */
struct paging_copy {
	uint32_t source, sink, count; /* count 0: nothing */
};

struct paging {
	uint32_t pages, frames;
	int fd; /* of the pool */
	uint8_t *pool;
	uint32_t *value; /* of each page */
	uint32_t *frame; /* of each page, or PAGING_NONE */
	uint32_t *page;  /* of each frame, or PAGING_NONE */
	bool *writable;  /* what each frame is mapped for */
	uint64_t *left;  /* value of what was left in each free frame */
	uint32_t *free;  /* a stack of frames */
	uint32_t free_count;
	struct paging_copy copy[PAGING_COPIES];
	uint64_t brought, put; /* pages in, pages out */
	uint64_t changed;      /* of those put out: found written */
};

/* Nothing is in the pool, and each page contains its own number. */
void paging_begin(struct paging *paging, uint32_t pages, uint32_t frames);
void paging_end(struct paging *paging);

/* How many pages are in the pool. */
uint32_t paging_resident(const struct paging *paging);

/* Bring in a page that is not there, into a free frame, which there has to be: its number. */
uint32_t paging_bring(struct paging *paging, uint32_t page, bool writable);

/* Put out a page that is there, and that nobody may reach any more. */
void paging_put(struct paging *paging, uint32_t page);

/* A device begins a copy, which has a number; and says that it has ended. */
void paging_copy_begin(struct paging *paging, uint32_t number, struct paging_copy copy);
void paging_copy_end(struct paging *paging, uint32_t number);

#endif
