/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.h - threads that leave nothing behind.
 *
 * The C library keeps the stacks of threads that have ended, so that the first client whose device
 * gets a thread would leave two areas of address space in the server for good. Here a stack is the
 * thread's own and goes with it.
 */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>

struct thread {
	pthread_t id;
	void *stack;		/* with its guard page */
};

/* Runs work(arg). 0, or -errno and nothing is left. */
int thread_start(struct thread *thread, void *(*work)(void *arg), void *arg);

/* Waits for the end of what thread_start() began. */
void thread_end(struct thread *thread);

#endif
