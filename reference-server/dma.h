/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dma.h - DMA_MAP and DMA_UNMAP, and the accesses of the device to the client's memory.
 *
 * A mapping with a descriptor has its place in a window, and the descriptor is closed; one without
 * is reached by messages. A refused command leaves nothing behind. Mappings belong to the client:
 * they survive a device reset and end with the connection.
 *
 * A device accesses memory in parts. It holds a part, which looks it up; moves bytes of it, by
 * copying or by DMA_READ and DMA_WRITE; and releases it. A part that is copied is a reference:
 * before it is looked up its range is published as a hazard, so that whoever takes a mapping out
 * of the table sees either the hazard or to it that the part finds nothing.
 *
 * DMA_UNMAP takes its mapping out of the table at once, tells the device, and is answered when no
 * hazard overlaps the range any more: until then the window stays. Parts that are reached by
 * messages do not count, as there the client executes the access itself; but after the reply no
 * further message is sent for them. So the reply depends on nothing that the client does, and on
 * no access elsewhere. A reset, a stop for migration and the end of a client wait by the same
 * means (dma_quiesce), for everything.
 *
 * With the vIOMMU extension (viommu.rst) there is a space for each PASID besides, whose number is
 * PASID + 1: it begins with its first mapping and ends with DMA_UNMAP of all of it. Number 0 is the
 * space without. DMA_UNMAP may take many mappings out, some at a time, and DMA_MAP one in
 * the place of another; both are answered as above. The backing space is one more, that no access
 * reaches: each mapping in it has a window of its own, in which mappings without descriptor have
 * their place, and which stays while they are there.
 *
 * Any thread may hold, copy and release parts that are its own; the rest is for one thread, which
 * is also the only one that moves bytes by messages.
 */
#ifndef DMA_H
#define DMA_H

#include <stdbool.h>

#include "atc.h"
#include "dirty.h"
#include "dispatch.h"
#include "hazard.h"
#include "pri.h"
#include "space.h"
#include "space_set.h"
#include "window.h"

/* The only page size: addresses, sizes and file offsets are multiples of it. */
#define DMA_PAGE 4096u

/* The most bytes of one move. */
#define DMA_CHUNK 4096u

/* The most bytes that the table takes for a mapping, however they lie: 1 KiB. */
#define DMA_MAP_COST 1024u

/* How the device wants to reach the memory. */
enum dma_path {
	DMA_AUTO,	/* by copying where there is a file, else by messages */
	DMA_DIRECT,	/* by copying, or not at all */
	DMA_MESSAGES,	/* by messages, also where there is a file */
};

/* A part of the client's memory, in memory of the device that does not move while it is held. */
struct dma_part {
	uint32_t space;
	uint64_t address;
	uint64_t size;
	uint32_t access;	/* WINDOW_READ or WINDOW_WRITE: what the device does with it */
	enum dma_path path;
	struct atc *atc;	/* where it is looked up first; of the thread that holds it */
	bool cached;		/* it was found there */
	unsigned int place;	/* number of its hazard, below HAZARD_SLOTS; no other part has it */
	uint8_t *host;		/* NULL: by messages */
	unsigned int window;	/* where it is copied, with the first page of the file */
	uint64_t page;
	bool held;
	bool pinned;		/* its hazard is published */
};

/* One move of bytes; memory of the device that does not move while a message is under way. */
struct dma_move {
	const struct dma_part *part;
	uint64_t address;	/* inside the part, with the `size` bytes from there */
	uint8_t *bytes;		/* the device's side */
	uint32_t size;		/* at most dma_limit() */
	struct dma *dma;	/* these three are the module's */
	bool sent;
	struct session_request request;
};

/* Why the device has to give memory back. */
enum dma_cause {
	DMA_UNMAPS,	/* mappings go: their parts are released, the sooner the better */
	DMA_REPLACES,	/* a mapping has changed: its parts are released and looked up again */
	DMA_STOPS,	/* the device stops: operations come to rest without memory */
	DMA_ENDS,	/* a reset, or the end of the client: operations are aborted */
};

/* Memory that the device looks for. */
struct dma_miss {
	uint64_t address;
	uint64_t size;		/* not 0 */
	uint32_t access;
};

/* What the device is told; the calls may release parts, and neither hold nor move any. */
struct dma_ops {
	void (*quiesce)(void *owner, enum dma_cause cause, uint32_t space, struct range range);
	/* Whether it is not done though it holds nothing; dma_kick() follows when it is. */
	bool (*works)(void *owner, enum dma_cause cause);
	/* It is over; also called where quiesce() for another cause has come in between. */
	void (*quiet)(void *owner, enum dma_cause cause, struct range range);
	/* The message of a move has come back: bytes moved, or -errno. */
	void (*moved)(void *owner, struct dma_move *move, int result);
};

/* What DMA_UNMAP or DMA_MAP took out of a table, and waits for. */
struct dma_going {
	bool on;
	struct space *table;	/* NULL: there is no such space */
	uint32_t space;
	struct range range;
	uint64_t next, last;	/* pages that are yet to be looked at; next > last: none */
	uint64_t pages;		/* that were taken out */
	bool ends;		/* the space goes */
	bool every;		/* this is so for all PASIDs, and `space` is HAZARD_ANY */
};

struct dma {
	struct space space;		/* the one without PASID */
	struct space_set pasids;
	uint64_t count;			/* mappings in all of them */
	bool crowded;			/* each of them has some, unless one of those has gone */
	struct space backing;		/* backing windows */
	struct pri pri;
	struct hazard_set hazards;
	struct window_table windows;
	struct dirty dirty;		/* what was written by copying */
	struct session *session;	/* of the client that is served, or NULL */
	const struct dma_ops *ops;
	void *owner;			/* for ops */
	bool quiescing;			/* something waits for the device */
	enum dma_cause cause;
	uint32_t where;			/* the space, or HAZARD_ANY */
	struct range range;
	uint64_t since;
	struct dma_going going;
	uint32_t strides;		/* of going over tables since others had their turn */
};

/* Quotas of a client, beside the number of mappings that was negotiated with it. */
struct dma_quotas {
	uint64_t table_bytes;
	uint32_t windows;	/* at most WINDOW_MAX */
	uint64_t window_bytes;
	uint64_t dirty_bytes;
};

/* No mappings and no client, and ample quotas. 0, or -errno if there is no eventfd for it. */
int dma_init(struct dma *dma);

/* Behind dma_detach(). */
void dma_close(struct dma *dma);

void dma_set_quotas(struct dma *dma, const struct dma_quotas *quotas);

/* Who is told; `ops` and `owner` outlive the module. Without, nobody may hold parts. */
void dma_set_owner(struct dma *dma, const struct dma_ops *ops, void *owner);

/* A new client, whose session outlives its mappings. */
void dma_attach(struct dma *dma, struct session *session);

/* Drops all mappings: the client is gone, or the server ends. No part is held any more. */
void dma_detach(struct dma *dma);

/*
 * Tells the device to stop or to end and looks whether it has: 0; -EINPROGRESS while it has not.
 * To be called again, with the same cause, when dma_is_quiet(); another cause takes its place.
 */
int dma_quiesce(struct dma *dma, enum dma_cause cause);

/*
 * Whether nothing is waited for, or what is waited for has come. If not, the descriptor
 * dma_wake_fd() becomes readable when it has; dma_awake() makes it unreadable again.
 */
bool dma_is_quiet(struct dma *dma);
int dma_wake_fd(const struct dma *dma);
void dma_awake(struct dma *dma);

/* Makes dma_wake_fd() readable; any thread. */
void dma_kick(struct dma *dma);

/* Takes the client's memory away from copies that go on; they end short. */
void dma_fence(struct dma *dma);

/*
 * Holds the part of [address, address + size) that one mapping has from its front on, and cuts
 * size down to it; size is not 0. 0; -ENOENT if the first byte is not mapped, -EACCES if the
 * mapping does not allow the access, -ENOTSUP if it cannot be reached on this path: then the part
 * is not held. What was held by messages is to be unpinned as soon as the owner has seen to it
 * that an unmap finds it.
 */
int dma_hold(struct dma *dma, struct dma_part *part);

/* Takes back the hazard; of a part that is not copied. */
void dma_unpin(struct dma *dma, struct dma_part *part);

/* Nothing happens to a part that is not held. */
void dma_release(struct dma *dma, struct dma_part *part);

/*
 * How many pages from the first one on are not mapped in the space, or not for this access; at most
 * PRI_CAPACITY.
 */
uint32_t dma_missing(struct dma *dma, uint32_t space, const struct dma_miss *miss);

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
 * number of mappings or another quota: it succeeds when something has been unmapped; what
 * window_take() says of the descriptor. With WIRE_DMA_MAP_REPLACE, -ENOENT if no mapping has
 * exactly this range, and -EINPROGRESS while the old one is in use: it is executed again.
 */
int dma_map(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of DMA_UNMAP. The reply is the entry of the request, with argsz the size of the reply.
 * -ENOENT if no mapping has exactly this range, -EINVAL for a bad form or any flag that was not
 * negotiated. With WIRE_DMA_UNMAP_RANGE or _ALL the size in the reply is that of all that was
 * taken out; -EINVAL if an end of the range cuts a mapping. -EINPROGRESS while the range is in use,
 * or there is more to take out: it is executed again.
 */
int dma_unmap(void *owner, struct msg *msg, struct session_reply *reply);

#endif
