/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sanitizer.c - what is the report of a sanitizer and what is not, wherever it lies in a log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sanitizer.h"

static int scan(const char *text)
{
	int fd = memfd_create("log", MFD_CLOEXEC), ret;
	off_t at = 0;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	ret = sanitizer_scan(fd, &at);
	close(fd);
	return ret;
}

static void reports_are_recognised(void **state)
{
	(void)state;
	assert_int_equal(scan("==1==ERROR: AddressSanitizer: SEGV on unknown address"), 1);
	assert_int_equal(scan("AddressSanitizer:DEADLYSIGNAL"), 1);
	assert_int_equal(scan("a.c:1:2: runtime error: shift exponent 33 is too large"), 1);
	assert_int_equal(scan("==1==ERROR: LeakSanitizer: detected memory leaks"), 1);
	assert_int_equal(scan("WARNING: ThreadSanitizer: data race (pid=1)"), 1);
	assert_int_equal(scan("==1==WARNING: MemorySanitizer: use-of-uninitialized-value"), 1);
	assert_int_equal(scan("panic: runtime error: x\na.c:1:2: runtime error: y"), 1);
}

static void other_text_is_no_report(void **state)
{
	(void)state;
	assert_int_equal(scan(""), 0);
	assert_int_equal(scan("built with AddressSanitizer"), 0);
	assert_int_equal(scan("thread 'main' panicked at src/main.rs:1:2"), 0);
	assert_int_equal(scan("panic: runtime error: index out of range"), 0);
}

static void report_may_lie_anywhere_and_come_later(void **state)
{
	static const char mark[] = "WARNING: ThreadSanitizer: data race";
	int fd = memfd_create("log", MFD_CLOEXEC);
	off_t at, mark_at;

	(void)state;
	for (mark_at = 16300; mark_at < 16420; mark_at++) {
		at = 0;
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(ftruncate(fd, mark_at), 0);
		assert_int_equal(pwrite(fd, mark, 10, mark_at), 10);
		assert_int_equal(sanitizer_scan(fd, &at), 0);
		assert_int_equal(pwrite(fd, mark + 10, 20, mark_at + 10), 20);
		assert_int_equal(sanitizer_scan(fd, &at), 1);
	}
	close(fd);
}

static void what_can_not_be_read_is_an_error(void **state)
{
	off_t at = 0;

	(void)state;
	assert_int_equal(sanitizer_scan(-1, &at), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_are_recognised),
		cmocka_unit_test(other_text_is_no_report),
		cmocka_unit_test(report_may_lie_anywhere_and_come_later),
		cmocka_unit_test(what_can_not_be_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
