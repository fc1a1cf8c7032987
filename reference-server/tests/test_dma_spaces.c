/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dma_spaces.c - spaces of PASIDs, DMA_UNMAP of many mappings, and mappings that change. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "call.h"
#include "dma.h"

#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)
#define REPLACE WIRE_DMA_MAP_REPLACE
#define ALL WIRE_DMA_UNMAP_ALL
#define RANGE WIRE_DMA_UNMAP_RANGE
#define PASID(n) (WIRE_ATTR_PASID_VALID | (uint32_t)(n) << WIRE_ATTR_PASID_SHIFT)
#define PAGES 16

struct bench {
	struct dma dma;
	struct call call;
	int file;
	unsigned int fds_before;
};

static const struct session_viommu agreed = {
	.version = 1,
	.pasid_bits = 8,
	.max_pasids = 3,
	.address_bits = 40,
	.page_requests = 4,
	.unmap_range = true,
	.replace = true,
};

static int set_up(void **state)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	if (call_open(&bench.call) || dma_init(&bench.dma))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.call.session.limits.viommu = agreed;
	bench.call.session.limits.max_dma_maps = 20000;
	dma_attach(&bench.dma, &bench.call.session);
	bench.file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	*state = &bench;
	return ftruncate(bench.file, (off_t)PAGES * DMA_PAGE);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	dma_detach(&bench->dma);
	dma_close(&bench->dma);
	call_close(&bench->call);
	close(bench->file);
	return call_count_fds() == bench->fds_before ? 0 : -1;
}

/* Maps pages of the file, from `page` on, to `address`; with page -1 without a file. */
static int map(struct bench *bench, uint32_t flags, uint64_t address, uint64_t pages, int page)
{
	const struct wire_dma_map wire = {
		32, flags, page < 0 ? 0 : (uint64_t)page * DMA_PAGE, address, pages * DMA_PAGE,
	};
	static struct msg msg;

	msg_init(&msg);
	msg.body = (const uint8_t *)&wire;
	msg.size = sizeof(wire);
	if (page >= 0)
		msg_add(&msg, dup(bench->file));
	return call_message(&bench->call, dma_map, &bench->dma, &msg);
}

static int unmap(struct bench *bench, uint32_t flags, uint64_t address, uint64_t pages)
{
	struct wire_dma_unmap wire = { 24, flags, address, pages * DMA_PAGE };

	return call_handler(&bench->call, dma_unmap, &bench->dma, &wire, sizeof(wire));
}

/* The size that the last DMA_UNMAP replied, maybe behind markers. */
static uint64_t removed(const struct bench *bench)
{
	struct wire_dma_unmap wire;

	assert_true(bench->call.size >= sizeof(wire));
	memcpy(&wire, bench->call.reply + bench->call.size - sizeof(wire), sizeof(wire));
	return wire.size;
}

static bool released(const struct bench *bench)
{
	return fcntl(bench->file, F_ADD_SEALS, F_SEAL_WRITE) == 0;
}

static int hold(struct bench *bench, struct dma_part *part)
{
	part->access = WINDOW_READ;
	return dma_hold(&bench->dma, part);
}

/* The page of the file that an address of a space leads to, or -errno. */
static int look(struct bench *bench, uint32_t space, uint64_t address)
{
	struct dma_part part = { .space = space, .address = address, .size = 1, .place = 9 };
	int error = hold(bench, &part);

	dma_release(&bench->dma, &part);
	return error ? error : (int)part.page;
}

static void spaces_are_independent(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(map(bench, RW, 0x1000, 1, 0), 0);
	assert_int_equal(map(bench, RW | PASID(0), 0x1000, 1, 1), 0);
	assert_int_equal(map(bench, RW | PASID(255), 0x1000, 1, 2), 0);
	assert_int_equal(map(bench, RW | PASID(255), 0x1000, 1, 2), -EEXIST);
	assert_int_equal(look(bench, 0, 0x1000), 0);
	assert_int_equal(look(bench, 1, 0x1000), 1);
	assert_int_equal(look(bench, 256, 0x1000), 2);
	assert_int_equal(look(bench, 2, 0x1000), -ENOENT);
	assert_int_equal(unmap(bench, PASID(1), 0x1000, 1), -ENOENT);
	assert_int_equal(unmap(bench, PASID(0), 0x1000, 1), 0);
	assert_int_equal(look(bench, 1, 0x1000), -ENOENT);
	assert_int_equal(look(bench, 0, 0x1000), 0);
	assert_int_equal(bench->dma.count, 2);
}

static void what_was_not_agreed_is_refused(void **state)
{
	struct bench *bench = *state;
	struct session_viommu *viommu = &bench->call.session.limits.viommu;
	static const uint32_t bad_maps[] = {
		RW | PASID(256), RW | 1u << 12, RW | WIRE_DMA_MAP_BACKING, RW | 1u << 4,
		RW | WIRE_DMA_MAP_INDIRECT, RW | 1u << 2, PASID(1), REPLACE,
	};
	static const uint32_t bad_unmaps[] = {
		PASID(256), 1u << 12, WIRE_DMA_UNMAP_GET_DIRTY_BITMAP, WIRE_DMA_UNMAP_BACKING,
		WIRE_DMA_UNMAP_GET_DIRTY_BITMAP | PASID(1), ALL | RANGE, 1u << 2, 1u << 11,
	};

	assert_int_equal(map(bench, RW, 0x1000, 1, 0), 0);
	for (size_t i = 0; i < sizeof(bad_maps) / sizeof(*bad_maps); i++)
		assert_int_equal(map(bench, bad_maps[i], 0x2000, 1, 0), -EINVAL);
	for (size_t i = 0; i < sizeof(bad_unmaps) / sizeof(*bad_unmaps); i++)
		assert_int_equal(unmap(bench, bad_unmaps[i], 0x1000, 1), -EINVAL);
	assert_int_equal(map(bench, RW, UINT64_C(1) << 40, 1, 0), -EINVAL);
	assert_int_equal(map(bench, RW, (UINT64_C(1) << 40) - DMA_PAGE, 1, 0), 0);
	assert_int_equal(unmap(bench, ALL, 0x1000, 0), -EINVAL);
	assert_int_equal(unmap(bench, ALL, 0, 1), -EINVAL);
	assert_int_equal(unmap(bench, RANGE, 0x1000, 0), -EINVAL);
	*viommu = (struct session_viommu){ .version = 1 };
	assert_int_equal(map(bench, RW | REPLACE, 0x1000, 1, 0), -EINVAL);
	assert_int_equal(map(bench, RW | PASID(1), 0x2000, 1, 0), -EINVAL);
	assert_int_equal(unmap(bench, RANGE, 0x1000, 1), -EINVAL);
	viommu->version = 0;
	assert_int_equal(unmap(bench, ALL, 0, 0), -EINVAL);
	assert_int_equal(bench->dma.count, 2);
	assert_int_equal(unmap(bench, 0, 0x1000, 1), 0);
}

static void the_number_of_spaces_is_bounded(void **state)
{
	struct bench *bench = *state;

	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 3; i++)
			assert_int_equal(map(bench, RW | PASID(round + i), 0, 1, 0), 0);
		assert_int_equal(map(bench, RW | PASID(200), 0, 1, 0), -ENOSPC);
		assert_int_equal(unmap(bench, PASID(round) | ALL, 0, 0), 0);
		assert_int_equal(map(bench, RW | PASID(200), 0, 1, PAGES), -EINVAL);
		assert_int_equal(map(bench, RW | PASID(200), 0, 1, 0), 0);
		for (int i = 1; i < 3; i++)
			assert_int_equal(unmap(bench, PASID(round + i) | ALL, 0, 0), 0);
		assert_int_equal(unmap(bench, PASID(200) | ALL, 0, 0), 0);
		assert_int_equal(space_bytes(&bench->dma.space), 0);
	}
	assert_int_equal(bench->dma.pasids.count, 0);
	assert_true(released(bench));
}

static void a_space_without_mappings_makes_room(void **state)
{
	struct bench *bench = *state;
	struct hazard_set *hazards = &bench->dma.hazards;
	size_t bytes;

	for (int i = 0; i < 3; i++)
		assert_int_equal(map(bench, RW | PASID(i), 0, 1, 0), 0);
	bytes = space_bytes(&bench->dma.space);
	for (int i = 0; i < 50; i++) {
		/* Not while somebody looks into it, who keeps its node as well. */
		hazard_publish_in(hazards, 0, (uint32_t)i + 1, 7, 7);
		assert_int_equal(unmap(bench, PASID(i) | (i % 2 ? RANGE : 0), 0, 1), 0);
		assert_int_equal(map(bench, RW | PASID(i + 3), 0, 1, 0), -ENOSPC);
		hazard_clear(hazards, 0);
		assert_int_equal(map(bench, RW | PASID(i + 3), 0, 1, 0), 0);
		assert_int_equal(look(bench, (uint32_t)i + 1, 0), -ENOENT);
		assert_int_equal(look(bench, (uint32_t)i + 4, 0), 0);
		assert_int_equal(map(bench, RW | PASID(i), 0, 1, 0), -ENOSPC);
	}
	assert_int_equal(space_bytes(&bench->dma.space), bytes);
	/* Where there is room, it stays. */
	assert_int_equal(unmap(bench, PASID(50) | ALL, 0, 0), 0);
	assert_int_equal(unmap(bench, PASID(51), 0, 1), 0);
	assert_int_equal(map(bench, RW | PASID(9), 0, 1, 0), 0);
	assert_int_equal(bench->dma.pasids.count, 3);
	assert_int_equal(map(bench, RW | PASID(51), 0, 1, 0), 0);
	assert_int_equal(bench->dma.pasids.count, 3);
}

static void the_number_of_mappings_is_that_of_all_spaces(void **state)
{
	struct bench *bench = *state;

	bench->call.session.limits.max_dma_maps = 3;
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(map(bench, RW | PASID(i), 0x1000, 1, 0), 0);
	assert_int_equal(map(bench, RW, 0x1000, 1, 0), -ENOSPC);
	assert_int_equal(map(bench, RW | REPLACE | PASID(1), 0x1000, 1, 3), 0);
	assert_int_equal(unmap(bench, ALL | PASID(2), 0, 0), 0);
	assert_int_equal(map(bench, RW, 0x1000, 1, 0), 0);
	assert_int_equal(bench->dma.count, 3);
}

static void all_is_of_one_space(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(map(bench, RW, 0, 1, 0), 0);
	assert_int_equal(map(bench, RW, 0x8000, 3, -1), 0);
	assert_int_equal(map(bench, RW | PASID(1), 0, 2, 0), 0);
	assert_int_equal(unmap(bench, ALL, 0, 0), 0);
	assert_int_equal(removed(bench), 4 * DMA_PAGE);
	assert_int_equal(look(bench, 0, 0), -ENOENT);
	assert_int_equal(look(bench, 2, 0), 0);
	assert_int_equal(unmap(bench, ALL, 0, 0), 0);
	assert_int_equal(removed(bench), 0);
	assert_int_equal(unmap(bench, ALL | PASID(1), 0, 0), 0);
	assert_int_equal(removed(bench), 2 * DMA_PAGE);
	assert_true(released(bench));
}

static void a_range_takes_what_lies_in_it(void **state)
{
	struct bench *bench = *state;

	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(map(bench, RW, i * 0x2000, 2, (int)i), 0);
	assert_int_equal(unmap(bench, RANGE, 0x1000, 8), -EINVAL);
	assert_int_equal(unmap(bench, RANGE, 0x2000, 5), -EINVAL);
	assert_int_equal(unmap(bench, RANGE, 0x3000, 1), -EINVAL);
	assert_int_equal(bench->dma.count, 8);
	assert_int_equal(unmap(bench, RANGE, 0x2000, 4), 0);
	assert_int_equal(removed(bench), 4 * DMA_PAGE);
	assert_int_equal(bench->dma.count, 6);
	assert_int_equal(unmap(bench, RANGE, 0x2000, 4), 0);
	assert_int_equal(removed(bench), 0);
	assert_int_equal(unmap(bench, RANGE | PASID(7), 0, 0), 0);
	assert_int_equal(removed(bench), 0);
	assert_int_equal(look(bench, 0, 0x1000), 1);
	assert_int_equal(look(bench, 0, 0x2000), -ENOENT);
	assert_int_equal(look(bench, 0, 0x6000), 3);
	assert_int_equal(unmap(bench, RANGE, 0, 0), 0);
	assert_int_equal(removed(bench), 12 * DMA_PAGE);
	assert_true(released(bench));
}

static void many_go_some_at_a_time(void **state)
{
	struct bench *bench = *state;
	int rounds = 1;

	for (uint64_t i = 0; i < 10000; i++)
		assert_int_equal(map(bench, RW, i * 0x1000, 1, 0), 0);
	while (unmap(bench, RANGE, 0, 0) == -EINPROGRESS) {
		assert_true(dma_is_quiet(&bench->dma));
		dma_awake(&bench->dma);
		rounds++;
	}
	assert_int_equal(rounds, 3);
	assert_int_equal(removed(bench), UINT64_C(10000) * DMA_PAGE);
	assert_int_equal(bench->dma.count, 0);
	assert_int_equal(space_bytes(&bench->dma.space), 0);
	assert_true(released(bench));
}

static void many_small_spaces_go_some_at_a_time(void **state)
{
	struct bench *bench = *state;
	int rounds = 0;

	for (uint64_t i = 0; i < 6000; i++)
		assert_int_equal(map(bench, RW | PASID(i % 3), i * 0x1000, 1, 0), 0);
	for (int i = 0; i < 3; i++) {
		for (; unmap(bench, ALL | PASID(i), 0, 0) == -EINPROGRESS; rounds++)
			dma_awake(&bench->dma);
		assert_int_equal(removed(bench), UINT64_C(2000) * DMA_PAGE);
	}
	assert_int_equal(rounds, 1);
	assert_int_equal(bench->dma.count, 0);
}

static void only_references_in_the_space_and_range_are_waited_for(void **state)
{
	struct bench *bench = *state;
	struct dma_part mine = { .space = 2, .address = 0x1000, .size = 8, .place = 0 };
	struct dma_part other = { .space = 0, .address = 0x1000, .size = 8, .place = 1 };
	struct dma_part far = { .space = 2, .address = 0x9000, .size = 8, .place = 2 };

	assert_int_equal(map(bench, RW, 0x1000, 1, 0), 0);
	assert_int_equal(map(bench, RW | PASID(1), 0x1000, 1, 0), 0);
	assert_int_equal(map(bench, RW | PASID(1), 0x9000, 1, 0), 0);
	assert_int_equal(hold(bench, &mine), 0);
	assert_int_equal(hold(bench, &other), 0);
	assert_int_equal(hold(bench, &far), 0);
	assert_int_equal(unmap(bench, RANGE | PASID(1), 0, 4), -EINPROGRESS);
	dma_release(&bench->dma, &mine);
	assert_int_equal(unmap(bench, RANGE | PASID(1), 0, 4), 0);
	assert_int_equal(removed(bench), DMA_PAGE);
	assert_int_equal(unmap(bench, ALL | PASID(1), 0, 0), -EINPROGRESS);
	assert_int_equal(look(bench, 2, 0x9000), -ENOENT);
	dma_release(&bench->dma, &far);
	assert_int_equal(unmap(bench, ALL | PASID(1), 0, 0), 0);
	dma_release(&bench->dma, &other);
}

static void a_mapping_changes_without_a_hole(void **state)
{
	struct bench *bench = *state;
	struct dma_part old = { .address = 0x1000, .size = 0x4000, .place = 0 };
	struct dma_part new = { .address = 0x1000, .size = 0x4000, .place = 1 };

	assert_int_equal(map(bench, RW | REPLACE, 0x1000, 4, 0), -ENOENT);
	assert_int_equal(map(bench, RW | REPLACE | PASID(1), 0x1000, 4, 0), -ENOENT);
	assert_int_equal(map(bench, RW, 0x1000, 4, 0), 0);
	assert_int_equal(map(bench, RW | REPLACE, 0x1000, 3, 4), -ENOENT);
	assert_int_equal(map(bench, RW | REPLACE, 0x2000, 4, 4), -ENOENT);
	assert_int_equal(map(bench, RW | REPLACE, 0x1000, 4, PAGES), -EINVAL);
	assert_int_equal(look(bench, 0, 0x3000), 2);
	assert_int_equal(hold(bench, &old), 0);
	assert_int_equal(map(bench, WIRE_DMA_MAP_READ | REPLACE, 0x1000, 4, 7), -EINPROGRESS);
	assert_int_equal(hold(bench, &new), 0);
	assert_int_equal(new.page, 7);
	assert_int_equal(new.size, 0x4000);
	dma_release(&bench->dma, &new);
	dma_release(&bench->dma, &old);
	assert_int_equal(map(bench, WIRE_DMA_MAP_READ | REPLACE, 0x1000, 4, 7), 0);
	assert_int_equal(look(bench, 0, 0x3000), 9);
	assert_int_equal(map(bench, WIRE_DMA_MAP_WRITE | REPLACE, 0x1000, 4, -1), 0);
	assert_int_equal(look(bench, 0, 0x3000), -EACCES);
	assert_int_equal(bench->dma.count, 1);
	assert_true(released(bench));
	assert_int_equal(unmap(bench, 0, 0x1000, 4), 0);
}

/* The body of the message at this place of what was queued for the client. */
static struct wire_page_request marker_at(struct transport *transport, size_t at)
{
	struct wire_header header;
	struct wire_page_request body;

	assert_true(transport_queued(transport) >= at + sizeof(header) + sizeof(body));
	memcpy(&header, transport_at(transport, at), sizeof(header));
	memcpy(&body, transport_at(transport, at + sizeof(header)), sizeof(body));
	assert_int_equal(header.command, WIRE_PAGE_REQUEST);
	assert_int_equal(header.flags, WIRE_NO_REPLY);
	assert_int_equal(header.msg_size, sizeof(header) + sizeof(body));
	assert_int_equal(body.cookie | body.prgi | body.nr | body.reserved, 0);
	return body;
}

static void the_end_of_a_pasid_is_marked_before_the_reply(void **state)
{
	struct bench *bench = *state;
	struct transport *transport = &bench->call.session.transport;
	struct session_reply reply;
	const struct wire_dma_unmap wire = { 24, ALL | PASID(5), 0, 0 };
	static struct msg msg;

	msg_init(&msg);
	msg.body = (const uint8_t *)&wire;
	msg.size = sizeof(wire);
	session_reply_begin(&reply, &bench->call.session);
	assert_int_equal(dma_unmap(&bench->dma, &msg, &reply), 0);
	session_reply_commit(&reply, (struct wire_header){ .command = WIRE_DMA_UNMAP });
	assert_int_equal(marker_at(transport, 0).attr, PASID(5));
	assert_int_equal(transport_queued(transport), 32 + 40);
	transport_truncate(transport, 0);
	assert_int_equal(unmap(bench, ALL, 0, 0), 0);
	bench->call.session.limits.viommu.page_requests = 0;
	assert_int_equal(unmap(bench, ALL | PASID(5), 0, 0), 0);
	assert_int_equal(transport_queued(transport), 0);
}

static void markers_that_are_not_read_do_not_pile_up(void **state)
{
	struct bench *bench = *state;
	struct transport *twin = &bench->call.session.twin;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	session_add_twin(&bench->call.session, fd[0]);
	for (int round = 0; round < 100; round++) {
		for (int pasid = 1; pasid <= 3; pasid++)
			assert_int_equal(unmap(bench, ALL | PASID(pasid), 0, 0), 0);
		pri_flush(&bench->dma.pri);
	}
	assert_int_equal(transport_queued(twin), 32);
	assert_int_equal(marker_at(twin, 0).attr, PASID(1));
	transport_truncate(twin, 0);
	pri_flush(&bench->dma.pri);
	assert_int_equal(transport_queued(twin), 3 * 32);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(marker_at(twin, i * 32).attr, PASID(i + 1));
	close(fd[1]);
}

static void the_end_of_the_client_drops_all_spaces(void **state)
{
	struct bench *bench = *state;

	for (int pasid = 0; pasid < 3; pasid++)
		assert_int_equal(map(bench, RW | PASID(pasid), UINT64_C(1) << 38, 8, 0), 0);
	dma_detach(&bench->dma);
	assert_int_equal(bench->dma.count, 0);
	assert_true(released(bench));
	dma_attach(&bench->dma, &bench->call.session);
	assert_int_equal(look(bench, 1, UINT64_C(1) << 38), -ENOENT);
}

static const struct session_viommu poc = {
	.poc = true, .pasid_bits = 20, .max_pasids = 3, .address_bits = 64, .page_requests = 1,
};

static int moved;

static void on_moved(void *owner, struct dma_move *move, int result)
{
	(void)owner;
	(void)move;
	moved = result;
}

/* What becomes of a write of 8 bytes in the space of PASID 1 by the first bytes of a reply. */
static int answered(struct bench *bench, uint64_t address, uint64_t count, uint32_t size)
{
	static const struct dma_ops ops = { .moved = on_moved };
	struct dma_part part = {
		.space = 2, .address = 0x1000, .size = 8, .access = WINDOW_WRITE,
	};
	struct wire_dma_access reply = { address, count };
	uint8_t bytes[8] = { 0 };
	struct dma_move move = { .part = &part, .address = 0x1000, .bytes = bytes, .size = 8 };
	struct msg msg;

	msg_init(&msg);
	msg.body = (const uint8_t *)&reply;
	msg.size = size;
	dma_set_owner(&bench->dma, &ops, NULL);
	assert_int_equal(dma_hold(&bench->dma, &part), 0);
	assert_int_equal(dma_move(&bench->dma, &move), -EINPROGRESS);
	session_give_up(&bench->call.session, &move.request);
	move.request.answered(&move.request, 0, &msg);
	dma_release(&bench->dma, &part);
	return moved;
}

static void a_reply_may_end_before_the_attribute_word(void **state)
{
	const uint64_t attr = (uint64_t)PASID(1) << 32;
	struct bench *bench = *state;

	assert_int_equal(map(bench, RW | PASID(1), 0x1000, 1, -1), 0);
	assert_int_equal(answered(bench, 0x1000, attr | 8, 16), 8);
	assert_int_equal(answered(bench, 0x1000, 8, 12), 8);
	assert_int_equal(answered(bench, 0x1000, 8, 16), -EIO);
	assert_int_equal(answered(bench, 0x1000, 7, 12), -EIO);
	assert_int_equal(answered(bench, 0x1008, 8, 12), -EIO);
	/* The poc dialect wants the PASID back. */
	bench->call.session.limits.viommu.poc = true;
	bench->call.session.limits.viommu.version = 0;
	assert_int_equal(answered(bench, 0x1000, 8, 12), -EIO);
	assert_int_equal(answered(bench, 0x1000, attr | 8, 16), -EIO);
	assert_int_equal(answered(bench, 0x1000, UINT64_C(1) << 44 | 8, 16), 8);
}

static void an_offset_without_a_file_is_one_nevertheless(void **state)
{
	struct bench *bench = *state;
	struct wire_dma_map request = {
		.argsz = sizeof(request), .flags = RW, .offset = 8,
		.address = 0x1000, .size = 0x1000,
	};

	assert_int_equal(call_handler(&bench->call, dma_map, &bench->dma, &request,
				      sizeof(request)), -EINVAL);
	assert_int_equal(look(bench, 0, 0x1000), -ENOENT);
	request.offset = 0x3000;
	assert_int_equal(call_handler(&bench->call, dma_map, &bench->dma, &request,
				      sizeof(request)), 0);
	/* The base specification says nothing of it. */
	bench->call.session.limits.viommu.version = 0;
	request.offset = 8;
	request.address = 0x2000;
	assert_int_equal(call_handler(&bench->call, dma_map, &bench->dma, &request,
				      sizeof(request)), 0);
}

static void the_poc_dialect_spells_it_in_its_way(void **state)
{
	struct bench *bench = *state;
	struct dma_part part = { .space = 2, .address = 0x1000, .size = 1, .place = 0 };

	bench->call.session.limits.viommu = poc;
	assert_int_equal(map(bench, RW | REPLACE, 0x1000, 1, 0), -EINVAL);
	assert_int_equal(unmap(bench, RANGE, 0x1000, 1), -EINVAL);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(map(bench, RW, 0x1000, 1, 0), 0);
		for (int pasid = 0; pasid < 3; pasid++)
			assert_int_equal(map(bench, RW | PASID(round + pasid), 0x1000, 1, 1), 0);
		assert_int_equal(map(bench, RW | PASID(round + 3), 0x1000, 1, 1), -ENOSPC);
		/* The same again is a change; all is of all, or of nothing. */
		assert_int_equal(map(bench, WIRE_DMA_MAP_WRITE, 0x1000, 1, 2), 0);
		assert_int_equal(look(bench, 0, 0x1000), -EACCES);
		assert_int_equal(map(bench, RW, 0x1000, 2, 2), -EEXIST);
		assert_int_equal(unmap(bench, ALL | PASID(round), 0, 0), -ENOENT);
		assert_int_equal(unmap(bench, ALL, 0, 0), 0);
		assert_int_equal(removed(bench), 4 * DMA_PAGE);
		assert_int_equal(bench->dma.count, 0);
		assert_int_equal(space_bytes(&bench->dma.space), 0);
	}
	assert_int_equal(map(bench, RW | PASID(1), 0x1000, 1, 1), 0);
	assert_int_equal(hold(bench, &part), 0);
	assert_int_equal(unmap(bench, ALL, 0, 0), -EINPROGRESS);
	dma_release(&bench->dma, &part);
	assert_int_equal(unmap(bench, ALL, 0, 0), 0);
	assert_int_equal(space_bytes(&bench->dma.space), 0);
	assert_int_equal(transport_queued(&bench->call.session.transport), 0);
	assert_true(released(bench));
}

static void the_first_pasid_settles_the_dialect(void **state)
{
	struct bench *bench = *state;
	struct session_limits *limits = &bench->call.session.limits;

	limits->viommu = (struct session_viommu){ .version = 0 };
	limits->latent = poc;
	assert_int_equal(map(bench, RW, 0x1000, 1, 0), 0);
	assert_int_equal(map(bench, RW, 0x1000, 1, 0), -EEXIST);
	assert_int_equal(unmap(bench, ALL, 0, 0), -EINVAL);
	assert_int_equal(unmap(bench, PASID(3), 0x1000, 1), -ENOENT);
	assert_true(limits->viommu.poc);
	assert_int_equal(map(bench, RW, 0x1000, 1, 0), 0);
	assert_int_equal(map(bench, RW | PASID(3), 0x1000, 1, 0), 0);
	assert_int_equal(unmap(bench, ALL, 0, 0), 0);
	assert_int_equal(removed(bench), 2 * DMA_PAGE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(spaces_are_independent),
		CASE(what_was_not_agreed_is_refused),
		CASE(the_number_of_spaces_is_bounded),
		CASE(a_space_without_mappings_makes_room),
		CASE(the_number_of_mappings_is_that_of_all_spaces),
		CASE(all_is_of_one_space),
		CASE(a_range_takes_what_lies_in_it),
		CASE(many_go_some_at_a_time),
		CASE(many_small_spaces_go_some_at_a_time),
		CASE(only_references_in_the_space_and_range_are_waited_for),
		CASE(a_mapping_changes_without_a_hole),
		CASE(the_end_of_a_pasid_is_marked_before_the_reply),
		CASE(markers_that_are_not_read_do_not_pile_up),
		CASE(the_end_of_the_client_drops_all_spaces),
		CASE(a_reply_may_end_before_the_attribute_word),
		CASE(an_offset_without_a_file_is_one_nevertheless),
		CASE(the_poc_dialect_spells_it_in_its_way),
		CASE(the_first_pasid_settles_the_dialect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
