/* SPDX-License-Identifier: BSD-3-Clause */
/* pack_message.c - steps as the bytes of their messages, and back; see pack.h. */
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "pack.h"

#define COMMANDS 128u		/* more than the numbers of all commands */
#define HEADER sizeof(struct wire_header)
#define PACK_FILL 32u		/* bytes, all the same, are data that is filled */

/* Fields of the header, by index. */
enum pack_header {
	PACK_ID,
	PACK_COMMAND,
	PACK_MSG_SIZE,
	PACK_FLAGS,
	PACK_ERROR,
};

/* The slots of the test device in its BAR0. */
#define SLOT_BASE 0x100u
#define SLOT_SIZE 0x40u
#define SLOT_STEP 0x3cu

/* What of a command the rows of its fields do not tell. */
struct shape {
	uint32_t larger;	/* fixed part of request or reply, without header */
	bool tail;		/* of the request */
};

/* Where a message goes. */
struct pack_span {
	uint8_t *data;
	size_t size;
};

/* A message under construction. */
struct draft {
	struct program_step step;	/* `command` is that of the layout */
	const struct pack_context *context;
	const struct schema_field *rows;
	size_t count;		/* of rows that are in the message */
	uint32_t fixed;		/* bytes of the header and the fixed part */
	uint32_t size;		/* of the data behind them */
	uint64_t value[PROGRAM_FIELDS];
};

static struct shape pack_shapes[COMMANDS];
static pthread_once_t pack_once = PTHREAD_ONCE_INIT;

static void pack_make_shapes(void)
{
	const struct schema_command *commands;
	const struct schema_field *rows;
	size_t count = schema_commands(&commands);

	for (size_t i = 0; i < count; i++) {
		const struct schema_command *row = &commands[i];

		if (row->number < COMMANDS)
			pack_shapes[row->number].larger = row->request_size > row->reply_size ?
				row->request_size : row->reply_size;
	}
	count = schema_fields(&rows);
	for (size_t i = 0; i < count; i++)
		if (rows[i].command < COMMANDS && rows[i].width == 0 && !rows[i].in_reply)
			pack_shapes[rows[i].command].tail = true;
}

static const struct shape *pack_shape(uint16_t command)
{
	pthread_once(&pack_once, pack_make_shapes);
	return &pack_shapes[command < COMMANDS ? command : 0];
}

static void pack_store(uint8_t *to, uint64_t value, uint32_t width)
{
	uint64_t first = htole64(value);	/* now its lowest bytes come first */

	memcpy(to, &first, width);
	if (htole16(1) != 1)
		for (uint32_t i = 0; i < width / 2; i++) {
			uint8_t byte = to[i];

			to[i] = to[width - 1 - i];
			to[width - 1 - i] = byte;
		}
}

static uint64_t pack_load(const uint8_t *from, uint32_t width)
{
	uint16_t two;
	uint32_t four;
	uint64_t eight;

	switch (width) {
	case 2:
		memcpy(&two, from, sizeof(two));
		return two;
	case 4:
		memcpy(&four, from, sizeof(four));
		return four;
	case 8:
		memcpy(&eight, from, sizeof(eight));
		return eight;
	}
	return width ? *from : 0;
}

/* Where the field stands in the message. */
static uint32_t pack_place(size_t index, const struct schema_field *row)
{
	return row->offset + (index < PROGRAM_HEADER ? 0 : (uint32_t)HEADER);
}

static uint64_t pack_region_size(const struct draft *draft)
{
	const struct pack_context *context = draft->context;

	for (size_t i = PROGRAM_HEADER; i < draft->count; i++) {
		uint64_t region = draft->value[i];

		if (draft->rows[i].role == SCHEMA_INDEX && draft->step.field[i].base == 0)
			return region < context->regions ? context->region_size[region] : 0;
	}
	return 0;
}

static uint64_t pack_given(const struct draft *draft, size_t index)
{
	const struct program_value *value = &draft->step.field[index];

	if (value->base == PROGRAM_NUMBER)
		return value->number;
	if (value->base == PROGRAM_REGION_SIZE)
		return pack_region_size(draft) + value->number;
	return draft->context->base[value->base] + value->number;
}

/* What the request had in that place. */
static uint64_t pack_of_request(const struct draft *draft, size_t index)
{
	const struct pack_context *context = draft->context;
	uint32_t place = pack_place(index, &draft->rows[index]);
	uint32_t width = draft->rows[index].width;

	if (!context->request || place + width > context->request_size)
		return 0;
	return pack_load(context->request + place, width);
}

static uint64_t pack_flags(const struct draft *draft)
{
	if (draft->step.op == PROGRAM_REPLY)
		return WIRE_TYPE_REPLY | (draft->value[PACK_ERROR] ? WIRE_ERROR : 0);
	return draft->step.properties & PROGRAM_NO_REPLY ? WIRE_NO_REPLY : 0;
}

/* The larger structure and what belongs to it: the data, or as much as is asked for. */
static uint64_t pack_argsz(const struct draft *draft)
{
	uint64_t size = pack_shape(draft->step.command)->larger + (uint64_t)draft->size;

	if (pack_shape(draft->step.command)->tail)
		return size;
	for (size_t i = PROGRAM_HEADER; i < draft->count; i++)
		if (draft->rows[i].role == SCHEMA_LENGTH)
			size += draft->value[i];
	return size;
}

static uint64_t pack_unset(const struct draft *draft, size_t index)
{
	bool reply = draft->step.op == PROGRAM_REPLY;

	switch (index) {
	case PACK_ID:
		return reply ? pack_of_request(draft, PACK_ID) : draft->context->id;
	case PACK_COMMAND:
		return draft->step.command;
	case PACK_MSG_SIZE:
		return (uint64_t)draft->fixed + draft->size;
	case PACK_FLAGS:
		return pack_flags(draft);
	case PACK_ERROR:
		return 0;
	}
	if (reply)
		return pack_of_request(draft, index);
	if (draft->rows[index].role == SCHEMA_LENGTH && pack_shape(draft->step.command)->tail)
		return draft->size;
	return draft->rows[index].role == SCHEMA_ARGSZ ? pack_argsz(draft) : 0;
}

/* The values that do not depend on others first: numbers, then region sizes, then what is unset. */
static void pack_resolve(struct draft *draft)
{
	const struct program_step *step = &draft->step;

	for (size_t i = 0; i < draft->count; i++)
		if (step->set >> i & 1 && step->field[i].base != PROGRAM_REGION_SIZE)
			draft->value[i] = pack_given(draft, i);
	for (size_t i = 0; i < draft->count; i++)
		if (step->set >> i & 1 && step->field[i].base == PROGRAM_REGION_SIZE)
			draft->value[i] = pack_given(draft, i);
	for (size_t i = draft->count; i-- > 0;)
		if (!(step->set >> i & 1))
			draft->value[i] = pack_unset(draft, i);
	if (step->stride_field < draft->count)
		draft->value[step->stride_field] += step->stride * draft->context->round;
}

/* A reply whose step names no command is one to the request that waits. */
static void pack_follow_request(struct draft *draft)
{
	const struct pack_context *context = draft->context;
	struct program_step *step = &draft->step;

	if (step->op != PROGRAM_REPLY || step->command != 0)
		return;
	if (context->request && context->request_size >= HEADER)
		step->command = (uint16_t)pack_load(context->request + 2, 2);
	if (step->command != WIRE_DMA_READ || step->data.size || step->field[PACK_ERROR].number)
		return;
	if (context->request_size >= HEADER + sizeof(struct wire_dma_access)) {
		uint64_t count = pack_load(context->request + HEADER +
					   offsetof(struct wire_dma_access, count), 8);

		/* No request is for as many bytes: this is an attribute word. */
		if (count > UINT32_MAX)
			count = (uint32_t)count;

		step->data.filled = true;
		step->data.size = (uint32_t)(count < PROGRAM_FILLED ? count : PROGRAM_FILLED);
	}
}

static void pack_lay_out(struct draft *draft)
{
	const struct program_step *step = &draft->step;
	bool given = step->set >> PROGRAM_HEADER || step->data.size;
	bool error = step->op == PROGRAM_REPLY && step->field[PACK_ERROR].number;

	const struct schema_field *rows;

	draft->count = program_fields(step, &rows);
	draft->rows = rows;
	if (error && !given)
		draft->count = PROGRAM_HEADER;
	draft->fixed = (uint32_t)HEADER;
	if (draft->count > PROGRAM_HEADER)
		draft->fixed += rows[draft->count - 1].offset + rows[draft->count - 1].width;
	draft->size = step->data.size;
}

static void pack_data_out(const struct program *program, const struct program_data *data,
			  uint8_t *out)
{
	if (data->filled)
		memset(out, data->fill, data->size);
	else if (data->size)
		memcpy(out, program->bytes + data->at, data->size);
}

/* All but the data, whose place is at draft->fixed. */
static int pack_draft(struct draft *draft, uint8_t *out, size_t size)
{
	pack_follow_request(draft);
	pack_lay_out(draft);
	if (size < draft->fixed || size - draft->fixed < draft->size)
		return -ENOSPC;
	pack_resolve(draft);
	for (size_t i = 0; i < draft->count; i++)
		pack_store(out + pack_place(i, &draft->rows[i]), draft->value[i],
			   draft->rows[i].width);
	return (int)(draft->fixed + draft->size);
}

/* The field that part `part` of a slot's step writes: cmd, which starts it, comes last. */
static int pack_register(const struct program_step *step, uint32_t part)
{
	for (int i = 1; i < PROGRAM_FIELDS; i++)
		if (step->set >> i & 1 && part-- == 0)
			return i;
	return part == 0 && step->set & 1 ? 0 : -EINVAL;
}

/* A REGION_WRITE of BAR0, by the same way as any other message. */
static int pack_write(const struct pack_context *context, uint32_t offset, uint64_t value,
		      uint32_t width, struct pack_span out)
{
	struct draft draft = {
		.step = {
			.op = PROGRAM_SEND,
			.command = WIRE_REGION_WRITE,
			.set = 1u << PROGRAM_HEADER,
			.field = { [PROGRAM_HEADER] = { .number = offset } },
			.data = { .size = width },
		},
		.context = context,
	};
	int length = pack_draft(&draft, out.data, out.size);

	if (length >= 0)
		pack_store(out.data + draft.fixed, value, width);
	return length;
}

static int pack_slot(const struct program_step *step, const struct pack_context *context,
		     struct pack_span out)
{
	struct draft draft = { .step = *step, .context = context };
	int index = pack_register(step, context->part);
	uint32_t base = SLOT_BASE + SLOT_SIZE * step->command;
	const struct schema_field *rows;

	if (index < 0)
		return index;
	program_fields(step, &rows);
	draft.value[index] = pack_given(&draft, (size_t)index);
	if (index == step->stride_field)
		draft.value[index] += step->stride * context->round;
	return pack_write(context, base + rows[index].offset, draft.value[index],
			  rows[index].width, out);
}

uint32_t pack_parts(const struct program_step *step)
{
	if (step->op == PROGRAM_SLOT)
		return (uint32_t)__builtin_popcount(step->set);
	return step->op == PROGRAM_SEND || step->op == PROGRAM_RAW || step->op == PROGRAM_REPLY ||
	       step->op == PROGRAM_POKE;
}

int pack_message(const struct program *program, const struct program_step *step,
		 const struct pack_context *context, uint8_t *out, size_t size)
{
	struct pack_span span = { .data = out, .size = size };
	struct draft draft = { .step = *step, .context = context };
	int length;

	if (context->part >= pack_parts(step))
		return -EINVAL;
	if (step->op == PROGRAM_SLOT)
		return pack_slot(step, context, span);
	if (step->op == PROGRAM_POKE)
		return pack_write(context, SLOT_BASE + SLOT_SIZE * step->command + SLOT_STEP,
				  step->number[0], 4, span);
	if (step->op == PROGRAM_RAW) {
		if (step->data.size > size)
			return -ENOSPC;
		pack_data_out(program, &step->data, out);
		return (int)step->data.size;
	}
	length = pack_draft(&draft, out, size);
	if (length >= 0)
		pack_data_out(program, &draft.step.data, out + draft.fixed);
	return length;
}

/* ---- and back ---- */

/* Takes back what would be filled in the same way; what a reply takes from its request stays. */
static void pack_forget(struct program_step *step)
{
	const struct pack_context context = { 0 };
	struct draft draft = { .step = *step, .context = &context };

	pack_lay_out(&draft);
	for (size_t i = 0; i < draft.count; i++)
		draft.value[i] = step->field[i].number;
	for (size_t i = PROGRAM_FIELDS; i-- > 0;) {
		bool header = i < PROGRAM_HEADER;

		if (i >= draft.count || !(step->set >> i & 1))
			continue;
		if (step->op == PROGRAM_REPLY && !header)
			continue;
		if (i == PACK_ID || pack_unset(&draft, i) == step->field[i].number) {
			step->set &= (uint16_t)~(1u << i);
			step->field[i].number = 0;
		}
	}
}

/* Sets the fields that have at least a byte of the message; where the last field ends. */
static size_t pack_take_fields(struct program_step *step, const uint8_t *bytes, size_t size)
{
	const struct schema_field *rows;
	size_t count = program_fields(step, &rows);
	size_t end = HEADER;

	for (size_t i = 0; i < count; i++) {
		uint32_t place = pack_place(i, &rows[i]);
		uint8_t image[8] = { 0 };

		end = place + rows[i].width;
		if (place >= size)
			continue;
		memcpy(image, bytes + place, end <= size ? rows[i].width : size - place);
		step->set |= (uint16_t)(1u << i);
		step->field[i].number = pack_load(image, rows[i].width);
	}
	return end;
}

/* Bytes behind the fields, of which one many times takes no room. 0 or -ENOSPC. */
static int pack_take_data(struct program *program, struct program_step *step, const uint8_t *bytes,
			  size_t size)
{
	if (size >= PACK_FILL && size <= PROGRAM_FILLED && !memcmp(bytes, bytes + 1, size - 1)) {
		step->data = (struct program_data){
			.size = (uint32_t)size,
			.filled = true,
			.fill = *bytes,
		};
		return 0;
	}
	return size > UINT32_MAX ? -ENOSPC :
				   program_set_data(program, step, bytes, (uint32_t)size);
}

int pack_unraw(struct program *program, struct program_step *step, const uint8_t *bytes,
	       size_t size)
{
	memset(step, 0, sizeof(*step));
	step->op = PROGRAM_RAW;
	step->repeat = 1;
	return pack_take_data(program, step, bytes, size);
}

int pack_unmessage(struct program *program, struct program_step *step, const uint8_t *bytes,
		   size_t size)
{
	struct wire_header header;
	bool reply;
	size_t end;

	if (size < HEADER || size > UINT32_MAX)
		return -EINVAL;
	memcpy(&header, bytes, sizeof(header));
	reply = (header.flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY;
	memset(step, 0, sizeof(*step));
	step->op = reply ? PROGRAM_REPLY : PROGRAM_SEND;
	step->command = header.command;
	step->repeat = 1;
	if (!reply && header.flags == WIRE_NO_REPLY)
		step->properties = PROGRAM_NO_REPLY;
	end = pack_take_fields(step, bytes, size);
	if (size < end && !(size == HEADER && reply && header.error)) {
		step->properties |= PROGRAM_CUT;
		step->cut = (uint32_t)size;
	} else if (size > end && pack_take_data(program, step, bytes + end, size - end) < 0) {
		return -ENOSPC;
	}
	pack_forget(step);
	return 0;
}

/* The register of a slot at this place and of this width, set in `slot`; false without one. */
static bool pack_find_register(struct program_step *slot, uint64_t offset, uint32_t width,
			       uint64_t value)
{
	const struct schema_field *rows;
	size_t count;

	slot->command = (uint16_t)((offset - SLOT_BASE) / SLOT_SIZE);
	offset = (offset - SLOT_BASE) % SLOT_SIZE;
	if (offset == SLOT_STEP && width == 4) {
		slot->op = PROGRAM_POKE;
		slot->number[0] = value;
		return true;
	}
	slot->op = PROGRAM_SLOT;
	count = program_fields(slot, &rows);
	for (size_t i = 0; i < count; i++) {
		if (rows[i].offset != offset || rows[i].width != width)
			continue;
		slot->set = (uint16_t)(1u << i);
		slot->field[i].number = value;
		return true;
	}
	return false;
}

void pack_unslot(const struct program *program, struct program_step *step)
{
	struct program_step slot = { .properties = step->properties, .repeat = 1 };
	int offset = program_field(step, "offset");
	uint8_t bytes[sizeof(uint64_t)] = { 0 };
	uint64_t at;

	if (step->op != PROGRAM_SEND || step->command != WIRE_REGION_WRITE || step->nfds ||
	    step->npieces || offset < 0 || step->set != 1u << offset || step->data.filled ||
	    step->data.size > sizeof(bytes) ||
	    step->properties & (PROGRAM_CUT | PROGRAM_NO_REPLY))
		return;
	at = step->field[offset].number;
	if (at < SLOT_BASE || at >= SLOT_BASE + (uint64_t)SLOT_SIZE * PROGRAM_SLOTS)
		return;
	memcpy(bytes, program->bytes + step->data.at, step->data.size);
	if (pack_find_register(&slot, at, step->data.size, pack_load(bytes, 8)))
		*step = slot;
}
