/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_region.c - GET_REGION_INFO: the description of a region and its capabilities. How regions
 * are accessed is in model_region_access.c, their sub-regions are in model_region_io.c.
 */
#include "model_rule.h"

#include <inttypes.h>

#define MODEL_REGION_FLAGS (WIRE_REGION_FLAG_READ | WIRE_REGION_FLAG_WRITE | WIRE_REGION_FLAG_MMAP)
#define MODEL_REGION_PAGE 4096u	/* what every page size is a multiple of */
#define MODEL_REGION_AREAS 64u	/* that are compared with each other */

/* A description that came. */
struct model_region_told {
	const struct wire_header *header;	/* of the command */
	const struct model_message *reply;
	struct wire_region_info info;
	bool whole;		/* all of it fits argsz */
};

const struct model_region_known *model_region_known(const struct model *model, uint32_t index)
{
	if (index >= MODEL_REGIONS || !model->region.at[index].told)
		return NULL;
	return &model->region.at[index];
}

void model_region_learn(struct model *model, const struct model *from)
{
	for (uint32_t i = 0; i < MODEL_REGIONS; i++) {
		if (!from->region.at[i].told)
			continue;
		model->region.at[i] = from->region.at[i];
		model->region.at[i].io_argsz = 0;
	}
}

static void model_region_info_judge(const struct model *model, const struct model_asked *asked,
				    struct model_expect *out)
{
	struct wire_region_info info;

	if (!model_body(asked, &info, sizeof(info)) || !model->device.known)
		return;
	if (info.index >= model->device.num_regions) {
		model_refuse(out, "REG-INFO-002", "the device has %u regions, index %u is none",
			     model->device.num_regions, info.index);
		return;
	}
	if (info.argsz < sizeof(info) || info.argsz > INT32_MAX || asked->size > sizeof(info))
		return;
	if (info.flags || info.cap_offset || info.size || info.offset)
		return;
	if (model_serves(model))
		model_demand(out, "REG-INFO-001", "each region below %u can be asked for",
			     model->device.num_regions);
}

/* ---- capabilities ---- */

static bool model_region_overlaps(const struct model_region_told *told, size_t first,
				  uint32_t number, const struct wire_sparse_area *area)
{
	struct wire_sparse_area other;

	for (uint32_t i = 0; i < number && i < MODEL_REGION_AREAS; i++) {
		model_reply_at(told->reply, first + i * sizeof(other), &other, sizeof(other));
		if (area->offset < other.offset + other.size &&
		    other.offset < area->offset + area->size)
			return true;
	}
	return false;
}

static void model_region_check_areas(struct model *model, const struct model_region_told *told,
				     size_t first, uint32_t count)
{
	struct wire_sparse_area area;

	for (uint32_t i = 0; i < count; i++) {
		model_reply_at(told->reply, first + i * sizeof(area), &area, sizeof(area));
		if (area.size && area.offset <= told->info.size &&
		    area.size <= told->info.size - area.offset &&
		    (area.offset | area.size) % MODEL_REGION_PAGE == 0 &&
		    !model_region_overlaps(told, first, i, &area))
			continue;
		model_blame(model, told->header, "REG-CAP-003",
			    "allowed: pages inside the 0x%" PRIx64 " bytes of the region, each in "
			    "one area; came: area %u with 0x%" PRIx64 " bytes at 0x%" PRIx64,
			    told->info.size, i, area.size, area.offset);
		return;
	}
}

static void model_region_check_sparse(struct model *model, const struct model_region_told *told,
				      size_t at)
{
	const struct model_message *reply = told->reply;
	const size_t first = at + sizeof(struct wire_cap_sparse_mmap);
	struct wire_cap_sparse_mmap sparse;

	if (!(told->info.flags & WIRE_REGION_FLAG_MMAP))
		model_blame(model, told->header, "REG-CAP-004",
			    "sparse areas of region %u, which can not be mapped",
			    told->info.index);
	if (!model_reply_at(reply, at, &sparse, sizeof(sparse)) || !sparse.nr_areas ||
	    sparse.nr_areas > (reply->size - first) / sizeof(struct wire_sparse_area) ||
	    sparse.reserved || sparse.header.version != WIRE_CAP_VERSION) {
		model_blame(model, told->header, "REG-CAP-002",
			    "allowed: version 1, and at least one area, inside the payload of %zu "
			    "bytes; the capability is at %zu", reply->size, at);
		return;
	}
	model_region_check_areas(model, told, first, sparse.nr_areas);
}

static bool model_region_is_type(const struct model_region_told *told, size_t at)
{
	struct wire_cap_type type;

	return model_reply_at(told->reply, at, &type, sizeof(type)) &&
	       type.header.version == WIRE_CAP_VERSION;
}

/* Walks the chain, which is never longer than the payload. */
static void model_region_check_caps(struct model *model, const struct model_region_told *told)
{
	size_t left = told->reply->size / sizeof(struct wire_cap_header);
	uint32_t at = told->info.cap_offset;
	bool type = false;

	while (at) {
		struct wire_cap_header cap;

		if (!left-- || at < sizeof(told->info) ||
		    !model_reply_at(told->reply, at, &cap, sizeof(cap))) {
			model_blame(model, told->header, "REG-CAP-001",
				    "allowed: a chain inside the payload of %zu bytes that ends; "
				    "came: a capability at %u", told->reply->size, at);
			return;
		}
		if (cap.id == WIRE_CAP_ID_SPARSE_MMAP)
			model_region_check_sparse(model, told, at);
		if (cap.id == WIRE_CAP_ID_TYPE)
			type = type || model_region_is_type(told, at);
		at = cap.next;
	}
	if (told->whole && told->info.index >= WIRE_REGION_INDEX_NUM && !type)
		model_blame(model, told->header, "REG-CAP-005",
			    "region %u is no PCI region and has no capability that says its type",
			    told->info.index);
}

/* Whether there are capabilities, and where. */
static void model_region_check_flag(struct model *model, const struct model_region_told *told)
{
	const struct wire_region_info *info = &told->info;
	bool caps = info->flags & WIRE_REGION_FLAG_CAPS;

	if (info->argsz < sizeof(*info) || (told->whole && told->reply->size != info->argsz))
		return;
	if (!told->whole && model_strict(model, MODEL_W7) && (!caps || info->cap_offset))
		model_blame(model, told->header, "REG-INFO-007",
			    "allowed: CAPS, and nothing at cap_offset; came: flags 0x%x, "
			    "cap_offset %u", info->flags, info->cap_offset);
	if (told->whole &&
	    caps != (info->cap_offset >= sizeof(*info) && info->argsz > sizeof(*info)))
		model_blame(model, told->header, "REG-INFO-011",
			    "allowed: CAPS when there are capabilities; came: flags 0x%x, "
			    "cap_offset %u, argsz %u", info->flags, info->cap_offset, info->argsz);
	else if (told->whole && !caps && (info->cap_offset || info->argsz != sizeof(*info)))
		model_blame(model, told->header, "REG-INFO-011",
			    "allowed: 32 bytes without CAPS; came: cap_offset %u, argsz %u",
			    info->cap_offset, info->argsz);
	else if (caps)
		model_region_check_caps(model, told);
}

/* ---- the structure ---- */

/* Whether the descriptor is one that the client can map as the flags say. */
static bool model_region_can_map(const struct model_region_told *told)
{
	const struct model_fd *fd = told->reply->fds;
	const struct wire_region_info *info = &told->info;
	uint64_t pages;

	if (!fd || fd->kind != MODEL_FD_MEMORY)
		return !fd || fd->kind != MODEL_FD_EVENTFD;
	if (info->flags & WIRE_REGION_FLAG_WRITE && !fd->writable)
		return false;
	if (!fd->size || info->flags & WIRE_REGION_FLAG_CAPS)
		return true;
	pages = fd->size + -fd->size % MODEL_REGION_PAGE;
	return info->offset <= pages && info->size <= pages - info->offset;
}

static void model_region_check_fds(struct model *model, const struct model_region_told *told)
{
	bool mmap = told->info.flags & WIRE_REGION_FLAG_MMAP;
	bool must = mmap && model->client.known && model->client.max_msg_fds &&
		    (told->whole || model_strict(model, MODEL_W7));

	if (told->reply->nfds ? !mmap : must)
		model_blame(model, told->header, "REG-INFO-006",
			    "allowed: a descriptor with MMAP, none without; came: %zu with flags "
			    "0x%x", told->reply->nfds, told->info.flags);
	else if (told->reply->nfds && !model_region_can_map(told))
		model_blame(model, told->header, "REG-INFO-008",
			    "region %u can not be mapped by its descriptor with flags 0x%x",
			    told->info.index, told->info.flags);
}

static void model_region_check_sizes(struct model *model, const struct model_region_told *told)
{
	const struct wire_region_info *info = &told->info;

	if (info->argsz < sizeof(*info) || (told->whole && told->reply->size != info->argsz))
		model_blame(model, told->header, "REG-INFO-005",
			    "allowed: as many bytes as argsz says; came: %zu with argsz %u",
			    told->reply->size, info->argsz);
	if (info->size && !(info->flags & (WIRE_REGION_FLAG_READ | WIRE_REGION_FLAG_WRITE)))
		model_blame(model, told->header, "REG-INFO-010",
			    "region %u has bytes that can be neither read nor written",
			    info->index);
	if (info->index != WIRE_REGION_INDEX_CONFIG)
		return;
	if ((info->size != 256 && info->size != 4096) ||
	    ~info->flags & (WIRE_REGION_FLAG_READ | WIRE_REGION_FLAG_WRITE))
		model_blame(model, told->header, "REG-INFO-012",
			    "allowed: 256 or 4096 bytes with READ and WRITE; came: 0x%" PRIx64
			    " with flags 0x%x", info->size, info->flags);
}

/* What was told before is told again. */
static void model_region_check_same(struct model *model, const struct model_region_told *told)
{
	const struct model_region_known *known = model_region_known(model, told->info.index);
	const struct wire_region_info *info = &told->info;

	if (!known || (known->argsz == info->argsz && known->size == info->size &&
		       known->offset == info->offset &&
		       known->flags == (info->flags & MODEL_REGION_FLAGS)))
		return;
	model_blame(model, told->header, "REG-INFO-001",
		    "allowed: argsz %u, size 0x%" PRIx64 ", flags 0x%x as before; came: %u, 0x%"
		    PRIx64 ", 0x%x", known->argsz, known->size, known->flags, info->argsz,
		    info->size, info->flags & MODEL_REGION_FLAGS);
}

static void model_region_info_check(struct model *model, const struct model_asked *asked,
				    const struct model_message *reply)
{
	struct model_region_told told = { .header = &asked->header, .reply = reply };
	struct wire_region_info info;

	if (!model_body(asked, &info, sizeof(info)) ||
	    !model_reply_at(reply, 0, &told.info, sizeof(told.info)))
		return;
	told.whole = told.info.argsz <= info.argsz;
	if (told.info.index != info.index)
		model_blame(model, told.header, "REG-INFO-001",
			    "allowed: index %u; came: %u", info.index, told.info.index);
	model_region_check_sizes(model, &told);
	model_region_check_flag(model, &told);
	model_region_check_fds(model, &told);
	model_region_check_same(model, &told);
}

static void model_region_info_apply(struct model *model, const struct model_asked *asked,
				    enum model_outcome outcome, const struct model_message *reply)
{
	struct wire_region_info asked_info, info;
	struct model_region_known *known;

	if (outcome != MODEL_OK || !reply || !model_reply_at(reply, 0, &info, sizeof(info)) ||
	    !model_body(asked, &asked_info, sizeof(asked_info)) ||
	    asked_info.index >= MODEL_REGIONS)
		return;
	known = &model->region.at[asked_info.index];
	known->told = true;
	known->argsz = info.argsz;
	known->flags = info.flags & MODEL_REGION_FLAGS;
	known->size = info.size;
	known->offset = info.offset;
}

const struct model_rule model_region_info_rule = {
	.keep = sizeof(struct wire_region_info),
	.shorter = "REG-INFO-003",
	.judge = model_region_info_judge,
	.check = model_region_info_check,
	.apply = model_region_info_apply,
};

void model_region_free(struct model *model)
{
	(void)model;
}

void model_region_reset(struct model *model, enum model_outcome outcome)
{
	(void)model;
	(void)outcome;
}
