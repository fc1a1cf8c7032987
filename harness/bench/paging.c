/* SPDX-License-Identifier: BSD-3-Clause */
/* paging.c - see paging.h. */
#include "paging.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"

#define WORDS (PAGING_PAGE / sizeof(uint64_t))
#define FRESH UINT64_C(0x100000000) /* of a frame that no page was in: | number */
#define ODD UINT64_C(0x9e3779b97f4a7c15)

static uint64_t word_first(uint64_t value)
{
	value = (value + 1) * ODD;
	value = (value ^ value >> 31) * ODD;
	return value ^ value >> 29;
}

static uint64_t *frame_words(const struct paging *paging, uint32_t frame)
{
	return (uint64_t *)(void *)(paging->pool + frame * PAGING_PAGE);
}

static void frame_fill(const struct paging *paging, uint32_t frame, uint64_t value)
{
	uint64_t *words = frame_words(paging, frame), word = word_first(value);

	for (uint32_t i = 0; i < WORDS; i++, word += ODD)
		words[i] = word;
}

/* Whether it contains all of that. */
static bool frame_contains(const struct paging *paging, uint32_t frame, uint64_t value)
{
	const uint64_t *words = frame_words(paging, frame);
	uint64_t word = word_first(value), differ = 0;

	for (uint32_t i = 0; i < WORDS; i++, word += ODD)
		differ |= words[i] ^ word;
	return !differ;
}

static void *table(uint64_t count, size_t size)
{
	void *out = calloc(count, size);

	if (!out)
		subject_fail("no memory");
	return out;
}

void paging_begin(struct paging *paging, uint32_t pages, uint32_t frames)
{
	void *pool;

	*paging = (struct paging){
		.pages = pages,
		.frames = frames,
		.fd = subject_file(frames),
		.value = table(pages, sizeof(*paging->value)),
		.frame = table(pages, sizeof(*paging->frame)),
		.page = table(frames, sizeof(*paging->page)),
		.writable = table(frames, sizeof(*paging->writable)),
		.left = table(frames, sizeof(*paging->left)),
		.free = table(frames, sizeof(*paging->free)),
	};
	pool = mmap(NULL, frames * PAGING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, paging->fd, 0);
	if (pool == MAP_FAILED)
		subject_fail("mmap: %s", strerror(errno));
	paging->pool = pool;
	for (uint32_t i = 0; i < pages; i++) {
		paging->value[i] = i;
		paging->frame[i] = PAGING_NONE;
	}
	for (uint32_t i = 0; i < frames; i++) {
		paging->page[i] = PAGING_NONE;
		paging->free[paging->free_count++] = frames - 1 - i;
		paging->left[i] = FRESH | i;
		frame_fill(paging, i, paging->left[i]);
	}
}

void paging_end(struct paging *paging)
{
	munmap(paging->pool, paging->frames * PAGING_PAGE);
	close(paging->fd);
	free(paging->value);
	free(paging->frame);
	free(paging->page);
	free(paging->writable);
	free(paging->left);
	free(paging->free);
}

uint32_t paging_resident(const struct paging *paging)
{
	return paging->frames - paging->free_count;
}

uint32_t paging_bring(struct paging *paging, uint32_t page, bool writable)
{
	uint32_t frame = paging->free[--paging->free_count];

	if (!frame_contains(paging, frame, paging->left[frame]))
		subject_fail("frame %u was written while it was free, before page %u came", frame,
			     page);
	frame_fill(paging, frame, paging->value[page]);
	paging->frame[page] = frame;
	paging->page[frame] = page;
	paging->writable[frame] = writable;
	paging->brought++;
	return frame;
}

/* What a copy under way writes into the page; false: no copy does. */
static bool page_next(const struct paging *paging, uint32_t page, uint32_t *value)
{
	for (uint32_t i = 0; i < PAGING_COPIES; i++) {
		const struct paging_copy *copy = &paging->copy[i];

		if (page - copy->sink < copy->count) {
			*value = paging->value[copy->source + (page - copy->sink)];
			return true;
		}
	}
	return false;
}

void paging_put(struct paging *paging, uint32_t page)
{
	uint32_t frame = paging->frame[page], next;

	if (!frame_contains(paging, frame, paging->value[page])) {
		if (!paging->writable[frame] || !page_next(paging, page, &next) ||
		    !frame_contains(paging, frame, next))
			subject_fail("page %u has wrong contents, in frame %u", page, frame);
		paging->value[page] = next;
		paging->changed++;
	}
	paging->left[frame] = paging->value[page];
	paging->frame[page] = PAGING_NONE;
	paging->page[frame] = PAGING_NONE;
	paging->free[paging->free_count++] = frame;
	paging->put++;
}

void paging_copy_begin(struct paging *paging, uint32_t number, struct paging_copy copy)
{
	paging->copy[number] = copy;
}

void paging_copy_end(struct paging *paging, uint32_t number)
{
	struct paging_copy copy = paging->copy[number];

	for (uint32_t i = 0; i < copy.count; i++) {
		uint32_t page = copy.sink + i, next = paging->value[copy.source + i];

		if (paging->frame[page] == PAGING_NONE && paging->value[page] != next)
			subject_fail("page %u was put out unwritten, and its copy has ended", page);
		paging->value[page] = next;
	}
	paging->copy[number].count = 0;
}
