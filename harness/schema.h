/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * schema.h - the protocol as data: one row per command, one per field, one per named constant.
 *
 * Everything that has to know what a message looks like (encoder, printer, the grid of wrong
 * shapes, the envelope checker, Python) reads these tables and describes nothing again. The rows
 * of a message stand in the order of their offsets, cover its fixed part without a hole, and are
 * followed by at most one tail.
 *
 * Structures that stand inside a tail (capabilities, sparse areas, payloads of DEVICE_FEATURE ...)
 * have rows too, under pseudo-commands from SCHEMA_NESTED on, which never appear in a header. Their
 * name is that of the structure, their request fields are its fields, with offsets from its own
 * start, and `request_size` is its size; direction and reply mean nothing.
 *
 * Commands of the vIOMMU extension (reference-server/viommu.rst) have rows like others; a server
 * that did not negotiate it has to refuse them as unknown ones. What the extension adds to fields
 * that exist are constants in sets whose names end in _ATTR, which no field names.
 */
#ifndef SCHEMA_H
#define SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"
#include "wire_ext.h"

#define SCHEMA_HEADER 0u	/* the number under which the message header itself has its rows */
#define SCHEMA_EXTENSION 100u	/* from here on commands are the vIOMMU extension's */
#define SCHEMA_NESTED 0x10000u	/* first pseudo-command */

enum schema_nested {
	SCHEMA_CAP_HEADER = SCHEMA_NESTED,
	SCHEMA_CAP_SPARSE_MMAP,
	SCHEMA_SPARSE_AREA,
	SCHEMA_CAP_TYPE,
	SCHEMA_IO_FD,
	SCHEMA_WRITE_MULTI_ENTRY,
	SCHEMA_MIGRATION,
	SCHEMA_DEVICE_STATE,
	SCHEMA_LOGGING_CONTROL,
	SCHEMA_LOGGING_RANGE,
	SCHEMA_LOGGING_REPORT,
	SCHEMA_PAGE_RANGE,
	SCHEMA_POC_PAGE,
};

/* What a field means. */
enum schema_role {
	SCHEMA_VALUE = 0,
	SCHEMA_ARGSZ = 1,
	SCHEMA_FLAGS = 2,
	SCHEMA_INDEX = 3,
	SCHEMA_COUNT = 4,
	SCHEMA_START = 5,
	SCHEMA_LENGTH = 6,
	SCHEMA_OFFSET = 7,
	SCHEMA_IOVA = 8,
	SCHEMA_SIZE = 9,
	SCHEMA_RESERVED = 10,
	SCHEMA_DATA = 11,
};

enum schema_direction {
	SCHEMA_TO_SERVER = 0,
	SCHEMA_TO_CLIENT = 1,
};

/* Layout of struct vuc_command, which documents the fields. */
struct schema_command {
	const char *name;
	uint32_t number;
	uint32_t direction;
	uint32_t request_size;
	uint32_t reply_size;
	uint32_t request_fds;
	uint32_t reply_fds;
};

/* Layout of struct vuc_field. */
struct schema_field {
	const char *name;
	const char *constants;
	uint32_t command;
	uint32_t in_reply;
	uint32_t offset;
	uint32_t width;
	uint32_t role;
};

/* Layout of struct vuc_constant. */
struct schema_constant {
	const char *set;
	const char *name;
	uint64_t value;
};

/* Each returns the number of rows and points `out` at the table, which is constant. */
size_t schema_commands(const struct schema_command **out);
size_t schema_fields(const struct schema_field **out);
size_t schema_constants(const struct schema_constant **out);

/* The row of a command that can stand in a header; NULL for any other number. */
const struct schema_command *schema_command(uint32_t number);

/* The largest reply payload that a request announces, or NULL for a command without argsz. */
const struct schema_field *schema_argsz(uint32_t number);

#endif
