/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma.h - DMA_MAP and DMA_UNMAP, and the accesses of the device to the client's memory.
 *
 * A mapping with a descriptor gets a window at once and the descriptor is closed; one without is
 * reached by messages. A refused command leaves nothing behind. Mappings belong to the client:
 * they survive a device reset and end with the connection.
 *
 * A device accesses memory in parts. It holds a part, which looks it up; moves bytes of it, by
 * copying or by DMA_READ and DMA_WRITE; and releases it. DMA_UNMAP takes its mapping out of the
 * table at once, so that nobody can hold it anew, tells the device, and is answered when no part
 * of the range is held any more: until then the window stays. Parts that are reached by messages
 * do not count, as there the client executes the access itself; but after the reply no further
 * message is sent for them. So the reply depends on nothing that the client does.
 */
#ifndef DMA_H
#define DMA_H

#include <stdbool.h>

#include "dirty.h"
#include "dispatch.h"
#include "space.h"

/* The only page size: addresses, sizes and file offsets are multiples of it. */
#define DMA_PAGE 4096u

/* The most bytes of one move. */
#define DMA_CHUNK 4096u

/* How the device wants to reach the memory. */
enum dma_path {
	DMA_AUTO,	/* by copying where there is a file, else by messages */
	DMA_DIRECT,	/* by copying, or not at all */
	DMA_MESSAGES,	/* by messages, also where there is a file */
};

/* A part of the client's memory, in memory of the device that does not move while it is held. */
struct dma_part {
	uint64_t address;
	uint64_t size;
	uint32_t access;	/* WINDOW_READ or WINDOW_WRITE: what the device does with it */
	enum dma_path path;
	uint8_t *host;		/* NULL: by messages */
	struct range mapping;	/* that it is part of */
	bool held;
	struct dma_part *next;
};

/* One move of bytes; memory of the device that does not move while a message is under way. */
struct dma_move {
	const struct dma_part *part;
	uint64_t address;	/* inside the part, with the `size` bytes from there */
	uint8_t *bytes;		/* the device's side */
	uint32_t size;		/* at most dma_limit() */
	struct dma *dma;	/* these two are the module's */
	struct session_request request;
};

/* What the device is told; the calls may release parts, and neither hold nor move any. */
struct dma_ops {
	/* A mapping goes: all parts in the range have to be released, the sooner the better. */
	void (*unmap)(void *owner, struct range range);
	/* None of them is held any more. */
	void (*quiet)(void *owner, struct range range);
	/* The message of a move has come back: bytes moved, or -errno. */
	void (*moved)(void *owner, struct dma_move *move, int result);
};

struct dma {
	struct space space;
	struct dirty dirty;		/* what was written by copying */
	struct session *session;	/* of the client that is served, or NULL */
	const struct dma_ops *ops;
	void *owner;			/* for ops */
	struct dma_part *parts;		/* that are held */
	bool unmapping;			/* a DMA_UNMAP waits for its parts */
	struct space_mapping going;
	struct wire_dma_unmap going_reply;
	uint64_t going_since;
};

/* No mappings and no client. */
void dma_init(struct dma *dma);

/* Who is told; `ops` and `owner` outlive the module. Without, nobody may hold parts. */
void dma_set_owner(struct dma *dma, const struct dma_ops *ops, void *owner);

/* A new client, whose session outlives its mappings. */
void dma_attach(struct dma *dma, struct session *session);

/* Drops all mappings: the client is gone, or the server ends. No part is held any more. */
void dma_detach(struct dma *dma);

/*
 * Holds the part of [address, address + size) that one mapping has from its front on, and cuts
 * size down to it; size is not 0. 0; -ENOENT if the first byte is not mapped, -EACCES if the
 * mapping does not allow the access, -ENOTSUP if it cannot be reached on this path: then the part
 * is not held.
 */
int dma_hold(struct dma *dma, struct dma_part *part);

/* Nothing happens to a part that is not held. May answer a DMA_UNMAP. */
void dma_release(struct dma *dma, struct dma_part *part);

/* The most bytes of one move in this part. */
uint32_t dma_limit(const struct dma *dma, const struct dma_part *part);

/*
 * Moves bytes between a held part and the device, in the direction that access says. The number
 * moved; what is missing lies on a page that is not there any more, and -EFAULT if that is all.
 * -EINPROGRESS if a message is on its way: ops->moved() follows; -EAGAIN if none can be sent now;
 * -ENOENT or -EACCES if the mapping has gone, -ENOTCONN, -ENOMEM.
 */
int dma_move(struct dma *dma, struct dma_move *move);

/* Gives up a move whose message is on its way, if it is: ops->moved() will not be called. */
void dma_cancel(struct dma *dma, struct dma_move *move);

/*
 * Handler of DMA_MAP. -EINVAL for a bad form, flags without access, unaligned, empty or wrapping
 * ranges, or a range beyond the end of the file; -EEXIST for any overlap; -ENOSPC above the
 * number of mappings; what window_open() says of the descriptor.
 */
int dma_map(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of DMA_UNMAP. The reply is the entry of the request, with argsz the size of the reply.
 * -ENOENT if no mapping has exactly this range, -EINVAL for a bad form or any flag. Deferred while
 * the range is in use.
 */
int dma_unmap(void *owner, struct msg *msg, struct session_reply *reply);

#endif
