/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of pack: programs to bytes and back, and steps to the bytes of their messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pack.h"
#include "random_program.h"
#include "text.h"

#define PROGRAMS 100000
#define HEADER sizeof(struct wire_header)

static struct program one, two;
static uint8_t bytes[PACK_SIZE], again[PACK_SIZE], message[PACK_MESSAGE];

static void parse(const char *text)
{
	struct text_error error;

	if (text_parse(&one, text, strlen(text), &error) < 0)
		fail_msg("%s\n%u:%u: %s", text, error.line, error.column, error.text);
}

/* The message of step 0 with id 7, as many bytes as are wanted. */
static void build(const struct pack_context *context, int want)
{
	memset(message, 0xee, 256);
	assert_int_equal(pack_message(&one, &one.step[0], context, message, sizeof(message)), want);
}

static uint64_t load(size_t at, size_t width)
{
	uint16_t two_bytes;
	uint32_t four_bytes;
	uint64_t eight_bytes;

	memcpy(&two_bytes, message + at, sizeof(two_bytes));
	memcpy(&four_bytes, message + at, sizeof(four_bytes));
	memcpy(&eight_bytes, message + at, sizeof(eight_bytes));
	return width == 8 ? eight_bytes : width == 4 ? four_bytes : two_bytes;
}

static void assert_header(uint16_t command, uint32_t size, uint32_t flags)
{
	struct wire_header header;

	memcpy(&header, message, sizeof(header));
	assert_int_equal(header.id, 7);
	assert_int_equal(header.command, command);
	assert_int_equal(header.msg_size, size);
	assert_int_equal(header.flags, flags);
	assert_int_equal(header.error, 0);
}

/* ---- programs ---- */

static void any_program_is_unpacked_as_it_was_packed(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < PROGRAMS; seed++) {
		int length;

		random_program(&one, seed);
		length = pack_program(&one, bytes, sizeof(bytes));
		assert_true(length >= 0);
		pack_parse(&two, bytes, (size_t)length);
		if (!program_equal(&one, &two))
			fail_msg("seed %d is another program", (int)seed);
	}
}

static void any_bytes_are_a_program_that_packs_to_itself(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (uint32_t round = 0; round < PROGRAMS / 4; round++) {
		size_t size = random_next(&random) % 200;
		int length;

		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(random_next(&random) >> (random & 7));
		pack_parse(&one, bytes, size);
		length = pack_program(&one, bytes, sizeof(bytes));
		assert_true(length >= 0);
		pack_parse(&two, bytes, (size_t)length);
		assert_true(program_equal(&one, &two));
		assert_int_equal(pack_program(&two, again, sizeof(again)), length);
		assert_memory_equal(bytes, again, (size_t)length);
	}
}

static void no_bytes_are_the_empty_program(void **state)
{
	(void)state;
	pack_parse(&one, NULL, 0);
	assert_int_equal(one.count, 0);
	assert_int_equal(one.seed, 0);
	assert_int_equal(pack_program(&one, bytes, 0), 0);
}

static void a_usual_program_is_short(void **state)
{
	(void)state;
	parse("r0 = memfd(size=0x4000)\n"
	      "version(caps={\"capabilities\":{\"max_msg_fds\":8}})\n"
	      "dma_map(flags=READ|WRITE, address=0x10000, size=0x4000, fd=r0)\n"
	      "dma_unmap(address=0x10000, size=0x1000) (expect: error)\n");
	assert_true(pack_program(&one, bytes, sizeof(bytes)) < 100);
}

static void records_mean_the_same_wherever_they_stand(void **state)
{
	int first, second;

	(void)state;
	parse("raw(data=\"abc\")\nclose(r3)");
	first = pack_program(&one, bytes, sizeof(bytes));
	parse("dma_map(size=pgsize, fd=r1*3) (repeat: 2, stride.size: 1, pieces: 4/2)");
	second = pack_program(&one, bytes + first, sizeof(bytes) - (size_t)first);
	pack_parse(&two, bytes, (size_t)first + (size_t)second);
	parse("raw(data=\"abc\")\nclose(r3)\n"
	      "dma_map(size=pgsize, fd=r1*3) (repeat: 2, stride.size: 1, pieces: 4/2)");
	assert_true(program_equal(&one, &two));
}

static void the_largest_program_fits(void **state)
{
	static uint8_t data[PROGRAM_BYTES];

	(void)state;
	program_clear(&one);
	for (uint32_t i = 0; i < PROGRAM_STEPS; i++) {
		struct program_step *step = program_insert(&one, i);

		memset(step, 0xff, sizeof(*step));
		step->op = PROGRAM_SEND;
		step->command = WIRE_DEVICE_GET_REGION_INFO;
		step->nfds = PROGRAM_FDS;
		step->npieces = PROGRAM_PIECES;
		step->data = (struct program_data){ 0 };
	}
	memset(data, 0x5a, sizeof(data));
	assert_int_equal(program_set_data(&one, &one.step[9], data, sizeof(data)), 0);
	program_fix(&one);
	assert_true(pack_program(&one, bytes, sizeof(bytes)) > 0);
	pack_parse(&two, bytes, (size_t)pack_program(&one, bytes, sizeof(bytes)));
	assert_true(program_equal(&one, &two));
	assert_int_equal(pack_program(&one, bytes, 1000), -ENOSPC);
}

/* ---- messages ---- */

static void what_is_not_given_is_filled_in(void **state)
{
	const struct pack_context context = { .id = 7 };

	(void)state;
	parse("dma_map(flags=READ|WRITE, address=0x10000, size=0x4000)");
	build(&context, 48);
	assert_header(WIRE_DMA_MAP, 48, 0);
	assert_int_equal(load(16, 4), 32);
	assert_int_equal(load(20, 4), 3);
	assert_int_equal(load(24, 8), 0);
	assert_int_equal(load(32, 8), 0x10000);
	assert_int_equal(load(40, 8), 0x4000);
	parse("region_write(offset=8, region=BAR1, data=\"abcd\") (no_reply)");
	build(&context, 36);
	assert_header(WIRE_REGION_WRITE, 36, WIRE_NO_REPLY);
	assert_int_equal(load(28, 4), 4);
	assert_memory_equal(message + 32, "abcd", 4);
	parse("mig_data_read(size=4096)");
	build(&context, 24);
	assert_int_equal(load(16, 4), 8 + 4096);
	parse("device_set_irqs(data=u32(1,2))");
	build(&context, 44);
	assert_int_equal(load(16, 4), 28);
	parse("device_reset()");
	build(&context, 16);
	assert_header(WIRE_DEVICE_RESET, 16, 0);
	parse("send(99, data=0xab*3)");
	build(&context, 19);
	assert_header(99, 19, 0);
	assert_memory_equal(message + 16, "\xab\xab\xab", 3);
}

static void what_is_given_is_kept(void **state)
{
	const struct pack_context context = { .id = 3 };

	(void)state;
	parse("dma_map(header.id=7, header.command=9, header.msg_size=1, header.flags=0x10,"
	      " argsz=5) (no_reply)");
	build(&context, 48);
	assert_header(9, 1, 0x10);
	assert_int_equal(load(16, 4), 5);
	parse("raw(data=\"no message\")");
	build(&context, 10);
	assert_memory_equal(message, "no message", 10);
}

static void bases_and_strides_are_added(void **state)
{
	const uint64_t sizes[] = { 0x100, 0x200 };
	const struct pack_context context = {
		.id = 7, .round = 3, .region_size = sizes, .regions = 2,
		.base = { [PROGRAM_MAX_DATA_XFER_SIZE] = 1000, [PROGRAM_PGSIZE] = 4096 },
	};

	(void)state;
	parse("region_read(offset=region_size-1, region=BAR1, count=max_data_xfer_size+1)"
	      " (repeat: 9, stride.offset: 0x10)");
	build(&context, 32);
	assert_int_equal(load(16, 8), 0x200 - 1 + 0x30);
	assert_int_equal(load(24, 4), 1);
	assert_int_equal(load(28, 4), 1001);
	parse("region_read(offset=region_size, region=7)");
	build(&context, 32);
	assert_int_equal(load(16, 8), 0);
	parse("dma_map(size=pgsize-4097) (repeat: 4, stride.header.id: 2)");
	build(&context, 48);
	assert_int_equal(load(40, 8), UINT64_MAX);
	assert_int_equal(load(0, 2), 13);
}

static void a_reply_follows_its_request(void **state)
{
	uint8_t request[HEADER + sizeof(struct wire_dma_access)] = { 0 };
	const struct wire_header header = { .id = 7, .command = WIRE_DMA_READ, .msg_size = 32 };
	const struct wire_dma_access access = { .address = 0x5000, .count = 8 };
	const struct pack_context context = { .id = 1, .request = request,
					      .request_size = sizeof(request) };

	(void)state;
	memcpy(request, &header, sizeof(header));
	memcpy(request + HEADER, &access, sizeof(access));
	parse("reply()");
	build(&context, 40);
	assert_header(WIRE_DMA_READ, 40, WIRE_TYPE_REPLY);
	assert_int_equal(load(16, 8), 0x5000);
	assert_int_equal(load(24, 8), 8);
	assert_int_equal(load(32, 8), 0);
	parse("reply(dma_read, count=4, data=\"wxyz\")");
	build(&context, 36);
	assert_int_equal(load(16, 8), 0x5000);
	assert_int_equal(load(24, 8), 4);
	assert_memory_equal(message + 32, "wxyz", 4);
	parse("reply(header.error=EFAULT)");
	build(&context, 16);
	assert_int_equal(load(8, 4), WIRE_TYPE_REPLY | WIRE_ERROR);
	assert_int_equal(load(12, 4), EFAULT);
	parse("reply(dma_read, header.error=EFAULT, count=0)");
	build(&context, 32);
	parse("reply()");
	build(&(const struct pack_context){ .id = 1 }, 16);
	assert_int_equal(load(0, 4), 0);
}

static void a_slot_is_written_register_by_register(void **state)
{
	struct pack_context context = { .id = 7 };

	(void)state;
	parse("slot(2, cmd=READ|DIRECT, src=0x10000, len=64) (repeat: 2, stride.src: 0x1000)");
	assert_int_equal(pack_parts(&one.step[0]), 3);
	context.round = 1;
	build(&context, 40);
	assert_header(WIRE_REGION_WRITE, 40, 0);
	assert_int_equal(load(16, 8), 0x188);
	assert_int_equal(load(24, 4), 0);
	assert_int_equal(load(28, 4), 8);
	assert_int_equal(load(32, 8), 0x11000);
	context.part = 1;
	build(&context, 36);
	assert_int_equal(load(16, 8), 0x198);
	assert_int_equal(load(32, 4), 64);
	context.part = 2;
	build(&context, 36);
	assert_int_equal(load(16, 8), 0x180);
	assert_int_equal(load(32, 4), 0x11);
	context.part = 3;
	build(&context, -EINVAL);
	parse("slot(1, pat=3)");
	context.part = 0;
	build(&context, 36);
	assert_int_equal(load(16, 8), 0x164);
	context.part = 1;
	build(&context, -EINVAL);
	context.part = 0;
	parse("poke(7, step=END)");
	build(&context, 36);
	assert_int_equal(load(16, 8), 0x2fc);
	assert_int_equal(load(32, 4), 2);
	parse("barrier()");
	assert_int_equal(pack_parts(&one.step[0]), 0);
	build(&context, -EINVAL);
}

static void a_message_without_room_is_not_written(void **state)
{
	const struct pack_context context = { .id = 7 };

	(void)state;
	parse("dma_map(data=\"x\")");
	assert_int_equal(pack_message(&one, one.step, &context, message, 48), -ENOSPC);
	assert_int_equal(pack_message(&one, one.step, &context, message, 49), 49);
	parse("raw(data=\"x\")");
	assert_int_equal(pack_message(&one, one.step, &context, message, 0), -ENOSPC);
	parse("slot(0, src=1)");
	assert_int_equal(pack_message(&one, one.step, &context, message, 39), -ENOSPC);
}

/* ---- and back ---- */

static void assert_records(const char *step)
{
	char text[512];

	assert_true(text_print_step(&two, &two.step[0], text, sizeof(text)) >= 0);
	assert_string_equal(text, step);
}

/* The bytes of the step, taken for what was seen on a socket, are the step again. */
static void assert_back(const char *step)
{
	const struct pack_context context = { .id = 7 };
	int size;

	parse(step);
	size = pack_message(&one, one.step, &context, message, sizeof(message));
	assert_true(size >= 0);
	program_clear(&two);
	assert_int_equal(pack_unmessage(&two, program_insert(&two, 0), message, (size_t)size), 0);
	assert_records(step);
}

static void a_recorded_message_is_the_step_that_sends_it(void **state)
{
	(void)state;
	assert_back("version(caps={\"capabilities\":{}})");
	assert_back("dma_map(flags=READ, address=0x1000, size=0x2000)");
	assert_back("device_get_info(argsz=8)");
	assert_back("region_write(offset=0x10, region=BAR2, data=\"abc\")");
	assert_back("region_write(region=BAR2, count=9, data=\"abc\")");
	assert_back("device_reset() (no_reply)");
	assert_back("device_reset(header.flags=NO_REPLY|ERROR)");
	assert_back("send(99, header.msg_size=4, data=\"abc\")");
	assert_back("reply(dma_write, address=0x10, count=4)");
	assert_back("reply(dma_read, header.error=EFAULT)");
}

static void a_message_cut_short_is_recorded_as_such(void **state)
{
	const struct wire_header header = { .command = WIRE_DMA_MAP, .msg_size = 22 };
	const struct pack_context context = { 0 };
	struct program_step *step;

	(void)state;
	memset(bytes, 0x11, 22);
	memcpy(bytes, &header, sizeof(header));
	program_clear(&two);
	step = program_insert(&two, 0);
	assert_int_equal(pack_unmessage(&two, step, bytes, 22), 0);
	assert_records("dma_map(header.msg_size=0x16, argsz=0x11111111, flags=READ|PASID(1)|0x10)"
		       " (cut: 22)");
	assert_int_equal(pack_message(&two, step, &context, message, sizeof(message)), 48);
	assert_memory_equal(message, bytes, 22);
	assert_int_equal(pack_unmessage(&two, step, bytes, 15), -EINVAL);
}

static void any_message_is_sent_as_it_was_recorded(void **state)
{
	uint64_t random = 3;

	(void)state;
	for (uint32_t round = 0; round < PROGRAMS / 4; round++) {
		struct wire_header header = { .id = (uint16_t)round,
					      .command = (uint16_t)(random_next(&random) % 20) };
		struct pack_context context = { .id = header.id };
		size_t size = HEADER + random_next(&random) % 80;
		struct program_step *step;

		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(random_next(&random) % 3);
		header.msg_size = round & 1 ? (uint32_t)size : (uint32_t)random_next(&random);
		header.flags = (uint32_t)random_next(&random) & 0x31;
		header.error = (uint32_t)random_next(&random) & 1;
		memcpy(bytes, &header, sizeof(header));
		context.request = bytes;
		context.request_size = HEADER;
		program_clear(&one);
		step = program_insert(&one, 0);
		assert_int_equal(pack_unmessage(&one, step, bytes, size), 0);
		program_copy(&two, &one);
		program_fix(&two);
		assert_true(program_equal(&one, &two));
		assert_true(pack_message(&one, step, &context, message, sizeof(message)) >=
			    (int)size);
		assert_memory_equal(message, bytes, size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_program_is_unpacked_as_it_was_packed),
		cmocka_unit_test(any_bytes_are_a_program_that_packs_to_itself),
		cmocka_unit_test(no_bytes_are_the_empty_program),
		cmocka_unit_test(a_usual_program_is_short),
		cmocka_unit_test(records_mean_the_same_wherever_they_stand),
		cmocka_unit_test(the_largest_program_fits),
		cmocka_unit_test(what_is_not_given_is_filled_in),
		cmocka_unit_test(what_is_given_is_kept),
		cmocka_unit_test(bases_and_strides_are_added),
		cmocka_unit_test(a_reply_follows_its_request),
		cmocka_unit_test(a_slot_is_written_register_by_register),
		cmocka_unit_test(a_message_without_room_is_not_written),
		cmocka_unit_test(a_recorded_message_is_the_step_that_sends_it),
		cmocka_unit_test(a_message_cut_short_is_recorded_as_such),
		cmocka_unit_test(any_message_is_sent_as_it_was_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
