/* SPDX-License-Identifier: BSD-3-Clause */
/* program_schema.c - the fields of a step: rows of the schema, found by command; see program.h. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "program.h"

#define COMMANDS 128u		/* numbers below it have a row in the table */
#define PREFIX "header."

#define REGISTER(name, at, width, role, set) { name, set, 0, 0, at, width, SCHEMA_##role }

/* The registers of a slot of the test device that a client writes to describe an operation. */
static const struct schema_field program_slot_rows[] = {
	REGISTER("cmd", 0x00, 4, FLAGS, "SLOT_CMD"),
	REGISTER("ctl", 0x04, 4, FLAGS, "SLOT_CTL"),
	REGISTER("src", 0x08, 8, IOVA, NULL),
	REGISTER("dst", 0x10, 8, IOVA, NULL),
	REGISTER("len", 0x18, 4, LENGTH, NULL),
	REGISTER("mid", 0x1c, 4, LENGTH, NULL),
	REGISTER("buf", 0x20, 4, OFFSET, NULL),
	REGISTER("pat", 0x24, 4, VALUE, NULL),
	REGISTER("count", 0x28, 4, COUNT, NULL),
	REGISTER("stride", 0x2c, 4, SIZE, NULL),
};

/* The rows of a message: those of the header, then those of its fixed part. */
struct layout {
	size_t count;
	struct schema_field row[PROGRAM_FIELDS];
};

static struct layout program_layouts[2][COMMANDS];
static pthread_once_t program_once = PTHREAD_ONCE_INIT;

static void program_append(struct layout *layout, const struct schema_field *row)
{
	if (row->width && layout->count < PROGRAM_FIELDS)
		layout->row[layout->count++] = *row;
}

static void program_make_layouts(void)
{
	const struct schema_field *rows;
	size_t count = schema_fields(&rows);

	for (size_t i = 0; i < count; i++) {
		if (rows[i].command != SCHEMA_HEADER)
			continue;
		for (uint32_t number = 0; number < 2 * COMMANDS; number++)
			program_append(&program_layouts[number % 2][number / 2], &rows[i]);
	}
	for (size_t i = 0; i < count; i++)
		if (rows[i].command != SCHEMA_HEADER && rows[i].command < COMMANDS)
			program_append(&program_layouts[rows[i].in_reply][rows[i].command],
				       &rows[i]);
}

size_t program_fields(const struct program_step *step, const struct schema_field **out)
{
	const struct layout *layout;

	if (step->op == PROGRAM_SLOT) {
		*out = program_slot_rows;
		return sizeof(program_slot_rows) / sizeof(*program_slot_rows);
	}
	*out = NULL;
	if (step->op != PROGRAM_SEND && step->op != PROGRAM_REPLY)
		return 0;
	pthread_once(&program_once, program_make_layouts);
	/* Number 0 is none of the schema's: it has the header alone, like all that are unknown. */
	layout = &program_layouts[step->op == PROGRAM_REPLY]
				 [step->command < COMMANDS ? step->command : 0];
	*out = layout->row;
	return layout->count;
}

int program_field(const struct program_step *step, const char *name)
{
	const struct schema_field *rows;
	size_t count = program_fields(step, &rows);
	size_t skip = strlen(PREFIX);
	bool header = strncmp(name, PREFIX, skip) == 0;
	size_t end = header && count > PROGRAM_HEADER ? PROGRAM_HEADER : count;

	if (header && step->op == PROGRAM_SLOT)
		return -ENOENT;
	if (header)
		name += skip;
	for (size_t i = end; i-- > 0;)
		if (strcmp(rows[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}
