/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * migration_stream.h - an image as a stream of bytes that can be cut anywhere, and back.
 *
 * header	magic, version, a zero
 * section	part, length, offset in the part, CRC-32 of the bytes, a zero; then length bytes
 * end		a section of part MIGRATION_END, length and offset 0, whose CRC is that of the
 *		whole stream before it
 *
 * A later section replaces what an earlier one said. Bytes that no section names are zero. One
 * stream is for writing or for reading; it takes memory for two images and at most one image
 * of queued sections. Images are mapped, so that zeros take no memory and all of it goes back at
 * once; behind each is a page that cannot be touched.
 */
#ifndef MIGRATION_STREAM_H
#define MIGRATION_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIGRATION_MAGIC UINT64_C(0x3054415453435556)	/* "VUCSTAT0" */
#define MIGRATION_VERSION 3u
#define MIGRATION_END UINT32_MAX
/* The most bytes of a section. */
#define MIGRATION_PIECE 4096u

struct migration_header {
	uint64_t magic;
	uint32_t version;
	uint32_t zero;
};

struct migration_section {
	uint32_t part;
	uint32_t length;	/* 1 to MIGRATION_PIECE */
	uint64_t offset;
	uint32_t crc;
	uint32_t zero;
};

/* One part of an image. */
struct migration_part {
	uint32_t id;
	uint32_t size;
};

/* Where the reader is. */
enum migration_expect {
	MIGRATION_EXPECT_HEADER,
	MIGRATION_EXPECT_SECTION,
	MIGRATION_EXPECT_BYTES,
	MIGRATION_EXPECT_NOTHING,	/* the end has come */
	MIGRATION_EXPECT_BAD,		/* what came was no stream; all further bytes are dropped */
};

struct migration_stream {
	const struct migration_part *parts;	/* the last has size 0 */
	uint8_t *image;		/* what was saved or loaded so far */
	uint8_t *now;		/* room for the present image while saving */
	size_t size;		/* of an image */
	uint32_t crc;		/* of the stream so far */
	uint8_t *queue;		/* sections that are to be read; begin to end */
	size_t begin, end, capacity;
	enum migration_expect expect;
	struct migration_section section;	/* that is arriving */
	uint8_t piece[MIGRATION_PIECE];	/* header, section or bytes, as far as they have come */
	size_t have;
};

/* The size of an image with these parts. */
size_t migration_stream_image(const struct migration_part *parts);

/* An empty stream: 0, or -ENOMEM. migration_stream_close() frees it, and may always be called. */
int migration_stream_open(struct migration_stream *stream, const struct migration_part *parts);
void migration_stream_close(struct migration_stream *stream);

/*
 * Writing. Begins with the header; compares stream->now, which the caller has filled in, with
 * what was saved and queues the difference; queues the end. 0 or -ENOMEM, and nothing is queued.
 */
int migration_stream_begin(struct migration_stream *stream);
int migration_stream_put(struct migration_stream *stream);
int migration_stream_finish(struct migration_stream *stream);

/* The bytes in the queue, and taking the first of them out (at most that many). */
size_t migration_stream_queued(const struct migration_stream *stream);
void migration_stream_take(struct migration_stream *stream, void *out, size_t size);

/* Reading: the next bytes. */
void migration_stream_feed(struct migration_stream *stream, const uint8_t *data, size_t size);

/* Whether a whole and sound stream has come, and nothing behind it: stream->image is complete. */
bool migration_stream_is_complete(const struct migration_stream *stream);

#endif
