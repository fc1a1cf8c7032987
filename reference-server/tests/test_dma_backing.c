/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dma_backing.c - backing windows, and mappings that lie in them. */
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

#define R WIRE_DMA_MAP_READ
#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)
#define BACKING WIRE_DMA_MAP_BACKING
#define INDIRECT WIRE_DMA_MAP_INDIRECT
#define PASID(n) (WIRE_ATTR_PASID_VALID | (uint32_t)(n) << WIRE_ATTR_PASID_SHIFT)
#define PAGES 16
#define HIGH UINT64_C(0x7000000000000)

struct bench {
	struct dma dma;
	struct call call;
	int file;
	unsigned int fds_before;
};

static int set_up(void **state)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	if (call_open(&bench.call) || dma_init(&bench.dma))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.call.session.limits.viommu = (struct session_viommu){
		.version = 1, .pasid_bits = 8, .max_pasids = 3, .address_bits = 40,
		.unmap_range = true, .replace = true, .backing = true,
	};
	bench.call.session.limits.max_dma_maps = 3;
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

struct where {
	uint64_t address;
	uint64_t offset;
	uint64_t pages;
};

static int map(struct bench *bench, uint32_t flags, struct where where, bool with_file)
{
	const struct wire_dma_map wire = {
		32, flags, where.offset, where.address, where.pages * DMA_PAGE,
	};
	static struct msg msg;

	msg_init(&msg);
	msg.body = (const uint8_t *)&wire;
	msg.size = sizeof(wire);
	if (with_file)
		msg_add(&msg, dup(bench->file));
	return call_message(&bench->call, dma_map, &bench->dma, &msg);
}

static int back(struct bench *bench, uint32_t flags, uint64_t address, uint64_t pages,
		uint64_t page)
{
	return map(bench, flags | BACKING, (struct where){ address, page * DMA_PAGE, pages }, true);
}

static int lean(struct bench *bench, uint32_t flags, uint64_t address, uint64_t pages,
		uint64_t offset)
{
	return map(bench, flags | INDIRECT, (struct where){ address, offset, pages }, false);
}

static int unmap(struct bench *bench, uint32_t flags, uint64_t address, uint64_t pages)
{
	struct wire_dma_unmap wire = { 24, flags, address, pages * DMA_PAGE };

	return call_handler(&bench->call, dma_unmap, &bench->dma, &wire, sizeof(wire));
}

static int unback(struct bench *bench, uint64_t address, uint64_t pages)
{
	return unmap(bench, WIRE_DMA_UNMAP_BACKING, address, pages);
}

static bool released(const struct bench *bench)
{
	return fcntl(bench->file, F_ADD_SEALS, F_SEAL_WRITE) == 0;
}

/* The page of the file that an address leads to, or -errno. */
static int look(struct bench *bench, uint32_t space, uint64_t address, uint32_t access)
{
	struct dma_part part = { .space = space, .address = address, .size = 1, .access = access };
	int error = dma_hold(&bench->dma, &part);

	dma_release(&bench->dma, &part);
	return error ? error : (int)part.page;
}

static void mappings_lean_on_a_window(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(back(bench, RW, HIGH, 8, 4), 0);
	assert_int_equal(look(bench, 0, HIGH, WINDOW_READ), -ENOENT);
	assert_int_equal(lean(bench, RW, 0x1000, 2, HIGH + 0x3000), 0);
	assert_int_equal(lean(bench, RW | PASID(1), 0x1000, 8, HIGH), 0);
	assert_int_equal(look(bench, 0, 0x2000, WINDOW_WRITE), 8);
	assert_int_equal(look(bench, 2, 0x8000, WINDOW_WRITE), 11);
	assert_int_equal(bench->dma.count, 2);
	assert_int_equal(bench->dma.windows.count, 1);
	assert_int_equal(unback(bench, HIGH, 8), -EBUSY);
	assert_int_equal(unmap(bench, 0, 0x1000, 2), 0);
	assert_int_equal(unback(bench, HIGH, 8), -EBUSY);
	assert_int_equal(unmap(bench, WIRE_DMA_UNMAP_RANGE | PASID(1), 0, 0), 0);
	assert_int_equal(unback(bench, HIGH, 8), 0);
	assert_int_equal(lean(bench, RW, 0x1000, 2, HIGH), -EINVAL);
	assert_true(released(bench));
}

static void rights_are_those_of_both(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(back(bench, R, 0, 4, 0), 0);
	assert_int_equal(lean(bench, RW, 0x1000, 1, 0), 0);
	assert_int_equal(look(bench, 0, 0x1000, WINDOW_WRITE), -EACCES);
	assert_int_equal(look(bench, 0, 0x1000, WINDOW_READ), 0);
	assert_int_equal(lean(bench, WIRE_DMA_MAP_WRITE, 0x2000, 1, 0), 0);
	assert_int_equal(look(bench, 0, 0x2000, WINDOW_WRITE), -EACCES);
	assert_int_equal(look(bench, 0, 0x2000, WINDOW_READ), -EACCES);
}

static void bad_forms_are_refused_and_leave_nothing(void **state)
{
	struct bench *bench = *state;
	const uint32_t bad_backings[] = {
		PASID(1), WIRE_DMA_MAP_REPLACE, INDIRECT, 1u << 13, 1u << 3,
	};
	const uint32_t bad_removals[] = {
		WIRE_DMA_UNMAP_ALL, WIRE_DMA_UNMAP_RANGE, PASID(1),
	};

	for (size_t i = 0; i < sizeof(bad_backings) / sizeof(*bad_backings); i++)
		assert_int_equal(back(bench, RW | bad_backings[i], 0, 1, 0), -EINVAL);
	assert_int_equal(back(bench, RW, 0, 1, PAGES), -EINVAL);
	assert_int_equal(back(bench, 0, 0, 1, 0), -EINVAL);
	assert_int_equal(map(bench, RW | BACKING, (struct where){ 0, 0, 1 }, false), -EINVAL);
	assert_int_equal(map(bench, RW | BACKING, (struct where){ 0, 0x800, 1 }, true), -EINVAL);
	assert_int_equal(back(bench, RW, 0x4000, 2, 0), 0);
	assert_int_equal(back(bench, RW, 0x6000, 2, 2), 0);
	assert_int_equal(back(bench, RW, 0x5000, 2, 4), -EEXIST);
	/* Not in one window, in none, or not in pages. */
	assert_int_equal(lean(bench, RW, 0x1000, 2, 0x5000), -EINVAL);
	assert_int_equal(lean(bench, RW, 0x1000, 1, 0x3000), -EINVAL);
	assert_int_equal(lean(bench, RW, 0x1000, 1, 0x4800), -EINVAL);
	assert_int_equal(lean(bench, RW, 0x1000, 1, UINT64_MAX - 0xfff), -EINVAL);
	assert_int_equal(map(bench, RW | INDIRECT, (struct where){ 0x1000, 0x4000, 1 }, true),
			 -EINVAL);
	assert_int_equal(unback(bench, 0x4000, 1), -ENOENT);
	assert_int_equal(unback(bench, 0x4000, 4), -ENOENT);
	assert_int_equal(unback(bench, 0x4000, 0), -EINVAL);
	for (size_t i = 0; i < sizeof(bad_removals) / sizeof(*bad_removals); i++)
		assert_int_equal(unmap(bench, WIRE_DMA_UNMAP_BACKING | bad_removals[i], 0x4000, 2),
				 -EINVAL);
	assert_int_equal(bench->dma.count, 0);
	assert_int_equal(unmap(bench, WIRE_DMA_UNMAP_ALL, 0, 0), 0);
	assert_int_equal(unback(bench, 0x4000, 2), 0);
	assert_int_equal(unback(bench, 0x6000, 2), 0);
	assert_int_equal(space_bytes(&bench->dma.space), 0);
	assert_true(released(bench));
}

static void windows_have_a_limit_of_their_own(void **state)
{
	struct bench *bench = *state;

	bench->dma.windows.max_count = 6;
	for (uint64_t i = 0; i < 6; i++)
		assert_int_equal(back(bench, RW, HIGH + i * DMA_PAGE, 1, i), 0);
	assert_int_equal(bench->dma.windows.pages, 6);
	assert_int_equal(back(bench, RW, 0, 1, 0), -ENOSPC);
	assert_int_equal(unback(bench, HIGH, 1), 0);
	assert_int_equal(back(bench, RW, 0, 1, 0), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(lean(bench, RW, i * DMA_PAGE, 1, 0), 0);
	assert_int_equal(lean(bench, RW, 0x8000, 1, 0), -ENOSPC);
	/* What has a descriptor does not lean on them. */
	assert_int_equal(unmap(bench, 0, 0, 1), 0);
	assert_int_equal(map(bench, RW, (struct where){ 0x8000, 0, 1 }, true), -ENOSPC);
	assert_int_equal(unback(bench, HIGH + UINT64_C(5) * DMA_PAGE, 1), 0);
	assert_int_equal(map(bench, RW, (struct where){ 0x8000, 0, 1 }, true), 0);
	assert_int_equal(unmap(bench, WIRE_DMA_UNMAP_ALL, 0, 0), 0);
	assert_int_equal(unback(bench, 0, 1), 0);
}

static void a_mapping_changes_its_window(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(back(bench, RW, 0, 2, 0), 0);
	assert_int_equal(back(bench, RW, 0x2000, 2, 2), 0);
	assert_int_equal(lean(bench, RW, 0x1000, 1, 0), 0);
	assert_int_equal(lean(bench, RW | WIRE_DMA_MAP_REPLACE, 0x1000, 1, 0x3000), 0);
	assert_int_equal(look(bench, 0, 0x1000, WINDOW_READ), 3);
	assert_int_equal(unback(bench, 0, 2), 0);
	assert_int_equal(lean(bench, RW | WIRE_DMA_MAP_REPLACE, 0x1000, 1, 0), -EINVAL);
	assert_int_equal(lean(bench, RW | WIRE_DMA_MAP_REPLACE, 0x5000, 1, 0x3000), -ENOENT);
	assert_int_equal(unback(bench, 0x2000, 2), -EBUSY);
	assert_int_equal(map(bench, R | WIRE_DMA_MAP_REPLACE, (struct where){ 0x1000, 0, 1 }, true),
			 0);
	assert_int_equal(unback(bench, 0x2000, 2), 0);
	assert_int_equal(unmap(bench, 0, 0x1000, 1), 0);
	assert_true(released(bench));
}

/* Writes a byte through a mapping. */
static void touch(struct bench *bench, uint32_t space, uint64_t address)
{
	struct dma_part part = { .space = space, .address = address, .size = 1,
				 .access = WINDOW_WRITE };
	uint8_t byte = 1;
	struct dma_move move = { .part = &part, .address = address, .bytes = &byte, .size = 1 };

	assert_int_equal(dma_hold(&bench->dma, &part), 0);
	assert_int_equal(dma_move(&bench->dma, &move), 1);
	dma_release(&bench->dma, &part);
}

/* The pages of the backing space from HIGH on that were written, by bit. */
static uint64_t report(struct bench *bench)
{
	const struct wire_logging_report wire = { HIGH, UINT64_C(8) * DMA_PAGE, DMA_PAGE };
	uint64_t bits = 0;
	size_t size;

	assert_int_equal(dirty_report_size(&bench->dma.dirty, &wire, 64, &size), 0);
	assert_true(size <= sizeof(bits));
	dirty_report(&bench->dma.dirty, &wire, (uint8_t *)&bits);
	return bits;
}

static void the_log_is_of_backing_addresses(void **state)
{
	struct bench *bench = *state;
	struct {
		struct wire_logging_control head;
		struct wire_logging_range range;
	} control = { { DMA_PAGE, 1, 0 }, { HIGH, UINT64_C(8) * DMA_PAGE } };
	uint64_t page_size;

	assert_int_equal(back(bench, RW, HIGH, 8, 4), 0);
	assert_int_equal(lean(bench, RW, 0x1000, 2, HIGH + 0x3000), 0);
	assert_int_equal(lean(bench, RW | PASID(1), 0x9000, 8, HIGH), 0);
	assert_int_equal(dirty_start(&bench->dma.dirty, (const uint8_t *)&control, sizeof(control),
				     &page_size), 0);
	touch(bench, 0, 0x2000);
	touch(bench, 2, 0x9000);
	touch(bench, 2, 0xd000);
	assert_int_equal(unmap(bench, 0, 0x1000, 2), 0);
	assert_int_equal(unmap(bench, WIRE_DMA_UNMAP_ALL | PASID(1), 0, 0), 0);
	assert_int_equal(report(bench), 1u << 0 | 1u << 4);
	assert_int_equal(report(bench), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(mappings_lean_on_a_window),
		CASE(rights_are_those_of_both),
		CASE(bad_forms_are_refused_and_leave_nothing),
		CASE(windows_have_a_limit_of_their_own),
		CASE(a_mapping_changes_its_window),
		CASE(the_log_is_of_backing_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
