/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dma.c - the rules of DMA_MAP and DMA_UNMAP; what is refused leaves nothing behind. */
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
#define TOP (UINT64_MAX - DMA_PAGE + 1)

struct bench {
	struct call call;
	struct dma dma;
	int file;		/* four pages */
	unsigned int fds_before;
};

static int set_up(void **state)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	if (call_open(&bench.call))
		return -1;
	dma_init(&bench.dma);
	dma_attach(&bench.dma, &bench.call.session.limits);
	bench.file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	*state = &bench;
	return ftruncate(bench.file, (off_t)4 * DMA_PAGE);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	dma_detach(&bench->dma);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
