/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma.h - DMA_MAP and DMA_UNMAP: the client's memory as the device may see it.
 *
 * A mapping with a descriptor gets a window at once and the descriptor is closed; one without is
 * reached by messages. A refused command leaves nothing behind. Mappings belong to the client:
 * they survive a device reset and end with the connection.
 */
#ifndef DMA_H
#define DMA_H

#include "dispatch.h"
#include "space.h"

/* The only page size: addresses, sizes and file offsets are multiples of it. */
#define DMA_PAGE 4096u

struct dma {
	struct space space;
	const struct session_limits *limits;	/* of the client that is served */
};

/* No mappings and no client. */
void dma_init(struct dma *dma);

/* The limits of a new client; they stay the session's. */
void dma_attach(struct dma *dma, const struct session_limits *limits);

/* Drops all mappings: the client is gone, or the server ends. */
void dma_detach(struct dma *dma);

/*
 * Handler of DMA_MAP. -EINVAL for a bad form, flags without access, unaligned, empty or wrapping
 * ranges, or a range beyond the end of the file; -EEXIST for any overlap; -ENOSPC above the
 * number of mappings; what window_open() says of the descriptor.
 */
int dma_map(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of DMA_UNMAP. The reply is the entry of the request, with argsz the size of the reply.
 * -ENOENT if no mapping has exactly this range, -EINVAL for a bad form or any flag.
 */
int dma_unmap(void *owner, struct msg *msg, struct session_reply *reply);

#endif
