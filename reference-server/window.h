/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window.h - the parts of a client's files that are mapped into the server.
 *
 * A connection has one window for each extent of a file and each mode of a descriptor, however
 * many of the client's mappings lie in it: a file is known by device and inode, which nobody can
 * reuse while a window holds it. A mapping lies in exactly one window; so a file that has grown
 * gets a further, larger one, and the old one goes with its last mapping. An extent begins at a
 * multiple of WINDOW_EXTENT and ends with the file, or at the first such multiple behind what was
 * asked for. Pages are of WINDOW_PAGE bytes and have the number that they have in the file.
 *
 * No descriptor is kept. Behind each window an unmapped page stays free: the kernel would merge
 * neighbouring extents of one file into one area, and taking one of them out of it needs memory
 * that may not be there, while a window has to go without fail.
 *
 * The table belongs to one thread. Others may call window_at() and window_copy() for a window
 * that is sure to stay: its owner drops it only when nobody refers to it any more.
 *
 * The file stays the client's, who may cut it short at any time. So its bytes are touched by
 * window_copy() alone, which survives that.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WINDOW_PAGE 4096u

/* The most windows that a table can have, and the quotas that window_init() sets. */
#define WINDOW_MAX 4096u
#define WINDOW_QUOTA 256u
#define WINDOW_PAGE_QUOTA (UINT64_C(1) << 32)	/* 16 TiB */

/* In pages: of which the extents are, and where files end for us, as page numbers have 38 bits. */
#define WINDOW_EXTENT (UINT64_C(1) << 28)	/* 1 TiB */
#define WINDOW_FILE_PAGES (UINT64_C(1) << 38)	/* 1 PiB */

enum window_access {
	WINDOW_READ = 1,
	WINDOW_WRITE = 2,
};

struct window {
	uint8_t *base;		/* NULL: this place in the table is free */
	uint64_t first;		/* number of the first page */
	uint64_t pages;
	uint64_t mappings;	/* of the client, that lie in it; 0 only while it is idle */
	dev_t dev;
	ino_t ino;
	unsigned int mode;	/* enum window_access: what the descriptor allows */
	unsigned int rights;	/* what the window allows: seals may have taken from it */
	bool alone;		/* of one mapping, and of what window_share() has added */
	bool fenced;
};

struct window_table {
	struct window windows[WINDOW_MAX];
	unsigned int count;
	unsigned int end;		/* behind the last place that is in use */
	unsigned int last;		/* that was taken */
	unsigned int idle;		/* windows that window_leave() left without mappings */
	uint64_t pages;			/* of all windows */
	unsigned int max_count;		/* the quotas; the owner may change them at any time */
	uint64_t max_pages;
};

/* No windows. */
void window_init(struct window_table *table);

/*
 * Counts one mapping more of the `size` bytes from `offset` on (multiples of WINDOW_PAGE) of the
 * file behind `fd`, which stays the caller's and is not needed any more. `access` is a set of
 * enum window_access; the window has all rights that the descriptor has.
 *
 * The index of the window. -ENODEV if fd is no file that can be mapped; -EINVAL if the range is
 * not inside the file as it is now; -EACCES if the mode of the descriptor and -EPERM if a seal
 * forbids the access, now; -ENOSPC if the window would exceed a quota, or the range is beyond
 * WINDOW_FILE_PAGES; -ENOMEM. Then nothing has changed. After a mapping has been dropped what was
 * refused with -ENOSPC may succeed.
 *
 * The first call in the process puts a handler of SIGBUS in front of the one that is there, which
 * gets every SIGBUS that neither a copy nor window_interrupt() caused.
 */
int window_take(struct window_table *table, int fd, uint64_t offset, uint64_t size,
		unsigned int access);

/* The same with a window of its own, no larger than need be, that window_take() never finds. */
int window_take_alone(struct window_table *table, int fd, uint64_t offset, uint64_t size,
		      unsigned int access);

/* One mapping more in a window that has some. */
void window_share(struct window_table *table, unsigned int index);

/* How many mappings the window has. */
uint64_t window_count(const struct window_table *table, unsigned int index);

/*
 * One mapping less; cannot fail. With the last one the window goes, and so true comes back: what
 * else is kept by its index has to go before the next window_take().
 */
bool window_drop(struct window_table *table, unsigned int index);

/* One mapping less, whose copies may go on: the window stays until window_sweep(). */
void window_leave(struct window_table *table, unsigned int index);

/* Closes one window without mappings and returns its index; -1: there is none. */
int window_sweep(struct window_table *table);

/* Drops all mappings of all windows. */
void window_clear(struct window_table *table);

/* Where a page of the file is that lies in the window. */
uint8_t *window_at(const struct window_table *table, unsigned int index, uint64_t page);

/*
 * Copies in the order of addresses, page by page; one side, or both, may be in a window. The
 * number of bytes in front of the first page that is not there (any more): `size` if all are.
 * Also less if a window was fenced or the thread was interrupted meanwhile. Any number of threads
 * may copy; none of them blocks SIGBUS or SIGSEGV.
 */
size_t window_copy(void *to, const void *from, size_t size);

/*
 * Takes the memory away from the windows at once, under copies that go on: each of them ends at
 * the page where it is. The windows and their indices stay, without their file, until they are
 * dropped. No mapping is ever added to them. From the first call on a handler stands also in front
 * of that of SIGSEGV, which gets every SIGSEGV but those of copies from fenced windows.
 */
void window_fence(struct window_table *table);

/*
 * Makes a copy that another thread is in return, also one that waits for a page that nobody
 * brings, unless the kernel waits for it without listening to signals. To be called when the
 * windows are fenced, lest it meets the next copy. Nothing happens to a thread that does not
 * copy. 0, or -EAGAIN if too many signals are pending. The thread has not been joined.
 */
int window_interrupt(pthread_t thread);

#endif
