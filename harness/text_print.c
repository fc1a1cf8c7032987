/* SPDX-License-Identifier: BSD-3-Clause */
/* text_print.c - programs to text; see text.h. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "text.h"
#include "text_words.h"

/* `size` counts a NUL that is written at the end. */
struct print {
	char *data;
	size_t size;
	size_t at;
	bool overflow;
	const char *between;	/* what stands before the next argument or property */
};

static void print_bytes(struct print *out, const char *bytes, size_t size)
{
	if (out->overflow || size >= out->size - out->at) {
		out->overflow = true;
		return;
	}
	memcpy(out->data + out->at, bytes, size);
	out->at += size;
}

static void print_text(struct print *out, const char *text)
{
	print_bytes(out, text, strlen(text));
}

static void print_number(struct print *out, uint64_t number, uint32_t radix)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[number % radix];
		number /= radix;
	} while (number);
	if (radix == 16)
		print_text(out, "0x");
	print_bytes(out, digits + at, sizeof(digits) - at);
}

/* What is a place or a set of bits in hexadecimal, what is counted in decimal. */
static void print_by_role(struct print *out, uint64_t number, uint32_t role)
{
	bool counted = role != SCHEMA_FLAGS && role != SCHEMA_OFFSET && role != SCHEMA_IOVA &&
		       role != SCHEMA_SIZE && role != SCHEMA_RESERVED;

	print_number(out, number, number < 10 || (counted && number <= UINT16_MAX) ? 10 : 16);
}

static void print_item(struct print *out, const char *name, const char *mark)
{
	print_text(out, out->between);
	print_text(out, name);
	print_text(out, mark);
	out->between = ", ";
}

/* ---- values ---- */

/* Of an attribute word. */
static void print_pasid(struct print *out, uint64_t value)
{
	print_text(out, "PASID(");
	print_by_role(out, (value & WIRE_ATTR_PASID_MASK) >> WIRE_ATTR_PASID_SHIFT, SCHEMA_COUNT);
	print_text(out, ")");
}

/* Names of what is under a mask, then of single bits, then the rest: joined they are the value. */
static void print_bits(struct print *out, uint64_t value, const char *set)
{
	const struct schema_constant *rows;
	size_t count = text_set(set, &rows);
	const struct text_part *part;
	const char *mark = "";
	uint64_t rest = value;

	for (size_t i = 0; (part = text_part(set, i)) != NULL; i++) {
		const char *name = text_constant_name(part->set, value & part->mask);

		if (!(value & part->mask) || !name)
			continue;
		print_text(out, mark);
		print_text(out, name);
		rest &= ~part->mask;
		mark = "|";
	}
	for (size_t i = 0; i < count; i++) {
		if (rows[i].value == 0 || (rest & rows[i].value) != rows[i].value)
			continue;
		print_text(out, mark);
		print_text(out, rows[i].name);
		rest &= ~rows[i].value;
		mark = "|";
	}
	if (text_is_attribute(set) && rest & WIRE_ATTR_PASID_VALID) {
		print_text(out, mark);
		print_pasid(out, rest);
		rest &= ~(uint64_t)(WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK);
		mark = "|";
	}
	if (rest || !*mark) {
		print_text(out, mark);
		print_by_role(out, rest, SCHEMA_FLAGS);
	}
}

static void print_based(struct print *out, const struct program_value *value, uint32_t width)
{
	uint64_t sign = UINT64_C(1) << (8 * width - 1);
	bool negative = (value->number & sign) != 0;
	uint64_t number = negative ? sign - (value->number & ~sign) : value->number;

	print_text(out, program_base_name(value->base));
	if (number == 0)
		return;
	print_text(out, negative ? "-" : "+");
	print_by_role(out, number, SCHEMA_COUNT);
}

static void print_field(struct print *out, const struct program_step *step, uint32_t index)
{
	const struct program_value *value = &step->field[index];
	const char *set = text_field_set(step, index);
	const struct schema_field *rows;
	const char *name = NULL;

	program_fields(step, &rows);
	if (value->base) {
		print_based(out, value, rows[index].width);
		return;
	}
	if (set && (rows[index].role == SCHEMA_FLAGS || text_is_attribute(set))) {
		print_bits(out, value->number, set);
		return;
	}
	/* The number of known regions says nothing as the name of one more. */
	if (set)
		name = text_constant_name(set, value->number);
	if (name && strcmp(name, "NUM") != 0)
		print_text(out, name);
	else
		print_by_role(out, value->number, rows[index].role);
}

static void print_field_name(struct print *out, const struct program_step *step, uint32_t index)
{
	const struct schema_field *rows;

	program_fields(step, &rows);
	if (step->op != PROGRAM_SLOT && index < PROGRAM_HEADER)
		print_text(out, "header.");
	print_text(out, rows[index].name);
}

static void print_fields(struct print *out, const struct program_step *step)
{
	for (uint32_t i = 0; i < PROGRAM_FIELDS; i++) {
		if (!(step->set >> i & 1))
			continue;
		print_item(out, "", "");
		print_field_name(out, step, i);
		print_text(out, "=");
		print_field(out, step, i);
	}
}

static void print_quoted(struct print *out, const uint8_t *bytes, size_t size)
{
	print_text(out, "\"");
	for (size_t i = 0; i < size; i++) {
		char plain = (char)bytes[i];
		char escaped[4] = { '\\', 'x', "0123456789abcdef"[bytes[i] >> 4],
				    "0123456789abcdef"[bytes[i] & 15] };

		if (plain == '"' || plain == '\\')
			print_bytes(out, (char[]){ '\\', plain }, 2);
		else if (plain == '\n')
			print_text(out, "\\n");
		else if (plain < ' ' || plain > '~')
			print_bytes(out, escaped, sizeof(escaped));
		else
			print_bytes(out, &plain, 1);
	}
	print_text(out, "\"");
}

/* Whether most of the bytes are no letters, and they are as many as 32-bit numbers have. */
static bool print_as_numbers(const uint8_t *bytes, size_t size)
{
	size_t strange = 0;

	for (size_t i = 0; i < size; i++)
		strange += bytes[i] < ' ' || bytes[i] > '~';
	return size % sizeof(uint32_t) == 0 && strange * 2 > size;
}

static void print_integers(struct print *out, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i += sizeof(uint32_t)) {
		uint32_t number;

		memcpy(&number, bytes + i, sizeof(number));
		print_text(out, i ? ", " : "u32(");
		print_by_role(out, number, SCHEMA_SIZE);
	}
	print_text(out, ")");
}

static void print_data(struct print *out, const struct program *program,
		       const struct program_step *step)
{
	const struct program_data *data = &step->data;
	const uint8_t *bytes = program->bytes + data->at;

	if (data->size == 0)
		return;
	if (data->filled) {
		print_item(out, "data", "=");
		print_number(out, data->fill, 16);
		print_text(out, "*");
		print_by_role(out, data->size, SCHEMA_COUNT);
	} else if (step->command == WIRE_VERSION && data->size > 1 && bytes[data->size - 1] == 0 &&
		   text_braces((const char *)bytes, data->size - 1) == data->size - 1) {
		print_item(out, "caps", "=");
		print_bytes(out, (const char *)bytes, data->size - 1);
	} else {
		print_item(out, "data", "=");
		if (print_as_numbers(bytes, data->size))
			print_integers(out, bytes, data->size);
		else
			print_quoted(out, bytes, data->size);
	}
}

static void print_fds(struct print *out, const struct program_step *step)
{
	if (step->nfds == 0)
		return;
	print_item(out, step->nfds > 1 ? "fds" : "fd", step->nfds > 1 ? "=[" : "=");
	for (uint32_t i = 0; i < step->nfds; i++) {
		print_text(out, i ? ", r" : "r");
		print_number(out, step->fd[i].handle, 10);
		if (step->fd[i].times == 1)
			continue;
		print_text(out, "*");
		print_number(out, step->fd[i].times, 10);
	}
	if (step->nfds > 1)
		print_text(out, "]");
}

static void print_numbers(struct print *out, const struct program_step *step)
{
	bool spare = step->op == PROGRAM_AWAIT || step->op == PROGRAM_DOOR;

	for (uint32_t i = 0; i < program_numbers(step); i++) {
		const char *set = text_number_set(step, i);
		const char *name = set ? text_constant_name(set, step->number[i]) : NULL;
		bool place = step->op != PROGRAM_TICK && step->op != PROGRAM_AWAIT &&
			     step->kind != PROGRAM_EVENTFD;

		if (spare && !step->number[i])
			continue;
		print_item(out, program_number_name(step, i), "=");
		if (name)
			print_text(out, name);
		else
			print_by_role(out, step->number[i], place ? SCHEMA_SIZE : SCHEMA_COUNT);
	}
}

/* ---- properties ---- */

static void print_expect(struct print *out, const struct program_step *step)
{
	const char *name = text_errno(step->expect_errno);

	if (step->expect == PROGRAM_ANYTHING)
		return;
	print_item(out, "expect", ": ");
	print_text(out, text_expect_name(step->expect));
	if (step->expect_errno == 0)
		return;
	print_text(out, " ");
	if (name)
		print_text(out, name);
	else
		print_number(out, step->expect_errno, 10);
}

static void print_repeat(struct print *out, const struct program_step *step)
{
	if (step->repeat == 1)
		return;
	print_item(out, "repeat", ": ");
	print_number(out, step->repeat, 10);
	if (step->stride == 0)
		return;
	print_item(out, "stride", ".");
	print_field_name(out, step, step->stride_field);
	print_text(out, ": ");
	print_by_role(out, step->stride, SCHEMA_SIZE);
}

static void print_pieces(struct print *out, const struct program_step *step)
{
	if (step->npieces)
		print_item(out, "pieces", ":");
	for (uint32_t i = 0; i < step->npieces; i++) {
		print_text(out, " ");
		print_number(out, step->piece[i].end, 10);
		if (step->piece[i].nfds == 0)
			continue;
		print_text(out, "/");
		print_number(out, step->piece[i].nfds, 10);
	}
}

static void print_count(struct print *out, const char *name, const char *mark, uint32_t number)
{
	if (number == 0)
		return;
	print_item(out, name, mark);
	print_number(out, number, 10);
}

static void print_properties(struct print *out, const struct program_step *step)
{
	bool own = step->op == PROGRAM_CONNECT || step->op == PROGRAM_DISCONNECT ||
		   step->op == PROGRAM_SHUTDOWN;

	out->between = " (";
	print_expect(out, step);
	for (uint32_t bit = 1; bit <= PROGRAM_HELD; bit <<= 1)
		if ((step->properties & bit) && text_property_name(bit))
			print_item(out, text_property_name(bit), "");
	print_count(out, "cut", ": ", step->cut);
	print_repeat(out, step);
	print_pieces(out, step);
	print_count(out, "lane", ": ", step->lane);
	if (!own)
		print_count(out, "on", ": c", step->connection);
	if (*out->between == ',')
		print_text(out, ")");
}

/* ---- steps ---- */

/* A command in lower case, or its number. */
static void print_command(struct print *out, uint16_t command)
{
	const struct schema_command *row = schema_command(command);

	for (const char *at = row ? row->name : ""; *at; at++)
		print_bytes(out, &(char){ (char)tolower(*at) }, 1);
	if (!row)
		print_number(out, command, 10);
}

static void print_subject(struct print *out, const struct program_step *step)
{
	uint32_t parts = program_parts(step->op);
	bool slot = program_has_slot(step);

	if (step->op == PROGRAM_SEND || (step->op == PROGRAM_REPLY && step->command)) {
		print_item(out, "", "");
		print_command(out, step->command);
	} else if (slot) {
		print_item(out, "", "");
		print_number(out, step->command, 10);
	} else if (parts & PROGRAM_WITH_HANDLE) {
		print_item(out, "r", "");
		print_number(out, step->handle, 10);
	} else if (parts == (PROGRAM_ON | PROGRAM_IN_LANE)) {
		print_item(out, "c", "");
		print_number(out, step->connection, 10);
	}
}

static void print_step(struct print *out, const struct program *program,
		       const struct program_step *step)
{
	out->between = "";
	if (step->op == PROGRAM_OPEN) {
		print_text(out, "r");
		print_number(out, step->handle, 10);
		print_text(out, " = ");
		print_text(out, program_kind_name(step->kind));
		print_text(out, "(");
	} else if (step->op == PROGRAM_SEND && schema_command(step->command)) {
		print_command(out, step->command);
		print_text(out, "(");
	} else {
		print_text(out, program_op_name(step->op));
		print_text(out, "(");
		print_subject(out, step);
	}
	print_numbers(out, step);
	if (step->seals) {
		print_item(out, "seals", "=");
		print_bits(out, step->seals, "SEALS");
	}
	print_fields(out, step);
	print_data(out, program, step);
	print_fds(out, step);
	print_text(out, ")");
	print_properties(out, step);
}

static int print_end(const struct print *out)
{
	out->data[out->at] = '\0';
	return out->overflow ? -ENOSPC : (int)out->at;
}

int text_print_step(const struct program *program, const struct program_step *step, char *out,
		    size_t size)
{
	struct print print = { .data = out, .size = size };

	if (size == 0)
		return -ENOSPC;
	print_step(&print, program, step);
	return print_end(&print);
}

int text_print(const struct program *program, char *out, size_t size)
{
	struct print print = { .data = out, .size = size };

	if (size == 0)
		return -ENOSPC;
	if (program->seed) {
		print_text(&print, "seed(");
		print_number(&print, program->seed, 10);
		print_text(&print, ")\n");
	}
	for (uint32_t i = 0; i < program->count; i++) {
		print_step(&print, program, &program->step[i]);
		print_text(&print, "\n");
	}
	return print_end(&print);
}
