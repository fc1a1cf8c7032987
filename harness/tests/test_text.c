/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of text: what is printed is read again as the same, and mistakes are shown where they
 * are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "random_program.h"
#include "text.h"

#define PROGRAMS 100000
#define SEEDS "corpus/seed"

static struct program one, two;
static char text[TEXT_SIZE], again[TEXT_SIZE];

static void parse(struct program *program, const char *what)
{
	struct text_error error;
	int result = text_parse(program, what, strlen(what), &error);

	if (result < 0)
		fail_msg("%s\n%u:%u: %s", what, error.line, error.column, error.text);
}

static void assert_prints(const char *what, const char *want)
{
	parse(&one, what);
	assert_true(text_print(&one, text, sizeof(text)) >= 0);
	assert_string_equal(text, want);
	parse(&two, text);
	assert_true(program_equal(&one, &two));
}

/* The text that stands for itself. */
static void assert_same(const char *what)
{
	assert_prints(what, what);
}

static void assert_refused(const char *what, uint32_t line, uint32_t column, const char *why)
{
	struct text_error error;

	assert_int_equal(text_parse(&one, what, strlen(what), &error), -EINVAL);
	assert_string_equal(error.text, why);
	assert_int_equal(error.line, line);
	assert_int_equal(error.column, column);
	assert_int_equal(one.count, 0);
}

static void any_program_is_read_as_it_was_printed(void **state)
{
	struct text_error error;

	(void)state;
	for (uint64_t seed = 0; seed < PROGRAMS; seed++) {
		int length;

		random_program(&one, seed);
		length = text_print(&one, text, sizeof(text));
		assert_true(length >= 0);
		if (text_parse(&two, text, (size_t)length, &error) < 0)
			fail_msg("seed %d: %u:%u: %s\n%s", (int)seed, error.line, error.column,
				 error.text, text);
		if (!program_equal(&one, &two))
			fail_msg("seed %d is another program:\n%s", (int)seed, text);
		if (seed % 16)
			continue;
		assert_int_equal(text_print(&two, again, sizeof(again)), length);
		assert_string_equal(text, again);
	}
}

static void every_op_is_printed_and_read(void **state)
{
	(void)state;
	assert_same("seed(4294967295)\n"
		    "dma_map(flags=READ|WRITE, address=0x10000, size=0x4000, fd=r0)\n"
		    "send(99, data=\"abc\")\n"
		    "raw(data=\"\\x00\\xff\\n\\\\\\\"\", fds=[r0, r1*16])\n"
		    "reply()\n"
		    "reply(header.error=EFAULT)\n"
		    "reply(dma_read, address=0x1000, count=4, data=0xab*4)\n"
		    "reply(77)\n"
		    "await()\n"
		    "close(r15)\n"
		    "truncate(r1, size=0x1000)\n"
		    "punch(r1, offset=0x1000, size=0x2000)\n"
		    "fill(r1, offset=0, size=0x1000, seed=0x11)\n"
		    "check(r1, offset=0, size=0x1000, seed=0x11)\n"
		    "connect(c1)\n"
		    "disconnect(c1)\n"
		    "shutdown(c0)\n"
		    "slot(7, cmd=COPY|MESSAGES|IRQ, ctl=MID|DRAIN, src=0x1000, dst=0x20, len=64)\n"
		    "poke(7, step=ABORT)\n"
		    "door(7, step=NEXT, state=HELD, not=WAIT_PAGE) (on: c1)\n"
		    "door(0, state=REST)\n"
		    "await(pages=2, requests=1) (expect: ok)\n"
		    "guard()\n"
		    "tick(ms=100)\n"
		    "barrier()\n");
	assert_same("r0 = memfd(size=0x4000, seals=SHRINK|GROW)\n"
		    "r1 = eventfd(size=12)\n"
		    "r1 = eventfd(size=0xfffffffffffffffe)\n"
		    "r2 = pipe()\n"
		    "r3 = socket()\n"
		    "r4 = directory()\n"
		    "r5 = self() (on: c2)\n"
		    "r6 = null()\n");
	assert_same("version(caps={\"capabilities\":{\"max_msg_fds\":8}})\n");
	assert_same("device_feature(flags=MIG_DEVICE_STATE|SET, data=\"\\x02\\x00\")\n");
	assert_same("device_feature(flags=MIG_DEVICE_STATE|SET, data=u32(1, 0xffffffff))\n");
}

static void every_property_is_printed_and_read(void **state)
{
	(void)state;
	assert_same("device_reset() (expect: ok)\n"
		    "device_reset() (expect: error)\n"
		    "device_reset() (expect: error EINVAL)\n"
		    "device_reset() (expect: error 600)\n"
		    "device_reset() (expect: closed)\n"
		    "device_reset() (expect: silence)\n"
		    "device_reset() (nowait, no_reply, twin, maybe)\n"
		    "device_reset() (cut: 12)\n"
		    "dma_map(address=0x1000) (repeat: 262144, stride.address: 0x1000)\n"
		    "device_reset() (repeat: 2, stride.header.id: 1)\n"
		    "slot(1, src=0) (repeat: 2, stride.src: 0x10)\n"
		    "raw(data=0x0*64, fd=r1*2) (pieces: 16/1 48 50/255)\n"
		    "device_reset() (lane: 3, on: c1)\n"
		    "await() (expect: closed, on: c3)\n"
		    "r0 = memfd(size=0x1000) (read_only, lane: 1)\n");
}

static void bases_take_numbers_up_and_down(void **state)
{
	(void)state;
	assert_same("region_read(offset=region_size-1, region=BAR0, count=max_data_xfer_size+1)\n"
		    "dma_map(offset=pgsize, address=max_dma_maps, size=pgsize+0x11170)\n");
	assert_int_equal(one.step[0].field[5].number, UINT64_MAX);
	assert_int_equal(one.step[0].field[7].base, PROGRAM_MAX_DATA_XFER_SIZE);
	assert_int_equal(one.step[0].field[7].number, 1);
}

static void attribute_words_have_names(void **state)
{
	(void)state;
	assert_same("dma_map(flags=REPLACE|READ|PASID(3), size=0x1000)\n");
	assert_same("dma_map(flags=BACKING|INDIRECT|WRITE|PASID(0)|0x10)\n");
	assert_same("dma_unmap(flags=ALL|RANGE|BACKING|PASID(0xfffff))\n");
	assert_same("slot(0, cmd=FILL|PAGES|TRANSLATE|PASID(9))\n");
	assert_prints("dma_unmap(flags=0x3300)", "dma_unmap(flags=RANGE|PASID(3))\n");
	assert_prints("dma_map(flags=0x3000)", "dma_map(flags=0x3000)\n");
	assert_same("page_response(cookie=cookie+1, code=INVALID)\n");
	assert_same("page_response(cookie=cookie7, code=FAILURE)\n");
	assert_same("pages(how=AT_ONCE, fd=r3) (on: c1)\n");
	assert_refused("dma_map(flags=PASID(1048576))", 1, 21, "1048576 is above 1048575");
	assert_refused("dma_map(flags=PASID)", 1, 20, "')' where '(' is wanted");
}

static void what_can_be_written_in_many_ways_is_printed_in_one(void **state)
{
	(void)state;
	assert_prints("\n  # what follows means the same\n"
		      "dma_map( size = 4096,flags=2|READ , address=-4096 )# [DMA-MAP-001]\r\n",
		      "dma_map(flags=READ|WRITE, address=0xfffffffffffff000, size=0x1000)\n");
	assert_prints("send(2, argsz=32)", "dma_map(argsz=32)\n");
	assert_prints("raw(data=u8(1,2)+u16(0x203)+\"a\"+u32(7)+u64(0))",
		      "raw(data=\"\\x01\\x02\\x03\\x02a\\x07" "\\x00\\x00\\x00\\x00\\x00"
		      "\\x00\\x00\\x00\\x00\\x00\\x00\")\n");
	assert_prints("device_set_irqs(flags=DATA_NONE|ACTION_TRIGGER, index=MSIX, count=1)",
		      "device_set_irqs(flags=DATA_NONE|ACTION_TRIGGER, index=MSIX, count=1)\n");
	assert_prints("device_get_region_info(index=NUM)", "device_get_region_info(index=9)\n");
	assert_prints("raw(data=0*0, fds=[])", "raw()\n");
	assert_prints("tick()", "tick(ms=0)\n");
	assert_prints("device_reset(header.flags=REPLY|0x40, command=3)",
		      "device_reset(header.command=3, header.flags=REPLY|0x40)\n");
	assert_prints("slot(0, cmd=NOP)", "slot(0, cmd=0)\n");
	assert_prints("slot(0, cmd=0xf|ARMED)", "slot(0, cmd=ARMED|0xf)\n");
	assert_prints("", "");
}

static void a_step_knows_its_line(void **state)
{
	(void)state;
	parse(&one, "# first\n\nbarrier()\n\ntick(ms=1)");
	assert_int_equal(one.step[0].line, 3);
	assert_int_equal(one.step[1].line, 5);
	assert_true(text_print_step(&one, &one.step[1], text, sizeof(text)) > 0);
	assert_string_equal(text, "tick(ms=1)");
}

static void unknown_names_are_guessed(void **state)
{
	(void)state;
	assert_refused("barrier()\n  dma_mpa()\n", 2, 3,
		       "no step \"dma_mpa\"; did you mean \"dma_map\"?");
	assert_refused("dma_map(adress=1)", 1, 9,
		       "no argument \"adress\"; did you mean \"address\"?");
	assert_refused("dma_map(flags=READ|WRIT)", 1, 20,
		       "no value \"WRIT\"; did you mean \"WRITE\"?");
	assert_refused("dma_map(size=pagesize)", 1, 14,
		       "no value \"pagesize\"; did you mean \"pgsize\"?");
	assert_refused("r0 = memfile()", 1, 6,
		       "no kind of descriptor \"memfile\"; did you mean \"memfd\"?");
	assert_refused("await() (expct: ok)", 1, 10,
		       "no property \"expct\"; did you mean \"expect\"?");
	assert_refused("await() (expect: okay)", 1, 18,
		       "no outcome \"okay\"; did you mean \"ok\"?");
	assert_refused("await() (expect: error EINVALID)", 1, 24,
		       "no value \"EINVALID\"; did you mean \"EINVAL\"?");
	assert_refused("reply(dma_raed)", 1, 7,
		       "no command \"dma_raed\"; did you mean \"dma_read\"?");
	assert_refused("dma_map() (stride.adress: 1)", 1, 19,
		       "no field \"adress\"; did you mean \"address\"?");
	assert_refused("raw(data=u33(1))", 1, 10,
		       "no kind of data \"u33\"; did you mean \"u32\"?");
	assert_refused("zzzzzzzzzzzz()", 1, 1, "no step \"zzzzzzzzzzzz\"");
}

static void what_does_not_fit_is_refused_where_it_stands(void **state)
{
	(void)state;
	assert_refused("version(major=65536)", 1, 15, "65536 is above 65535");
	assert_refused("dma_map(size=0x10000000000000000)", 1, 14,
		       "a number of more than 64 bits");
	assert_refused("dma_map(size=)", 1, 14, "a number is wanted");
	assert_refused("slot(8)", 1, 6, "8 is above 7");
	assert_refused("door(8)", 1, 6, "8 is above 7");
	assert_refused("door(0, state=11)", 1, 15, "11 is above 10");
	assert_refused("await(pages=257)", 1, 13, "257 is above 256");
	assert_refused("close(r16)", 1, 8, "16 is above 15");
	assert_refused("close(q1)", 1, 7, "r0 to r15 is wanted");
	assert_refused("q1 = memfd()", 1, 1, "r0 to r15 is wanted");
	assert_refused("r0 = self() (on: c4)", 1, 19, "4 is above 3");
	assert_refused("await() (lane: 4)", 1, 16, "4 is above 3");
	assert_refused("tick(ms=60001)", 1, 9, "60001 is above 60000");
	assert_refused("dma_map() (repeat: 0)", 1, 20, "at least 1 is wanted");
	assert_refused("dma_map() (stride.size: 1)", 1, 11, "a stride without repeat");
	assert_refused("raw(fd=r0*0)", 1, 11, "at least once is wanted");
	assert_refused("raw() (pieces: 4 4)", 1, 18, "a piece has to end behind the one before");
	assert_refused("raw() (pieces: 1 2 3 4 5)", 1, 24, "more than 4 pieces");
	assert_refused("r0 = memfd(seals=32)", 1, 18, "no such seals");
	assert_refused("raw(fds=[r0,r1,r2,r3,r4,r5,r6,r7,r8])", 1, 34,
		       "more than 8 different handles");
}

static void what_has_no_form_is_refused_where_it_stands(void **state)
{
	(void)state;
	assert_refused("barrier", 1, 8, "'(' is wanted");
	assert_refused("barrier(]", 1, 9, "an argument is wanted");
	assert_refused("dma_map(size=1 address=2)", 1, 16, "'a' where ',' is wanted");
	assert_refused("dma_map(size=1,)", 1, 16, "an argument is wanted");
	assert_refused("dma_map(size=1, size=2)", 1, 17, "\"size\" is given twice");
	assert_refused("raw(data=\"\", data=\"\")", 1, 14, "\"data\" is given twice");
	assert_refused("await() (lane: 1, lane: 1)", 1, 19, "\"lane\" is given twice");
	assert_refused("barrier() barrier()", 1, 11, "the end of the line is wanted");
	assert_refused("raw(data=\"abc\n\")", 1, 10, "the text has no end on its line");
	assert_refused("raw(data=\"\\q\")", 1, 11,
		       "\\n, \\r, \\t, \\\", \\\\ or \\x00 is wanted");
	assert_refused("raw(data=\"\\x0\")", 1, 11,
		       "\\n, \\r, \\t, \\\", \\\\ or \\x00 is wanted");
	assert_refused("version(caps={\"a\":{})", 1, 14,
		       "braces around text on one line are wanted");
	assert_refused("close(r0) (nowait)", 1, 12, "no property \"nowait\"");
	assert_refused("connect(c1) (on: c1)", 1, 14, "no property \"on\"");
	assert_refused("r0 = pipe(size=1)", 1, 11, "no argument \"size\"");
	assert_refused("r0 = pipe() (read_only)", 1, 14, "no property \"read_only\"");
	assert_refused("open(r0)", 1, 1, "no step \"open\"");
	assert_refused("7()", 1, 1, "a step is wanted");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	struct text_error error;

	(void)state;
	assert_int_equal(text_parse(&one, "barrier()\0", 10, &error), -EINVAL);
	assert_int_equal(error.column, 10);
	assert_int_equal(text_parse(&one, "\xff", 1, &error), -EINVAL);
	assert_int_equal(error.column, 1);
	/* In quotes and comments any byte may stand. */
	assert_int_equal(text_parse(&one, "raw(data=\"\xff\0\") # \xff", 17, &error), 0);
	assert_int_equal(one.step[0].data.size, 2);
}

static void too_much_is_refused(void **state)
{
	const size_t line = strlen("barrier()\n");
	static char many[(PROGRAM_STEPS + 1) * 10 + 1];
	static char large[PROGRAM_BYTES + 64];
	struct text_error error;
	size_t at = (size_t)snprintf(large, sizeof(large), "raw(data=\"");

	(void)state;
	for (size_t i = 0; i <= PROGRAM_STEPS; i++)
		memcpy(many + line * i, "barrier()\n", line + 1);
	assert_int_equal(text_parse(&one, many, line * PROGRAM_STEPS, &error), 0);
	assert_int_equal(text_parse(&one, many, sizeof(many) - 1, &error), -EINVAL);
	assert_int_equal(error.line, PROGRAM_STEPS + 1);
	memset(large + at, 'x', PROGRAM_BYTES);
	memcpy(large + at + PROGRAM_BYTES, "\")", 3);
	assert_int_equal(text_parse(&one, large, strlen(large), &error), 0);
	assert_int_equal(one.nbytes, PROGRAM_BYTES);
	memcpy(large + at + PROGRAM_BYTES, "x\")", 4);
	assert_int_equal(text_parse(&one, large, strlen(large), &error), -EINVAL);
}

static void text_without_room_is_cut(void **state)
{
	char small[8];

	(void)state;
	parse(&one, "barrier()");
	assert_int_equal(text_print(&one, small, sizeof(small)), -ENOSPC);
	assert_int_equal(text_print(&one, small, 0), -ENOSPC);
	assert_int_equal(text_print_step(&one, one.step, small, sizeof(small)), -ENOSPC);
	assert_string_equal(small, "barrier");
	assert_int_equal(text_print(&one, again, 11), 10);
	assert_int_equal(text_print(&one, again, 10), -ENOSPC);
}

/* As large as text gets: all bytes escaped, and as many steps as there can be. */
static void the_largest_program_fits(void **state)
{
	static uint8_t bytes[PROGRAM_BYTES];

	(void)state;
	program_clear(&one);
	one.seed = UINT32_MAX;
	for (uint32_t i = 0; i < PROGRAM_STEPS; i++) {
		struct program_step *step = program_insert(&one, i);

		memset(step, 0xff, sizeof(*step));
		step->op = PROGRAM_SEND;
		step->command = WIRE_DEVICE_GET_REGION_INFO;
		step->nfds = PROGRAM_FDS;
		step->npieces = PROGRAM_PIECES;
		step->expect = PROGRAM_ERROR;
		step->data = (struct program_data){ 0 };
		for (uint32_t k = 0; k < PROGRAM_FIELDS; k++)
			step->field[k].base = PROGRAM_MAX_DATA_XFER_SIZE;
	}
	assert_int_equal(program_set_data(&one, &one.step[3], bytes, sizeof(bytes)), 0);
	program_fix(&one);
	assert_true(text_print(&one, text, sizeof(text)) > 0);
	parse(&two, text);
	assert_true(program_equal(&one, &two));
}

/* The programs that the project comes with; tests run in its folder. */
static void every_seed_is_a_program(void **state)
{
	static char seed[1 << 16];
	DIR *dir = opendir(SEEDS);
	struct dirent *entry;
	uint32_t count = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		char path[300];
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), SEEDS "/%s", entry->d_name);
		file = fopen(path, "r");
		assert_non_null(file);
		seed[fread(seed, 1, sizeof(seed) - 1, file)] = '\0';
		fclose(file);
		parse(&one, seed);
		assert_true(text_print(&one, again, sizeof(again)) > 0);
		assert_same(again);
		count++;
	}
	closedir(dir);
	assert_true(count >= 30);
}

static void errors_have_names(void **state)
{
	(void)state;
	assert_string_equal(text_errno(EINVAL), "EINVAL");
	assert_null(text_errno(0));
	assert_null(text_errno(9999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_program_is_read_as_it_was_printed),
		cmocka_unit_test(every_op_is_printed_and_read),
		cmocka_unit_test(every_property_is_printed_and_read),
		cmocka_unit_test(bases_take_numbers_up_and_down),
		cmocka_unit_test(attribute_words_have_names),
		cmocka_unit_test(what_can_be_written_in_many_ways_is_printed_in_one),
		cmocka_unit_test(a_step_knows_its_line),
		cmocka_unit_test(unknown_names_are_guessed),
		cmocka_unit_test(what_does_not_fit_is_refused_where_it_stands),
		cmocka_unit_test(what_has_no_form_is_refused_where_it_stands),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(text_without_room_is_cut),
		cmocka_unit_test(the_largest_program_fits),
		cmocka_unit_test(every_seed_is_a_program),
		cmocka_unit_test(errors_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
