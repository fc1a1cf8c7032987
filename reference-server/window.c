/* SPDX-License-Identifier: BSD-3-Clause */
/* window.c - see window.h. */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fault.h"
#include "range.h"

#define WINDOW_GUARD 4096u
/* The smallest page: what a fault can take away at least. */
#define WINDOW_PAGE 4096u

/* A word at any address; guest memory changes under our hands, so each access is a real one. */
struct window_word {
	uint64_t value;
} __attribute__((packed, may_alias));

/* Where this thread goes on when its copy meets a page that is gone. */
static _Thread_local sigjmp_buf window_recovery;
static _Thread_local volatile sig_atomic_t window_copying;

static pthread_once_t window_once = PTHREAD_ONCE_INIT;
static struct sigaction window_previous;

/* The protection that the descriptor's mode allows, or -errno when `access` needs more. */
static int window_protection(int fd, unsigned int access)
{
	int flags = fcntl(fd, F_GETFL);
	int mode = flags & O_ACCMODE;

	if (flags < 0)
		return -errno;
	if (flags & O_PATH || mode == O_WRONLY)
		return -EACCES;
	if (access & WINDOW_WRITE && mode != O_RDWR)
		return -EACCES;
	return mode == O_RDWR ? PROT_READ | PROT_WRITE : PROT_READ;
}

static int window_check(int fd, uint64_t offset, uint64_t size)
{
	struct range file, part;
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -ENODEV;
	if (range_make(0, (uint64_t)stat.st_size, &file) || range_make(offset, size, &part) ||
	    !range_contains(file, part))
		return -EINVAL;
	return 0;
}

/* A reserved place, so that the page behind the file can be given back and stays free. */
static int window_place(struct window *window, int fd, uint64_t offset, uint64_t size, int prot)
{
	uint8_t *place = mmap(NULL, size + WINDOW_GUARD, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int error;

	if (place == MAP_FAILED)
		return -errno;
	if (mmap(place, size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset) ==
	    MAP_FAILED) {
		error = -errno;
		munmap(place, size + WINDOW_GUARD);
		return error;
	}
	munmap(place + size, WINDOW_GUARD);
	window->base = place;
	return 0;
}

int window_open(struct window *window, int fd, uint64_t offset, uint64_t size,
		unsigned int access)
{
	int error = window_check(fd, offset, size);
	int prot;

	if (error)
		return error;
	prot = window_protection(fd, access);
	if (prot < 0)
		return prot;
	error = window_place(window, fd, offset, size, prot);
	/* A file sealed against writing can still be read through a descriptor that may write. */
	if (error == -EPERM && !(access & WINDOW_WRITE))
		error = window_place(window, fd, offset, size, PROT_READ);
	return error;
}

void window_close(struct window *window, uint64_t size)
{
	if (window->base)
		munmap(window->base, size);
	window->base = NULL;
}

/* Hands the signal to the handler that was there before us. */
static void window_pass_on(int number, siginfo_t *info, void *context)
{
	if (window_previous.sa_flags & SA_SIGINFO)
		window_previous.sa_sigaction(number, info, context);
	else if (window_previous.sa_handler != SIG_DFL && window_previous.sa_handler != SIG_IGN)
		window_previous.sa_handler(number);
	else
		signal(number, SIG_DFL);	/* the access is repeated, and ends the process */
}

static void window_fault(int number, siginfo_t *info, void *context)
{
	sigset_t set;

	if (!window_copying) {
		window_pass_on(number, info, context);
		return;
	}
	window_copying = false;
	/* Sanitizers call handlers with all signals blocked: the next fault would be the last. */
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	siglongjmp(window_recovery, 1);
}

static void window_catch(void)
{
	struct sigaction action = { .sa_sigaction = window_fault, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, &window_previous);
}

/* No call leaves this function: whatever it left half done would stay so. */
__attribute__((noinline, no_sanitize("thread")))
static void window_copy_part(void *to, const void *from, size_t size)
{
	volatile struct window_word *to_word = to;
	const volatile struct window_word *from_word = from;
	volatile uint8_t *to_byte;
	const volatile uint8_t *from_byte;

	for (; size >= sizeof(*to_word); size -= sizeof(*to_word))
		(to_word++)->value = (from_word++)->value;
	to_byte = (volatile uint8_t *)to_word;
	from_byte = (const volatile uint8_t *)from_word;
	while (size--)
		*to_byte++ = *from_byte++;
}

/* How far both sides are from the end of their page, or of the copy. */
static size_t window_step(const uint8_t *to, const uint8_t *from, size_t size)
{
	size_t to_left = WINDOW_PAGE - (uintptr_t)to % WINDOW_PAGE;
	size_t from_left = WINDOW_PAGE - (uintptr_t)from % WINDOW_PAGE;
	size_t left = to_left < from_left ? to_left : from_left;

	return size < left ? size : left;
}

size_t window_copy(void *to, const void *from, size_t size)
{
	volatile size_t done = 0;

	if (!fault_on(FAULT_truncation_kills))
		pthread_once(&window_once, window_catch);
	if (sigsetjmp(window_recovery, 0))
		return done;
	window_copying = true;
	while (done < size) {
		uint8_t *target = (uint8_t *)to + done;
		const uint8_t *source = (const uint8_t *)from + done;
		size_t step = window_step(target, source, size - done);

		window_copy_part(target, source, step);
		done += step;
	}
	window_copying = false;
	return done;
}
