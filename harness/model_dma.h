/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_dma.h - the mappings of a connection as the model knows them. Part of model_rule.h.
 *
 * Mappings are kept in a treap by address; they never overlap. Ranges that may or may not be mapped
 * (a map or unmap whose outcome was not seen) are a short list beside it: what touches one of them
 * is not judged. A request of the server for a range that was unmapped without a reply may have
 * been sent before, until a reply to a later command has come. When the list of doubts or the
 * number of mappings hits its bound, nothing is judged.
 */
#ifndef MODEL_DMA_H
#define MODEL_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_DMA_MAPS (1u << 19)
#define MODEL_DMA_DOUBTS 64
#define MODEL_DMA_GONE 8
#define MODEL_DMA_FILES 64	/* mappings, behind which there may be no room for a file */

struct model_dma_node {
	uint64_t address;
	uint64_t last;		/* last byte: a mapping may end at 2^64 */
	uint32_t left;		/* indexes; 0 = none */
	uint32_t right;
	uint32_t rank;			/* 0: not in the tree */
	uint32_t flags;
};

struct model_dma_range {
	uint64_t address;
	uint64_t last;
};

struct model_dma {
	struct model_dma_node *node;	/* number 0 is not used */
	uint32_t used;
	uint32_t room;
	uint32_t free;			/* a list through `left` */
	uint32_t root;
	uint32_t count;			/* mappings that are alive for sure */
	uint32_t ndoubts;
	uint32_t ngone;
	bool lost;			/* any range may be mapped or not */
	bool accepts;			/* a map has succeeded: the device does DMA */
	bool empties;			/* ranges of size 0 may be mapped */
	struct model_dma_range doubt[MODEL_DMA_DOUBTS];
	struct model_dma_range gone[MODEL_DMA_GONE];	/* no reply is behind their unmap yet */
};

/* The mapping that begins last at or before `address`; NULL if there is none. */
struct model_dma_node *model_dma_before(const struct model_dma *dma, uint64_t address);

/* A mapping that overlaps [address, last]. */
struct model_dma_node *model_dma_over(const struct model_dma *dma, uint64_t address, uint64_t last);

/* Overlaps must have been ruled out. Without memory `lost` is set. */
void model_dma_add(struct model_dma *dma, uint64_t address, uint64_t last, uint32_t flags);
void model_dma_remove(struct model_dma *dma, uint64_t address);

/* Is it doubtful whether something in the range is mapped? _doubt says so, _settle no more. */
bool model_dma_doubtful(const struct model_dma *dma, uint64_t address, uint64_t last);
void model_dma_doubt(struct model_dma *dma, uint64_t address, uint64_t last);
void model_dma_settle(struct model_dma *dma, uint64_t address, uint64_t last);

/* The range is unmapped, but requests for it may be on their way (no reply was seen). */
void model_dma_leave(struct model_dma *dma, uint64_t address, uint64_t last);

/* As model_dma_reaches(), of one table that is not lost. */
bool model_dma_lets(const struct model_dma *dma, uint64_t *address, uint64_t last,
		    uint32_t access);

#endif
