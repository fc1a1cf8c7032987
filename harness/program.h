/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * program.h - a program: what a client does to a server, step by step.
 *
 * The one representation behind the text of cases, seeds and reports (text.h), the bytes that the
 * fuzzing engines see (pack.h), what is made up (generate.h, mutate.h) and what is executed
 * (exec.h). A program owns nothing outside itself and holds no pointers: it can be copied with
 * program_copy, compared with program_equal and kept in one block.
 *
 * Every value stands for something that can be done: handles, connections, lanes and steps that do
 * not exist are taken modulo what does exist by program_fix, which all producers call last. A
 * program that program_fix does not change is valid.
 *
 * Fields of a message are those of the schema, in its order: first the five of the header, then
 * those of the request (of the reply, for PROGRAM_REPLY) with a width. A field whose bit in `set`
 * is clear is filled in when the message is built: id by counting, command by the step, msg_size by
 * what follows, flags as the op needs them, argsz by the size of the larger structure and what
 * belongs to it, the length of a tail by `data`, in a reply what the request had, anything else 0.
 * The fields of a slot are its registers; those that are not given are not written.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema.h"

#define PROGRAM_STEPS 256
#define PROGRAM_FIELDS 16	/* of one message, the five of the header included */
#define PROGRAM_HEADER 5	/* the first of them: id, command, msg_size, flags, error */
#define PROGRAM_HANDLES 16	/* r0 to r15 */
#define PROGRAM_CONNECTIONS 4	/* c0, which is there from the beginning, to c3 */
#define PROGRAM_LANES 4
#define PROGRAM_FDS 8		/* different handles in one message; `times` makes more of them */
#define PROGRAM_PIECES 4	/* of one message, sent by a sendmsg each */
#define PROGRAM_BYTES (1u << 16)	/* data of all steps together */
#define PROGRAM_REPEAT (1u << 20)
#define PROGRAM_FILLED (1u << 21)	/* bytes of data that is one byte many times, or canaries */
#define PROGRAM_END (1u << 24)	/* of a piece */
#define PROGRAM_MS 60000u	/* of a tick */
#define PROGRAM_SLOTS 8
#define PROGRAM_REQUESTS 256u	/* of the server, that can be waited for */

enum program_op {
	PROGRAM_SEND = 0,	/* one command, or whatever its header says */
	PROGRAM_RAW = 1,	/* bytes that need not be a message */
	PROGRAM_REPLY = 2,	/* to the request of the server that has waited longest */
	PROGRAM_AWAIT = 3,	/* number[0] page requests, number[1] others; 0: all replies */
	PROGRAM_OPEN = 4,	/* the descriptor `handle`, of `kind` */
	PROGRAM_CLOSE = 5,	/* our copy of it */
	PROGRAM_TRUNCATE = 6,	/* the file behind it, to number[0] bytes */
	PROGRAM_PUNCH = 7,	/* a hole into it: number[0] offset, number[1] bytes */
	PROGRAM_FILL = 8,	/* canaries: number[0] offset, number[1] bytes, number[2] seed */
	PROGRAM_CHECK = 9,	/* that they are what FILL with these numbers wrote */
	PROGRAM_CONNECT = 10,	/* connection `connection` */
	PROGRAM_DISCONNECT = 11,
	PROGRAM_SHUTDOWN = 12,	/* the sending half */
	PROGRAM_SLOT = 13,	/* start a slot of the test device: `command` is the slot */
	PROGRAM_POKE = 14,	/* its step register: `command` is the slot, number[0] the value */
	PROGRAM_TICK = 15,	/* number[0] milliseconds pass */
	PROGRAM_BARRIER = 16,	/* no lane goes on before all are here */
	PROGRAM_PAGES = 17,	/* how page requests are answered from now on: number[0] */
	PROGRAM_DOOR = 18,	/* the side door: `command` is the slot; see enum program_state */
	PROGRAM_GUARD = 19,	/* what is unmapped is not to be written, all along */
	PROGRAM_OPS = 20,
};

/*
 * How the client answers a page request of the vIOMMU extension: what it maps, with the rights
 * that are missing, and the code of its response. NEVER is what holds without PAGES; what was kept
 * is answered when there is another way.
 */
enum program_pages {
	PROGRAM_NEVER = 0,	/* keeps it */
	PROGRAM_AT_ONCE = 1,	/* maps all of it */
	PROGRAM_LATE = 2,	/* the same, behind the step after the one that it came with */
	PROGRAM_PARTIAL = 3,	/* maps the first page */
	PROGRAM_INVALID = 4,	/* maps nothing: there is no such page */
	PROGRAM_FAILURE = 5,	/* maps nothing: there never will be any */
	PROGRAM_TWICE = 6,	/* maps all of it, and responds twice */
	PROGRAM_RANDOM = 7,	/* any of these, by the seed of the program */
	PROGRAM_PAGES_WAYS = 8,
};

/*
 * What DOOR wants of its slot: that it comes to number[1], or leaves number[2]; then the code
 * number[0] is for it. But for ANY and REST they are one more than what the device shows.
 */
enum program_state {
	PROGRAM_ANY = 0,
	PROGRAM_IDLE = 1,
	PROGRAM_QUEUED = 2,
	PROGRAM_RUNS = 3,
	PROGRAM_HOLDS = 4,
	PROGRAM_WAITS_PAGE = 5,
	PROGRAM_WAITS_MESSAGE = 6,
	PROGRAM_DONE = 7,
	PROGRAM_FAULTS = 8,
	PROGRAM_ABORTED = 9,
	PROGRAM_REST = 10,	/* it waits for nothing, or for what the client has not answered */
	PROGRAM_STATES = 11,
};

enum program_kind {
	PROGRAM_MEMFD = 0,	/* size, seals, read_only */
	PROGRAM_EVENTFD = 1,	/* size: its counter */
	PROGRAM_PIPE = 2,	/* the write end is passed */
	PROGRAM_SOCKET = 3,	/* one end of a connected pair */
	PROGRAM_DIRECTORY = 4,
	PROGRAM_SELF = 5,	/* the socket of the connection itself */
	PROGRAM_NULL = 6,	/* /dev/null: a file that can not be mapped shared for long */
	PROGRAM_KINDS = 7,
};

/* What a value is counted from; the number is added to it, modulo 2^64. */
enum program_base {
	PROGRAM_NUMBER = 0,
	PROGRAM_MAX_MSG_FDS = 1,	/* what the server announced, or the default */
	PROGRAM_MAX_DATA_XFER_SIZE = 2,
	PROGRAM_MAX_DMA_MAPS = 3,
	PROGRAM_PGSIZE = 4,		/* the smallest page size */
	PROGRAM_REGION_SIZE = 5,	/* of the region that the same message names, once known */
	PROGRAM_COOKIE = 6,	/* of the oldest page request without response, else of the last */
	PROGRAM_COOKIE_0 = 7,	/* of the first page request that came on the connection */
	PROGRAM_COOKIE_LAST = 14,	/* and of the eighth */
	PROGRAM_BASES = 15,
};

struct program_value {
	uint64_t number;
	uint8_t base;		/* enum program_base */
};

/* Data behind the fields: bytes of the program, or one byte many times. */
struct program_data {
	uint32_t at;		/* in program->bytes */
	uint32_t size;
	bool filled;		/* `size` times `fill`; nothing in program->bytes */
	uint8_t fill;
};

/* One descriptor of a message: a handle, `times` in a row. */
struct program_fd {
	uint8_t handle;
	uint8_t times;		/* at least 1 */
};

/*
 * A piece ends before the byte `end`, the ends grow, and carries the next `nfds` descriptors. What
 * is left behind the last one is one piece more, with the descriptors that are left.
 */
struct program_piece {
	uint32_t end;
	uint8_t nfds;
};

enum program_property {
	PROGRAM_NOWAIT = 1,	/* do not wait for the reply */
	PROGRAM_NO_REPLY = 2,	/* ask for none: sets the flag unless `flags` is given */
	PROGRAM_TWIN = 4,	/* by the twin socket, if there is one */
	PROGRAM_CUT = 8,	/* only the first `cut` bytes go out */
	PROGRAM_MAYBE = 16,	/* it need not be answered */
	PROGRAM_HELD = 32,	/* OPEN: read-only descriptor */
};

enum program_expect {
	PROGRAM_ANYTHING = 0,	/* what the model allows */
	PROGRAM_OK = 1,
	PROGRAM_ERROR = 2,	/* with `expect_errno` unless 0 */
	PROGRAM_CLOSED = 3,
	PROGRAM_SILENCE = 4,
};

struct program_step {
	uint8_t op;
	uint8_t connection;
	uint8_t lane;
	uint8_t handle;
	uint8_t kind;
	uint8_t properties;	/* enum program_property */
	uint8_t expect;
	uint8_t nfds;
	uint8_t npieces;	/* 0 = one piece */
	uint8_t stride_field;	/* index of the field that grows with each repetition */
	uint16_t command;
	uint16_t expect_errno;
	uint16_t set;		/* bit i: field[i] is given */
	uint32_t seals;		/* F_SEAL_* of a memfd */
	uint32_t cut;
	uint32_t repeat;	/* 1 = once */
	uint64_t stride;
	uint64_t number[3];
	struct program_value field[PROGRAM_FIELDS];
	struct program_data data;
	struct program_fd fd[PROGRAM_FDS];
	struct program_piece piece[PROGRAM_PIECES];
	uint32_t line;		/* where the text had it, 0 if nowhere; not part of the program */
};

struct program {
	uint32_t seed;		/* of what is perturbed in lanes */
	uint32_t count;
	uint32_t nbytes;
	struct program_step step[PROGRAM_STEPS];
	uint8_t bytes[PROGRAM_BYTES];
};

/* What of a step counts for its op; the rest is 0 in a valid program. */
enum program_part {
	PROGRAM_ON = 1,		/* connection */
	PROGRAM_IN_LANE = 2,
	PROGRAM_WITH_FIELDS = 4,	/* set, field, command */
	PROGRAM_WITH_DATA = 8,
	PROGRAM_WITH_FDS = 16,
	PROGRAM_WITH_PIECES = 32,
	PROGRAM_REPEATED = 64,	/* repeat, stride */
	PROGRAM_JUDGED = 128,	/* expect */
	PROGRAM_WITH_HANDLE = 256,
};

/* A set of enum program_part, and one of enum program_property, for an op. */
uint32_t program_parts(uint32_t op);
uint32_t program_properties(uint32_t op);

/* Whether `command` is the number of a slot of the test device. */
bool program_has_slot(const struct program_step *step);

/* How many of number[] count for the op of the step, and their names as the text has them. */
uint32_t program_numbers(const struct program_step *step);
const char *program_number_name(const struct program_step *step, uint32_t index);

/* The names of an enum value, as the text has them; NULL for a number that is none. */
const char *program_op_name(uint32_t op);
const char *program_kind_name(uint32_t kind);
const char *program_base_name(uint32_t base);

/* An empty program: no step, seed 0. */
void program_clear(struct program *program);

/* Copies what is in use only. */
void program_copy(struct program *to, const struct program *from);

/* Whether two programs do the same; `line` does not count, nor where data stands. */
bool program_equal(const struct program *a, const struct program *b);

/*
 * Room for one step at `at` (count, or more, is the end), cleared to one that does nothing: a tick
 * of 0 ms. NULL when full.
 */
struct program_step *program_insert(struct program *program, uint32_t at);

/* Takes out `count` steps, or as many as there are from `at` on. */
void program_remove(struct program *program, uint32_t at, uint32_t count);

/*
 * Gives a step of the program data of its own; `data` is none of the program's bytes. -ENOSPC when
 * the program has no room for it: nothing changed.
 */
int program_set_data(struct program *program, struct program_step *step, const void *data,
		     uint32_t size);

/* Moves the data of all steps together, in the order of the steps. */
void program_compact(struct program *program);

/*
 * Makes a program valid: everything out of range is brought into range, everything without effect
 * for its op is cleared, data stands in the order of the steps without a hole.
 */
void program_fix(struct program *program);

/*
 * The rows of the schema behind the fields of a step, a constant table: at most PROGRAM_FIELDS of
 * them, the header's first; those of the slot for PROGRAM_SLOT. Offsets are those of the payload,
 * of the header, or of the slot. Returns their number, 0 for an op without fields.
 */
size_t program_fields(const struct program_step *step, const struct schema_field **out);

/*
 * Index of the field with that name, or -ENOENT. "header.flags" is one of the header in any case;
 * a plain name is one of the header only where the payload has none.
 */
int program_field(const struct program_step *step, const char *name);

#endif
