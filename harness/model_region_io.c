/* SPDX-License-Identifier: BSD-3-Clause */
/* model_region_io.c - GET_REGION_IO_FDS: an optional command, and the sub-regions that it lists. */
#include "model_rule.h"

#include <inttypes.h>

/* A list that came. */
struct model_region_list {
	const struct wire_header *header;	/* of the command */
	const struct model_message *reply;
	struct wire_region_io_fds info;
	uint32_t stride;
	bool whole;		/* all of it fits argsz */
};

static void model_region_io_judge(const struct model *model, const struct model_asked *asked,
				  struct model_expect *out)
{
	struct wire_region_io_fds info;

	if (!model_body(asked, &info, sizeof(info)) || !model->device.known)
		return;
	if (info.index >= model->device.num_regions)
		model_refuse(out, "REG-IOFD-002", "the device has %u regions, index %u is none",
			     model->device.num_regions, info.index);
	else if (model_strict(model, MODEL_R8) && model->region.io_fds &&
		 info.argsz >= sizeof(info) && info.argsz <= INT32_MAX && !info.flags &&
		 !info.count && asked->size == sizeof(info) && model_serves(model))
		model_demand(out, "REG-IOFD-007", "a region without sub-regions has none");
}

static void model_region_io_blame(struct model *model, const struct model_region_list *list,
				  uint32_t number, const struct wire_io_fd *entry,
				  const char *requirement)
{
	model_blame(model, list->header, requirement,
		    "sub-region %u: type %u, 0x%" PRIx64 " bytes at 0x%" PRIx64
		    ", flags 0x%x, padding %u, descriptor %u of %zu", number, entry->type,
		    entry->size, entry->offset, entry->flags, entry->padding, entry->fd_index,
		    list->reply->nfds);
}

static bool model_region_io_inside(const struct model *model, const struct model_region_list *list,
				   const struct wire_io_fd *entry)
{
	const struct model_region_known *known = model_region_known(model, list->info.index);

	return !known ||
	       (entry->offset < known->size && entry->size <= known->size - entry->offset);
}

static bool model_region_io_width(uint64_t size)
{
	return size <= 8 && !(size & (size - 1));
}

/* Nothing is known of the descriptors of a reply that had to wait for an earlier one. */
static bool model_region_io_is_eventfd(const struct model_message *reply, uint32_t index)
{
	const struct model_fd *fd = reply->fds ? &reply->fds[index] : NULL;

	return !fd || fd->kind == MODEL_FD_EVENTFD || fd->kind == MODEL_FD_UNKNOWN;
}

/* What a type other than the two means, only its server knows. */
static void model_region_io_entry(struct model *model, const struct model_region_list *list,
				  uint32_t number, const struct wire_io_fd *entry)
{
	const uint32_t flags = WIRE_IOEVENTFD_DATAMATCH | WIRE_IOEVENTFD_PIO |
			       WIRE_IOEVENTFD_VIRTIO_CCW_NOTIFY;
	const struct model_message *reply = list->reply;
	bool inside = model_region_io_inside(model, list, entry);

	if (entry->fd_index >= reply->nfds) {
		model_region_io_blame(model, list, number, entry, "REG-IOFD-006");
		return;
	}
	if (entry->type == WIRE_IO_FD_TYPE_IOREGIONFD &&
	    (!inside || (!entry->size && !(entry->flags & WIRE_IOREGION_POSTED_WRITES))))
		model_region_io_blame(model, list, number, entry, "REG-IOFD-010");
	if (entry->type != WIRE_IO_FD_TYPE_IOEVENTFD)
		return;
	if (!inside || entry->flags & ~flags || entry->padding ||
	    !model_region_io_width(entry->size))
		model_region_io_blame(model, list, number, entry, "REG-IOFD-009");
	if (!model_region_io_is_eventfd(reply, entry->fd_index))
		model_region_io_blame(model, list, number, entry, "REG-IOFD-006");
}

static void model_region_io_entries(struct model *model, const struct model_region_list *list)
{
	struct wire_io_fd entry;
	size_t at = sizeof(list->info);

	for (uint32_t i = 0; i < list->info.count; i++, at += list->stride) {
		if (!model_reply_at(list->reply, at, &entry, sizeof(entry)))
			return;
		model_region_io_entry(model, list, i, &entry);
	}
}

/* Whether argsz and count make room for whole entries. */
static bool model_region_io_fits(const struct model *model, struct model_region_list *list)
{
	const struct wire_region_io_fds *info = &list->info;
	uint32_t room;

	if (info->argsz < sizeof(*info) || (!info->count && info->argsz != sizeof(*info)))
		return false;
	if (!info->count)
		return true;
	room = info->argsz - (uint32_t)sizeof(*info);
	list->stride = room / info->count;
	if (list->stride < sizeof(struct wire_io_fd) || room % info->count)
		return false;
	return list->stride == sizeof(struct wire_io_fd) || !model_strict(model, MODEL_W2);
}

static void model_region_io_sizes(struct model *model, const struct model_region_list *list)
{
	const struct wire_region_io_fds *info = &list->info;
	const struct model_region_known *known = model_region_known(model, info->index);

	if (list->whole && list->reply->size != info->argsz)
		model_blame(model, list->header, "REG-IOFD-003",
			    "allowed: as many bytes as argsz says; came: %zu with argsz %u",
			    list->reply->size, info->argsz);
	if (!info->count && list->reply->nfds)
		model_blame(model, list->header, "REG-IOFD-007",
			    "%zu descriptors for no sub-regions", list->reply->nfds);
	if (known && known->io_argsz && known->io_argsz != info->argsz)
		model_blame(model, list->header, "REG-IOFD-008",
			    "allowed: argsz %u as before; came: %u", known->io_argsz, info->argsz);
}

static void model_region_io_check(struct model *model, const struct model_asked *asked,
				  const struct model_message *reply)
{
	struct model_region_list list = { .header = &asked->header, .reply = reply };
	struct wire_region_io_fds info;

	if (!model_body(asked, &info, sizeof(info)) ||
	    !model_reply_at(reply, 0, &list.info, sizeof(list.info)))
		return;
	list.whole = list.info.argsz <= info.argsz;
	if (list.info.index != info.index || list.info.flags)
		model_blame(model, list.header, "REG-IOFD-003",
			    "allowed: index %u and no flags; came: %u, 0x%x", info.index,
			    list.info.index, list.info.flags);
	model_region_io_sizes(model, &list);
	if (!model_region_io_fits(model, &list))
		model_blame(model, list.header, "REG-IOFD-004",
			    "%u entries have no room of their own in an argsz of %u",
			    list.info.count, list.info.argsz);
	else if (list.whole && list.info.count)
		model_region_io_entries(model, &list);
}

static void model_region_io_apply(struct model *model, const struct model_asked *asked,
				  enum model_outcome outcome, const struct model_message *reply)
{
	struct wire_region_io_fds wanted, came;

	if (outcome != MODEL_OK || !reply || !model_body(asked, &wanted, sizeof(wanted)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	model->region.io_fds = true;
	if (wanted.index < MODEL_REGIONS)
		model->region.at[wanted.index].io_argsz = came.argsz;
}

const struct model_rule model_region_io_fds_rule = {
	.keep = sizeof(struct wire_region_io_fds),
	.shorter = "REG-IOFD-002",
	.judge = model_region_io_judge,
	.check = model_region_io_check,
	.apply = model_region_io_apply,
};
