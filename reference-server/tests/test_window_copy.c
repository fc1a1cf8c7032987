/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_window_copy.c - that copies survive what the client does to its file, and a fence, in one
 * thread and in several; and that no other fault is taken for one of theirs.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/userfaultfd.h>

#include <cmocka.h>

#include "files.h"
#include "window.h"

#define BOTH (WINDOW_READ | WINDOW_WRITE)
#define PAGES 4u
#define SIZE (PAGES * PAGE)
#define THREADS 4u
#define ROUNDS 200u

static struct window_table table;
static struct sigaction bus, segv;

/* A file with one window that covers it, and a thread that copies from or to it. */
struct copier {
	int fd;
	unsigned int index;
	uint8_t *window;
	pthread_t thread;
	pthread_barrier_t *barrier;
	bool writes;
	size_t done;
	unsigned int wrong;
	/* Its pages are the window's, so that copies end between two. */
	_Alignas(PAGE) uint8_t bytes[SIZE];
};

static void passed_on(int number)
{
	_exit(number == SIGBUS ? 77 : 78);
}

/* The handlers of the windows are kept, as cmocka puts its own in their place for each case. */
static void keep_handlers(void)
{
	const struct sigaction ends = { .sa_handler = passed_on };
	int fd = memfd_create("test", MFD_CLOEXEC);

	sigaction(SIGBUS, &ends, NULL);
	sigaction(SIGSEGV, &ends, NULL);
	window_init(&table);
	if (fd >= 0 && ftruncate(fd, (off_t)PAGE) == 0)
		window_take(&table, fd, 0, PAGE, BOTH);
	window_fence(&table);
	window_clear(&table);
	close(fd);
	sigaction(SIGBUS, NULL, &bus);
	sigaction(SIGSEGV, NULL, &segv);
}

static void open_copier(struct copier *copier)
{
	int index;

	memset(copier, 0, sizeof(*copier));
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	copier->fd = file_of(SIZE);
	index = window_take(&table, copier->fd, 0, SIZE, BOTH);
	assert_true(index >= 0);
	copier->index = (unsigned int)index;
	copier->window = window_at(&table, copier->index, 0);
}

static void close_copier(struct copier *copier)
{
	assert_true(window_drop(&table, copier->index));
	close(copier->fd);
	assert_int_equal(file_areas(false), 0);
}

static void a_copy_ends_at_what_is_gone(void **state)
{
	static uint8_t from[3 * 4096], to[3 * 4096];
	struct copier copier;

	(void)state;
	open_copier(&copier);
	memset(from, 'x', sizeof(from));
	assert_int_equal(window_copy(copier.window, from, sizeof(from)), sizeof(from));
	assert_int_equal(ftruncate(copier.fd, (off_t)PAGE), 0);
	for (size_t i = 0; i < 1000; i++) {
		uint8_t *place = copier.window + 3;

		memset(to, 0, sizeof(to));
		assert_int_equal(window_copy(to, place, 9000), PAGE - 3);
		assert_memory_equal(to, from, PAGE - 3);
		assert_int_equal(to[PAGE - 3], 0);
		assert_int_equal(window_copy(place, from + i, 4096), PAGE - 3);
		assert_int_equal(window_copy(place + PAGE, from, 1), 0);
		assert_int_equal(window_copy(copier.window + PAGE, place + PAGE, 1), 0);
		assert_int_equal(window_copy(place, from, 100), 100);
	}
	assert_int_equal(ftruncate(copier.fd, (off_t)SIZE), 0);
	assert_int_equal(window_copy(to, copier.window, sizeof(to)), sizeof(to));
	assert_int_equal(to[PAGE - 1], 'x');
	assert_int_equal(to[PAGE], 0);
	close_copier(&copier);
}

static void bytes_of_any_place_and_number_are_copied(void **state)
{
	uint8_t text[40], to[40];
	struct copier copier;

	(void)state;
	open_copier(&copier);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i + 1);
	for (size_t at = 0; at < 9; at++) {
		for (size_t size = 0; size + 9 < sizeof(text); size++) {
			uint8_t *place = copier.window + PAGE - 16 + at;

			memset(copier.window, 0, 2 * PAGE);
			memset(to, 0, sizeof(to));
			assert_int_equal(window_copy(place, text + 1, size), size);
			assert_memory_equal(place, text + 1, size);
			assert_int_equal(place[-1] | place[size], 0);
			assert_int_equal(window_copy(to + at, place, size), size);
			assert_memory_equal(to + at, text + 1, size);
			assert_int_equal(to[at + size], 0);
		}
	}
	close_copier(&copier);
}

static void a_hole_reads_as_zeros(void **state)
{
	static uint8_t to[SIZE];
	struct copier copier;

	(void)state;
	open_copier(&copier);
	memset(copier.window, 'x', SIZE);
	assert_int_equal(fallocate(copier.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)PAGE, (off_t)PAGE), 0);
	assert_int_equal(window_copy(to, copier.window, SIZE), SIZE);
	assert_int_equal(to[PAGE - 1], 'x');
	assert_int_equal(to[PAGE], 0);
	assert_int_equal(to[2 * PAGE - 1], 0);
	assert_int_equal(to[2 * PAGE], 'x');
	close_copier(&copier);
}

/* Nothing is reserved for a window: where there is no large page to be had, the copy ends. */
static void a_large_page_that_cannot_be_had_ends_the_copy(void **state)
{
	static uint8_t to[PAGE];
	struct copier copier;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB), index;

	(void)state;
	open_copier(&copier);
	if (fd < 0 || ftruncate(fd, (off_t)1 << 40)) {
		print_message("no file of large pages here\n");
		close_copier(&copier);
		skip();
	}
	index = window_take(&table, fd, 0, UINT64_C(1) << 40, BOTH);
	assert_true(index >= 0);
	for (uint64_t page = 0; page < 2; page++) {
		uint8_t *last = window_at(&table, (unsigned int)index, WINDOW_EXTENT - 1 - page);

		/* Either is right; that neither harms is the point. */
		assert_true(window_copy(to, last, PAGE) % PAGE == 0);
	}
	assert_true(window_drop(&table, (unsigned int)index));
	close(fd);
	close_copier(&copier);
}

/* ---- several threads ---- */

static void *copy_in_rounds(void *arg)
{
	struct copier *copier = arg;

	for (unsigned int round = 0; round < 2 * ROUNDS; round++) {
		size_t expected = round % 2 ? PAGE : SIZE;

		pthread_barrier_wait(copier->barrier);
		for (unsigned int i = 0; i < 3; i++) {
			size_t n = copier->writes ?
					   window_copy(copier->window, copier->bytes, SIZE) :
					   window_copy(copier->bytes, copier->window, SIZE);

			copier->wrong += n != expected;
		}
		pthread_barrier_wait(copier->barrier);
	}
	return NULL;
}

static void start_copiers(struct copier *copiers, const struct copier *with, void *(*run)(void *))
{
	for (unsigned int i = 0; i < THREADS; i++) {
		copiers[i] = *with;
		copiers[i].writes = i % 2;
		assert_int_equal(pthread_create(&copiers[i].thread, NULL, run, &copiers[i]), 0);
	}
}

/* All threads meet the same missing page in each second round. */
static void all_threads_fault_at_once(void **state)
{
	static struct copier copiers[THREADS];
	pthread_barrier_t barrier;
	struct copier copier;

	(void)state;
	open_copier(&copier);
	assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS + 1), 0);
	copier.barrier = &barrier;
	start_copiers(copiers, &copier, copy_in_rounds);
	for (unsigned int round = 0; round < 2 * ROUNDS; round++) {
		assert_int_equal(ftruncate(copier.fd, (off_t)(round % 2 ? PAGE : SIZE)), 0);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(copiers[i].thread, NULL), 0);
		assert_int_equal(copiers[i].wrong, 0);
	}
	pthread_barrier_destroy(&barrier);
	close_copier(&copier);
}

/* Copies until one has been cut short. */
static void *copy_until_short(void *arg)
{
	struct copier *copier = arg;

	pthread_barrier_wait(copier->barrier);
	do {
		copier->done = copier->writes ? window_copy(copier->window, copier->bytes, SIZE) :
						window_copy(copier->bytes, copier->window, SIZE);
		copier->wrong += copier->done % PAGE != 0;
	} while (copier->done == SIZE);
	return NULL;
}

static void run_until_short(struct copier *copier, void (*cut)(const struct copier *copier))
{
	static struct copier copiers[THREADS];
	static pthread_barrier_t barrier;

	assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS + 1), 0);
	copier->barrier = &barrier;
	start_copiers(copiers, copier, copy_until_short);
	pthread_barrier_wait(&barrier);
	cut(copier);
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(copiers[i].thread, NULL), 0);
		assert_int_equal(copiers[i].wrong, 0);
	}
	pthread_barrier_destroy(&barrier);
}

static void cut_file(const struct copier *copier)
{
	assert_int_equal(ftruncate(copier->fd, 0), 0);
}

static void a_file_is_cut_under_running_copies(void **state)
{
	struct copier copier;

	(void)state;
	open_copier(&copier);
	for (unsigned int round = 0; round < 50; round++) {
		assert_int_equal(ftruncate(copier.fd, (off_t)SIZE), 0);
		run_until_short(&copier, cut_file);
	}
	close_copier(&copier);
}

static void fence(const struct copier *copier)
{
	(void)copier;
	window_fence(&table);
}

static void a_fence_ends_running_copies(void **state)
{
	static uint8_t bytes[PAGE];

	(void)state;
	for (unsigned int round = 0; round < 50; round++) {
		struct copier copier;

		open_copier(&copier);
		run_until_short(&copier, fence);
		assert_int_equal(window_copy(bytes, copier.window, PAGE), 0);
		assert_int_equal(window_copy(copier.window, bytes, PAGE), 0);
		close_copier(&copier);
	}
}

static void a_fence_lets_the_file_go(void **state)
{
	static uint8_t bytes[PAGE];
	struct copier copier;
	int index;

	(void)state;
	open_copier(&copier);
	assert_int_equal(fcntl(copier.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	window_fence(&table);
	window_fence(&table);
	assert_int_equal(file_areas(false), 0);
	assert_int_equal(fcntl(copier.fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	/* A mapping that comes later gets a window that is not fenced. */
	index = window_take(&table, copier.fd, 0, PAGE, WINDOW_READ);
	assert_true(index >= 0);
	assert_int_not_equal(index, copier.index);
	assert_int_equal(window_copy(bytes, window_at(&table, (unsigned int)index, 0), 9), 9);
	assert_true(window_drop(&table, (unsigned int)index));
	close_copier(&copier);
}

/* ---- a page that nobody brings ---- */

/* Descriptor of what waits for somebody to bring the missing pages of the window; -1: not here. */
static int leave_pages_out(const struct copier *copier)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)copier->window, .len = SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *copy_once(void *arg)
{
	struct copier *copier = arg;

	copier->done = window_copy(copier->bytes, copier->window, SIZE);
	return NULL;
}

static void a_copy_that_waits_for_ever_is_interrupted(void **state)
{
	struct uffd_msg event;
	struct copier copier;
	int fd;

	(void)state;
	open_copier(&copier);
	copier.window[0] = 'x';
	fd = leave_pages_out(&copier);
	if (fd < 0) {
		print_message("userfaultfd is not available\n");
		close_copier(&copier);
		skip();
	}
	assert_int_equal(pthread_create(&copier.thread, NULL, copy_once, &copier), 0);
	/* Comes when the thread is stuck in its second page. */
	assert_int_equal(read(fd, &event, sizeof(event)), sizeof(event));
	assert_int_equal(event.event, UFFD_EVENT_PAGEFAULT);
	window_fence(&table);
	assert_int_equal(window_interrupt(copier.thread), 0);
	assert_int_equal(pthread_join(copier.thread, NULL), 0);
	assert_int_equal(copier.done, PAGE);
	assert_int_equal(copier.bytes[0], 'x');
	close(fd);
	close_copier(&copier);
}

/* The thread is interrupted all the while, and sometimes inside a copy. */
static void *copy_many(void *arg)
{
	struct copier *copier = arg;

	pthread_barrier_wait(copier->barrier);
	for (unsigned int i = 0; i < 20000; i++)
		copier->wrong += window_copy(copier->bytes, copier->window, SIZE) % PAGE != 0;
	pthread_barrier_wait(copier->barrier);
	return NULL;
}

static void interrupts_at_any_time_do_no_harm(void **state)
{
	pthread_barrier_t barrier;
	struct copier copier;

	(void)state;
	open_copier(&copier);
	assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
	copier.barrier = &barrier;
	assert_int_equal(pthread_create(&copier.thread, NULL, copy_many, &copier), 0);
	pthread_barrier_wait(&barrier);
	for (unsigned int i = 0; i < 2000; i++)
		assert_int_equal(window_interrupt(copier.thread), 0);
	pthread_barrier_wait(&barrier);
	assert_int_equal(pthread_join(copier.thread, NULL), 0);
	assert_int_equal(copier.wrong, 0);
	/* And a thread that copies nothing takes no notice. */
	assert_int_equal(window_interrupt(pthread_self()), 0);
	assert_int_equal(window_copy(copier.bytes, copier.window, SIZE), SIZE);
	pthread_barrier_destroy(&barrier);
	close_copier(&copier);
}

/* ---- what is not ours ---- */

static int status_of(void (*act)(struct copier *copier), struct copier *copier)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		act(copier);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void touch_what_is_gone(struct copier *copier)
{
	*(volatile uint8_t *)copier->window = 1;
}

static void send_a_signal(struct copier *copier)
{
	(void)copier;
	raise(SIGBUS);
}

static void copy_from_nowhere(struct copier *copier)
{
	volatile uintptr_t nowhere = 64;

	window_copy(copier->bytes, (const void *)nowhere, 8);
}

static void other_faults_go_to_the_handler_before(void **state)
{
	struct copier copier;

	(void)state;
	open_copier(&copier);
	assert_int_equal(ftruncate(copier.fd, 0), 0);
	assert_int_equal(window_copy(copier.bytes, copier.window, 1), 0);
	assert_int_equal(status_of(touch_what_is_gone, &copier), 77);
	assert_int_equal(status_of(send_a_signal, &copier), 77);
	assert_int_equal(status_of(copy_from_nowhere, &copier), 78);
	window_fence(&table);
	assert_int_equal(window_copy(copier.bytes, copier.window, 1), 0);
	assert_int_equal(status_of(touch_what_is_gone, &copier), 78);
	assert_int_equal(status_of(copy_from_nowhere, &copier), 78);
	assert_int_equal(window_copy(copier.bytes, copier.window, 1), 0);
	close_copier(&copier);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_ends_at_what_is_gone),
		cmocka_unit_test(bytes_of_any_place_and_number_are_copied),
		cmocka_unit_test(a_hole_reads_as_zeros),
		cmocka_unit_test(a_large_page_that_cannot_be_had_ends_the_copy),
		cmocka_unit_test(all_threads_fault_at_once),
		cmocka_unit_test(a_file_is_cut_under_running_copies),
		cmocka_unit_test(a_fence_ends_running_copies),
		cmocka_unit_test(a_fence_lets_the_file_go),
		cmocka_unit_test(a_copy_that_waits_for_ever_is_interrupted),
		cmocka_unit_test(interrupts_at_any_time_do_no_harm),
		cmocka_unit_test(other_faults_go_to_the_handler_before),
	};

	keep_handlers();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
