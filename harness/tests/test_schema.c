/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of schema: the tables are complete and agree with each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "schema.h"

/* All that enum wire_command has. A number that is added there makes the switch below warn. */
static const enum wire_command numbers[] = {
	WIRE_VERSION, WIRE_DMA_MAP, WIRE_DMA_UNMAP, WIRE_DEVICE_GET_INFO,
	WIRE_DEVICE_GET_REGION_INFO, WIRE_DEVICE_GET_REGION_IO_FDS, WIRE_DEVICE_GET_IRQ_INFO,
	WIRE_DEVICE_SET_IRQS, WIRE_REGION_READ, WIRE_REGION_WRITE, WIRE_DMA_READ, WIRE_DMA_WRITE,
	WIRE_DEVICE_RESET, WIRE_REGION_WRITE_MULTI, WIRE_DEVICE_FEATURE, WIRE_MIG_DATA_READ,
	WIRE_MIG_DATA_WRITE,
};

static const char *name_of(enum wire_command number)
{
	switch (number) {
	case WIRE_VERSION: return "VERSION";
	case WIRE_DMA_MAP: return "DMA_MAP";
	case WIRE_DMA_UNMAP: return "DMA_UNMAP";
	case WIRE_DEVICE_GET_INFO: return "DEVICE_GET_INFO";
	case WIRE_DEVICE_GET_REGION_INFO: return "DEVICE_GET_REGION_INFO";
	case WIRE_DEVICE_GET_REGION_IO_FDS: return "DEVICE_GET_REGION_IO_FDS";
	case WIRE_DEVICE_GET_IRQ_INFO: return "DEVICE_GET_IRQ_INFO";
	case WIRE_DEVICE_SET_IRQS: return "DEVICE_SET_IRQS";
	case WIRE_REGION_READ: return "REGION_READ";
	case WIRE_REGION_WRITE: return "REGION_WRITE";
	case WIRE_DMA_READ: return "DMA_READ";
	case WIRE_DMA_WRITE: return "DMA_WRITE";
	case WIRE_DEVICE_RESET: return "DEVICE_RESET";
	case WIRE_REGION_WRITE_MULTI: return "REGION_WRITE_MULTI";
	case WIRE_DEVICE_FEATURE: return "DEVICE_FEATURE";
	case WIRE_MIG_DATA_READ: return "MIG_DATA_READ";
	case WIRE_MIG_DATA_WRITE: return "MIG_DATA_WRITE";
	}
	return NULL;
}

static void every_wire_command_has_a_row_with_its_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		const struct schema_command *row = schema_command(numbers[i]);

		assert_non_null(row);
		assert_string_equal(row->name, name_of(numbers[i]));
		assert_int_equal(row->direction == SCHEMA_TO_CLIENT,
				 numbers[i] == WIRE_DMA_READ || numbers[i] == WIRE_DMA_WRITE);
	}
	assert_null(schema_command(0));
	assert_null(schema_command(14));
	assert_null(schema_command(0xffff));
	assert_null(schema_command(SCHEMA_CAP_HEADER));
}

static void commands_of_the_extension_stand_apart(void **state)
{
	(void)state;
	assert_string_equal(schema_command(WIRE_PAGE_REQUEST)->name, "PAGE_REQUEST");
	assert_int_equal(schema_command(WIRE_PAGE_REQUEST)->direction, SCHEMA_TO_CLIENT);
	assert_string_equal(schema_command(WIRE_PAGE_RESPONSE)->name, "PAGE_RESPONSE");
	assert_int_equal(schema_command(WIRE_PAGE_RESPONSE)->direction, SCHEMA_TO_SERVER);
	assert_null(schema_command(WIRE_POC_PAGE_REQUEST));
	assert_null(schema_command(WIRE_PAGE_RESPONSE + 1));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		assert_true(numbers[i] < SCHEMA_EXTENSION);
}

static void names_and_numbers_of_commands_are_unique(void **state)
{
	const struct schema_command *rows;
	size_t count = schema_commands(&rows);
	size_t on_the_wire = 0;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		on_the_wire += rows[i].number < SCHEMA_EXTENSION;
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(rows[i].name, rows[j].name);
			assert_int_not_equal(rows[i].number, rows[j].number);
		}
	}
	assert_int_equal(on_the_wire, sizeof(numbers) / sizeof(*numbers));
}

/* The rows of a message are in order, touch, end at its fixed size, and then a tail may stand. */
static void check_message(uint32_t number, uint32_t in_reply, uint32_t size)
{
	const struct schema_field *rows;
	size_t count = schema_fields(&rows);
	bool tail = false;
	uint32_t at = 0;

	for (size_t i = 0; i < count; i++) {
		const struct schema_field *row = &rows[i];

		if (row->command != number || row->in_reply != in_reply)
			continue;
		assert_false(tail);
		assert_int_equal(row->offset, at);
		tail = row->role == SCHEMA_DATA;
		assert_int_equal(row->width == 0, tail);
		assert_true(row->width <= 8 && (row->width & (row->width - 1)) == 0);
		at += row->width;
	}
	assert_int_equal(at, size);
}

static void fields_cover_the_fixed_part_without_hole_or_overlap(void **state)
{
	const struct schema_command *rows;
	size_t count = schema_commands(&rows);

	(void)state;
	check_message(SCHEMA_HEADER, 0, sizeof(struct wire_header));
	check_message(SCHEMA_HEADER, 1, 0);
	for (size_t i = 0; i < count; i++) {
		check_message(rows[i].number, 0, rows[i].request_size);
		check_message(rows[i].number, 1, rows[i].reply_size);
	}
}

static bool is_command_or_header(uint32_t number)
{
	const struct schema_command *rows;
	size_t count = schema_commands(&rows);

	for (size_t i = 0; i < count; i++)
		if (rows[i].number == number)
			return true;
	return number == SCHEMA_HEADER;
}

static bool is_set(const char *name)
{
	const struct schema_constant *rows;
	size_t count = schema_constants(&rows);

	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].set, name) == 0)
			return true;
	return false;
}

static void every_field_belongs_to_a_message_and_its_constants_exist(void **state)
{
	const struct schema_field *rows;
	size_t count = schema_fields(&rows);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_true(is_command_or_header(rows[i].command));
		assert_true(rows[i].in_reply <= 1);
		assert_true(rows[i].role <= SCHEMA_DATA);
		if (rows[i].role == SCHEMA_FLAGS)
			assert_non_null(rows[i].constants);
		if (rows[i].constants)
			assert_true(is_set(rows[i].constants));
	}
}

static void names_of_fields_are_unique_in_their_message(void **state)
{
	const struct schema_field *rows;
	size_t count = schema_fields(&rows);

	(void)state;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			if (rows[i].command == rows[j].command &&
			    rows[i].in_reply == rows[j].in_reply)
				assert_string_not_equal(rows[i].name, rows[j].name);
}

static void constants_are_unique_and_their_sets_stand_together(void **state)
{
	const struct schema_constant *rows;
	size_t count = schema_constants(&rows);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		bool same = i && strcmp(rows[i].set, rows[i - 1].set) == 0;

		for (size_t j = 0; j < i; j++) {
			if (strcmp(rows[i].set, rows[j].set) != 0)
				continue;
			assert_true(same);
			assert_string_not_equal(rows[i].name, rows[j].name);
		}
	}
}

static void argsz_is_found_where_there_is_one(void **state)
{
	(void)state;
	assert_null(schema_argsz(WIRE_VERSION));
	assert_null(schema_argsz(WIRE_REGION_READ));
	assert_null(schema_argsz(0xffff));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		const struct schema_field *row = schema_argsz(numbers[i]);

		if (!row)
			continue;
		assert_string_equal(row->name, "argsz");
		assert_int_equal(row->offset, 0);
		assert_int_equal(row->width, 4);
	}
	assert_non_null(schema_argsz(WIRE_DEVICE_GET_INFO));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wire_command_has_a_row_with_its_name),
		cmocka_unit_test(commands_of_the_extension_stand_apart),
		cmocka_unit_test(names_and_numbers_of_commands_are_unique),
		cmocka_unit_test(fields_cover_the_fixed_part_without_hole_or_overlap),
		cmocka_unit_test(every_field_belongs_to_a_message_and_its_constants_exist),
		cmocka_unit_test(names_of_fields_are_unique_in_their_message),
		cmocka_unit_test(constants_are_unique_and_their_sets_stand_together),
		cmocka_unit_test(argsz_is_found_where_there_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
