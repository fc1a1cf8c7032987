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
