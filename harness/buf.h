/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * buf.h - cursors over memory that somebody else owns, one to read and one to write.
 *
 * A cursor never leaves its memory. The first access that would do so sets `overflow` and moves
 * nothing; from then on every access fails the same way, so a user does all its accesses and
 * checks `overflow` once at the end. What is read after an overflow is zero.
 */
#ifndef BUF_H
#define BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf_reader {
	const uint8_t *data;
	size_t size;
	size_t at;		/* at <= size */
	bool overflow;
};

struct buf_writer {
	char *data;
	size_t size;
	size_t at;		/* at <= size */
	bool overflow;
};

struct buf_reader buf_reader_over(const void *data, size_t size);

/* Bytes that are left; 0 after an overflow. */
size_t buf_left(const struct buf_reader *reader);

/* Copy the next `size` bytes to `out` and move behind them. */
void buf_read(struct buf_reader *reader, void *out, size_t size);

/* Move behind the next `size` bytes. */
void buf_skip(struct buf_reader *reader, size_t size);

/* A writer over text: `size` >= 1, and the text is NUL-terminated at all times. */
struct buf_writer buf_text_over(char *data, size_t size);

/* Append formatted text. What does not fit is cut, and sets `overflow`. */
void buf_text(struct buf_writer *writer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
