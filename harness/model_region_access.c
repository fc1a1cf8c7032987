/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_region_access.c - REGION_READ, REGION_WRITE and REGION_WRITE_MULTI: what may be accessed,
 * as far as the regions are known. Which widths a device takes is its own affair, and so is what it
 * makes of the bytes.
 */
#include "model_rule.h"

#include <inttypes.h>

#define MODEL_REGION_ENTRIES 128u	/* of a WRITE_MULTI that are looked at */
#define MODEL_REGION_HEADER 64u		/* of the configuration space: always there */

/* What refuses an access, by what is wrong with it. */
struct model_region_limits {
	const char *index;
	const char *above;
	const char *wraps;
	const char *outside;
	const char *denied;
	uint32_t flag;
};

static const struct model_region_limits model_region_reads = {
	"RW-READ-003", "RW-READ-006", "RW-READ-005", "RW-READ-004", "RW-READ-009",
	WIRE_REGION_FLAG_READ,
};

static const struct model_region_limits model_region_writes = {
	"RW-WRITE-003", "RW-WRITE-006", "RW-WRITE-003", "RW-WRITE-003", "RW-WRITE-004",
	WIRE_REGION_FLAG_WRITE,
};

/* The requirement by which an access has to fail, or NULL. */
static const char *model_region_fault(const struct model *model,
				      const struct wire_region_access *access,
				      const struct model_region_limits *limits)
{
	const struct model_region_known *known = model_region_known(model, access->region);

	if (model->device.known && access->region >= model->device.num_regions)
		return limits->index;
	if (model->server.known && access->count > model->server.max_data_xfer_size)
		return limits->above;
	if (!access->count)
		return NULL;
	if (access->offset > UINT64_MAX - access->count)
		return limits->wraps;
	if (!known)
		return NULL;
	if (access->offset >= known->size || access->count > known->size - access->offset)
		return limits->outside;
	return known->flags & limits->flag ? NULL : limits->denied;
}

/* Refuses what has to fail; true when it does. */
static bool model_region_refuse(const struct model *model, const struct wire_region_access *access,
				const struct model_region_limits *limits,
				struct model_expect *out)
{
	const char *requirement = model_region_fault(model, access, limits);
	const struct model_region_known *known = model_region_known(model, access->region);

	if (!requirement)
		return false;
	model_refuse(out, requirement,
		     "%u bytes at 0x%" PRIx64 " of region %u, which has 0x%" PRIx64
		     " and flags 0x%x%s", access->count, access->offset, access->region,
		     known ? known->size : 0, known ? known->flags : 0,
		     known ? "" : " (not told)");
	return true;
}

static void model_region_check_echo(struct model *model, const struct model_asked *asked,
				    const struct model_message *reply, const char *requirement)
{
	struct wire_region_access wanted, came;

	if (!model_body(asked, &wanted, sizeof(wanted)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	if (came.offset != wanted.offset || came.region != wanted.region ||
	    came.count != wanted.count)
		model_blame(model, &asked->header, requirement,
			    "allowed: %u bytes at 0x%" PRIx64 " of region %u; came: %u at 0x%"
			    PRIx64 " of %u", wanted.count, wanted.offset, wanted.region,
			    came.count, came.offset, came.region);
}

static void model_region_check_size(struct model *model, const struct model_asked *asked,
				    const struct model_message *reply, uint64_t size)
{
	if (reply->size != size)
		model_blame(model, &asked->header, asked->header.command ==
			    WIRE_REGION_READ ? "RW-READ-001" : asked->header.command ==
			    WIRE_REGION_WRITE ? "RW-WRITE-001" : "RW-MULTI-001",
			    "allowed: a payload of %" PRIu64 " bytes; came: %zu", size,
			    reply->size);
}

/* ---- reading ---- */

/* The header of the configuration space can be read by bytes, words and double words. */
static bool model_region_is_config(const struct model *model,
				   const struct wire_region_access *access)
{
	const struct model_region_known *known = model_region_known(model, access->region);
	uint32_t count = access->count;

	return known && access->region == WIRE_REGION_INDEX_CONFIG &&
	       (count == 1 || count == 2 || count == 4) && access->offset % count == 0 &&
	       access->offset < MODEL_REGION_HEADER && model->client.known &&
	       count <= model->client.max_data_xfer_size && model_serves(model);
}

static void model_region_read_judge(const struct model *model, const struct model_asked *asked,
				    struct model_expect *out)
{
	struct wire_region_access access;

	if (!model_body(asked, &access, sizeof(access)) ||
	    model_region_refuse(model, &access, &model_region_reads, out))
		return;
	if (asked->size == sizeof(access) && model_region_is_config(model, &access))
		model_demand(out, "RW-READ-011", "the configuration space can be read by %u",
			     access.count);
}

static void model_region_read_check(struct model *model, const struct model_asked *asked,
				    const struct model_message *reply)
{
	struct wire_region_access access;

	if (!model_body(asked, &access, sizeof(access)))
		return;
	model_region_check_echo(model, asked, reply,
				access.count ? "RW-READ-001" : "RW-READ-008");
	model_region_check_size(model, asked, reply, sizeof(access) + (uint64_t)access.count);
}

const struct model_rule model_region_read_rule = {
	.keep = sizeof(struct wire_region_access),
	.shorter = "RW-READ-002",
	.judge = model_region_read_judge,
	.check = model_region_read_check,
};

/* ---- writing ---- */

static void model_region_write_judge(const struct model *model, const struct model_asked *asked,
				     struct model_expect *out)
{
	struct wire_region_access access;

	if (!model_body(asked, &access, sizeof(access)))
		return;
	if (asked->size - sizeof(access) != access.count) {
		model_refuse(out, "RW-WRITE-002", "%zu bytes of data for a count of %u",
			     asked->size - sizeof(access), access.count);
		return;
	}
	if (model_region_refuse(model, &access, &model_region_writes, out) &&
	    model->server.known && access.count > model->server.max_data_xfer_size)
		out->closed = true;
}

static void model_region_write_check(struct model *model, const struct model_asked *asked,
				     const struct model_message *reply)
{
	model_region_check_echo(model, asked, reply, "RW-WRITE-001");
	model_region_check_size(model, asked, reply, sizeof(struct wire_region_access));
}

const struct model_rule model_region_write_rule = {
	.keep = sizeof(struct wire_region_access),
	.shorter = "RW-WRITE-002",
	.judge = model_region_write_judge,
	.check = model_region_write_check,
};

/* ---- several writes at once ---- */

/* How many entries stand before the first that has to fail; *requirement says why it has to. */
static uint64_t model_region_good_entries(const struct model *model,
					  const struct model_asked *asked, uint64_t count,
					  const char **requirement)
{
	struct wire_write_multi_entry entry;
	size_t at = sizeof(struct wire_write_multi);

	for (uint64_t i = 0; i < count; i++, at += sizeof(entry)) {
		struct wire_region_access access;

		if (!model_body_at(asked, at, &entry, sizeof(entry)))
			return count;
		access.offset = entry.offset;
		access.region = entry.region;
		access.count = entry.count;
		*requirement = entry.count > WIRE_WRITE_MULTI_MAX_COUNT ? "RW-MULTI-003" :
			       model_region_fault(model, &access, &model_region_writes);
		if (*requirement)
			return i;
	}
	return count;
}

static void model_region_write_multi_judge(const struct model *model,
					   const struct model_asked *asked,
					   struct model_expect *out)
{
	const size_t entry = sizeof(struct wire_write_multi_entry);
	struct wire_write_multi multi;
	size_t data = asked->size - sizeof(multi);

	if (!model_body(asked, &multi, sizeof(multi)))
		return;
	if (model->server.known && !model->server.write_multiple)
		model_refuse(out, "RW-MULTI-007", "write_multiple was not negotiated");
	else if (data % entry || data / entry != multi.wr_cnt)
		model_refuse(out, "RW-MULTI-004", "%zu bytes of entries for a wr_cnt of %" PRIu64,
			     data, multi.wr_cnt);
	else if (!multi.wr_cnt && model->client.write_multiple && model_strict(model, MODEL_R7) &&
		 model_serves(model))
		model_demand(out, "RW-MULTI-006", "no entries are counted as none");
}

static void model_region_write_multi_check(struct model *model, const struct model_asked *asked,
					   const struct model_message *reply)
{
	const char *requirement = NULL;
	struct wire_write_multi multi, came;
	uint64_t good;

	model_region_check_size(model, asked, reply, sizeof(came));
	if (!model_body(asked, &multi, sizeof(multi)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	good = model_region_good_entries(model, asked, multi.wr_cnt, &requirement);
	if (came.wr_cnt <= good)
		return;
	model_blame(model, &asked->header, requirement ? requirement : "RW-MULTI-001",
		    "allowed: a wr_cnt of at most %" PRIu64 " of %" PRIu64 "; came: %" PRIu64,
		    good, multi.wr_cnt, came.wr_cnt);
}

const struct model_rule model_region_write_multi_rule = {
	.keep = sizeof(struct wire_write_multi) +
		MODEL_REGION_ENTRIES * sizeof(struct wire_write_multi_entry),
	.shorter = "RW-MULTI-004",
	.judge = model_region_write_multi_judge,
	.check = model_region_write_multi_check,
};
