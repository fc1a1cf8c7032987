/* SPDX-License-Identifier: BSD-3-Clause */
/* test_config_viommu.c - ATS, PRI and PASID: reset values, what writes do, their list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config_viommu.h"
#include "wire_ext.h"

#define ATS_CONTROL (CONFIG_ATS + WIRE_PCI_ATS_CONTROL)
#define PRI_CONTROL (CONFIG_PRI + WIRE_PCI_PRI_CONTROL)
#define PRI_STATUS (CONFIG_PRI + WIRE_PCI_PRI_STATUS)
#define PRI_ALLOCATION (CONFIG_PRI + WIRE_PCI_PRI_ALLOCATION)
#define PASID_CONTROL (CONFIG_PASID + WIRE_PCI_PASID_CONTROL)
#define STATUS_AT_RESET (WIRE_PCI_PRI_STOPPED | WIRE_PCI_PRI_PASID_REQUIRED)

static struct config config;

static uint32_t get(uint32_t offset, uint32_t width)
{
	uint32_t value = 0;

	config_read(&config, offset, &value, width);
	return value;
}

static uint32_t put(uint32_t offset, uint32_t width, uint32_t value)
{
	return config_write(&config, offset, &value, width);
}

static int set_up(void **state)
{
	(void)state;
	config_init(&config, false);
	config_add_viommu(&config, 20);
	config.allocation_max = 48;
	return 0;
}

/* The ids of the extended capabilities, from 0x100 on. */
static void expect_list(const uint16_t *ids, size_t count)
{
	uint32_t at = 0x100;

	for (size_t i = 0; i < count; i++) {
		assert_int_not_equal(at, 0);
		assert_int_equal(get(at, 2), ids[i]);
		assert_int_equal(get(at + 2, 2) & 0xf, 1);
		at = get(at, 4) >> 20;
	}
	assert_int_equal(at, 0);
}

static void the_list_goes_on_behind_them(void **state)
{
	static const uint16_t bare[] = { 0x0f, 0x13, 0x1b }, no_pasid[] = { 0x0f, 0x13 };
	static const uint16_t full[] = { 0x0f, 0x13, 0x1b, 0x03, 0x0b };

	(void)state;
	expect_list(bare, 3);
	config_init(&config, true);
	config_add_viommu(&config, 8);
	expect_list(full, 5);
	assert_int_equal(get(CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY, 2), 8 << 8);
	config_init(&config, false);
	config_add_viommu(&config, 0);
	expect_list(no_pasid, 2);
	assert_int_equal(get(PRI_STATUS, 2), WIRE_PCI_PRI_STOPPED);
	config_init(&config, false);
	assert_int_equal(get(0x100, 4), 0);
	assert_int_equal(put(ATS_CONTROL, 2, WIRE_PCI_ATS_ENABLE), CONFIG_NOTHING);
	assert_int_equal(get(ATS_CONTROL, 2), 0);
}

static void reset_values_are_those_of_the_text(void **state)
{
	(void)state;
	assert_int_equal(get(CONFIG_ATS + WIRE_PCI_ATS_CAPABILITY, 2), WIRE_PCI_ATS_PAGE_ALIGNED);
	assert_int_equal(get(ATS_CONTROL, 2), 0);
	assert_int_equal(get(PRI_CONTROL, 2), 0);
	assert_int_equal(get(PRI_STATUS, 2), STATUS_AT_RESET);
	assert_int_equal(get(CONFIG_PRI + WIRE_PCI_PRI_CAPACITY, 4), 64);
	assert_int_equal(get(PRI_ALLOCATION, 4), 0);
	assert_int_equal(get(CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY, 2), 20 << 8);
	assert_int_equal(get(PASID_CONTROL, 2), 0);
}

static void only_what_is_writable_is_written(void **state)
{
	(void)state;
	for (uint32_t at = CONFIG_ATS; at < CONFIG_PASID + 8; at++)
		put(at, 1, 0xff);
	assert_int_equal(get(CONFIG_ATS, 4), CONFIG_PRI << 20 | 1 << 16 | 0x0f);
	assert_int_equal(get(CONFIG_ATS + WIRE_PCI_ATS_CAPABILITY, 2), WIRE_PCI_ATS_PAGE_ALIGNED);
	assert_int_equal(get(ATS_CONTROL, 2), WIRE_PCI_ATS_ENABLE | 0x1f);
	assert_int_equal(get(PRI_CONTROL, 2), WIRE_PCI_PRI_ENABLE);
	assert_int_equal(get(PRI_STATUS, 2), STATUS_AT_RESET);
	assert_int_equal(get(CONFIG_PRI + WIRE_PCI_PRI_CAPACITY, 4), 64);
	assert_int_equal(get(PRI_ALLOCATION, 4), 48);
	assert_int_equal(get(PASID_CONTROL, 2), WIRE_PCI_PASID_ENABLE);
}

static void the_smallest_unit_is_fixed_while_ats_is_on(void **state)
{
	(void)state;
	assert_int_equal(put(ATS_CONTROL, 2, 3), CONFIG_NOTHING);
	assert_int_equal(get(ATS_CONTROL, 2), 3);
	assert_int_equal(put(ATS_CONTROL, 2, WIRE_PCI_ATS_ENABLE | 4), CONFIG_ATS_ON);
	assert_int_equal(get(ATS_CONTROL, 2), WIRE_PCI_ATS_ENABLE | 4);
	assert_int_equal(put(ATS_CONTROL, 2, WIRE_PCI_ATS_ENABLE | 5), CONFIG_NOTHING);
	assert_int_equal(get(ATS_CONTROL, 2), WIRE_PCI_ATS_ENABLE | 4);
	assert_int_equal(put(ATS_CONTROL, 1, 9), CONFIG_NOTHING);
	assert_int_equal(put(ATS_CONTROL, 2, 7), CONFIG_NOTHING);
	assert_int_equal(get(ATS_CONTROL, 2), 4);
	assert_int_equal(put(ATS_CONTROL + 1, 1, 0x80), CONFIG_ATS_ON);
}

static void status_is_cleared_by_ones(void **state)
{
	(void)state;
	config_set_status(&config, WIRE_PCI_PRI_RF | WIRE_PCI_PRI_UPRGI);
	assert_int_equal(get(PRI_STATUS, 2), 0x8003);
	put(PRI_STATUS, 2, 0);
	put(PRI_STATUS, 2, 0x8100);
	put(PRI_CONTROL, 2, WIRE_PCI_PRI_ENABLE);
	assert_int_equal(get(PRI_STATUS, 2), 0x8003);
	put(PRI_CONTROL, 4, (uint32_t)WIRE_PCI_PRI_UPRGI << 16);
	assert_int_equal(config_get_viommu(&config).status, 0x8001);
	put(PRI_STATUS, 1, WIRE_PCI_PRI_RF);
	assert_int_equal(config_get_viommu(&config).status, 0x8000);
}

static void reset_counts_where_pri_is_off_then(void **state)
{
	(void)state;
	assert_int_equal(put(PRI_CONTROL, 2, WIRE_PCI_PRI_ENABLE | WIRE_PCI_PRI_RESET), 0);
	assert_true(config_get_viommu(&config).pri);
	assert_int_equal(put(PRI_CONTROL, 2, WIRE_PCI_PRI_RESET), CONFIG_PRI_RESET);
	assert_int_equal(get(PRI_CONTROL, 2), 0);
	assert_int_equal(put(PRI_CONTROL, 1, WIRE_PCI_PRI_RESET), CONFIG_PRI_RESET);
	assert_int_equal(put(PRI_CONTROL + 1, 1, WIRE_PCI_PRI_RESET), CONFIG_NOTHING);
	assert_int_equal(put(CONFIG_PRI, 4, UINT32_MAX), CONFIG_NOTHING);
}

static void the_width_is_the_owners(void **state)
{
	(void)state;
	config_set_width(&config, 8);
	put(CONFIG_PASID, 4, UINT32_MAX);
	put(CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY, 4, 0);
	assert_int_equal(get(CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY, 2), 8 << 8);
	config_init(&config, false);
	config_add_viommu(&config, 0);
	config_set_width(&config, 8);
	assert_int_equal(get(CONFIG_PASID, 4), 0);
	assert_int_equal(get(CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY, 4), 0);
}

static void allocation_is_cut(void **state)
{
	(void)state;
	put(PRI_ALLOCATION, 4, 5);
	assert_int_equal(config_get_viommu(&config).allocation, 5);
	put(PRI_ALLOCATION + 1, 1, 1);
	assert_int_equal(get(PRI_ALLOCATION, 4), 48);
	config.allocation_max = 0;
	put(PRI_ALLOCATION, 4, 5);
	assert_int_equal(get(PRI_ALLOCATION, 4), 0);
}

static void bits_are_loaded(void **state)
{
	static uint8_t image[CONFIG_SIZE];

	(void)state;
	put(0x04, 2, 4);
	put(PRI_CONTROL, 2, WIRE_PCI_PRI_ENABLE);
	config_set_status(&config, WIRE_PCI_PRI_RF);
	config_read(&config, 0, image, sizeof(image));
	set_up(NULL);
	assert_int_equal(config_load(&config, image), 0);
	assert_true(config_get_viommu(&config).pri);
	assert_true(config_get_viommu(&config).master);
	assert_int_equal(config_get_viommu(&config).status, 0x8001);
	image[CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY + 1] = 19;
	assert_int_equal(config_load(&config, image), 0);
	image[CONFIG_PASID + WIRE_PCI_PASID_CAPABILITY] = 2;
	assert_int_not_equal(config_load(&config, image), 0);
}

#define CASE(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_list_goes_on_behind_them),
		CASE(reset_values_are_those_of_the_text),
		CASE(only_what_is_writable_is_written),
		CASE(the_smallest_unit_is_fixed_while_ats_is_on),
		CASE(status_is_cleared_by_ones),
		CASE(reset_counts_where_pri_is_off_then),
		CASE(the_width_is_the_owners),
		CASE(allocation_is_cut),
		CASE(bits_are_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
