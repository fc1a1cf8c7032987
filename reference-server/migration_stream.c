/* SPDX-License-Identifier: BSD-3-Clause */
/* migration_stream.c - see migration_stream.h. */
#include "migration_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crc.h"
#include "fault.h"

size_t migration_stream_image(const struct migration_part *parts)
{
	size_t size = 0;

	for (; parts->size; parts++)
		size += parts->size;
	return size;
}

#define MIGRATION_PAGE ((size_t)4096)

static size_t migration_stream_round(size_t size)
{
	return (size + MIGRATION_PAGE - 1) & ~(MIGRATION_PAGE - 1);
}

/* `size` zeros that end where the page behind them begins, or NULL. */
static uint8_t *migration_stream_map(size_t size)
{
	size_t whole = migration_stream_round(size);
	uint8_t *base = mmap(NULL, whole + MIGRATION_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	if (mprotect(base, whole, PROT_READ | PROT_WRITE)) {
		munmap(base, whole + MIGRATION_PAGE);
		return NULL;
	}
	return base + (whole - size);
}

static void migration_stream_unmap(uint8_t *image, size_t size)
{
	size_t whole = migration_stream_round(size);

	if (image)
		munmap(image - (whole - size), whole + MIGRATION_PAGE);
}

int migration_stream_open(struct migration_stream *stream, const struct migration_part *parts)
{
	memset(stream, 0, sizeof(*stream));
	stream->parts = parts;
	stream->size = migration_stream_image(parts);
	stream->image = migration_stream_map(stream->size);
	stream->now = migration_stream_map(stream->size);
	if (stream->image && stream->now)
		return 0;
	migration_stream_close(stream);
	return -ENOMEM;
}

void migration_stream_close(struct migration_stream *stream)
{
	migration_stream_unmap(stream->image, stream->size);
	migration_stream_unmap(stream->now, stream->size);
	free(stream->queue);
	memset(stream, 0, sizeof(*stream));
}

/* Makes room in the queue for `size` bytes more. */
static int migration_stream_room(struct migration_stream *stream, size_t size)
{
	size_t queued = stream->end - stream->begin;
	uint8_t *queue;

	if (size <= stream->capacity - stream->end)
		return 0;
	if (queued)
		memmove(stream->queue, stream->queue + stream->begin, queued);
	stream->begin = 0;
	stream->end = queued;
	if (size <= stream->capacity - queued)
		return 0;
	queue = realloc(stream->queue, queued + size);
	if (!queue)
		return -ENOMEM;
	stream->queue = queue;
	stream->capacity = queued + size;
	return 0;
}

/* There is room. */
static void migration_stream_append(struct migration_stream *stream, const void *data, size_t size)
{
	memcpy(stream->queue + stream->end, data, size);
	stream->end += size;
	stream->crc = crc_add(stream->crc, data, size);
}

int migration_stream_begin(struct migration_stream *stream)
{
	const struct migration_header header = { MIGRATION_MAGIC, MIGRATION_VERSION, 0 };
	int error = migration_stream_room(stream, sizeof(header));

	if (!error)
		migration_stream_append(stream, &header, sizeof(header));
	return error;
}

static uint32_t migration_stream_piece(const struct migration_part *part, uint32_t offset)
{
	return part->size - offset < MIGRATION_PIECE ? part->size - offset : MIGRATION_PIECE;
}

/* The bytes that the difference takes in the queue. */
static size_t migration_stream_measure(const struct migration_stream *stream)
{
	size_t size = 0, base = 0;

	for (const struct migration_part *part = stream->parts; part->size; part++) {
		for (uint32_t at = 0; at < part->size; at += MIGRATION_PIECE) {
			uint32_t length = migration_stream_piece(part, at);

			if (memcmp(stream->now + base + at, stream->image + base + at, length) != 0)
				size += sizeof(struct migration_section) + length;
		}
		base += part->size;
	}
	return size;
}

/* Queues a piece of the present image, and notes that it is saved. */
static void migration_stream_save(struct migration_stream *stream, struct migration_section section,
				  size_t at)
{
	section.crc = crc_add(CRC_START, stream->now + at, section.length);
	migration_stream_append(stream, &section, sizeof(section));
	migration_stream_append(stream, stream->now + at, section.length);
	memcpy(stream->image + at, stream->now + at, section.length);
}

int migration_stream_put(struct migration_stream *stream)
{
	int error = migration_stream_room(stream, migration_stream_measure(stream));
	size_t base = 0;

	if (error)
		return error;
	for (const struct migration_part *part = stream->parts; part->size; part++) {
		for (uint32_t at = 0; at < part->size; at += MIGRATION_PIECE) {
			struct migration_section section = {
				.part = part->id,
				.length = migration_stream_piece(part, at),
				.offset = at,
			};

			if (memcmp(stream->now + base + at, stream->image + base + at,
				   section.length) != 0)
				migration_stream_save(stream, section, base + at);
		}
		base += part->size;
	}
	return 0;
}

int migration_stream_finish(struct migration_stream *stream)
{
	const struct migration_section end = { .part = MIGRATION_END, .crc = stream->crc };
	int error = migration_stream_room(stream, sizeof(end));

	if (!error)
		migration_stream_append(stream, &end, sizeof(end));
	return error;
}

size_t migration_stream_queued(const struct migration_stream *stream)
{
	return stream->end - stream->begin;
}

void migration_stream_take(struct migration_stream *stream, void *out, size_t size)
{
	if (!size)
		return;
	memcpy(out, stream->queue + stream->begin, size);
	stream->begin += size;
}

/* How many bytes belong to what is expected. */
static size_t migration_stream_want(const struct migration_stream *stream)
{
	switch (stream->expect) {
	case MIGRATION_EXPECT_HEADER:
		return sizeof(struct migration_header);
	case MIGRATION_EXPECT_SECTION:
		return sizeof(struct migration_section);
	case MIGRATION_EXPECT_BYTES:
		return stream->section.length;
	case MIGRATION_EXPECT_NOTHING:
	case MIGRATION_EXPECT_BAD:
		break;
	}
	return 0;
}

static enum migration_expect migration_stream_header(struct migration_stream *stream)
{
	struct migration_header header;

	memcpy(&header, stream->piece, sizeof(header));
	stream->crc = crc_add(stream->crc, &header, sizeof(header));
	if (header.magic != MIGRATION_MAGIC || header.version != MIGRATION_VERSION || header.zero)
		return MIGRATION_EXPECT_BAD;
	return MIGRATION_EXPECT_SECTION;
}

/* Where the bytes of a section are in the image; NULL if there is no such place. */
static uint8_t *migration_stream_place(const struct migration_stream *stream,
				       const struct migration_section *section)
{
	uint8_t *base = stream->image;

	for (const struct migration_part *part = stream->parts; part->size; part++) {
		if (part->id != section->part) {
			base += part->size;
			continue;
		}
		if (section->offset > part->size || section->length > part->size - section->offset)
			return NULL;
		return base + section->offset;
	}
	return NULL;
}

static enum migration_expect migration_stream_section(struct migration_stream *stream)
{
	struct migration_section *section = &stream->section;

	memcpy(section, stream->piece, sizeof(*section));
	if (section->zero)
		return MIGRATION_EXPECT_BAD;
	if (section->part == MIGRATION_END && fault_on(FAULT_bad_state_is_loaded))
		return MIGRATION_EXPECT_NOTHING;
	if (section->part == MIGRATION_END)
		return section->length || section->offset || section->crc != stream->crc ?
		       MIGRATION_EXPECT_BAD : MIGRATION_EXPECT_NOTHING;
	if (!section->length || section->length > MIGRATION_PIECE ||
	    !migration_stream_place(stream, section))
		return MIGRATION_EXPECT_BAD;
	stream->crc = crc_add(stream->crc, section, sizeof(*section));
	return MIGRATION_EXPECT_BYTES;
}

static enum migration_expect migration_stream_bytes(struct migration_stream *stream)
{
	const struct migration_section *section = &stream->section;

	if (crc_add(CRC_START, stream->piece, section->length) != section->crc &&
	    !fault_on(FAULT_bad_state_is_loaded))
		return MIGRATION_EXPECT_BAD;
	stream->crc = crc_add(stream->crc, stream->piece, section->length);
	memcpy(migration_stream_place(stream, section), stream->piece, section->length);
	return MIGRATION_EXPECT_SECTION;
}

/* What follows the item that has come completely. */
static enum migration_expect migration_stream_next(struct migration_stream *stream)
{
	switch (stream->expect) {
	case MIGRATION_EXPECT_HEADER:
		return migration_stream_header(stream);
	case MIGRATION_EXPECT_SECTION:
		return migration_stream_section(stream);
	case MIGRATION_EXPECT_BYTES:
		return migration_stream_bytes(stream);
	case MIGRATION_EXPECT_NOTHING:
	case MIGRATION_EXPECT_BAD:
		break;
	}
	return MIGRATION_EXPECT_BAD;
}

void migration_stream_feed(struct migration_stream *stream, const uint8_t *data, size_t size)
{
	if (fault_on(FAULT_state_is_kept_as_it_comes))
		fault_forget(size);
	while (size && stream->expect != MIGRATION_EXPECT_BAD) {
		size_t rest = migration_stream_want(stream) - stream->have;
		size_t n = size < rest ? size : rest;

		memcpy(stream->piece + stream->have, data, n);
		stream->have += n;
		data += n;
		size -= n;
		if (n < rest)
			return;
		stream->expect = migration_stream_next(stream);
		stream->have = 0;
	}
}

bool migration_stream_is_complete(const struct migration_stream *stream)
{
	return stream->expect == MIGRATION_EXPECT_NOTHING;
}
