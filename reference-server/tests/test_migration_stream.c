/* SPDX-License-Identifier: BSD-3-Clause */
/* test_migration_stream.c - images through streams in any pieces, and streams that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crc.h"
#include "migration_stream.h"

static const struct migration_part parts[] = {
	{ 1, 100 }, { 2, 3 * MIGRATION_PIECE }, { 9, MIGRATION_PIECE + 4 }, { 0, 0 },
};

#define IMAGE ((size_t)104 + (size_t)4 * MIGRATION_PIECE)
#define LARGEST (2 * IMAGE)

/* A stream of everything, then of what changed, then its end. */
static size_t make(uint8_t *out, uint8_t *image)
{
	struct migration_stream stream;
	size_t size;

	assert_int_equal(migration_stream_open(&stream, parts), 0);
	assert_int_equal(stream.size, IMAGE);
	for (size_t i = 0; i < 200; i++)
		stream.now[i] = (uint8_t)(i * 7);
	stream.now[IMAGE - 1] = 0xee;
	assert_int_equal(migration_stream_begin(&stream), 0);
	assert_int_equal(migration_stream_put(&stream), 0);
	stream.now[0] = 1;
	stream.now[IMAGE - 1] = 0;
	stream.now[IMAGE - 2] = 0xdd;
	assert_int_equal(migration_stream_put(&stream), 0);
	assert_int_equal(migration_stream_put(&stream), 0);
	assert_int_equal(migration_stream_finish(&stream), 0);
	size = migration_stream_queued(&stream);
	assert_true(size <= LARGEST);
	migration_stream_take(&stream, out, size);
	memcpy(image, stream.now, IMAGE);
	migration_stream_close(&stream);
	return size;
}

static bool feed(const uint8_t *bytes, size_t size, size_t piece, uint8_t *image)
{
	struct migration_stream stream;
	bool complete;

	assert_int_equal(migration_stream_open(&stream, parts), 0);
	for (size_t at = 0; at < size; at += piece)
		migration_stream_feed(&stream, bytes + at, piece < size - at ? piece : size - at);
	complete = migration_stream_is_complete(&stream);
	if (image)
		memcpy(image, stream.image, IMAGE);
	migration_stream_close(&stream);
	return complete;
}

static void an_image_passes_in_any_pieces(void **state)
{
	static const size_t pieces[] = { 1, 7, 16, 24, 4096, LARGEST };
	static uint8_t bytes[LARGEST], image[IMAGE], copy[IMAGE];
	size_t size = make(bytes, image);

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		memset(copy, 0x55, sizeof(copy));
		assert_true(feed(bytes, size, pieces[i], copy));
		assert_memory_equal(copy, image, IMAGE);
	}
}

static void what_is_zero_takes_no_room(void **state)
{
	struct migration_stream stream;

	(void)state;
	assert_int_equal(migration_stream_open(&stream, parts), 0);
	assert_int_equal(migration_stream_begin(&stream), 0);
	assert_int_equal(migration_stream_put(&stream), 0);
	assert_int_equal(migration_stream_queued(&stream), sizeof(struct migration_header));
	stream.now[IMAGE - 1] = 1;
	assert_int_equal(migration_stream_put(&stream), 0);
	assert_int_equal(migration_stream_queued(&stream), sizeof(struct migration_header) +
							   sizeof(struct migration_section) + 4);
	migration_stream_close(&stream);
	migration_stream_close(&stream);
}

static void cut_and_continued_streams_are_incomplete(void **state)
{
	static uint8_t bytes[LARGEST + 1], image[IMAGE];
	size_t size = make(bytes, image);

	(void)state;
	for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : 97)
		assert_false(feed(bytes, cut, LARGEST, NULL));
	assert_false(feed(bytes, size - 1, LARGEST, NULL));
	assert_false(feed(bytes, size + 1, LARGEST + 1, NULL));
	assert_false(feed(bytes, size + 1, 1, NULL));
}

static void every_flipped_bit_is_noticed(void **state)
{
	static uint8_t bytes[LARGEST], image[IMAGE];
	size_t size = make(bytes, image);

	(void)state;
	for (size_t at = 0; at < size; at += at < 200 ? 1 : 53) {
		bytes[at] ^= (uint8_t)(1u << at % 8);
		assert_false(feed(bytes, size, LARGEST, NULL));
		bytes[at] ^= (uint8_t)(1u << at % 8);
	}
	assert_true(feed(bytes, size, LARGEST, NULL));
}

/* A stream with one section, and an end whose CRC is right. */
static bool feed_section(struct migration_section section, uint8_t *image)
{
	static uint8_t bytes[LARGEST];
	const struct migration_header header = { MIGRATION_MAGIC, MIGRATION_VERSION, 0 };
	struct migration_section end = { .part = MIGRATION_END };
	size_t size = sizeof(header), length = section.length;

	if (length > MIGRATION_PIECE)
		length = MIGRATION_PIECE;
	memset(bytes, 0x77, sizeof(bytes));
	memcpy(bytes, &header, sizeof(header));
	section.crc = crc_add(CRC_START, bytes + size + sizeof(section), length);
	memcpy(bytes + size, &section, sizeof(section));
	size += sizeof(section) + length;
	end.crc = crc_add(CRC_START, bytes, size);
	memcpy(bytes + size, &end, sizeof(end));
	return feed(bytes, size + sizeof(end), LARGEST, image);
}

static void sections_stay_in_their_part(void **state)
{
	static uint8_t image[IMAGE];

	(void)state;
	assert_true(feed_section((struct migration_section){ .part = 1, .length = 100 }, image));
	assert_int_equal(image[99], 0x77);
	assert_int_equal(image[100], 0);
	assert_true(feed_section((struct migration_section){ .part = 9, .length = 4,
							     .offset = MIGRATION_PIECE }, image));
	assert_int_equal(image[IMAGE - 1], 0x77);
	assert_false(feed_section((struct migration_section){ .part = 1, .length = 101 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 1, .length = 1,
							      .offset = 100 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 1, .length = 8,
							      .offset = UINT64_MAX - 3 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 2, .length = 4097 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 2, .length = UINT32_MAX,
							      .offset = 1 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 3, .length = 1 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 0, .length = 1 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 1, .length = 0 }, NULL));
	assert_false(feed_section((struct migration_section){ .part = 1, .length = 1,
							      .zero = 1 }, NULL));
}

/* The same numbers in each run. */
static uint32_t draw(void)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(state >> 33);
}

/* Garbage behind a front that is right up to some place, so that it gets somewhere. */
static void garbage_does_no_harm(void **state)
{
	static uint8_t bytes[LARGEST], good[LARGEST], image[IMAGE];
	size_t size = make(good, image);

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t front = round % 4 ? draw() % 256 : 0;
		size_t garbage = draw() % 512;

		memcpy(bytes, good, size);
		for (size_t i = 0; i < garbage; i++) {
			uint32_t byte = draw();

			bytes[front + i] = (uint8_t)(byte & 0x100 ? 0 : byte);
		}
		feed(bytes, front + garbage + 4200, 1 + draw() % 5000, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_passes_in_any_pieces),
		cmocka_unit_test(what_is_zero_takes_no_room),
		cmocka_unit_test(cut_and_continued_streams_are_incomplete),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(sections_stay_in_their_part),
		cmocka_unit_test(garbage_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
