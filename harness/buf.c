/* SPDX-License-Identifier: BSD-3-Clause */
/* buf.c - see buf.h. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct buf_reader buf_reader_over(const void *data, size_t size)
{
	return (struct buf_reader){ .data = data, .size = size };
}

size_t buf_left(const struct buf_reader *reader)
{
	return reader->overflow ? 0 : reader->size - reader->at;
}

void buf_read(struct buf_reader *reader, void *out, size_t size)
{
	if (size > buf_left(reader)) {
		reader->overflow = true;
		memset(out, 0, size);
		return;
	}
	if (size)
		memcpy(out, reader->data + reader->at, size);
	reader->at += size;
}

void buf_skip(struct buf_reader *reader, size_t size)
{
	if (size > buf_left(reader))
		reader->overflow = true;
	else
		reader->at += size;
}

struct buf_writer buf_text_over(char *data, size_t size)
{
	data[0] = '\0';
	return (struct buf_writer){ .data = data, .size = size };
}

void buf_text(struct buf_writer *writer, const char *format, ...)
{
	size_t room = writer->size - writer->at;
	va_list args;
	int length;

	if (writer->overflow)
		return;
	va_start(args, format);
	length = vsnprintf(writer->data + writer->at, room, format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= room) {
		writer->overflow = true;
		writer->at = writer->size - 1;
	} else {
		writer->at += (size_t)length;
	}
}
