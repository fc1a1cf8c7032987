/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_flood.c - very many mappings, against small quotas.
 *
 * The first byte of an input chooses the quotas (bits 0 and 1 the number of mappings, 2 and 3 the
 * bytes of the table, 4 and 5 the windows, 6 and 7 their pages); then each eight bytes are an
 * operation that is done many times, with a stride:
 *
 *	0	bits 0 to 2 what (enum flood_op), 3 and 4 READ and WRITE, 5 to 7 where in the space
 *	1, 2	first page in that part; bits 5 to 7 of the last are the space
 *	3	stride in pages: the upper four bits, shifted by the lower four
 *	4	pages of a mapping: the lower four bits and one, shifted by the upper four
 *	5, 6	how many times, of which bits 3 to 7 of the last are the descriptor
 *	7	page of the file; or how the request is malformed
 *
 * Bytes that are left behind the last operation mean that the vIOMMU extension is negotiated, for a
 * few spaces. Then bits 3 and 4 of an unmap are its form: 1 RANGE, 2 ALL; 1 of a map again is
 * REPLACE.
 *
 * Each request is judged by a list of the mappings that there are, and so are the counters of the
 * server: what it has for a client is what the client has mapped.
 */
#include <errno.h>
#include <string.h>

#include "driver.h"
#include "flood_files.h"
#include "stage.h"
#include "wire_ext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLOOD_REQUESTS 2048u	/* of an input */
#define FLOOD_MAPS 256u
#define FLOOD_SPACES 8u		/* none, and seven PASIDs, */
#define FLOOD_PASIDS 4u		/* of which so many can have mappings at a time */
/* So near to the quota of the table ENOSPC is right: the nodes on both sides of a long mapping. */
#define FLOOD_MARGIN ((size_t)32 * FLOOD_PAGE)

enum flood_op {
	FLOOD_MAP,
	FLOOD_MAP_MESSAGES,
	FLOOD_UNMAP,
	FLOOD_UNMAP_ANY,	/* one of those that are there, or a part of it */
	FLOOD_AGAIN,		/* unmap one of them, and map it once more: there has to be room */
	FLOOD_MALFORMED_MAP,
	FLOOD_MALFORMED_UNMAP,
	FLOOD_SURPLUS,		/* a map with two descriptors */
};

#define FLOOD_NONE FLOOD_FILES

/* A request, and a mapping if it succeeds. */
struct flood_map {
	uint64_t first;
	uint64_t pages;
	uint64_t file_page;
	uint32_t flags;
	uint32_t file;		/* FLOOD_NONE: by messages */
	uint32_t space;		/* PASID + 1; 0 = none */
};

/* What a reply may be. */
struct flood_expect {
	bool success;
	bool no_room;		/* ENOSPC */
	bool exists;		/* EEXIST */
	bool refused;		/* EINVAL, EACCES, EPERM, ENODEV */
};

static struct {
	int fd[FLOOD_FILES];	/* made once */
	struct stage_limits limits;
	struct flood_map maps[FLOOD_MAPS];
	uint32_t count;
	uint32_t mappings[FLOOD_FILES];	/* of each file */
	bool begun[FLOOD_SPACES];	/* had a mapping, and no ALL since then */
	bool extended;
	uint32_t windows;
	uint64_t window_pages;
	uint16_t id;
	uint32_t requests;
} flood;

static void flood_choose(uint8_t byte)
{
	static const uint32_t maps[] = { 1, 7, 64, FLOOD_MAPS };
	static const uint64_t table[] = { 1u << 15, 1u << 17, 1u << 20, 1u << 26 };
	static const uint32_t windows[] = { 1, 2, 5, WINDOW_MAX };
	static const uint64_t pages[] = { 20, 4200, 1u << 20, WINDOW_PAGE_QUOTA };

	flood.limits = (struct stage_limits){
		.max_dma_maps = maps[byte & 3],
		.quotas = {
			.table_bytes = table[byte >> 2 & 3],
			.windows = windows[byte >> 4 & 3],
			.window_bytes = pages[byte >> 6] * FLOOD_PAGE,
			.dirty_bytes = DIRTY_QUOTA,
		},
	};
}

/* ---- what has to be ---- */

static bool flood_is_mapped(const struct flood_map *map)
{
	for (uint32_t i = 0; i < flood.count; i++) {
		const struct flood_map *there = &flood.maps[i];

		if (map->space == there->space && map->first < there->first + there->pages &&
		    there->first < map->first + map->pages)
			return true;
	}
	return false;
}

static bool flood_has_space(uint32_t space)
{
	for (uint32_t i = 0; i < flood.count; i++)
		if (flood.maps[i].space == space)
			return true;
	return false;
}

/* May there be too many spaces for this one to begin? `sure`: are there? */
static bool flood_is_crowded(uint32_t space, bool sure)
{
	uint32_t count = 0;

	for (uint32_t i = 1; i < FLOOD_SPACES; i++)
		count += sure ? flood_has_space(i) : flood.begun[i];
	return space && !(sure ? flood.begun[space] : flood_has_space(space)) &&
	       count >= FLOOD_PASIDS;
}

static bool flood_may_map(const struct flood_map *map)
{
	const struct flood_file *file;

	if (map->file == FLOOD_NONE)
		return true;
	file = &flood_files[map->file];
	return map->pages <= file->pages && map->file_page <= file->pages - map->pages &&
	       !(map->flags & ~(uint32_t)file->mode);
}

/* Whether a quota that is exactly known is reached. */
static bool flood_is_full(const struct flood_map *map)
{
	const struct dma_quotas *quotas = &flood.limits.quotas;
	uint64_t pages = map->file == FLOOD_NONE ? 0 : flood_files[map->file].pages;

	if (flood.count >= flood.limits.max_dma_maps)
		return true;
	if (map->file == FLOOD_NONE || flood.mappings[map->file])
		return false;
	return flood.windows >= quotas->windows ||
	       flood.window_pages + pages > quotas->window_bytes / FLOOD_PAGE;
}

static struct flood_expect flood_expect_map(const struct flood_map *map, bool again)
{
	size_t bytes = space_bytes(&stage_server()->dma.space);
	bool full = flood_is_full(map), may = flood_may_map(map), mapped = flood_is_mapped(map);

	return (struct flood_expect){
		.success = may && !mapped && !full && !flood_is_crowded(map->space, true),
		.no_room = full || flood_is_crowded(map->space, false) ||
			   (!again && may && !mapped &&
			    bytes + FLOOD_MARGIN > flood.limits.quotas.table_bytes),
		.exists = mapped,
		.refused = !may,
	};
}

static void flood_compare(const char *what, uint64_t server, uint64_t here)
{
	if (server != here)
		driver_finding("the server has %llu %s for %llu", (unsigned long long)server, what,
			       (unsigned long long)here);
}

static void flood_check_counters(void)
{
	const struct dma *dma = &stage_server()->dma;
	size_t bytes = space_bytes(&dma->space);

	flood_compare("mappings", dma->count, flood.count);
	flood_compare("windows", dma->windows.count, flood.windows);
	flood_compare("pages of windows", dma->windows.pages, flood.window_pages);
	flood_compare("descriptors of messages", msg_owned(), 0);
	if (bytes > flood.limits.quotas.table_bytes ||
	    (bytes && !flood.count && !dma->space.retired_count))
		driver_finding("the table takes %zu bytes for %u mappings, with a quota of %llu",
			       bytes, flood.count,
			       (unsigned long long)flood.limits.quotas.table_bytes);
}

/* ---- requests ---- */

/* The next message that is no stop marker. */
static struct message *flood_take(void)
{
	struct message *message;

	while ((message = stage_take()) && message->command == WIRE_PAGE_REQUEST)
		message_free(message);
	return message;
}

/* The error of the reply to what is sent; 0: it succeeds. */
static int flood_ask(uint16_t command, const void *body, size_t size, const int fd[2])
{
	struct {
		struct wire_header header;
		uint8_t body[sizeof(struct wire_dma_map)];
	} request = {
		.header = {
			.id = ++flood.id,
			.command = command,
			.msg_size = (uint32_t)(sizeof(struct wire_header) + size),
		},
	};
	struct message *reply;
	size_t nfds = 0;
	int error;

	memcpy(request.body, body, size);
	while (nfds < 2 && fd[nfds] >= 0)
		nfds++;
	stage_send(&request, request.header.msg_size, fd, nfds);
	stage_turn();
	reply = flood_take();
	if (!reply)
		driver_finding("command %u is not answered", command);
	error = reply->flags & WIRE_ERROR ? (int)reply->error : 0;
	message_free(reply);
	flood.requests++;
	return error;
}

static void flood_judge(const char *what, const struct flood_map *map,
			const struct flood_expect *expect, int error)
{
	bool allowed;

	switch (error) {
	case 0:
		allowed = expect->success;
		break;
	case ENOSPC:
		allowed = expect->no_room;
		break;
	case EEXIST:
		allowed = expect->exists;
		break;
	default:
		allowed = expect->refused && (error == EINVAL || error == EACCES ||
					      error == EPERM || error == ENODEV);
	}
	if (!allowed)
		driver_finding("%s of %llu pages at page 0x%llx, file %u page %llu, flags %u, with "
			       "%u mappings: error %d; allowed:%s%s%s%s", what,
			       (unsigned long long)map->pages, (unsigned long long)map->first,
			       map->file, (unsigned long long)map->file_page, map->flags,
			       flood.count, error, expect->success ? " success" : "",
			       expect->no_room ? " ENOSPC" : "", expect->exists ? " EEXIST" : "",
			       expect->refused ? " refusal" : "");
}

static uint32_t flood_attr(uint32_t space)
{
	return space ? WIRE_ATTR_PASID_VALID | (space - 1) << WIRE_ATTR_PASID_SHIFT : 0;
}

static struct wire_dma_map flood_wire_map(const struct flood_map *map)
{
	return (struct wire_dma_map){
		.argsz = sizeof(struct wire_dma_map),
		.flags = map->flags | flood_attr(map->space),
		.offset = map->file_page * FLOOD_PAGE,
		.address = map->first * FLOOD_PAGE,
		.size = map->pages * FLOOD_PAGE,
	};
}

static void flood_map(const struct flood_map *map, bool again)
{
	const struct flood_expect expect = flood_expect_map(map, again);
	const struct wire_dma_map wire = flood_wire_map(map);
	const int fd[2] = { map->file == FLOOD_NONE ? -1 : flood.fd[map->file], -1 };
	int error = flood_ask(WIRE_DMA_MAP, &wire, sizeof(wire), fd);

	flood_judge(again ? "again a map" : "map", map, &expect, error);
	if (!error) {
		flood.begun[map->space] = true;
		flood.maps[flood.count++] = *map;
		if (map->file != FLOOD_NONE && !flood.mappings[map->file]++) {
			flood.windows++;
			flood.window_pages += flood_files[map->file].pages;
		}
	}
	flood_check_counters();
}

static void flood_forget(uint32_t number)
{
	uint32_t file = flood.maps[number].file;

	flood.maps[number] = flood.maps[--flood.count];
	if (file != FLOOD_NONE && !--flood.mappings[file]) {
		flood.windows--;
		flood.window_pages -= flood_files[file].pages;
	}
}

static void flood_unmap(const struct flood_map *map)
{
	const struct wire_dma_unmap wire = {
		.argsz = sizeof(wire),
		.flags = flood_attr(map->space),
		.address = map->first * FLOOD_PAGE,
		.size = map->pages * FLOOD_PAGE,
	};
	const int fd[2] = { -1, -1 };
	int error = flood_ask(WIRE_DMA_UNMAP, &wire, sizeof(wire), fd);
	uint32_t i = 0;

	while (i < flood.count && (flood.maps[i].first != map->first ||
				   flood.maps[i].pages != map->pages ||
				   flood.maps[i].space != map->space))
		i++;
	if (error != (i < flood.count ? 0 : ENOENT))
		driver_finding("unmap of %llu pages at page 0x%llx: error %d",
			       (unsigned long long)map->pages, (unsigned long long)map->first,
			       error);
	if (i < flood.count)
		flood_forget(i);
	flood_check_counters();
}

/* Does a mapping lie in the range, or, with `cut`, only a part of it? */
static bool flood_is_in(const struct flood_map *there, const struct flood_map *range, bool cut)
{
	uint64_t first = range->first, end = first + range->pages;
	uint64_t last = there->first + there->pages;
	bool inside = there->first >= first && last <= end;

	if (there->space != range->space || there->first >= end || last <= first)
		return false;
	return cut ? !inside : inside;
}

/* What lies in a range, or all of a space. */
static void flood_unmap_many(const struct flood_map *map, bool all)
{
	const struct wire_dma_unmap wire = {
		.argsz = sizeof(wire),
		.flags = flood_attr(map->space) |
			 (all ? WIRE_DMA_UNMAP_ALL : WIRE_DMA_UNMAP_RANGE),
		.address = all ? 0 : map->first * FLOOD_PAGE,
		.size = all ? 0 : map->pages * FLOOD_PAGE,
	};
	const struct flood_map range = {
		.first = all ? 0 : map->first,
		.pages = all ? SPACE_PAGES : map->pages,
		.space = map->space,
	};
	const int fd[2] = { -1, -1 };
	int error = flood_ask(WIRE_DMA_UNMAP, &wire, sizeof(wire), fd);
	bool cut = false;

	for (uint32_t i = 0; i < flood.count; i++)
		cut = cut || flood_is_in(&flood.maps[i], &range, true);
	if (error != (cut ? EINVAL : 0))
		driver_finding("unmap of a range of %llu pages at page 0x%llx: error %d",
			       (unsigned long long)range.pages, (unsigned long long)range.first,
			       error);
	for (uint32_t i = flood.count; i-- > 0 && !error;)
		if (flood_is_in(&flood.maps[i], &range, false))
			flood_forget(i);
	flood.begun[map->space] = flood.begun[map->space] && !all;
	flood_check_counters();
}

/* One of those that are there gives way to the same, which needs no more room but for a node. */
static void flood_replace(uint32_t number)
{
	const struct flood_map *map = &flood.maps[flood.count ? number % flood.count : 0];
	const struct flood_expect expect = { .success = true, .no_room = true };
	struct wire_dma_map wire;
	int fd[2] = { -1, -1 };

	if (!flood.count)
		return;
	wire = flood_wire_map(map);
	wire.flags |= WIRE_DMA_MAP_REPLACE;
	fd[0] = map->file == FLOOD_NONE ? -1 : flood.fd[map->file];
	flood_judge("replacement", map, &expect, flood_ask(WIRE_DMA_MAP, &wire, sizeof(wire), fd));
	flood_check_counters();
}

/* One of those that are there: without its last page it is none, as a whole it goes. */
static void flood_unmap_any(uint32_t number)
{
	struct flood_map map;

	if (!flood.count)
		return;
	map = flood.maps[number % flood.count];
	if (map.pages > 1) {
		map.pages--;
		flood_unmap(&map);
		map.pages++;
	}
	flood_unmap(&map);
}

/* One of those that are there: it goes, and there is room for it. */
static void flood_again(uint32_t number)
{
	struct flood_map map;

	if (!flood.count)
		return;
	map = flood.maps[number % flood.count];
	flood_unmap(&map);
	flood_map(&map, true);
}

static void flood_refuse(const char *what, const struct flood_map *map, int error)
{
	const struct flood_expect expect = { .no_room = true, .exists = true, .refused = true };

	flood_judge(what, map, &expect, error);
	flood_check_counters();
}

static void flood_malformed_map(const struct flood_map *map, uint32_t how)
{
	struct wire_dma_map wire = flood_wire_map(map);
	int fd[2] = { map->file == FLOOD_NONE ? -1 : flood.fd[map->file], -1 };

	switch (how % 7) {
	case 0:
		wire.size = 0;
		break;
	case 1:
		wire.size -= 1 + how;
		break;
	case 2:
		wire.address += 1 + how;
		break;
	case 3:
		wire.size += FLOOD_PAGE;
		wire.address = -wire.size + FLOOD_PAGE;
		break;
	case 4:
		/* Of the bits above these some mean something to the extension. */
		wire.flags = how & 8 ? 0 : wire.flags | 4u << (how >> 4 & 3);
		break;
	case 5:
		wire.argsz = how % sizeof(wire);
		break;
	default:
		fd[0] = flood.fd[2];
		wire.offset = how & 8 ? UINT64_MAX - FLOOD_PAGE + 1 : wire.offset | 1;
	}
	flood_refuse("malformed map", map, flood_ask(WIRE_DMA_MAP, &wire, sizeof(wire), fd));
}

static void flood_malformed_unmap(const struct flood_map *map, uint32_t how)
{
	struct wire_dma_unmap wire = {
		.argsz = sizeof(wire),
		.address = map->first * FLOOD_PAGE,
		.size = map->pages * FLOOD_PAGE,
	};
	const int fd[2] = { how & 1 ? flood.fd[0] : -1, -1 };

	wire.flags = how & 1 ? 0 : 1u << (how >> 1 & 31);
	if (flood.extended && !(how & 1) && wire.flags != WIRE_DMA_UNMAP_GET_DIRTY_BITMAP)
		wire.flags |= WIRE_DMA_UNMAP_GET_DIRTY_BITMAP;
	flood_refuse("malformed unmap", map,
		     flood_ask(WIRE_DMA_UNMAP, &wire, sizeof(wire), fd));
}

static void flood_surplus(const struct flood_map *map)
{
	const struct wire_dma_map wire = flood_wire_map(map);
	const int fd[2] = { flood.fd[map->file % FLOOD_FILES], flood.fd[map->first % FLOOD_FILES] };

	flood_refuse("map with two descriptors", map,
		     flood_ask(WIRE_DMA_MAP, &wire, sizeof(wire), fd));
}

/* ---- the input ---- */

/* Near and far from each other, and where the levels of a table meet; the last ends the space. */
static uint64_t flood_place(uint32_t part, uint64_t page, uint64_t pages)
{
	static const uint64_t places[] = {
		0, 1u << 9, (1u << 18) - 8, UINT64_C(1) << 27, (UINT64_C(1) << 36) - 1,
		UINT64_C(1) << 45, (UINT64_C(1) << 51) - 3,
	};

	if (part >= sizeof(places) / sizeof(places[0]))
		return SPACE_PAGES - pages - page;
	return places[part] + page;
}

static void flood_do(uint32_t op, const struct flood_map *map, uint32_t how, uint32_t number)
{
	switch ((enum flood_op)op) {
	case FLOOD_MAP:
	case FLOOD_MAP_MESSAGES:
		flood_map(map, false);
		break;
	case FLOOD_UNMAP:
		if (flood.extended && (map->flags == 1 || map->flags == 2))
			flood_unmap_many(map, map->flags == 2);
		else
			flood_unmap(map);
		break;
	case FLOOD_UNMAP_ANY:
		flood_unmap_any(how + number);
		break;
	case FLOOD_AGAIN:
		if (flood.extended && map->flags == 1)
			flood_replace(how + number);
		else
			flood_again(how + number);
		break;
	case FLOOD_MALFORMED_MAP:
		flood_malformed_map(map, how);
		break;
	case FLOOD_MALFORMED_UNMAP:
		flood_malformed_unmap(map, how);
		break;
	case FLOOD_SURPLUS:
		flood_surplus(map);
		break;
	}
}

static void flood_step(const uint8_t *bytes)
{
	uint32_t op = bytes[0] & 7, flags = bytes[0] >> 3 & 3;
	uint32_t count = 1 + bytes[5] + ((bytes[6] & 7u) << 8), file = bytes[6] >> 3;
	uint64_t stride = (uint64_t)(bytes[3] >> 4) << (bytes[3] & 15);
	uint64_t page = bytes[1] | (uint64_t)(bytes[2] & 31u) << 8;
	struct flood_map map = {
		.space = flood.extended ? bytes[2] >> 5 : 0,
		.pages = (1 + (bytes[4] & 15u)) << (bytes[4] >> 4),
		.file_page = bytes[7],
		.flags = flags ? flags : 3,
		.file = op == FLOOD_MAP_MESSAGES || file >= FLOOD_FILES ? FLOOD_NONE : file,
	};

	for (uint32_t i = 0; i < count && flood.requests < FLOOD_REQUESTS; i++) {
		map.first = flood_place(bytes[0] >> 5, page + i * stride, map.pages);
		flood_do(op, &map, bytes[7], i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	flood_files_open(flood.fd);
	do {
		flood_choose(data[0]);
		flood.count = 0;
		flood.windows = 0;
		flood.window_pages = 0;
		flood.requests = 0;
		flood.extended = (size - 1) % 8;
		flood.limits.max_pasids = flood.extended ? FLOOD_PASIDS : 0;
		memset(flood.begun, 0, sizeof(flood.begun));
		memset(flood.mappings, 0, sizeof(flood.mappings));
		stage_begin(&flood.limits);
		for (size_t at = 1; size - at >= 8; at += 8)
			flood_step(data + at);
	} while (stage_end());
	return 0;
}
