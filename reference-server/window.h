/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window.h - a part of a client's file, mapped into the server.
 *
 * Each mapping of a file has one window. Behind each window an unmapped page stays free: the
 * kernel would merge neighbouring parts of one file into one area, and taking one of them out of
 * it needs memory that may not be there, while a window has to go without fail.
 *
 * The file stays the client's, who may cut it short at any time. So its bytes are touched by
 * window_copy() alone, which survives that.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include <stddef.h>
#include <stdint.h>

struct window {
	void *base;	/* NULL: no file, the memory is reached by messages */
};

enum window_access {
	WINDOW_READ = 1,
	WINDOW_WRITE = 2,
};

/*
 * Maps `size` bytes (a multiple of the page size, as is `offset`) of `fd`, which stays the
 * caller's; the window does not need it any more. `access` is a set of enum window_access; the
 * window has all rights that the descriptor has.
 *
 * 0; -ENODEV if fd is not a file that can be mapped; -EINVAL if the range is not inside the file
 * as it is now; -EACCES or -EPERM if the descriptor or a seal forbids the access; -ENOMEM.
 */
int window_open(struct window *window, int fd, uint64_t offset, uint64_t size,
		unsigned int access);

/* Unmaps; cannot fail. `size` as at the opening. Nothing happens to a window without file. */
void window_close(struct window *window, uint64_t size);

/*
 * Copies in the order of addresses, page by page; one side, or both, may be in a window. The
 * number of bytes in front of the first page that is not there (any more): `size` if all are.
 *
 * The first call in the process puts a handler of SIGBUS in front of the one that is there, which
 * gets every SIGBUS that no copy caused.
 */
size_t window_copy(void *to, const void *from, size_t size);

#endif
