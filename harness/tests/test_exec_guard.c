/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unit tests of canaries in what was unmapped, over a server in memory that writes to the first
 * page of the last file that was passed to it when the device is reset.
 */
#include <stdio.h>

#include "fake_link.h"

static int passed;	/* still the run's */

static bool write_late(struct fake *fake, uint32_t connection, const struct wire_header *header,
		       const uint8_t *body)
{
	const struct fake_send *send = &fake->send[(fake->sends - 1) % FAKE_SENDS];

	(void)connection;
	(void)body;
	if (send->nfds)
		passed = send->fd[0];
	if (header->command == WIRE_DEVICE_RESET)
		assert_int_equal(pwrite(passed, "late", 4, 100), 4);
	return false;
}

/* How often a server like that is blamed, for no other reason. */
static uint32_t blamed(bool guard, const char *text)
{
	static struct program program;
	struct fake fake = { .odd = write_late, .twin = -1 };
	const struct exec_link link = { &fake_ops, &fake };
	const struct exec_options options = { .guard = guard };
	struct exec_finding finding;
	struct text_error error;
	struct exec *exec;
	int64_t findings;

	if (text_parse(&program, text, strlen(text), &error))
		fail_msg("line %u: %s", error.line, error.text);
	assert_int_equal(exec_new(&link, &options, &exec), 0);
	findings = exec_run(exec, &program);
	assert_true(findings >= 0);
	for (uint32_t i = 0; i < (uint32_t)findings; i++) {
		exec_findings(exec, i, &finding);
		assert_string_equal(finding.what.requirement, "DMA-UNMAP-006");
		assert_int_equal(program.step[finding.step].command, WIRE_DMA_UNMAP);
	}
	exec_free(exec);
	return (uint32_t)findings;
}

#define MAPPED "version()\n" \
	       "r0 = memfd(size=0x4000)\n" \
	       "dma_map(address=0x1000, size=0x1000, flags=READ|WRITE, fd=r0)\n"
#define UNMAP "dma_unmap(address=0x1000, size=0x1000)\n"
#define LATE "device_reset()\n"

static void a_write_behind_the_reply_is_found(void **state)
{
	(void)state;
	assert_int_equal(blamed(true, MAPPED UNMAP LATE), 1);
	assert_int_equal(blamed(false, MAPPED UNMAP LATE), 0);
	/* Or by a step, wherever it stands. */
	assert_int_equal(blamed(false, MAPPED UNMAP LATE "guard()\n"), 1);
	assert_int_equal(blamed(true, MAPPED LATE UNMAP), 0);
	/* Also when the program takes the file for something else then. */
	assert_int_equal(blamed(true, MAPPED UNMAP LATE "truncate(r0, size=0)\n"), 1);
	assert_int_equal(blamed(true, MAPPED UNMAP LATE "dma_map(address=0x1000, size=0x1000, "
				"flags=READ|WRITE, fd=r0)\n"), 1);
}

static void what_another_mapping_shows_may_be_written(void **state)
{
	(void)state;
	assert_int_equal(blamed(true, MAPPED "dma_map(address=0x8000, size=0x2000, "
				"flags=WRITE, fd=r0)\n" UNMAP LATE), 0);
	assert_int_equal(blamed(true, MAPPED "dma_map(address=0x8000, size=0x2000, "
				"offset=0x1000, flags=WRITE, fd=r0)\n" UNMAP LATE), 1);
	assert_int_equal(blamed(true, MAPPED UNMAP "dma_map(address=0x1000, size=0x1000, "
				"flags=READ|WRITE, fd=r0)\n" LATE), 0);
}

static void the_program_may_write_to_its_file(void **state)
{
	(void)state;
	assert_int_equal(blamed(true, MAPPED UNMAP "fill(r0, size=16)\n" LATE), 0);
	assert_int_equal(blamed(true, MAPPED UNMAP "punch(r0, size=0x1000)\n"), 0);
}

static void what_is_not_known_to_be_unmapped_is_not_judged(void **state)
{
	(void)state;
	assert_int_equal(blamed(true, MAPPED "dma_unmap(address=0x1000, size=0x1000) (no_reply)\n"
				LATE), 0);
	assert_int_equal(blamed(true, MAPPED "dma_map(address=0x9000, size=0x1000, flags=WRITE, "
				"fd=r0) (no_reply)\n" UNMAP LATE), 0);
	assert_int_equal(blamed(true, MAPPED "device_reset(fd=r0)\n" UNMAP LATE), 0);
	assert_int_equal(blamed(true, MAPPED "connect(c1)\nversion() (on: c1)\ndma_map("
				"address=0x1000, size=0x1000, flags=WRITE, fd=r0) (on: c1)\n"
				"disconnect(c1)\n" UNMAP LATE), 0);
}

static void so_many_files_are_followed_and_no_more(void **state)
{
	char text[16384];
	size_t at = (size_t)snprintf(text, sizeof(text), "version()\n");

	(void)state;
	for (uint32_t i = 0; i < 70; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "r0 = memfd(size=0x4000)\n"
				       "dma_map(address=0x1000, size=0x1000, flags=READ|WRITE,"
				       " fd=r0)\n" UNMAP);
	snprintf(text + at, sizeof(text) - at, LATE);
	assert_int_equal(blamed(true, text), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_behind_the_reply_is_found),
		cmocka_unit_test(what_another_mapping_shows_may_be_written),
		cmocka_unit_test(the_program_may_write_to_its_file),
		cmocka_unit_test(what_is_not_known_to_be_unmapped_is_not_judged),
		cmocka_unit_test(so_many_files_are_followed_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
