/* SPDX-License-Identifier: BSD-3-Clause */
/* test_config.c - configuration space: sizing, masks, every width, the capability chain, FLR. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"

static struct config config;

static uint32_t get(uint32_t offset, uint32_t width)
{
	uint32_t value = 0;

	config_read(&config, offset, &value, width);
	return value;
}

static enum config_effect put(uint32_t offset, uint32_t value, uint32_t width)
{
	return config_write(&config, offset, &value, width);
}

static void base_address_registers_tell_their_size(void **state)
{
	(void)state;
	config_init(&config, true);
	for (uint32_t bar = 0x10; bar <= 0x24; bar += 4)
		put(bar, UINT32_MAX, 4);
	assert_int_equal(get(0x10, 4), 0xfffe0000);
	assert_int_equal(get(0x14, 4), 0);
	assert_int_equal(get(0x18, 4), 0xfffff000);
	assert_int_equal(get(0x1c, 4), 0);
	assert_int_equal(get(0x20, 4), 0x0000000c);
	assert_int_equal(get(0x24, 4), 0xfffffffe);
	put(0x10, 0x12345678, 4);
	assert_int_equal(get(0x10, 4), 0x12340000);
	put(0x30, 0xfffffffe, 4);
	assert_int_equal(get(0x30, 4), 0xfffff000);
	config_init(&config, false);
	put(0x20, UINT32_MAX, 4);
	put(0x24, UINT32_MAX, 4);
	assert_int_equal(get(0x20, 4), 0);
	assert_int_equal(get(0x24, 4), 0);
}

static void identity_is_read_only(void **state)
{
	(void)state;
	config_init(&config, true);
	put(0x00, 0, 4);
	put(0x08, UINT32_MAX, 4);
	assert_int_equal(get(0x00, 4), 0x11e91234);
	assert_int_equal(get(0x09, 1), 0);
	assert_int_equal(get(0x0a, 2), 0x00ff);
	assert_int_equal(get(0x0e, 1), 0);
	put(0x04, 0xffff, 2);
	assert_int_equal(get(0x04, 2), 0x0546);
	put(0x3c, 0xffff, 2);
	assert_int_equal(get(0x3c, 2), 0x01ff);
}

static void all_widths_and_alignments_agree(void **state)
{
	uint8_t whole[256], part[8];

	(void)state;
	config_init(&config, true);
	config_read(&config, 0, whole, sizeof(whole));
	for (uint32_t width = 1; width <= sizeof(part); width++) {
		for (uint32_t at = 0; at + width <= sizeof(whole); at++) {
			config_read(&config, at, part, width);
			assert_memory_equal(part, whole + at, width);
		}
	}
	/* One write over registers with different masks is the same as byte after byte. */
	memset(whole, 0x5a, sizeof(whole));
	assert_int_equal(config_write(&config, 0x02, whole, 0x40), CONFIG_NOTHING);
	config_read(&config, 0, whole, sizeof(whole));
	config_init(&config, true);
	for (uint32_t i = 0x02; i < 0x42; i++)
		put(i, 0x5a, 1);
	for (uint32_t i = 0; i < sizeof(whole); i++)
		assert_int_equal(get(i, 1), whole[i]);
}

/* Walks the list; the number of capabilities, with the place of each by id. */
static int walk(uint32_t place[256])
{
	int n = 0;

	memset(place, 0, 256 * sizeof(*place));
	assert_true(get(0x06, 2) & 0x10);
	for (uint32_t at = get(0x34, 1); at; at = get(at + 1, 1)) {
		assert_in_range(at, 0x40, 0xfc);
		assert_int_equal(at % 4, 0);
		assert_int_equal(place[get(at, 1)], 0);
		place[get(at, 1)] = at;
		assert_true(++n < 16);
	}
	return n;
}

static void the_capability_chain_holds_what_the_profile_has(void **state)
{
	uint32_t place[256];

	(void)state;
	config_init(&config, false);
	assert_int_equal(walk(place), 2);
	assert_int_equal(place[0x11], 0x50);
	assert_int_equal(place[0x10], 0x60);
	config_init(&config, true);
	assert_int_equal(walk(place), 4);
	assert_int_equal(place[0x01], 0x40);
	assert_int_equal(place[0x11], 0x50);
	assert_int_equal(place[0x10], 0x60);
	assert_true(place[0x05] != 0);
	assert_int_equal(get(0x52, 2) + 1, CONFIG_MSIX_VECTORS);
	assert_int_equal(get(0x54, 4), CONFIG_MSIX_TABLE);
	assert_int_equal(get(0x58, 4), CONFIG_MSIX_PBA);
}

static void the_extended_list_of_the_full_profile_ends(void **state)
{
	uint32_t at = 0x100, n = 0;

	(void)state;
	config_init(&config, false);
	assert_int_equal(get(0x100, 4), 0);
	config_init(&config, true);
	for (; at; at = get(at, 4) >> 20, n++) {
		assert_in_range(at, 0x100, 0xffc);
		put(at, ~get(at, 4), 4);
		put(at + 4, 0, 4);
		assert_true(n < 3);
	}
	assert_int_equal(n, 3);
	assert_int_equal(get(0x140, 2), 0x03);
	assert_int_equal(get(0x150, 2), 0x0b);
	assert_int_equal(get(0x154, 4) >> 20, 0x10);
	put(0x158, 0x5aa5c33c, 4);
	assert_int_equal(get(0x158, 4), 0x5aa5c33c);
	put(0x15c, UINT32_MAX, 4);
	assert_int_equal(get(0x15c, 4), 0);
}

static void control_registers_store_only_what_the_device_can_do(void **state)
{
	(void)state;
	config_init(&config, true);
	put(0x68, 0x7fff, 2);
	assert_int_equal(get(0x68, 4), 0x78ff);
	put(0x70, 0xffff, 2);
	assert_int_equal(get(0x70, 4), 0x001100c3);
	put(0x52, 0xffff, 2);
	assert_int_equal(get(0x52, 2), 0xc007);
	put(0xa2, 0xffff, 2);
	assert_int_equal(get(0xa2, 2), 0x00f7);
	for (uint32_t at = 0xa4; at < 0xb0; at += 4)
		put(at, UINT32_MAX, 4);
	assert_int_equal(get(0xa4, 4), 0xfffffffc);
	assert_int_equal(get(0xa8, 4), UINT32_MAX);
	assert_int_equal(get(0xac, 4), 0xffff);
}

static void power_states_that_are_not_announced_are_discarded(void **state)
{
	(void)state;
	config_init(&config, true);
	put(0x44, 0xffff, 2);
	assert_int_equal(get(0x44, 4), 0x000b);
	put(0x44, 1, 1);
	put(0x44, 2, 4);
	put(0x43, 0x0100, 2);
	assert_int_equal(get(0x44, 4), 0x000b);
	put(0x44, 0, 1);
	assert_int_equal(get(0x44, 4), 0x0008);
	config_init(&config, false);
	put(0x44, 3, 1);
	assert_int_equal(get(0x44, 4), 0);
}

static void function_level_reset_is_an_effect_and_reads_zero(void **state)
{
	uint8_t block[8] = { 0 };

	(void)state;
	config_init(&config, true);
	assert_true(get(0x64, 4) & 1u << 28);
	assert_int_equal(put(0x68, 0x7fff, 2), CONFIG_NOTHING);
	assert_int_equal(put(0x68, 0x8000, 2), CONFIG_FLR);
	assert_int_equal(put(0x69, 0x80, 1), CONFIG_FLR);
	assert_int_equal(get(0x68, 2) & 0x8000, 0);
	block[4] = 0x80;
	assert_int_equal(config_write(&config, 0x65, block, sizeof(block)), CONFIG_FLR);
	block[4] = 0;
	assert_int_equal(config_write(&config, 0x65, block, sizeof(block)), CONFIG_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base_address_registers_tell_their_size),
		cmocka_unit_test(identity_is_read_only),
		cmocka_unit_test(all_widths_and_alignments_agree),
		cmocka_unit_test(the_capability_chain_holds_what_the_profile_has),
		cmocka_unit_test(the_extended_list_of_the_full_profile_ends),
		cmocka_unit_test(control_registers_store_only_what_the_device_can_do),
		cmocka_unit_test(power_states_that_are_not_announced_are_discarded),
		cmocka_unit_test(function_level_reset_is_an_effect_and_reads_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
