/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of buf: a cursor never leaves its memory, and says so once and for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"

static void reader_reads_to_the_last_byte(void **state)
{
	const uint8_t bytes[] = { 1, 2, 3, 4, 5 };
	struct buf_reader reader = buf_reader_over(bytes, sizeof(bytes));
	uint8_t out[2] = { 0 };

	(void)state;
	buf_read(&reader, out, 2);
	buf_skip(&reader, 1);
	assert_int_equal(buf_left(&reader), 2);
	buf_read(&reader, out, 2);
	assert_int_equal(out[0], 4);
	assert_int_equal(out[1], 5);
	assert_int_equal(buf_left(&reader), 0);
	buf_read(&reader, out, 0);
	buf_skip(&reader, 0);
	assert_false(reader.overflow);
}

static void reader_overflow_is_sticky_and_reads_zero(void **state)
{
	uint8_t *bytes = malloc(3);	/* of exactly that size, for the sanitizer */
	uint8_t out[4] = { 9, 9, 9, 9 };
	struct buf_reader reader;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 7, 3);
	reader = buf_reader_over(bytes, 3);
	buf_read(&reader, out, 4);
	assert_true(reader.overflow);
	assert_memory_equal(out, "\0\0\0\0", 4);
	assert_int_equal(buf_left(&reader), 0);
	out[0] = 9;
	buf_read(&reader, out, 1);
	assert_int_equal(out[0], 0);
	assert_int_equal(reader.at, 0);
	free(bytes);
}

static void reader_skip_can_not_wrap(void **state)
{
	struct buf_reader reader = buf_reader_over("abc", 3);

	(void)state;
	buf_skip(&reader, 1);
	buf_skip(&reader, SIZE_MAX);
	assert_true(reader.overflow);
	assert_int_equal(reader.at, 1);
}

static void reader_over_nothing_is_empty(void **state)
{
	struct buf_reader reader = buf_reader_over(NULL, 0);
	uint8_t byte = 1;

	(void)state;
	buf_read(&reader, &byte, 0);
	assert_false(reader.overflow);
	buf_read(&reader, &byte, 1);
	assert_true(reader.overflow);
}

static void text_is_appended_and_terminated(void **state)
{
	char text[16];
	struct buf_writer writer = buf_text_over(text, sizeof(text));

	(void)state;
	assert_string_equal(text, "");
	buf_text(&writer, "%s", "dma");
	buf_text(&writer, "_%d", 12);
	assert_string_equal(text, "dma_12");
	assert_int_equal(writer.at, 6);
	assert_false(writer.overflow);
}

static void text_fits_to_the_last_byte(void **state)
{
	char text[4];
	struct buf_writer writer = buf_text_over(text, sizeof(text));

	(void)state;
	buf_text(&writer, "abc");
	assert_false(writer.overflow);
	assert_string_equal(text, "abc");
	buf_text(&writer, "d");
	assert_true(writer.overflow);
	assert_string_equal(text, "abc");
}

static void text_that_does_not_fit_is_cut_for_good(void **state)
{
	char text[4];
	struct buf_writer writer = buf_text_over(text, sizeof(text));

	(void)state;
	buf_text(&writer, "a");
	buf_text(&writer, "%d", 12345);
	assert_true(writer.overflow);
	assert_string_equal(text, "a12");
	buf_text(&writer, "x");
	assert_string_equal(text, "a12");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_reads_to_the_last_byte),
		cmocka_unit_test(reader_overflow_is_sticky_and_reads_zero),
		cmocka_unit_test(reader_skip_can_not_wrap),
		cmocka_unit_test(reader_over_nothing_is_empty),
		cmocka_unit_test(text_is_appended_and_terminated),
		cmocka_unit_test(text_fits_to_the_last_byte),
		cmocka_unit_test(text_that_does_not_fit_is_cut_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
