/* SPDX-License-Identifier: BSD-3-Clause */
/* test_crc.c - the check value of CRC-32, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crc.h"

static void the_check_value_comes_out(void **state)
{
	(void)state;
	assert_int_equal(crc_add(CRC_START, "123456789", 9), 0xcbf43926);
	assert_int_equal(crc_add(CRC_START, "", 0), CRC_START);
}

static void pieces_make_no_difference(void **state)
{
	(void)state;
	for (size_t cut = 0; cut <= 9; cut++) {
		uint32_t crc = crc_add(CRC_START, "123456789", cut);

		assert_int_equal(crc_add(crc, &"123456789"[cut], 9 - cut), 0xcbf43926);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_value_comes_out),
		cmocka_unit_test(pieces_make_no_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
