/* SPDX-License-Identifier: BSD-3-Clause */
/* test_thread.c - where threads have their stacks, and that these go. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "thread.h"

#define THREADS 8

static bool is_mapped(const void *page)
{
	return msync((void *)(uintptr_t)page, 1, MS_ASYNC) == 0 || errno != ENOMEM;
}

static bool can_be_read(void *address)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { address, 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

/* Tells the page of its stack that it is on. */
static void *look(void *arg)
{
	char here = 0;
	const uintptr_t page = (uintptr_t)&here & ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1);

	*(void **)arg = (void *)page;
	return NULL;
}

static void test_stack_goes_with_its_thread(void **state)
{
	struct thread thread[THREADS];
	void *page[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(thread_start(&thread[i], look, &page[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_true(is_mapped(thread[i].stack));
		thread_end(&thread[i]);
		assert_false(is_mapped(page[i]));
		assert_false(is_mapped(thread[i].stack));
	}
}

static void test_page_below_a_stack_is_a_guard(void **state)
{
	struct thread thread;
	void *page;

	(void)state;
	assert_int_equal(thread_start(&thread, look, &page), 0);
	assert_false(can_be_read(thread.stack));
	assert_true(can_be_read((char *)thread.stack + sysconf(_SC_PAGESIZE)));
	thread_end(&thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stack_goes_with_its_thread),
		cmocka_unit_test(test_page_below_a_stack_is_a_guard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
