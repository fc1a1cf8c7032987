/* SPDX-License-Identifier: BSD-3-Clause */
/* test_device.c - registers, device memory, reset, and what the two profiles have. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "call.h"
#include "device.h"

struct bench {
	struct dma dma;
	struct irq irq;
	struct device device;
	unsigned int fds_before;
};

static int set_up_profile(void **state, enum device_profile profile)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	irq_init(&bench.irq, device_irq_types(profile));
	if (dma_init(&bench.dma))
		return -1;
	*state = &bench;
	return device_open(&bench.device, profile, &bench.irq, &bench.dma);
}

static int set_up(void **state)
{
	return set_up_profile(state, DEVICE_FULL);
}

static int set_up_vdma(void **state)
{
	return set_up_profile(state, DEVICE_VDMA);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	device_close(&bench->device);
	dma_close(&bench->dma);
	return call_count_fds() == bench->fds_before ? 0 : -1;
}

static int get(struct bench *bench, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	const struct region *row = &bench->device.regions[region];

	return row->ops->read(row->owner, offset, data, count);
}

static int put(struct bench *bench, uint32_t region, uint64_t offset, const void *data,
	       uint32_t count)
{
	const struct region *row = &bench->device.regions[region];

	return row->ops->write(row->owner, offset, data, count);
}

static uint32_t get_register(struct bench *bench, uint32_t offset)
{
	uint32_t value;

	assert_int_equal(get(bench, 0, offset, &value, 4), 0);
	return value;
}

static int put_register(struct bench *bench, uint32_t offset, uint32_t value)
{
	return put(bench, 0, offset, &value, 4);
}

static void registers_take_aligned_accesses_only(void **state)
{
	struct bench *bench = *state;
	uint64_t value;
	uint8_t bytes[8] = { 0 };

	assert_int_equal(get_register(bench, DEVICE_MAGIC), 0x414d4456);
	assert_int_equal(get(bench, 0, 0, &value, 8), 0);
	assert_int_equal(value & UINT32_MAX, 0x414d4456);
	for (uint32_t count = 1; count <= 8; count++) {
		for (uint64_t offset = 0; offset < 16; offset++) {
			int good = (count == 4 || count == 8) && offset % count == 0;

			assert_int_equal(get(bench, 0, offset, bytes, count), good ? 0 : -EINVAL);
			assert_int_equal(put(bench, 0, offset, bytes, count), good ? 0 : -EINVAL);
		}
	}
	assert_int_equal(get(bench, 0, 0x58, bytes, 4), -EINVAL);
	assert_int_equal(get(bench, 0, 0xfc, bytes, 4), -EINVAL);
	assert_int_equal(get(bench, 0, 0x400, bytes, 4), -EINVAL);
	assert_int_equal(get(bench, 0, 0x2080, bytes, 4), -EINVAL);
	assert_int_equal(get(bench, 0, 0xfffc, bytes, 8), -EINVAL);
}

static void a_refused_pair_of_registers_changes_nothing(void **state)
{
	struct bench *bench = *state;
	const uint32_t pair[2] = { 99, 5 };

	assert_int_equal(put(bench, 0, DEVICE_IRQ, pair, 8), -EINVAL);
	assert_int_equal(get_register(bench, DEVICE_CKOFF), 0);
	assert_int_equal(put_register(bench, DEVICE_IRQ, 7), 0);
	assert_int_equal(put_register(bench, DEVICE_IRQ, 8), -EINVAL);
	assert_int_equal(put_register(bench, DEVICE_IRQ, 5 << 16), 0);
	assert_int_equal(put_register(bench, DEVICE_IRQ, 5 << 16 | 1), -EINVAL);
	assert_int_equal(put_register(bench, DEVICE_IRQ, 6 << 16), -EINVAL);
}

static void the_checksum_is_crc_32(void **state)
{
	struct bench *bench = *state;
	uint32_t value;

	assert_int_equal(put(bench, 0, DEVICE_BUFFER + 3, "123456789", 9), 0);
	put_register(bench, DEVICE_CKOFF, 3);
	put_register(bench, DEVICE_CKLEN, 9);
	assert_int_equal(get_register(bench, DEVICE_CKSUM), 0xcbf43926);
	put_register(bench, DEVICE_CKLEN, DEVICE_BUFFER_SIZE);
	assert_int_equal(get(bench, 0, DEVICE_CKSUM, &value, 4), -EINVAL);
	put_register(bench, DEVICE_CKLEN, DEVICE_BUFFER_SIZE - 3);
	assert_int_equal(get(bench, 0, DEVICE_CKSUM, &value, 4), 0);
	put_register(bench, DEVICE_CKOFF, UINT32_MAX);
	assert_int_equal(get(bench, 0, DEVICE_CKSUM, &value, 4), -EINVAL);
}

static void messages_and_mapping_show_the_same_memory(void **state)
{
	struct bench *bench = *state;
	const struct region *row = &bench->device.regions[WIRE_REGION_INDEX_BAR4];
	char *area, text[6] = { 0 };

	area = mmap(NULL, row->areas[1].size, PROT_READ | PROT_WRITE, MAP_SHARED, row->fd,
		    (off_t)(row->mmap_offset + row->areas[1].offset));
	assert_true(area != MAP_FAILED);
	assert_int_equal(put(bench, WIRE_REGION_INDEX_BAR4, row->areas[1].offset, "hello", 5), 0);
	assert_memory_equal(area, "hello", 5);
	memcpy(area + row->areas[1].size - 5, "there", sizeof("there") - 1);
	assert_int_equal(get(bench, WIRE_REGION_INDEX_BAR4,
			     row->areas[1].offset + row->areas[1].size - 5, text, 5), 0);
	assert_string_equal(text, "there");
	device_reset(&bench->device);
	assert_int_equal(area[0], 0);
	munmap(area, row->areas[1].size);
	assert_int_equal(ftruncate(row->fd, 0), -1);
}

static void the_hole_reads_zero_and_ignores_writes(void **state)
{
	struct bench *bench = *state;
	char bytes[8192], zero[8192] = { 0 };

	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(put(bench, WIRE_REGION_INDEX_BAR4, 0, bytes, 8192), 0);
	assert_int_equal(get(bench, WIRE_REGION_INDEX_BAR4, 0, bytes, 8192), 0);
	assert_int_equal(bytes[4095], 'x');
	assert_memory_equal(bytes + 4096, zero, 4096);
	memset(bytes, 'y', sizeof(bytes));
	assert_int_equal(put(bench, WIRE_REGION_INDEX_BAR4, (1 << 20) - 4096, bytes, 8192), 0);
	assert_int_equal(get(bench, WIRE_REGION_INDEX_BAR4, (1 << 20) - 4096, bytes, 8192), 0);
	assert_memory_equal(bytes, zero, 4096);
	assert_int_equal(bytes[4096], 'y');
	assert_int_equal(bytes[8191], 'y');
}

static void dirty(struct bench *bench)
{
	assert_int_equal(put_register(bench, DEVICE_GCTL, UINT32_MAX), 0);
	assert_int_equal(put_register(bench, CONFIG_MSIX_TABLE + 0xc, 0), 0);
	assert_int_equal(put(bench, 0, DEVICE_BUFFER, "x", 1), 0);
	assert_int_equal(put(bench, WIRE_REGION_INDEX_BAR2, 5, "x", 1), 0);
	assert_int_equal(put(bench, WIRE_REGION_INDEX_CONFIG, 0x3c, "x", 1), 0);
	assert_int_equal(get_register(bench, DEVICE_GCTL), 3);
}

static void expect_clean(struct bench *bench)
{
	uint8_t byte = 1;

	assert_int_equal(get_register(bench, DEVICE_GCTL), 0);
	assert_int_equal(get_register(bench, CONFIG_MSIX_TABLE + 0xc), 1);
	assert_int_equal(get_register(bench, DEVICE_PR_TIMEOUT), 60000);
	assert_int_equal(get(bench, 0, DEVICE_BUFFER, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(get(bench, WIRE_REGION_INDEX_BAR2, 5, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(get(bench, WIRE_REGION_INDEX_CONFIG, 0x3c, &byte, 1), 0);
	assert_int_equal(byte, 0);
}

static void reset_and_flr_bring_back_the_beginning(void **state)
{
	struct bench *bench = *state;
	static const uint8_t flr = 0x80;

	expect_clean(bench);
	dirty(bench);
	device_reset(&bench->device);
	expect_clean(bench);
	dirty(bench);
	assert_int_equal(put(bench, WIRE_REGION_INDEX_CONFIG, 0x69, &flr, 1), 0);
	expect_clean(bench);
}

static void the_bare_profile_has_the_bare_device(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(bench->device.table.count, WIRE_REGION_INDEX_NUM);
	for (uint32_t i = 0; i < WIRE_REGION_INDEX_NUM; i++) {
		bool there = i == WIRE_REGION_INDEX_BAR0 || i == WIRE_REGION_INDEX_BAR2 ||
			     i == WIRE_REGION_INDEX_CONFIG;

		assert_int_equal(bench->device.regions[i].size != 0, there);
	}
	assert_int_equal(irq_raise(&bench->irq, WIRE_IRQ_INDEX_MSIX, 7), 0);
	assert_int_equal(irq_raise(&bench->irq, WIRE_IRQ_INDEX_INTX, 0), -EINVAL);
	dirty(bench);
	device_reset(&bench->device);
	expect_clean(bench);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(registers_take_aligned_accesses_only),
		CASE(a_refused_pair_of_registers_changes_nothing),
		CASE(the_checksum_is_crc_32),
		CASE(messages_and_mapping_show_the_same_memory),
		CASE(the_hole_reads_zero_and_ignores_writes),
		CASE(reset_and_flr_bring_back_the_beginning),
		cmocka_unit_test_setup_teardown(the_bare_profile_has_the_bare_device, set_up_vdma,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
