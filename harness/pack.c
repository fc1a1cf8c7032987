/* SPDX-License-Identifier: BSD-3-Clause */
/* pack.c - programs as records of bytes; see pack.h. */
#include "pack.h"

#include <errno.h>
#include <string.h>

#include "buf.h"

/* In the place of an op: four bytes of seed, no step. Ops from this number on are one higher. */
#define SEED 17u

enum pack_key {
	PACK_END = 0,
	PACK_COMMAND_HIGH,
	PACK_CONNECTION,
	PACK_LANE,
	PACK_KIND,
	PACK_PROPERTIES,
	PACK_EXPECT,
	PACK_ERRNO,
	PACK_SEALS,
	PACK_CUT,
	PACK_REPEAT,
	PACK_STRIDE,
	PACK_FD,
	PACK_FD_TIMES,
	PACK_PIECE,
	PACK_NUMBERS = 0x10,	/* + index * 4 + class */
	PACK_BYTES = 0x1c,	/* length in one byte */
	PACK_MORE_BYTES = 0x1d,	/* in two */
	PACK_FILLED = 0x1e,
	PACK_FIELDS = 0x40,	/* + class * 16 + index */
	PACK_BASES = 0x80,	/* the same with a base before the number */
	PACK_NONE = 0xc0,	/* no key from here on */
};

struct pack_out {
	uint8_t *data;
	size_t size;
	size_t at;
	bool overflow;
};

/* ---- packing ---- */

static void pack_bytes(struct pack_out *out, const void *bytes, size_t size)
{
	if (out->overflow || size > out->size - out->at) {
		out->overflow = true;
		return;
	}
	if (size)
		memcpy(out->data + out->at, bytes, size);
	out->at += size;
}

static void pack_number(struct pack_out *out, uint64_t number, uint32_t width)
{
	uint8_t bytes[8];

	for (uint32_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(number >> 8 * i);
	pack_bytes(out, bytes, width);
}

static void pack_item(struct pack_out *out, uint32_t key, uint64_t number, uint32_t width)
{
	if (number == 0)
		return;
	pack_number(out, key, 1);
	pack_number(out, number, width);
}

/* The shortest number is 1 << class bytes. */
static uint32_t pack_class(uint64_t number)
{
	if (number <= UINT8_MAX)
		return 0;
	if (number <= UINT16_MAX)
		return 1;
	return number <= UINT32_MAX ? 2 : 3;
}

static void pack_values(struct pack_out *out, const struct program_step *step)
{
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t class = pack_class(step->number[i]);

		pack_item(out, PACK_NUMBERS + 4 * i + class, step->number[i], 1u << class);
	}
	for (uint32_t i = 0; i < PROGRAM_FIELDS; i++) {
		const struct program_value *value = &step->field[i];
		uint32_t class = pack_class(value->number);

		if (!(step->set >> i & 1))
			continue;
		pack_number(out, (value->base ? PACK_BASES : PACK_FIELDS) + 16 * class + i, 1);
		if (value->base)
			pack_number(out, value->base, 1);
		pack_number(out, value->number, 1u << class);
	}
}

static void pack_data(struct pack_out *out, const struct program *program,
		      const struct program_data *data)
{
	uint32_t done = 0;

	if (data->filled) {
		pack_number(out, PACK_FILLED, 1);
		pack_number(out, data->fill, 1);
		pack_number(out, data->size, 4);
		return;
	}
	while (done < data->size) {
		uint32_t part = data->size - done;
		bool more = part > UINT8_MAX;

		if (part > UINT16_MAX)
			part = UINT16_MAX;
		pack_number(out, more ? PACK_MORE_BYTES : PACK_BYTES, 1);
		pack_number(out, part, more ? 2 : 1);
		pack_bytes(out, program->bytes + data->at + done, part);
		done += part;
	}
}

static void pack_lists(struct pack_out *out, const struct program_step *step)
{
	for (uint32_t i = 0; i < step->nfds; i++) {
		bool times = step->fd[i].times != 1;

		pack_number(out, times ? PACK_FD_TIMES : PACK_FD, 1);
		pack_number(out, step->fd[i].handle, 1);
		if (times)
			pack_number(out, step->fd[i].times, 1);
	}
	for (uint32_t i = 0; i < step->npieces; i++) {
		pack_number(out, PACK_PIECE, 1);
		pack_number(out, step->piece[i].end, 4);
		pack_number(out, step->piece[i].nfds, 1);
	}
}

static bool pack_by_handle(uint32_t op)
{
	return (program_parts(op) & PROGRAM_WITH_HANDLE) != 0;
}

static void pack_step(struct pack_out *out, const struct program *program,
		      const struct program_step *step)
{
	pack_number(out, step->op < SEED ? step->op : step->op + 1u, 1);
	pack_number(out, pack_by_handle(step->op) ? step->handle : step->command, 1);
	pack_item(out, PACK_COMMAND_HIGH, step->command >> 8, 1);
	pack_item(out, PACK_CONNECTION, step->connection, 1);
	pack_item(out, PACK_LANE, step->lane, 1);
	pack_item(out, PACK_KIND, step->kind, 1);
	pack_item(out, PACK_PROPERTIES, step->properties, 1);
	pack_item(out, PACK_EXPECT, step->expect, 1);
	pack_item(out, PACK_ERRNO, step->expect_errno, 2);
	pack_item(out, PACK_SEALS, step->seals, 1);
	pack_item(out, PACK_CUT, step->cut, 4);
	pack_item(out, PACK_REPEAT, step->repeat - 1, 4);
	if (step->stride) {
		pack_number(out, PACK_STRIDE, 1);
		pack_number(out, step->stride_field, 1);
		pack_number(out, step->stride, 8);
	}
	pack_values(out, step);
	pack_lists(out, step);
	pack_data(out, program, &step->data);
	pack_number(out, PACK_END, 1);
}

int pack_program(const struct program *program, uint8_t *out, size_t size)
{
	struct pack_out writer = { .data = out, .size = size };

	if (program->seed) {
		pack_number(&writer, SEED, 1);
		pack_number(&writer, program->seed, 4);
	}
	for (uint32_t i = 0; i < program->count; i++)
		pack_step(&writer, program, &program->step[i]);
	return writer.overflow ? -ENOSPC : (int)writer.at;
}

/* ---- unpacking ---- */

static uint64_t pack_read(struct buf_reader *reader, uint32_t width)
{
	uint8_t bytes[8] = { 0 };
	uint64_t number = 0;

	buf_read(reader, bytes, width);
	for (uint32_t i = width; i-- > 0;)
		number = number << 8 | bytes[i];
	return number;
}

static void pack_read_bytes(struct program *program, struct program_step *step,
			    struct buf_reader *reader, uint32_t width)
{
	size_t size = pack_read(reader, width);

	if (size > buf_left(reader))
		size = buf_left(reader);
	if (size > PROGRAM_BYTES - program->nbytes)
		size = PROGRAM_BYTES - program->nbytes;
	if (step->data.filled || step->data.size == 0)
		step->data = (struct program_data){ .at = program->nbytes };
	buf_read(reader, program->bytes + program->nbytes, size);
	program->nbytes += (uint32_t)size;
	step->data.size += (uint32_t)size;
}

static void pack_read_filled(struct program_step *step, struct buf_reader *reader)
{
	step->data.filled = true;
	step->data.fill = (uint8_t)pack_read(reader, 1);
	step->data.size = (uint32_t)pack_read(reader, 4);
}

static void pack_read_fd(struct program_step *step, struct buf_reader *reader, bool times)
{
	struct program_fd fd = { .handle = (uint8_t)pack_read(reader, 1), .times = 1 };

	if (times)
		fd.times = (uint8_t)pack_read(reader, 1);
	if (step->nfds < PROGRAM_FDS)
		step->fd[step->nfds++] = fd;
}

static void pack_read_piece(struct program_step *step, struct buf_reader *reader)
{
	struct program_piece piece = { .end = (uint32_t)pack_read(reader, 4) };

	piece.nfds = (uint8_t)pack_read(reader, 1);
	if (step->npieces < PROGRAM_PIECES)
		step->piece[step->npieces++] = piece;
}

static void pack_read_field(struct program_step *step, struct buf_reader *reader, uint32_t key)
{
	struct program_value value = { 0 };

	if (key >= PACK_BASES)
		value.base = (uint8_t)pack_read(reader, 1);
	value.number = pack_read(reader, 1u << (key >> 4 & 3));
	step->field[key & 15] = value;
	step->set |= (uint16_t)(1u << (key & 15));
}

static void pack_read_stride(struct program_step *step, struct buf_reader *reader)
{
	step->stride_field = (uint8_t)pack_read(reader, 1);
	step->stride = pack_read(reader, 8);
}

static void pack_read_plain(struct program_step *step, struct buf_reader *reader, uint32_t key)
{
	if (key == PACK_COMMAND_HIGH)
		step->command = (uint16_t)((step->command & 0xff) | pack_read(reader, 1) << 8);
	else if (key == PACK_CONNECTION)
		step->connection = (uint8_t)pack_read(reader, 1);
	else if (key == PACK_LANE)
		step->lane = (uint8_t)pack_read(reader, 1);
	else if (key == PACK_KIND)
		step->kind = (uint8_t)pack_read(reader, 1);
	else if (key == PACK_PROPERTIES)
		step->properties = (uint8_t)pack_read(reader, 1);
	else if (key == PACK_EXPECT)
		step->expect = (uint8_t)pack_read(reader, 1);
	else if (key == PACK_ERRNO)
		step->expect_errno = (uint16_t)pack_read(reader, 2);
	else if (key == PACK_SEALS)
		step->seals = (uint32_t)pack_read(reader, 1);
	else if (key == PACK_CUT)
		step->cut = (uint32_t)pack_read(reader, 4);
	else
		step->repeat = 1 + (uint32_t)(pack_read(reader, 4) % PROGRAM_REPEAT);
}

/* One item; false at the end of the record. */
static bool pack_read_item(struct program *program, struct program_step *step,
			   struct buf_reader *reader)
{
	uint32_t key = (uint32_t)pack_read(reader, 1);

	if (key >= PACK_NONE)
		return false;
	if (key >= PACK_FIELDS)
		pack_read_field(step, reader, key);
	else if (key >= PACK_NUMBERS && key < PACK_BYTES)
		step->number[key / 4 - 4] = pack_read(reader, 1u << (key & 3));
	else if (key == PACK_BYTES || key == PACK_MORE_BYTES)
		pack_read_bytes(program, step, reader, key == PACK_BYTES ? 1 : 2);
	else if (key == PACK_FILLED)
		pack_read_filled(step, reader);
	else if (key == PACK_FD || key == PACK_FD_TIMES)
		pack_read_fd(step, reader, key == PACK_FD_TIMES);
	else if (key == PACK_PIECE)
		pack_read_piece(step, reader);
	else if (key == PACK_STRIDE)
		pack_read_stride(step, reader);
	else if (key > PACK_END && key <= PACK_REPEAT)
		pack_read_plain(step, reader, key);
	else
		return false;
	return true;
}

static void pack_read_step(struct program *program, struct program_step *step,
			   struct buf_reader *reader, uint32_t op)
{
	uint8_t subject = (uint8_t)pack_read(reader, 1);

	step->op = (uint8_t)op;
	step->handle = pack_by_handle(op) ? subject : 0;
	step->command = pack_by_handle(op) ? 0 : subject;
	while (buf_left(reader) && pack_read_item(program, step, reader))
		continue;
}

void pack_parse(struct program *program, const uint8_t *bytes, size_t size)
{
	struct buf_reader reader = buf_reader_over(bytes, size);

	program_clear(program);
	while (buf_left(&reader)) {
		uint32_t op = (uint32_t)pack_read(&reader, 1) % (PROGRAM_OPS + 1);
		struct program_step *step;

		if (op == SEED) {
			program->seed = (uint32_t)pack_read(&reader, 4);
			continue;
		}
		step = program_insert(program, program->count);
		if (!step)
			break;
		pack_read_step(program, step, &reader, op - (op > SEED));
	}
	program_fix(program);
}
