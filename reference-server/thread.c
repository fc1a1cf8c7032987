/* SPDX-License-Identifier: BSD-3-Clause */
/* thread.c - see thread.h. */
#include "thread.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Room for what sanitizers add to each frame, of which only what is used costs memory. */
#define THREAD_STACK (1u << 20)

static int thread_start_on(struct thread *thread, size_t guard, void *(*work)(void *arg), void *arg)
{
	pthread_attr_t attr;
	int error = pthread_attr_init(&attr);

	if (error)
		return -error;
	error = pthread_attr_setstack(&attr, (char *)thread->stack + guard, THREAD_STACK);
	if (!error)
		error = pthread_create(&thread->id, &attr, work, arg);
	pthread_attr_destroy(&attr);
	return -error;
}

int thread_start(struct thread *thread, void *(*work)(void *arg), void *arg)
{
	const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	int ret;

	thread->stack = mmap(NULL, guard + THREAD_STACK, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (thread->stack == MAP_FAILED)
		return -errno;
	ret = mprotect(thread->stack, guard, PROT_NONE) ? -errno : 0;
	if (!ret)
		ret = thread_start_on(thread, guard, work, arg);
	if (ret < 0)
		munmap(thread->stack, guard + THREAD_STACK);
	return ret;
}

void thread_end(struct thread *thread)
{
	pthread_join(thread->id, NULL);
	munmap(thread->stack, (size_t)sysconf(_SC_PAGESIZE) + THREAD_STACK);
}
