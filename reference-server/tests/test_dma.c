/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dma.c - the rules of DMA_MAP and DMA_UNMAP; what is refused leaves nothing behind. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "call.h"
#include "dma.h"

#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)
#define TOP (UINT64_MAX - DMA_PAGE + 1)

struct bench {
	struct dma dma;
	struct call call;
	int file;		/* four pages */
	unsigned int fds_before;
};

static int set_up(void **state)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	if (call_open(&bench.call))
		return -1;
	if (dma_init(&bench.dma))
		return -1;
	dma_attach(&bench.dma, &bench.call.session);
	bench.file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	*state = &bench;
	return ftruncate(bench.file, (off_t)4 * DMA_PAGE);
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

static int map_wire(struct bench *bench, struct wire_dma_map map, bool with_file)
{
	static struct msg msg;

	msg_init(&msg);
	msg.body = (const uint8_t *)&map;
	msg.size = sizeof(map);
	if (with_file)
		msg_add(&msg, dup(bench->file));
	return call_message(&bench->call, dma_map, &bench->dma, &msg);
}

static int map(struct bench *bench, uint64_t address, uint64_t size, bool with_file)
{
	return map_wire(bench, (struct wire_dma_map){ 32, RW, 0, address, size }, with_file);
}

static int unmap(struct bench *bench, uint64_t address, uint64_t size)
{
	struct wire_dma_unmap wire = { 24, 0, address, size };

	return call_handler(&bench->call, dma_unmap, &bench->dma, &wire, sizeof(wire));
}

/* Whether no writable mapping of the file is left; then it is sealed for good. */
static bool released(const struct bench *bench)
{
	return fcntl(bench->file, F_ADD_SEALS, F_SEAL_WRITE) == 0;
}

static void any_overlap_exists(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(map(bench, 0x10000, 0x4000, true), 0);
	for (int with = 0; with < 2; with++) {
		assert_int_equal(map(bench, 0x10000, 0x4000, with), -EEXIST);
		assert_int_equal(map(bench, 0x11000, 0x1000, with), -EEXIST);
		assert_int_equal(map(bench, 0xf000, 0x2000, with), -EEXIST);
		assert_int_equal(map(bench, 0x13000, 0x2000, with), -EEXIST);
		assert_int_equal(map(bench, 0xf000, 0x6000, with), -EEXIST);
	}
	assert_int_equal(map(bench, 0xf000, 0x1000, false), 0);
	assert_int_equal(map(bench, 0x14000, 0x1000, false), 0);
	assert_int_equal(space_count(&bench->dma.space), 3);
}

static void bad_maps_are_refused_and_leave_nothing(void **state)
{
	struct bench *bench = *state;
	static const struct wire_dma_map bad[] = {
		{ 31, RW, 0, 0, 0x1000 }, { 0, RW, 0, 0, 0x1000 }, { 32, 0, 0, 0, 0x1000 },
		{ 32, RW | 4, 0, 0, 0x1000 }, { 32, RW | 0x80000000, 0, 0, 0x1000 },
		{ 32, RW, 0, 0, 0 }, { 32, RW, 0, 0x1001, 0x1000 }, { 32, RW, 0, 0x1000, 0x800 },
		{ 32, RW, 0, TOP, 0x2000 }, { 32, RW, 0, 0x1000, UINT64_MAX },
		{ 32, RW, 0, 0x2000, UINT64_MAX - 0xfff },
	};
	static const struct wire_dma_map bad_files[] = {
		{ 32, RW, 0x800, 0, 0x1000 }, { 32, RW, 0x4000, 0, 0x1000 },
		{ 32, RW, 0, 0, 0x5000 }, { 32, RW, UINT64_C(1) << 63, 0, 0x1000 },
		{ 32, RW, TOP, 0, 0x1000 }, { 32, RW, TOP, 0, 0x2000 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(map_wire(bench, bad[i], false), -EINVAL);
		assert_int_equal(map_wire(bench, bad[i], true), -EINVAL);
	}
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++)
		assert_int_equal(map_wire(bench, bad_files[i], true), -EINVAL);
	assert_int_equal(space_count(&bench->dma.space), 0);
	assert_true(released(bench));
}

static void an_offset_without_file_is_ignored(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(map_wire(bench, (struct wire_dma_map){ 64, RW, 0x801, 0, 0x1000 }, false),
			 0);
}

static void unmap_wants_the_exact_range(void **state)
{
	struct bench *bench = *state;
	struct wire_dma_unmap out;

	assert_int_equal(map(bench, 0x10000, 0x4000, true), 0);
	assert_int_equal(map(bench, 0x14000, 0x4000, false), 0);
	assert_int_equal(unmap(bench, 0x10000, 0x1000), -ENOENT);
	assert_int_equal(unmap(bench, 0x11000, 0x1000), -ENOENT);
	assert_int_equal(unmap(bench, 0x10000, 0x8000), -ENOENT);
	assert_int_equal(unmap(bench, 0x20000, 0x1000), -ENOENT);
	assert_int_equal(unmap(bench, 0x10000, 0), -EINVAL);
	assert_false(released(bench));
	assert_int_equal(unmap(bench, 0x10000, 0x4000), 0);
	assert_true(released(bench));
	memcpy(&out, bench->call.reply, sizeof(out));
	assert_int_equal(bench->call.size, sizeof(out));
	assert_int_equal(out.argsz, 24);
	assert_int_equal(out.address, 0x10000);
	assert_int_equal(out.size, 0x4000);
	assert_int_equal(unmap(bench, 0x10000, 0x4000), -ENOENT);
	assert_int_equal(unmap(bench, 0x14000, 0x4000), 0);
}

static void bad_unmaps_keep_the_mapping(void **state)
{
	struct bench *bench = *state;
	static const struct wire_dma_unmap bad[] = {
		{ 0, 0, 0x10000, 0x1000 }, { 23, 0, 0x10000, 0x1000 }, { 24, 1, 0x10000, 0x1000 },
		{ 24, 2, 0, 0 }, { 24, 0x80000000, 0x10000, 0x1000 },
	};

	assert_int_equal(map(bench, 0x10000, 0x1000, false), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(call_handler(&bench->call, dma_unmap, &bench->dma, &bad[i],
					      sizeof(bad[i])), -EINVAL);
	assert_int_equal(unmap(bench, 0x10000, 0x1000), 0);
}

static void a_mapping_may_end_at_the_top(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(map(bench, TOP, DMA_PAGE, true), 0);
	assert_int_equal(map(bench, TOP, DMA_PAGE, true), -EEXIST);
	assert_int_equal(map(bench, 0, UINT64_C(1) << 63, false), 0);
	assert_int_equal(unmap(bench, TOP, DMA_PAGE), 0);
	assert_true(released(bench));
}

static void the_quota_is_stateless(void **state)
{
	struct bench *bench = *state;

	bench->call.session.limits.max_dma_maps = 2;
	assert_int_equal(map(bench, 0x1000, 0x1000, false), 0);
	assert_int_equal(map(bench, 0x2000, 0x1000, false), 0);
	assert_int_equal(map(bench, 0x3000, 0x1000, true), -ENOSPC);
	assert_int_equal(unmap(bench, 0x1000, 0x1000), 0);
	assert_int_equal(map(bench, 0x3000, 0x1000, false), 0);
}

static void the_end_of_the_client_drops_all(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(map(bench, 0, DMA_PAGE, true), 0);
	assert_int_equal(map(bench, (UINT64_C(1) << 63) - DMA_PAGE, UINT64_C(0x2000), true), 0);
	assert_int_equal(map(bench, TOP, DMA_PAGE, true), 0);
	dma_detach(&bench->dma);
	assert_int_equal(space_count(&bench->dma.space), 0);
	assert_true(released(bench));
}

static struct range told;
static unsigned int quiet;
static int moved;
static bool working;

static void on_quiesce(void *owner, enum dma_cause cause, uint32_t space, struct range range)
{
	(void)owner;
	(void)space;
	if (cause == DMA_UNMAPS)
		told = range;
}

static bool works(void *owner, enum dma_cause cause)
{
	(void)owner;
	return cause != DMA_UNMAPS && working;
}

static void on_quiet(void *owner, enum dma_cause cause, struct range range)
{
	(void)owner;
	(void)cause;
	(void)range;
	quiet++;
}

static void on_moved(void *owner, struct dma_move *move, int result)
{
	(void)owner;
	(void)move;
	moved = result;
}

static const struct dma_ops ops = { on_quiesce, works, on_quiet, on_moved };

static int hold(struct bench *bench, struct dma_part *part, uint32_t access, enum dma_path path)
{
	part->access = access;
	part->path = path;
	return dma_hold(&bench->dma, part);
}

static void parts_end_where_mappings_end(void **state)
{
	struct bench *bench = *state;
	struct dma_part part = { .address = 0x11ff0, .size = 0x100 };
	uint8_t bytes[16] = "0123456789abcde";
	struct dma_move move = { .part = &part, .bytes = bytes, .size = 16 };
	char seen[16];

	dma_set_owner(&bench->dma, &ops, NULL);
	assert_int_equal(map(bench, 0x10000, 0x2000, true), 0);
	assert_int_equal(map(bench, 0x12000, 0x1000, false), 0);
	assert_int_equal(hold(bench, &part, WINDOW_WRITE, DMA_AUTO), 0);
	assert_int_equal(part.size, 0x10);
	move.address = part.address;
	assert_int_equal(dma_move(&bench->dma, &move), 16);
	assert_int_equal(pread(bench->file, seen, 16, 0x1ff0), 16);
	assert_memory_equal(seen, bytes, 16);
	dma_release(&bench->dma, &part);
	dma_release(&bench->dma, &part);
	part = (struct dma_part){ .address = 0x12ff0, .size = 0x100 };
	assert_int_equal(hold(bench, &part, WINDOW_READ, DMA_DIRECT), -ENOTSUP);
	assert_int_equal(hold(bench, &part, WINDOW_READ, DMA_AUTO), 0);
	assert_null(part.host);
	assert_int_equal(part.size, 0x10);
	dma_release(&bench->dma, &part);
	part = (struct dma_part){ .address = 0xfff0, .size = 0x100 };
	assert_int_equal(hold(bench, &part, WINDOW_READ, DMA_AUTO), -ENOENT);
	part = (struct dma_part){ .address = UINT64_MAX, .size = 2 };
	assert_int_equal(hold(bench, &part, WINDOW_READ, DMA_AUTO), -ENOENT);
	assert_false(hazard_overlaps(&bench->dma.hazards, 0, SPACE_PAGES - 1));
}

static void parts_need_the_rights_of_the_mapping(void **state)
{
	struct bench *bench = *state;
	struct dma_part part = { .address = 0x1000, .size = 1 };

	dma_set_owner(&bench->dma, &ops, NULL);
	for (uint32_t right = WINDOW_READ; right <= WINDOW_WRITE; right++) {
		const struct wire_dma_map wire = { 32, right, 0, 0x1000, 0x1000 };

		for (int with = 0; with < 2; with++) {
			assert_int_equal(map_wire(bench, wire, with), 0);
			assert_int_equal(hold(bench, &part, right ^ 3, DMA_AUTO), -EACCES);
			assert_int_equal(hold(bench, &part, right, DMA_AUTO), 0);
			dma_release(&bench->dma, &part);
			assert_int_equal(unmap(bench, 0x1000, 0x1000), 0);
		}
	}
}

static void unmap_is_answered_when_the_last_part_goes(void **state)
{
	struct bench *bench = *state;
	struct dma_part first = { .address = 0x10000, .size = 8, .place = 0 };
	struct dma_part second = { .address = 0x10800, .size = 8, .place = 1 };
	struct dma_part other = { .address = 0x14000, .size = 8, .place = 2 };

	dma_set_owner(&bench->dma, &ops, NULL);
	quiet = 0;
	assert_int_equal(map(bench, 0x10000, 0x1000, true), 0);
	assert_int_equal(map(bench, 0x14000, 0x1000, true), 0);
	assert_int_equal(hold(bench, &first, WINDOW_READ, DMA_AUTO), 0);
	assert_int_equal(hold(bench, &second, WINDOW_READ, DMA_AUTO), 0);
	assert_int_equal(hold(bench, &other, WINDOW_READ, DMA_AUTO), 0);
	assert_int_equal(unmap(bench, 0x10000, 0x1000), -EINPROGRESS);
	assert_int_equal(told.first, 0x10000);
	assert_int_equal(quiet, 0);
	dma_release(&bench->dma, &first);
	assert_false(dma_is_quiet(&bench->dma));
	assert_int_equal(unmap(bench, 0x10000, 0x1000), -EINPROGRESS);
	assert_int_equal(hold(bench, &first, WINDOW_READ, DMA_AUTO), -ENOENT);
	dma_release(&bench->dma, &second);
	assert_true(dma_is_quiet(&bench->dma));
	assert_int_equal(unmap(bench, 0x10000, 0x1000), 0);
	assert_int_equal(bench->call.size, sizeof(struct wire_dma_unmap));
	assert_int_equal(quiet, 1);
	dma_release(&bench->dma, &other);
	assert_int_equal(unmap(bench, 0x14000, 0x1000), 0);
	assert_true(released(bench));
}

static void everything_is_quiet_when_nothing_is_held_and_nobody_works(void **state)
{
	struct bench *bench = *state;
	struct dma_part part = { .address = 0x10000, .size = 8, .place = 31 };
	struct pollfd pollfd = { .fd = dma_wake_fd(&bench->dma), .events = POLLIN };

	dma_set_owner(&bench->dma, &ops, NULL);
	working = false;
	assert_int_equal(map(bench, 0x10000, 0x1000, true), 0);
	assert_int_equal(dma_quiesce(&bench->dma, DMA_STOPS), 0);
	assert_int_equal(hold(bench, &part, WINDOW_READ, DMA_AUTO), 0);
	assert_int_equal(dma_quiesce(&bench->dma, DMA_STOPS), -EINPROGRESS);
	/* An end takes the place of the stop. */
	assert_int_equal(dma_quiesce(&bench->dma, DMA_ENDS), -EINPROGRESS);
	assert_int_equal(poll(&pollfd, 1, 0), 0);
	working = true;
	dma_release(&bench->dma, &part);
	assert_int_equal(poll(&pollfd, 1, 0), 1);
	dma_awake(&bench->dma);
	assert_int_equal(poll(&pollfd, 1, 0), 0);
	assert_int_equal(dma_quiesce(&bench->dma, DMA_ENDS), -EINPROGRESS);
	working = false;
	assert_int_equal(dma_quiesce(&bench->dma, DMA_ENDS), 0);
}

static void messages_hold_no_unmap_up(void **state)
{
	struct bench *bench = *state;
	struct dma_part part = { .address = 0x10000, .size = 8 };
	uint8_t bytes[8] = { 0 };
	struct dma_move move = { .part = &part, .address = 0x10000, .bytes = bytes, .size = 8 };

	dma_set_owner(&bench->dma, &ops, NULL);
	moved = 0;
	bench->call.session.phase = SESSION_NEGOTIATED;
	assert_int_equal(map(bench, 0x10000, 0x1000, false), 0);
	assert_int_equal(hold(bench, &part, WINDOW_READ, DMA_AUTO), 0);
	assert_int_equal(dma_move(&bench->dma, &move), -EINPROGRESS);
	dma_unpin(&bench->dma, &part);
	assert_int_equal(unmap(bench, 0x10000, 0x1000), 0);
	/* No further message goes out, and the reply to the one that did is still matched. */
	assert_int_equal(dma_move(&bench->dma, &move), -ENOENT);
	session_expire(&bench->call.session, UINT64_MAX);
	assert_int_equal(moved, -EIO);
	dma_release(&bench->dma, &part);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(any_overlap_exists),
		CASE(bad_maps_are_refused_and_leave_nothing),
		CASE(an_offset_without_file_is_ignored),
		CASE(unmap_wants_the_exact_range),
		CASE(bad_unmaps_keep_the_mapping),
		CASE(a_mapping_may_end_at_the_top),
		CASE(the_quota_is_stateless),
		CASE(the_end_of_the_client_drops_all),
		CASE(parts_end_where_mappings_end),
		CASE(parts_need_the_rights_of_the_mapping),
		CASE(unmap_is_answered_when_the_last_part_goes),
		CASE(everything_is_quiet_when_nothing_is_held_and_nobody_works),
		CASE(messages_hold_no_unmap_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
