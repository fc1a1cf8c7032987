/* SPDX-License-Identifier: BSD-3-Clause */
/* dma.c - see dma.h. */
#include "dma.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"

#define DMA_FLAGS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

void dma_init(struct dma *dma)
{
	memset(dma, 0, sizeof(*dma));
	space_init(&dma->space);
	dirty_init(&dma->dirty);
}

void dma_set_owner(struct dma *dma, const struct dma_ops *ops, void *owner)
{
	dma->ops = ops;
	dma->owner = owner;
}

void dma_attach(struct dma *dma, struct session *session)
{
	dma->session = session;
}

static void dma_close_window(struct space_mapping *mapping, void *arg)
{
	(void)arg;
	window_close(&mapping->window, range_size(mapping->range));
}

void dma_detach(struct dma *dma)
{
	const struct range low = { 0, UINT64_C(1) << 63 }, high = { UINT64_C(1) << 63, 0 };

	space_walk(&dma->space, low, dma_close_window, NULL);
	space_walk(&dma->space, high, dma_close_window, NULL);
	space_clear(&dma->space);
	if (dma->unmapping)
		dma_close_window(&dma->going, NULL);
	dma->unmapping = false;
	dirty_end(&dma->dirty);
	dma->session = NULL;
}

static int dma_range(uint64_t address, uint64_t size, struct range *out)
{
	if ((address | size) % DMA_PAGE)
		return -EINVAL;
	if (size == 0 && fault_on(FAULT_map_of_nothing_is_taken))
		size = DMA_PAGE;
	if (address && size > -address && fault_on(FAULT_map_may_wrap))
		size = -address;
	return range_make(address, size, out);
}

static int dma_map_check(const struct dma *dma, const struct wire_dma_map *map,
			 struct space_mapping *out)
{
	if (map->argsz < sizeof(*map))
		return -EINVAL;
	if (!map->flags || (map->flags & ~DMA_FLAGS && !fault_on(FAULT_map_flags_are_ignored)))
		return -EINVAL;
	if (dma_range(map->address, map->size, &out->range))
		return -EINVAL;
	if (space_find(&dma->space, out->range))
		return fault_on(FAULT_overlap_is_einval) ? -EINVAL : -EEXIST;
	if (space_count(&dma->space) >= dma->session->limits.max_dma_maps &&
	    !fault_on(FAULT_maps_without_limit))
		return -ENOSPC;
	out->access = 0;
	if (map->flags & WIRE_DMA_MAP_READ)
		out->access |= WINDOW_READ;
	if (map->flags & WIRE_DMA_MAP_WRITE)
		out->access |= WINDOW_WRITE;
	return 0;
}

int dma_map(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	struct space_mapping mapping = { .window.base = NULL };
	struct wire_dma_map map;
	int error;

	(void)reply;
	msg_read(msg, &map, sizeof(map));
	error = dma_map_check(dma, &map, &mapping);
	if (error == -EEXIST && fault_on(FAULT_identical_map_is_taken) &&
	    range_equal(space_find(&dma->space, mapping.range)->range, mapping.range))
		return 0;
	if (error)
		return error;
	/* Without a descriptor the offset has no meaning and is ignored. */
	if (msg->count) {
		if (map.offset % DMA_PAGE)
			return -EINVAL;
		error = window_open(&mapping.window, msg->fd[0], map.offset, map.size,
				    mapping.access);
		if (error)
			return error;
		if (fault_on(FAULT_map_fd_is_never_closed))
			msg_take(msg, 0);
	}
	error = space_insert(&dma->space, &mapping);
	if (error)
		window_close(&mapping.window, map.size);
	return error;
}

/* Whether a part with a window is held in the range. */
static bool dma_in_use(const struct dma *dma, struct range range)
{
	struct range held;

	for (const struct dma_part *part = dma->parts; part; part = part->next) {
		if ((part->host || fault_on(FAULT_unmap_waits_for_the_client)) &&
		    range_make(part->address, part->size, &held) == 0 &&
		    range_overlaps(held, range))
			return true;
	}
	return false;
}

static void dma_tell(const struct dma *dma,
		     void (*tell)(void *owner, struct range range), struct range range)
{
	if (tell)
		tell(dma->owner, range);
}

/* Answers the DMA_UNMAP that waits, if nothing holds it back any more. */
static void dma_try_unmap(struct dma *dma)
{
	if (!dma->unmapping || dma_in_use(dma, dma->going.range))
		return;
	dma->unmapping = false;
	dma_close_window(&dma->going, NULL);
	dirty_forget(&dma->dirty, dma->going.range);
	dma_tell(dma, dma->ops->quiet, dma->going.range);
	dispatch_resume(dma->session, &dma->going_reply, sizeof(dma->going_reply));
}

/* A mapping has left the table: its window goes now, or when nobody uses it any more. */
static void dma_unmap_window(struct dma *dma, struct space_mapping *mapping,
			     const struct wire_dma_unmap *unmap, struct session_reply *reply)
{
	if (dma->ops)
		dma_tell(dma, dma->ops->unmap, mapping->range);
	if (dma_in_use(dma, mapping->range)) {
		dma->unmapping = true;
		dma->going = *mapping;
		dma->going_reply = *unmap;
		dma->going_since = clock_now();
		reply->deferred = true;
		return;
	}
	if (!fault_on(FAULT_unmap_keeps_backing))
		dma_close_window(mapping, NULL);
	dirty_forget(&dma->dirty, mapping->range);
	if (dma->ops)
		dma_tell(dma, dma->ops->quiet, mapping->range);
	session_reply_put(reply, unmap, sizeof(*unmap));
}

int dma_unmap(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct dma *dma = owner;
	struct space_mapping mapping = { .window.base = NULL };
	struct wire_dma_unmap unmap;
	struct range range;
	int error;

	msg_read(msg, &unmap, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap) || unmap.flags)
		return -EINVAL;
	if (dma_range(unmap.address, unmap.size, &range))
		return -EINVAL;
	if (fault_on(FAULT_unmap_of_a_part_takes_all) && space_find(&dma->space, range))
		range = space_find(&dma->space, range)->range;
	error = space_remove(&dma->space, range, &mapping);
	if (error && !fault_on(FAULT_unmap_of_nothing_succeeds))
		return error;
	unmap.argsz = sizeof(unmap);
	if (error)
		session_reply_put(reply, &unmap, sizeof(unmap));
	else
		dma_unmap_window(dma, &mapping, &unmap, reply);
	return 0;
}

/* The mapping of an address and whether it allows the access: NULL and *error. */
static const struct space_mapping *dma_look_up(const struct dma *dma, struct range range,
					       uint32_t access, int *error)
{
	const struct space_mapping *mapping = space_find(&dma->space, range);

	*error = -ENOENT;
	if (!mapping || mapping->range.first > range.first)
		return NULL;
	*error = mapping->access & access ? 0 : -EACCES;
	if (*error && !fault_on(FAULT_dma_against_the_rights))
		return NULL;
	return mapping;
}

static int dma_translate(const struct dma *dma, struct dma_part *part)
{
	const struct space_mapping *mapping;
	struct range range;
	uint64_t left;
	int error;

	if (part->address && part->size > -part->address)
		part->size = -part->address;
	if (range_make(part->address, part->size, &range))
		return -ENOENT;
	mapping = dma_look_up(dma, range, part->access, &error);
	if (!mapping)
		return error;
	left = range_last(mapping->range) - part->address + 1;
	if (part->size > left)
		part->size = left;
	part->mapping = mapping->range;
	if (mapping->window.base && part->path != DMA_MESSAGES)
		part->host = (uint8_t *)mapping->window.base +
			     (part->address - mapping->range.first);
	return !part->host && part->path == DMA_DIRECT ? -ENOTSUP : 0;
}

int dma_hold(struct dma *dma, struct dma_part *part)
{
	int error;

	/* Referred to before it is looked up, so that no DMA_UNMAP can pass between the two. */
	part->host = NULL;
	part->held = true;
	part->next = dma->parts;
	dma->parts = part;
	error = dma_translate(dma, part);
	if (error) {
		part->host = NULL;
		dma_release(dma, part);
	}
	return error;
}

void dma_release(struct dma *dma, struct dma_part *part)
{
	struct dma_part **link = &dma->parts;

	if (!part->held)
		return;
	while (*link != part)
		link = &(*link)->next;
	*link = part->next;
	part->held = false;
	dma_try_unmap(dma);
}

uint32_t dma_limit(const struct dma *dma, const struct dma_part *part)
{
	uint32_t limit = DMA_CHUNK;

	if (!part->host && dma->session && !fault_on(FAULT_dma_messages_without_limit) &&
	    dma->session->limits.client_max_data_xfer_size < limit)
		limit = dma->session->limits.client_max_data_xfer_size;
	return limit;
}

/* Logs that the first `size` bytes of a move were written. */
static void dma_mark(struct dma *dma, const struct dma_move *move, size_t size)
{
	struct range range;

	if (range_make(move->address, size, &range) == 0)
		dirty_mark(&dma->dirty, range, move->part->mapping);
}

static int dma_copy(struct dma *dma, const struct dma_move *move)
{
	uint8_t *host = move->part->host + (move->address - move->part->address);
	size_t n;

	if (move->part->access == WINDOW_READ)
		n = window_copy(move->bytes, host, move->size);
	else
		n = window_copy(host, move->bytes, move->size);
	if (move->part->access == WINDOW_WRITE)
		dma_mark(dma, move, n);
	return n ? (int)n : -EFAULT;
}

/* Whether the reply repeats what was asked, with the data that a read has to bring. */
static bool dma_reply_fits(const struct dma_move *move, const struct msg *msg)
{
	struct wire_dma_access access;
	size_t data = move->part->access == WINDOW_READ ? move->size : 0;

	if (msg->size == WIRE_DMA_WRITE_SHORT_REPLY && data == 0) {
		memset(&access, 0, sizeof(access));
		msg_read(msg, &access, WIRE_DMA_WRITE_SHORT_REPLY);
	} else if (msg->size == sizeof(access) + data) {
		msg_read(msg, &access, sizeof(access));
	} else {
		return false;
	}
	return access.address == move->address && access.count == move->size;
}

static void dma_answered(struct session_request *request, int error, const struct msg *msg)
{
	struct dma_move *move = request->owner;
	const struct dma *dma = move->dma;

	if (!error && !dma_reply_fits(move, msg) && !fault_on(FAULT_dma_reply_of_any_size))
		error = -EIO;
	if (!error && move->part->access == WINDOW_READ &&
	    msg->size >= sizeof(struct wire_dma_access) + move->size)
		memcpy(move->bytes, msg->body + sizeof(struct wire_dma_access), move->size);
	dma->ops->moved(dma->owner, move, error ? error : (int)move->size);
}

static int dma_send(struct dma *dma, struct dma_move *move)
{
	bool reads = move->part->access == WINDOW_READ;
	const struct wire_dma_access access = { move->address, move->size };
	struct range range;
	int error = range_make(move->address, move->size, &range);

	/* The part may have been unmapped: that does not wait for messages. */
	if (!error && !dma_look_up(dma, range, move->part->access, &error))
		return error;
	move->dma = dma;
	move->request = (struct session_request){
		.command = reads ? WIRE_DMA_READ : WIRE_DMA_WRITE,
		.answered = dma_answered,
		.owner = move,
	};
	error = session_send(dma->session, &move->request, &access, move->bytes,
			     reads ? 0 : move->size);
	return error ? error : -EINPROGRESS;
}

int dma_move(struct dma *dma, struct dma_move *move)
{
	if (move->part->host)
		return dma_copy(dma, move);
	return dma->session ? dma_send(dma, move) : -ENOTCONN;
}

void dma_cancel(struct dma *dma, struct dma_move *move)
{
	if (dma->session)
		session_give_up(dma->session, &move->request);
}
