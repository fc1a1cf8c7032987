/* SPDX-License-Identifier: BSD-3-Clause */
/* test_window.c - which descriptors become a window, with which rights, and that it goes again. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "window.h"

#define PAGE UINT64_C(4096)
#define BOTH (WINDOW_READ | WINDOW_WRITE)

static int memory(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static int reopened(int fd, int flags)
{
	char path[64];
	int copy;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, flags | O_CLOEXEC);
	assert_true(copy >= 0);
	return copy;
}

static int refused(int fd, uint64_t offset, uint64_t size, unsigned int access)
{
	struct window window = { NULL };
	int error = window_open(&window, fd, offset, size, access);

	if (!error)
		window_close(&window, size);
	else
		assert_null(window.base);
	return error;
}

static void a_window_shows_its_part_of_the_file(void **state)
{
	struct window window = { NULL };
	char text[6] = { 0 };
	int fd = memory(4 * PAGE);

	(void)state;
	assert_int_equal(pwrite(fd, "hello", 5, (off_t)(2 * PAGE)), 5);
	assert_int_equal(window_open(&window, fd, 2 * PAGE, PAGE, BOTH), 0);
	assert_memory_equal(window.base, "hello", 5);
	memcpy(window.base, "there", 5);
	assert_int_equal(pread(fd, text, 5, (off_t)(2 * PAGE)), 5);
	assert_string_equal(text, "there");
	/* A writable mapping stands in the way of the seal, until it is gone. */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	window_close(&window, PAGE);
	assert_null(window.base);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	close(fd);
}

static void the_part_has_to_be_inside_the_file(void **state)
{
	int fd = memory(4 * PAGE), empty = memory(0);

	(void)state;
	assert_int_equal(refused(fd, 0, 4 * PAGE, BOTH), 0);
	assert_int_equal(refused(fd, 0, 5 * PAGE, BOTH), -EINVAL);
	assert_int_equal(refused(fd, 4 * PAGE, PAGE, BOTH), -EINVAL);
	assert_int_equal(refused(fd, UINT64_C(1) << 63, PAGE, BOTH), -EINVAL);
	assert_int_equal(refused(fd, UINT64_MAX - PAGE + 1, PAGE, BOTH), -EINVAL);
	assert_int_equal(refused(fd, UINT64_MAX - PAGE + 1, 2 * PAGE, BOTH), -EINVAL);
	assert_int_equal(refused(empty, 0, PAGE, BOTH), -EINVAL);
	close(fd);
	close(empty);
}

static void the_mode_of_the_descriptor_counts(void **state)
{
	int fd = memory(PAGE), other;

	(void)state;
	other = reopened(fd, O_RDONLY);
	assert_int_equal(refused(other, 0, PAGE, WINDOW_READ), 0);
	assert_int_equal(refused(other, 0, PAGE, BOTH), -EACCES);
	close(other);
	other = reopened(fd, O_WRONLY);
	assert_int_equal(refused(other, 0, PAGE, WINDOW_WRITE), -EACCES);
	close(other);
	other = reopened(fd, O_PATH);
	assert_int_equal(refused(other, 0, PAGE, WINDOW_READ), -EACCES);
	close(other);
	close(fd);
}

static void a_sealed_file_can_only_be_read(void **state)
{
	int fd = memory(PAGE);

	(void)state;
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(refused(fd, 0, PAGE, BOTH), -EPERM);
	assert_int_equal(refused(fd, 0, PAGE, WINDOW_READ), 0);
	close(fd);
}

static void what_is_no_file_is_refused(void **state)
{
	int pair[2], pipes[2];
	int fds[6];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	fds[0] = pair[0];
	fds[1] = pipes[1];
	fds[2] = eventfd(0, 0);
	fds[3] = epoll_create1(0);
	fds[4] = open("/", O_RDONLY);
	fds[5] = open("/dev/zero", O_RDWR);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(refused(fds[i], 0, PAGE, WINDOW_READ), -ENODEV);
		close(fds[i]);
	}
	close(pair[1]);
	close(pipes[0]);
}

static unsigned int areas(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:test") != NULL;
	fclose(maps);
	return n;
}

/* Descending offsets are what the kernel would merge, as it places mappings top down. */
static void neighbours_never_merge(void **state)
{
	struct window windows[32] = { { NULL } };
	int fd = memory(32 * PAGE);

	(void)state;
	for (uint64_t i = 0; i < 32; i++)
		assert_int_equal(window_open(&windows[i], fd, (31 - i) * PAGE, PAGE, BOTH), 0);
	assert_int_equal(areas(), 32);
	for (int i = 0; i < 32; i++)
		window_close(&windows[i], PAGE);
	assert_int_equal(areas(), 0);
	close(fd);
}

static void passed_on(int number)
{
	(void)number;
	_exit(77);
}

/* A SIGBUS of its own making goes to the handler that the process had before. */
static int status_of_a_fault_outside(const volatile char *gone)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(*gone);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void a_copy_survives_what_is_gone(void **state)
{
	static uint8_t from[3 * 4096], to[3 * 4096];
	struct window window = { NULL };
	int fd = memory(3 * PAGE);
	int status;

	(void)state;
	signal(SIGBUS, passed_on);
	memset(from, 'x', sizeof(from));
	assert_int_equal(window_open(&window, fd, 0, 3 * PAGE, BOTH), 0);
	assert_int_equal(window_copy(window.base, from, sizeof(from)), sizeof(from));
	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	for (size_t i = 0; i < 2; i++) {
		uint8_t *place = (uint8_t *)window.base + 3;

		assert_int_equal(window_copy(to, place, 9000), PAGE - 3);
		assert_memory_equal(to, from, PAGE - 3);
		assert_int_equal(window_copy(place, from + i, 4096), PAGE - 3);
		assert_int_equal(window_copy(place + PAGE, from, 1), 0);
		assert_int_equal(window_copy(place, from, 100), 100);
	}
	status = status_of_a_fault_outside((const volatile char *)window.base + PAGE);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 77);
	window_close(&window, 3 * PAGE);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_shows_its_part_of_the_file),
		cmocka_unit_test(the_part_has_to_be_inside_the_file),
		cmocka_unit_test(the_mode_of_the_descriptor_counts),
		cmocka_unit_test(a_sealed_file_can_only_be_read),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(neighbours_never_merge),
		cmocka_unit_test(a_copy_survives_what_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
