/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of exec, over a server in memory: the descriptors that a program passes. */
#include <fcntl.h>
#include <stdio.h>

#include "exec_fixture.h"

static void descriptors_are_what_the_program_says(void **state)
{
	struct fixture *f = *state;
	const struct fake_send *send = &f->fake.send[1];

	assert_int_equal(run(f, "version()\n"
				"r0 = memfd(size=0x3000, seals=SHRINK) (read_only)\n"
				"r1 = self()\n"
				"r2 = pipe()\n"
				"close(r2)\n"
				"dma_map(size=0x1000, fds=[r0*2, r1, r2]) (maybe)\n"), 0);
	assert_int_equal(send->nfds, 3);
	assert_int_equal(send->fd[0], send->fd[1]);
	assert_int_equal(send->fd[2], 1000);
	/* Nothing of it is left open. */
	assert_int_equal(fcntl(send->fd[0], F_GETFD), -1);
}

static void more_descriptors_than_fit_are_spread(void **state)
{
	struct fixture *f = *state;
	const struct fake_send *send = &f->fake.send[1];

	assert_int_equal(run(f, "version()\n"
				"r0 = null()\n"
				"device_reset(fds=[r0*200, r0*100]) (maybe)\n"), 0);
	assert_int_equal(send->nfds, 300);
	assert_int_equal(send->nparts, 2);
	assert_int_equal(send->part[0].nfds, 253);
	assert_int_equal(send->part[0].end, 1);
	assert_int_equal(send->part[1].nfds, 47);
	assert_int_equal(send->part[1].end, send->size);
}

static void descriptors_are_used_again_where_that_is_safe(void **state)
{
	struct fixture *f = *state;
	const char *text = "version()\n"
			   "r0 = memfd(size=0x1000)\n"
			   "check(r0, offset=0, size=1, seed=0)\n"
			   "fill(r0, offset=0, size=0x1000, seed=9)\n"
			   "dma_map(flags=READ, address=0, size=0x1000, fd=r0)\n";
	int32_t before;

	f->options.keep = true;
	assert_int_equal(run(f, text), 0);
	before = f->fake.send[1].fd[0];
	assert_int_equal(fcntl(before, F_GETFD), FD_CLOEXEC);
	/* Empty again: seed 0 at offset 0 is a zero. */
	assert_int_equal(run(f, text), 0);
	assert_int_equal(f->fake.send[1].fd[0], before);
}

/* Of many more than are kept, those of the last run are. */
static void descriptors_of_the_last_run_are_there(void **state)
{
	struct fixture *f = *state;
	char text[80];
	int32_t before;

	f->options.keep = true;
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "version()\nr0 = memfd(size=%d, seals=GROW)\n"
			 "dma_map(size=0x1000, fd=r0)\n", i + 1);
		run(f, text);
	}
	before = f->fake.send[1].fd[0];
	run(f, text);
	assert_int_equal(f->fake.send[1].fd[0], before);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(descriptors_are_what_the_program_says),
		TEST(more_descriptors_than_fit_are_spread),
		TEST(descriptors_are_used_again_where_that_is_safe),
		TEST(descriptors_of_the_last_run_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
