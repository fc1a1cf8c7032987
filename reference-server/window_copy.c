/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window_copy.c - the one function that touches the client's memory, and the handlers of what can
 * come of that. A handler leaves a copy by a jump, so no lock is held and no call is made there.
 */
#include "window_copy.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fault.h"
#include "window.h"

/* A word at any address; guest memory changes under our hands, so each access is a real one. */
struct window_word {
	uint64_t value;
} __attribute__((packed, may_alias));

/* A signal in front of whose handler ours stands. */
struct window_signal {
	int number;
	pthread_once_t once;
	struct sigaction previous;
};

/* Where this thread goes on when its copy meets a page that is gone. */
static _Thread_local sigjmp_buf window_recovery;
static _Thread_local volatile sig_atomic_t window_copying;

static struct window_signal window_bus = { .number = SIGBUS, .once = PTHREAD_ONCE_INIT };
static struct window_signal window_segv = { .number = SIGSEGV, .once = PTHREAD_ONCE_INIT };
static _Atomic int window_fences;

/* Hands the signal to the handler that was there before us. */
static void window_pass_on(const struct window_signal *ours, siginfo_t *info, void *context)
{
	const struct sigaction *previous = &ours->previous;

	if (previous->sa_flags & SA_SIGINFO) {
		previous->sa_sigaction(ours->number, info, context);
	} else if (previous->sa_handler == SIG_DFL) {
		signal(ours->number, SIG_DFL);
		/* An access is repeated, and ends the process; what somebody sent has to be too. */
		if (info->si_code <= 0)
			raise(ours->number);
	} else if (previous->sa_handler != SIG_IGN) {
		previous->sa_handler(ours->number);
	} else if (info->si_code > 0) {
		signal(ours->number, SIG_DFL);
	}
}

/* Sanitizers call handlers with all signals blocked: the next fault would be the last. */
static _Noreturn void window_leave_copy(void)
{
	sigset_t set;

	window_copying = false;
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	sigaddset(&set, SIGSEGV);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	siglongjmp(window_recovery, 1);
}

/* window_interrupt() sends SIGBUS, as sanitizers hold other signals back until a call is made. */
static bool window_is_interrupt(const siginfo_t *info)
{
	return info->si_code == SI_QUEUE && info->si_pid == getpid() &&
	       info->si_value.sival_ptr == &window_fences;
}

static void window_on_bus(int number, siginfo_t *info, void *context)
{
	bool interrupt = window_is_interrupt(info);

	(void)number;
	/* BUS_MCEERR_AO tells of memory that nobody is accessing. */
	if (window_copying && (interrupt || (info->si_code > 0 && info->si_code != BUS_MCEERR_AO)))
		window_leave_copy();
	if (!interrupt)
		window_pass_on(&window_bus, info, context);
}

static void window_on_segv(int number, siginfo_t *info, void *context)
{
	(void)number;
	if (window_copying && info->si_code == SEGV_ACCERR && atomic_load(&window_fences) > 0)
		window_leave_copy();
	window_pass_on(&window_segv, info, context);
}

static void window_catch_bus(void)
{
	struct sigaction action = { .sa_sigaction = window_on_bus, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, &window_bus.previous);
}

static void window_catch_segv(void)
{
	struct sigaction action = { .sa_sigaction = window_on_segv, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &window_segv.previous);
}

void window_catch_faults(void)
{
	if (!fault_on(FAULT_truncation_kills))
		pthread_once(&window_bus.once, window_catch_bus);
}

void window_fenced(int change)
{
	pthread_once(&window_segv.once, window_catch_segv);
	atomic_fetch_add(&window_fences, change);
}

int window_interrupt(pthread_t thread)
{
	const union sigval value = { .sival_ptr = &window_fences };

	window_catch_faults();
	return -pthread_sigqueue(thread, SIGBUS, value);
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
