/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_oracle.c - the oracles against a helper process and against ourselves, where they work and
 * where they can not, with our own descriptors counted around every test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "holder.h"
#include "oracle.h"
#include "proc.h"

#define ALL (ORACLE_LEASE | ORACLE_SEAL | ORACLE_PIPE)

static int64_t fds(void)
{
	struct proc_resources resources;

	assert_int_equal(proc_resources(getpid(), &resources), 0);
	return resources.fds;
}

static int count_before(void **state)
{
	int64_t *before = malloc(sizeof(*before));

	*before = fds();
	*state = before;
	return 0;
}

static int count_after(void **state)
{
	int64_t before = *(int64_t *)*state;

	free(*state);
	return fds() == before && waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD ? 0 : -1;
}

static void selftest_trusts_all_oracles_here(void **state)
{
	char why[400] = "x";

	(void)state;
	assert_int_equal(oracle_selftest(why, sizeof(why)), ALL);
	assert_string_equal(why, "");
	assert_int_equal(oracle_selftest(NULL, 0), ALL);
}

/* For each number of descriptors that is left: no leak, an error or a smaller mask. */
static void selftest_without_descriptors_leaks_nothing(void **state)
{
	struct rlimit before, tight;
	int ret = 0, left, best = 0;
	char why[400];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (left = 0; left < 8; left++) {
		tight = before;
		tight.rlim_cur = (rlim_t)(fds() - 1 + left);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
		ret = oracle_selftest(why, sizeof(why));
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (ret < 0)
			assert_int_equal(ret, -EMFILE);
		else if (ret != ALL)
			assert_true(strlen(why) > 0);
		best = ret > best ? ret : best;
	}
	assert_int_equal(best, ALL);
}

static void selftest_says_why_a_lease_can_not_be_had(void **state)
{
	char why[400];
	int ret, status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		/* Without /proc a memfd has a single description. */
		if (chroot("/dev") < 0 || chdir("/") < 0)
			_exit(100);
		ret = oracle_selftest(why, sizeof(why));
		_exit(strstr(why, "lease: ") ? ret : 101);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ORACLE_SEAL | ORACLE_PIPE);
}

static void lease_counts_descriptors_in_flight(void **state)
{
	struct memory *memory;
	struct holder holder;

	(void)state;
	assert_int_equal(holder_start(&holder), 0);
	assert_int_equal(memory_create(4096, &memory), 0);
	assert_int_equal(memory_held(memory), -EBUSY);
	assert_int_equal(holder_command(&holder, HOLDER_TAKE, memory_fd(memory)), 0);
	memory_close_fd(memory);
	assert_int_equal(memory_fd(memory), -EBADF);
	assert_int_equal(memory_held(memory), 1);
	assert_int_equal(memory_held(memory), 1);
	holder_end(&holder);
	assert_int_equal(memory_held(memory), 0);
	assert_int_equal(memory_held(memory), 0);
	memory_free(memory);
}

static void lease_counts_private_and_read_only_mappings(void **state)
{
	struct memory *memory;
	void *map;

	(void)state;
	assert_int_equal(memory_create(4096, &memory), 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, memory_fd(memory), 0);
	assert_true(map != MAP_FAILED);
	memory_close_fd(memory);
	assert_int_equal(memory_held(memory), 1);
	munmap(map, 4096);
	assert_int_equal(memory_held(memory), 0);
	memory_free(memory);
}

static void seal_counts_shared_mappings_only(void **state)
{
	struct memory *memory;
	char byte = 1;
	void *map;

	(void)state;
	assert_int_equal(memory_create(4096, &memory), 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, memory_fd(memory), 0);
	assert_true(map != MAP_FAILED);
	assert_int_equal(memory_mapped(memory), 1);
	assert_int_equal(memory_write(memory, 0, &byte, 1), 0);
	munmap(map, 4096);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, memory_fd(memory), 0);
	assert_true(map != MAP_FAILED);
	assert_int_equal(memory_mapped(memory), 0);
	assert_int_equal(memory_mapped(memory), 0);
	assert_int_equal(memory_write(memory, 0, &byte, 1), -EPERM);
	munmap(map, 4096);
	memory_free(memory);
}

static void contents_are_those_of_the_passed_descriptor(void **state)
{
	const uint64_t size = 200001;
	struct memory *memory;
	uint8_t bytes[3];

	(void)state;
	assert_int_equal(memory_create(size, &memory), 0);
	assert_int_equal(memory_fill(memory, 7), 0);
	assert_int_equal(memory_differs(memory, 7), 0);
	assert_int_equal(memory_differs(memory, 8), size);
	assert_int_equal(pread(memory_fd(memory), bytes, 3, 1), 3);
	assert_int_equal(bytes[0], (7 + 0x9d) & 0xff);
	assert_int_equal(bytes[2], (7 + 3 * 0x9d) & 0xff);
	bytes[1]++;
	assert_int_equal(pwrite(memory_fd(memory), bytes, 3, 199998), 3);
	assert_in_range(memory_differs(memory, 7), 1, 3);
	assert_int_equal(memory_read(memory, 199998, bytes, 3), 0);
	assert_int_equal(memory_read(memory, 199999, bytes, 3), -ERANGE);
	assert_int_equal(memory_write(memory, UINT64_MAX, bytes, 1), -ERANGE);
	assert_int_equal(memory_truncate(memory, 100), 0);
	assert_int_equal(lseek(memory_fd(memory), 0, SEEK_END), 100);
	assert_int_equal(memory_read(memory, 100, bytes, 1), -ERANGE);
	assert_int_equal(memory_differs(memory, 7), 0);
	memory_free(memory);
}

static void a_file_that_the_peer_cut_can_not_be_read(void **state)
{
	struct memory *memory;

	(void)state;
	assert_int_equal(memory_create(4096, &memory), 0);
	assert_int_equal(ftruncate(memory_fd(memory), 10), 0);
	assert_int_equal(memory_differs(memory, 0), -EIO);
	memory_free(memory);
	memory_free(NULL);
	assert_int_equal(memory_create(0, &memory), -EINVAL);
	assert_int_equal(memory_create(UINT64_MAX, &memory), -EFBIG);
}

static void probe_counts_bytes_and_holders(void **state)
{
	struct holder holder;
	struct probe *probe;

	(void)state;
	assert_int_equal(holder_start(&holder), 0);
	assert_int_equal(probe_create(&probe), 0);
	assert_int_equal(probe_released(probe, 0), -EBUSY);
	assert_int_equal(holder_command(&holder, HOLDER_TAKE, probe_fd(probe)), 0);
	assert_int_equal(write(probe_fd(probe), "12345678", 8), 8);
	probe_close_fd(probe);
	assert_int_equal(probe_fd(probe), -EBADF);
	assert_int_equal(probe_released(probe, 1), 0);
	assert_int_equal(probe_bytes(probe), 8);
	assert_int_equal(holder_command(&holder, HOLDER_CLOSE, -1), 0);
	assert_int_equal(probe_released(probe, 1000), 1);
	assert_int_equal(probe_bytes(probe), 8);
	probe_free(probe);
	probe_free(NULL);
	holder_end(&holder);
}

static void holder_says_what_it_can_not_do(void **state)
{
	struct holder holder;

	(void)state;
	assert_int_equal(holder_start(&holder), 0);
	assert_int_equal(holder_command(&holder, HOLDER_TAKE, -1), -EIO);
	assert_int_equal(holder_command(&holder, HOLDER_MAP, -1), -EIO);
	holder_end(&holder);
}

#define COUNTED(test) cmocka_unit_test_setup_teardown(test, count_before, count_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COUNTED(selftest_trusts_all_oracles_here),
		COUNTED(selftest_without_descriptors_leaks_nothing),
		COUNTED(selftest_says_why_a_lease_can_not_be_had),
		COUNTED(lease_counts_descriptors_in_flight),
		COUNTED(lease_counts_private_and_read_only_mappings),
		COUNTED(seal_counts_shared_mappings_only),
		COUNTED(contents_are_those_of_the_passed_descriptor),
		COUNTED(a_file_that_the_peer_cut_can_not_be_read),
		COUNTED(probe_counts_bytes_and_holders),
		COUNTED(holder_says_what_it_can_not_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
