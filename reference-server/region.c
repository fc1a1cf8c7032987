/* SPDX-License-Identifier: BSD-3-Clause */
/* region.c - see region.h. */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fault.h"
#include "log.h"
#include "range.h"

void region_attach(struct region_table *table, const struct session_limits *limits)
{
	table->limits = limits;
	table->multi_done = 0;
}

static uint32_t region_sparse_size(const struct region *region)
{
	if (!region->areas)
		return 0;
	return (uint32_t)(sizeof(struct wire_cap_sparse_mmap) +
			  region->area_count * sizeof(struct wire_sparse_area));
}

static uint32_t region_caps_size(const struct region *region)
{
	uint32_t size = region_sparse_size(region);

	return region->type ? size + (uint32_t)sizeof(struct wire_cap_type) : size;
}

/* The chain: sparse mmap, then type; the last one has next 0. */
static void region_put_caps(const struct region *region, struct session_reply *reply)
{
	uint32_t next = (uint32_t)sizeof(struct wire_region_info) + region_sparse_size(region);
	struct wire_cap_sparse_mmap sparse = {
		.header = {
			.id = WIRE_CAP_ID_SPARSE_MMAP,
			.version = WIRE_CAP_VERSION,
			.next = region->type ? next : 0,
		},
		.nr_areas = region->area_count,
	};
	struct wire_cap_type type = {
		.header = { .id = WIRE_CAP_ID_TYPE, .version = WIRE_CAP_VERSION },
		.type = region->type,
		.subtype = region->subtype,
	};

	if (region->areas) {
		session_reply_put(reply, &sparse, sizeof(sparse));
		session_reply_put(reply, region->areas,
				  region->area_count * sizeof(*region->areas));
	}
	if (region->type)
		session_reply_put(reply, &type, sizeof(type));
}

int region_get_info(void *owner, struct msg *msg, struct session_reply *reply)
{
	const struct region_table *table = owner;
	const struct region *region;
	struct wire_region_info info;
	uint32_t caps, argsz;

	msg_read(msg, &info, sizeof(info));
	argsz = info.argsz;
	if (argsz < sizeof(info) || info.index >= table->count)
		return -EINVAL;
	region = &table->regions[info.index];
	caps = region_caps_size(region);
	info.argsz = (uint32_t)sizeof(info) + caps;
	info.flags = region->flags | (caps ? WIRE_REGION_FLAG_CAPS : 0);
	info.cap_offset = caps && info.argsz <= argsz ? (uint32_t)sizeof(info) : 0;
	if (caps && fault_on(FAULT_capabilities_beyond_argsz))
		info.cap_offset = (uint32_t)sizeof(info);
	if (fault_on(FAULT_region_argsz_is_echoed))
		info.argsz = argsz;
	info.size = region->size;
	info.offset = region->mmap_offset;
	session_reply_put(reply, &info, sizeof(info));
	if (info.cap_offset)
		region_put_caps(region, reply);
	if (caps && !info.cap_offset && fault_on(FAULT_region_fd_needs_capabilities))
		return 0;
	if (region->flags & WIRE_REGION_FLAG_MMAP && fault_on(FAULT_region_fd_is_leaked))
		session_reply_fd(reply, fcntl(region->fd, F_DUPFD_CLOEXEC, 0));
	else if (region->flags & WIRE_REGION_FLAG_MMAP)
		session_reply_fd(reply, region->fd);
	return 0;
}

/* Whether [offset, offset + count) lies in the region; an empty access may be at its end. */
static bool region_holds(const struct region *region, const struct wire_region_access *access)
{
	uint64_t size = region->size + fault_on(FAULT_region_end_is_off_by_one);
	struct range whole, part;

	if (fault_on(FAULT_access_end_wraps))
		return access->offset + access->count <= region->size;
	if (access->count == 0)
		return access->offset <= region->size;
	return range_make(0, size, &whole) == 0 &&
	       range_make(access->offset, access->count, &part) == 0 && range_contains(whole, part);
}

/* The region of an access, or NULL and *error. */
static const struct region *region_check(const struct region_table *table,
					 const struct wire_region_access *access, uint32_t flag,
					 int *error)
{
	const struct region *region;

	*error = -EINVAL;
	if (access->region >= table->count)
		return NULL;
	region = &table->regions[access->region];
	if (access->count > table->limits->max_data_xfer_size &&
	    !fault_on(FAULT_access_without_limit))
		return NULL;
	if (!region_holds(region, access))
		return NULL;
	*error = region->flags & flag ? 0 : -EACCES;
	return *error ? NULL : region;
}

int region_read(void *owner, struct msg *msg, struct session_reply *reply)
{
	const struct region_table *table = owner;
	const struct region *region;
	struct wire_region_access access;
	void *data;
	int error;

	msg_read(msg, &access, sizeof(access));
	region = region_check(table, &access, WIRE_REGION_FLAG_READ, &error);
	if (!region)
		return error;
	session_reply_put(reply, &access, sizeof(access));
	if (access.count == 0)
		return 0;
	data = session_reply_space(reply, access.count);
	return data ? region->ops->read(region->owner, access.offset, data, access.count) : -ENOMEM;
}

int region_write(void *owner, struct msg *msg, struct session_reply *reply)
{
	const struct region_table *table = owner;
	const struct region *region;
	struct wire_region_access access;
	int error;

	msg_read(msg, &access, sizeof(access));
	if (msg->size - sizeof(access) != access.count && !fault_on(FAULT_write_count_is_trusted))
		return -EINVAL;
	region = region_check(table, &access, WIRE_REGION_FLAG_WRITE, &error);
	if (!region && error == -EACCES && fault_on(FAULT_write_to_rom_is_dropped)) {
		session_reply_put(reply, &access, sizeof(access));
		return 0;
	}
	if (!region)
		return error;
	if (access.count > 4 && fault_on(FAULT_wide_write_is_cut))
		access.count = 4;
	if (access.count)
		error = region->ops->write(region->owner, access.offset,
					   msg->body + sizeof(access), access.count);
	session_reply_put(reply, &access, sizeof(access));
	return error;
}

/* Whether the entries are as many as they are said to be, and none is larger than it can be. */
static bool region_multi_fits(const struct msg *msg, uint64_t count)
{
	size_t size = msg->size - sizeof(struct wire_write_multi);
	struct wire_write_multi_entry entry;

	if (size % sizeof(entry) || size / sizeof(entry) != count)
		return false;
	for (uint64_t i = 0; i < count; i++) {
		memcpy(&entry, msg->body + sizeof(struct wire_write_multi) + i * sizeof(entry),
		       sizeof(entry));
		if (entry.count > WIRE_WRITE_MULTI_MAX_COUNT)
			return false;
	}
	return true;
}

static int region_write_entry(const struct region_table *table,
			      const struct wire_write_multi_entry *entry)
{
	const struct wire_region_access access = {
		.offset = entry->offset, .region = entry->region, .count = entry->count,
	};
	const struct region *region;
	int error;

	region = region_check(table, &access, WIRE_REGION_FLAG_WRITE, &error);
	if (!region || !access.count)
		return error;
	return region->ops->write(region->owner, access.offset, entry->data, access.count);
}

int region_write_multi(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct region_table *table = owner;
	struct wire_write_multi multi, done = { table->multi_done };
	struct wire_write_multi_entry entry;
	int error = 0;

	if (!table->limits->write_multiple)
		return -EOPNOTSUPP;
	msg_read(msg, &multi, sizeof(multi));
	if (!region_multi_fits(msg, multi.wr_cnt))
		return -EINVAL;
	for (; done.wr_cnt < multi.wr_cnt; done.wr_cnt++) {
		memcpy(&entry, msg->body + sizeof(multi) + done.wr_cnt * sizeof(entry),
		       sizeof(entry));
		error = region_write_entry(table, &entry);
		if (error && (error == -EINPROGRESS || !fault_on(FAULT_multi_goes_on)))
			break;
	}
	table->multi_done = error == -EINPROGRESS ? done.wr_cnt : 0;
	if (error == -EINPROGRESS)
		return error;
	session_reply_put(reply, &done, sizeof(done));
	return 0;
}

/* How many sub-regions have a descriptor that can be sent to this client. */
static uint32_t region_count_io(const struct region *region, uint32_t max_fds)
{
	uint32_t count = 0;

	if (!region->io || region->io_fds[0] < 0)
		return 0;
	while (count < region->io_count && (region->io[count].fd_index < max_fds ||
					    fault_on(FAULT_io_fds_without_limit)))
		count++;
	return count;
}

static void region_put_io(const struct region *region, uint32_t count,
			  struct session_reply *reply)
{
	uint32_t fds = 0;

	session_reply_put(reply, region->io, count * sizeof(*region->io));
	for (uint32_t i = 0; i < count; i++) {
		if (region->io[i].fd_index == fds)
			session_reply_fd(reply, region->io_fds[fds++]);
	}
}

int region_get_io_fds(void *owner, struct msg *msg, struct session_reply *reply)
{
	const struct region_table *table = owner;
	const struct region *region;
	struct wire_region_io_fds info;
	uint32_t argsz;

	msg_read(msg, &info, sizeof(info));
	argsz = info.argsz;
	if (argsz < sizeof(info) || info.index >= table->count)
		return -EINVAL;
	region = &table->regions[info.index];
	if (region->io && region->ops->open_io && region->ops->open_io(region->owner))
		log_info("no descriptors for the sub-regions of region %u", info.index);
	info.flags = 0;
	info.count = region_count_io(region, table->limits->client_max_msg_fds);
	info.argsz = (uint32_t)(sizeof(info) + info.count * sizeof(struct wire_io_fd));
	session_reply_put(reply, &info, sizeof(info));
	if (info.count && info.argsz <= argsz)
		region_put_io(region, info.count, reply);
	return 0;
}
