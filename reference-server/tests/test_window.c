/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_window.c - which descriptors become windows, with which rights, how many there are, and
 * that they go again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "files.h"
#include "window.h"

#define BOTH (WINDOW_READ | WINDOW_WRITE)
#define TIB (UINT64_C(1) << 40)

static struct window_table table;

static int set_up(void **state)
{
	(void)state;
	window_init(&table);
	return 0;
}

/* Every case drops what it took. */
static int tear_down(void **state)
{
	(void)state;
	return table.count || table.end || table.pages || file_areas(false);
}

static unsigned int taken(int fd, uint64_t offset, uint64_t size, unsigned int access)
{
	int index = window_take(&table, fd, offset, size, access);

	assert_true(index >= 0);
	assert_true((uint64_t)index < table.end);
	return (unsigned int)index;
}

/* What window_take() says; what it took is dropped. */
static int result(int fd, uint64_t offset, uint64_t size, unsigned int access)
{
	unsigned int count = table.count;
	uint64_t pages = table.pages;
	int index = window_take(&table, fd, offset, size, access);

	if (index >= 0)
		window_drop(&table, (unsigned int)index);
	assert_int_equal(table.count, count);
	assert_int_equal(table.pages, pages);
	return index < 0 ? index : 0;
}

/* Some sanitizers leave too few addresses. */
static void need_addresses(uint64_t size)
{
	void *place = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);

	if (place == MAP_FAILED) {
		print_message("no %llu TiB of addresses here\n", (unsigned long long)(size / TIB));
		skip();
	}
	munmap(place, size);
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

static void a_window_shows_its_part_of_the_file(void **state)
{
	char text[6] = { 0 };
	int fd = file_of(4 * PAGE);
	unsigned int index = taken(fd, 2 * PAGE, PAGE, BOTH);

	(void)state;
	assert_int_equal(pwrite(fd, "hello", 5, (off_t)(2 * PAGE)), 5);
	assert_memory_equal(window_at(&table, index, 2), "hello", 5);
	memcpy(window_at(&table, index, 2), "there", 5);
	assert_int_equal(pread(fd, text, 5, (off_t)(2 * PAGE)), 5);
	assert_string_equal(text, "there");
	/* A writable mapping stands in the way of the seal, until it is gone. */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_true(window_drop(&table, index));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	close(fd);
}

static void the_part_has_to_be_inside_the_file(void **state)
{
	int fd = file_of(4 * PAGE + 100), empty = file_of(0);

	(void)state;
	assert_int_equal(result(fd, 0, 4 * PAGE, BOTH), 0);
	assert_int_equal(result(fd, 0, 5 * PAGE, BOTH), -EINVAL);
	assert_int_equal(result(fd, 4 * PAGE, PAGE, BOTH), -EINVAL);
	assert_int_equal(result(fd, 5 * PAGE, PAGE, BOTH), -EINVAL);
	assert_int_equal(result(fd, UINT64_C(1) << 63, PAGE, BOTH), -EINVAL);
	assert_int_equal(result(fd, UINT64_MAX - PAGE + 1, PAGE, BOTH), -EINVAL);
	assert_int_equal(result(fd, UINT64_MAX - PAGE + 1, 2 * PAGE, BOTH), -EINVAL);
	assert_int_equal(result(empty, 0, PAGE, BOTH), -EINVAL);
	close(fd);
	close(empty);
}

/* The end of the file counts as it is now, also where a window is left from before. */
static void a_file_may_shrink_and_grow(void **state)
{
	int fd = file_of(4 * PAGE);
	unsigned int small = taken(fd, 0, PAGE, BOTH), large;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	assert_int_equal(result(fd, PAGE, PAGE, BOTH), -EINVAL);
	assert_int_equal(taken(fd, 0, PAGE, BOTH), small);
	assert_int_equal(ftruncate(fd, (off_t)(8 * PAGE)), 0);
	assert_int_equal(taken(fd, 3 * PAGE, PAGE, BOTH), small);
	large = taken(fd, 3 * PAGE, 2 * PAGE, BOTH);
	assert_int_not_equal(large, small);
	assert_int_equal(table.pages, 4 + 8);
	*window_at(&table, large, 3) = 'x';
	assert_int_equal(*window_at(&table, small, 3), 'x');
	assert_false(window_drop(&table, small));
	assert_false(window_drop(&table, small));
	assert_true(window_drop(&table, small));
	assert_int_equal(taken(fd, 0, PAGE, BOTH), large);
	assert_false(window_drop(&table, large));
	assert_true(window_drop(&table, large));
	close(fd);
}

static void the_mode_of_the_descriptor_counts(void **state)
{
	int fd = file_of(PAGE), other;

	(void)state;
	other = reopened(fd, O_RDONLY);
	assert_int_equal(result(other, 0, PAGE, WINDOW_READ), 0);
	assert_int_equal(result(other, 0, PAGE, BOTH), -EACCES);
	assert_int_equal(result(other, 0, PAGE, WINDOW_WRITE), -EACCES);
	close(other);
	other = reopened(fd, O_WRONLY);
	assert_int_equal(result(other, 0, PAGE, WINDOW_WRITE), -EACCES);
	close(other);
	other = reopened(fd, O_PATH);
	assert_int_equal(result(other, 0, PAGE, WINDOW_READ), -EACCES);
	close(other);
	close(fd);
}

/* A descriptor that may only read gets nothing out of a window that may be written. */
static void each_mode_has_its_own_window(void **state)
{
	int fd = file_of(PAGE), other = reopened(fd, O_RDONLY);
	unsigned int both = taken(fd, 0, PAGE, BOTH), reading = taken(other, 0, PAGE, WINDOW_READ);

	(void)state;
	assert_int_not_equal(both, reading);
	assert_int_equal(table.windows[both].rights, BOTH);
	assert_int_equal(table.windows[reading].rights, WINDOW_READ);
	assert_int_equal(result(other, 0, PAGE, BOTH), -EACCES);
	assert_int_equal(taken(fd, 0, PAGE, WINDOW_READ), both);
	assert_false(window_drop(&table, both));
	assert_true(window_drop(&table, both));
	assert_true(window_drop(&table, reading));
	close(other);
	close(fd);
}

static void a_sealed_file_can_only_be_read(void **state)
{
	static const int seals[] = { F_SEAL_WRITE, F_SEAL_FUTURE_WRITE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int fd = file_of(PAGE);
		unsigned int index;

		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals[i]), 0);
		assert_int_equal(result(fd, 0, PAGE, BOTH), -EPERM);
		assert_int_equal(result(fd, 0, PAGE, WINDOW_WRITE), -EPERM);
		index = taken(fd, 0, PAGE, WINDOW_READ);
		assert_int_equal(table.windows[index].rights, WINDOW_READ);
		assert_int_equal(taken(fd, 0, PAGE, WINDOW_READ), index);
		assert_int_equal(result(fd, 0, PAGE, WINDOW_WRITE), -EPERM);
		assert_false(window_drop(&table, index));
		assert_true(window_drop(&table, index));
		close(fd);
	}
}

/* The window can still be written, but nobody gets a new mapping to do so. */
static void a_seal_counts_that_came_after_the_window(void **state)
{
	int fd = file_of(PAGE);
	unsigned int index = taken(fd, 0, PAGE, BOTH);

	(void)state;
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	*window_at(&table, index, 0) = 'x';
	assert_int_equal(result(fd, 0, PAGE, BOTH), -EPERM);
	assert_int_equal(taken(fd, 0, PAGE, WINDOW_READ), index);
	assert_false(window_drop(&table, index));
	assert_true(window_drop(&table, index));
	assert_int_equal(result(fd, 0, PAGE, BOTH), -EPERM);
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
		assert_int_equal(result(fds[i], 0, PAGE, WINDOW_READ), -ENODEV);
		close(fds[i]);
	}
	close(pair[1]);
	close(pipes[0]);
}

/* Neighbouring extents, of which the kernel would make one area. */
static void neighbours_never_merge(void **state)
{
	unsigned int index[8];
	int fd;

	(void)state;
	need_addresses(9 * TIB);
	fd = file_of(8 * TIB);
	for (uint64_t i = 0; i < 8; i++)
		index[i] = taken(fd, (7 - i) * TIB, PAGE, BOTH);
	assert_int_equal(table.count, 8);
	assert_int_equal(file_areas(false), 8);
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(window_drop(&table, index[i]));
		assert_int_equal(file_areas(false), 7 - i);
	}
	close(fd);
}

static void an_extent_ends_with_the_file_or_a_boundary(void **state)
{
	unsigned int low, over, high;
	int fd;

	(void)state;
	need_addresses(4 * TIB);
	fd = file_of(2 * TIB + 2 * PAGE + 1);
	low = taken(fd, PAGE, PAGE, BOTH);
	assert_int_equal(table.windows[low].first, 0);
	assert_int_equal(table.windows[low].pages, WINDOW_EXTENT);
	assert_int_equal(taken(fd, TIB - PAGE, PAGE, BOTH), low);
	over = taken(fd, TIB - PAGE, 2 * PAGE, BOTH);
	assert_int_equal(table.windows[over].first, 0);
	assert_int_equal(table.windows[over].pages, 2 * WINDOW_EXTENT);
	high = taken(fd, 2 * TIB + PAGE, PAGE, BOTH);
	assert_int_equal(table.windows[high].first, 2 * WINDOW_EXTENT);
	assert_int_equal(table.windows[high].pages, 3);
	*window_at(&table, high, 2 * WINDOW_EXTENT + 1) = 'x';
	assert_int_equal(pwrite(fd, "y", 1, (off_t)(TIB - PAGE)), 1);
	assert_int_equal(*window_at(&table, low, WINDOW_EXTENT - 1), 'y');
	assert_int_equal(*window_at(&table, over, WINDOW_EXTENT - 1), 'y');
	window_clear(&table);
	close(fd);
}

static void pages_beyond_what_can_be_numbered_are_refused(void **state)
{
	uint64_t end = WINDOW_FILE_PAGES * PAGE;
	int fd;

	(void)state;
	need_addresses(2 * TIB);
	fd = file_of(end + PAGE);
	assert_int_equal(result(fd, end - PAGE, PAGE, BOTH), 0);
	assert_int_equal(result(fd, end, PAGE, BOTH), -ENOSPC);
	assert_int_equal(result(fd, end - PAGE, 2 * PAGE, BOTH), -ENOSPC);
	close(fd);
}

static void windows_are_counted(void **state)
{
	int fd[4];
	unsigned int index[4];

	(void)state;
	assert_int_equal(table.max_count, 256);
	table.max_count = 3;
	for (int i = 0; i < 4; i++)
		fd[i] = file_of(PAGE);
	for (int i = 0; i < 3; i++)
		index[i] = taken(fd[i], 0, PAGE, BOTH);
	assert_int_equal(result(fd[3], 0, PAGE, BOTH), -ENOSPC);
	/* What has a window needs no other. */
	assert_int_equal(taken(fd[1], 0, PAGE, BOTH), index[1]);
	assert_false(window_drop(&table, index[1]));
	assert_int_equal(result(fd[3], 0, PAGE, BOTH), -ENOSPC);
	assert_true(window_drop(&table, index[1]));
	index[3] = taken(fd[3], 0, PAGE, BOTH);
	assert_int_equal(index[3], index[1]);
	assert_int_equal(result(fd[1], 0, PAGE, BOTH), -ENOSPC);
	window_clear(&table);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

static void addresses_are_counted(void **state)
{
	unsigned int index;
	int fd, other;

	(void)state;
	need_addresses(3 * TIB);
	fd = file_of(3 * TIB);
	other = file_of(PAGE);
	assert_int_equal(table.max_pages, 16 * WINDOW_EXTENT);
	table.max_pages = 2 * WINDOW_EXTENT;
	assert_int_equal(result(fd, 0, 3 * TIB, BOTH), -ENOSPC);
	index = taken(fd, 0, 2 * TIB, BOTH);
	assert_int_equal(result(fd, 2 * TIB, PAGE, BOTH), -ENOSPC);
	assert_int_equal(result(other, 0, PAGE, BOTH), -ENOSPC);
	table.max_pages = 0;
	assert_int_equal(result(other, 0, PAGE, BOTH), -ENOSPC);
	table.max_pages = 2 * WINDOW_EXTENT;
	assert_true(window_drop(&table, index));
	assert_int_equal(result(fd, 2 * TIB, PAGE, BOTH), 0);
	assert_int_equal(result(other, 0, PAGE, BOTH), 0);
	close(fd);
	close(other);
}

#define TAKES 100000u

static void mappings_of_one_file_take_one_area(void **state)
{
	int fd = file_of(TAKES * PAGE);
	unsigned int index = taken(fd, 0, PAGE, BOTH), areas = file_areas(true);

	(void)state;
	for (uint64_t i = 1; i < TAKES; i++)
		assert_int_equal(taken(fd, i * PAGE, PAGE, i % 2 ? BOTH : WINDOW_READ), index);
	assert_int_equal(file_areas(false), 1);
	assert_in_range(file_areas(true), 1, areas + 2);
	for (uint64_t i = 1; i < TAKES; i++)
		assert_false(window_drop(&table, index));
	assert_true(window_drop(&table, index));
	close(fd);
}

static int file_at(const char *path, const char *text, ino_t *ino)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat stat;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)PAGE), 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
	assert_int_equal(fstat(fd, &stat), 0);
	*ino = stat.st_ino;
	return fd;
}

/* No other file has the number while there is a window; afterwards nobody takes it for the old. */
static void an_inode_is_used_again_without_confusion(void **state)
{
	char path[] = "/tmp/test_window.XXXXXX";
	ino_t old, new;
	unsigned int index;
	int fd;

	(void)state;
	close(mkstemp(path));
	unlink(path);
	fd = file_at(path, "old", &old);
	index = taken(fd, 0, PAGE, BOTH);
	unlink(path);
	close(fd);
	for (int i = 0; i < 16; i++) {
		unsigned int other;

		fd = file_at(path, "new", &new);
		unlink(path);
		assert_int_not_equal(new, old);
		other = taken(fd, 0, PAGE, BOTH);
		assert_int_not_equal(other, index);
		assert_memory_equal(window_at(&table, other, 0), "new", 3);
		assert_true(window_drop(&table, other));
		close(fd);
	}
	assert_memory_equal(window_at(&table, index, 0), "old", 3);
	assert_true(window_drop(&table, index));
	fd = file_at(path, "new", &new);
	unlink(path);
	index = taken(fd, 0, PAGE, BOTH);
	assert_memory_equal(window_at(&table, index, 0), "new", 3);
	assert_true(window_drop(&table, index));
	close(fd);
}

static void large_pages_are_mapped_where_there_are_some(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB);
	struct stat stat = { 0 };
	unsigned int index;

	(void)state;
	if (fd < 0 || fstat(fd, &stat) || ftruncate(fd, 2 * stat.st_blksize) ||
	    fallocate(fd, 0, 0, 2 * stat.st_blksize)) {
		close(fd);
		print_message("no large pages here\n");
		skip();
	}
	assert_true((uint64_t)stat.st_blksize > PAGE);
	index = taken(fd, 3 * PAGE, PAGE, BOTH);
	assert_int_equal(taken(fd, 0, (uint64_t)(2 * stat.st_blksize), BOTH), index);
	*window_at(&table, index, table.pages - 1) = 'x';
	assert_int_equal(*window_at(&table, index, 3), 0);
	assert_int_equal(file_areas(false), 1);
	window_clear(&table);
	close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_window_shows_its_part_of_the_file),
		CASE(the_part_has_to_be_inside_the_file),
		CASE(a_file_may_shrink_and_grow),
		CASE(the_mode_of_the_descriptor_counts),
		CASE(each_mode_has_its_own_window),
		CASE(a_sealed_file_can_only_be_read),
		CASE(a_seal_counts_that_came_after_the_window),
		CASE(what_is_no_file_is_refused),
		CASE(neighbours_never_merge),
		CASE(an_extent_ends_with_the_file_or_a_boundary),
		CASE(pages_beyond_what_can_be_numbered_are_refused),
		CASE(windows_are_counted),
		CASE(addresses_are_counted),
		CASE(mappings_of_one_file_take_one_area),
		CASE(an_inode_is_used_again_without_confusion),
		CASE(large_pages_are_mapped_where_there_are_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
