/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma_table.h - what DMA_MAP and DMA_UNMAP share: the attribute word, spaces by number, and the
 * wait for what was taken out.
 */
#ifndef DMA_TABLE_H
#define DMA_TABLE_H

#include "dma.h"

/* What was agreed on the extension with the client that is served. */
static inline const struct session_viommu *dma_viommu(const struct dma *dma)
{
	return &dma->session->limits.viommu;
}

/* The number of the backing space: behind those of all PASIDs. */
#define DMA_BACKING ((UINT32_C(1) << WIRE_VIOMMU_MAX_PASID_BITS) + 1)

/* What DMA_MAP asks for, in pages. */
struct dma_request {
	struct range range;
	uint64_t first;
	uint64_t pages;		/* 0: there is nothing to map */
	uint64_t offset;
	uint32_t space;
	struct space *table;	/* NULL: it is yet to be */
	unsigned int flags;	/* enum space_flag */
	unsigned int access;	/* enum window_access */
	bool replaces;
	bool backing;		/* it is a backing window */
	bool indirect;		/* it lies in one, at `offset` */
};

/*
 * The entry of a backing window, whose window is taken; or of a mapping that lies in one, which is
 * counted in its window: 0 and *out; -EINVAL if none covers it; what window_take() says.
 */
int dma_back(struct dma *dma, const struct dma_request *request, struct msg *msg, uint64_t *out);
int dma_lean(struct dma *dma, const struct dma_request *request, uint64_t *out);

/* DMA_UNMAP of a backing window: 0, -ENOENT, or -EBUSY while mappings lie in it. */
int dma_unback(struct dma *dma, struct range range);

/* A message has come with these flags: the first PASID may settle which dialect is spoken. */
void dma_hear(struct dma *dma, uint32_t flags);

/*
 * The space that the PASID bits of an attribute word name, into *out: 0, or -EINVAL if there can
 * be no such space.
 */
int dma_space_of(const struct dma *dma, uint32_t attr, uint32_t *out);

/* The space of that number, or NULL. Any thread that has published a hazard in it. */
struct space *dma_space(struct dma *dma, uint32_t number);

/* The pages of a request: 0; -EINVAL if they are unaligned, none, or wrap. */
int dma_range(uint64_t address, uint64_t size, struct range *out);

/* The lowest mapping that overlaps the range; `space` may be NULL. */
bool dma_find(const struct space *space, struct range range, struct space_mapping *out);

/* An entry has left a table: its window stays until dma_sweep(). */
void dma_leave(struct dma *dma, uint64_t entry);

/*
 * Waits for the references to what is `going`: 0, and windows without mappings have been closed;
 * or -EINPROGRESS.
 */
int dma_await(struct dma *dma, enum dma_cause cause);

/* Closes the windows without mappings. */
void dma_sweep(struct dma *dma);

#endif
