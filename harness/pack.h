/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pack.h - a program as the bytes that fuzzing engines see, and a step as the bytes of its message.
 *
 * Packed, a program is a row of records, one per step: op, subject (the low byte of `command`, or
 * the handle), items, END. An item is a key and what belongs to it; numbers are little-endian, in
 * the shortest of 1, 2, 4 or 8 bytes, which the key names. So a record means the same wherever it
 * stands, and engines can cut and join at records. Every byte string is some valid program: what
 * ends early is 0, a key that is none ends the record, of an item that comes twice the last counts
 * but descriptors, pieces and data go on. Unpacking what was packed gives the same program.
 */
#ifndef PACK_H
#define PACK_H

#include <stddef.h>
#include <stdint.h>

#include "program.h"

/* Room for any program, and for any message of a step. */
#define PACK_SIZE ((size_t)PROGRAM_STEPS * 512 + PROGRAM_BYTES)
#define PACK_MESSAGE ((size_t)PROGRAM_FILLED + 256)

/* Packs a valid program. The number of bytes, or -ENOSPC. */
int pack_program(const struct program *program, uint8_t *out, size_t size);

/* Unpacks any bytes to a valid program; steps beyond PROGRAM_STEPS are left out. */
void pack_parse(struct program *program, const uint8_t *bytes, size_t size);

/* What a message takes from where it is sent. */
struct pack_context {
	uint16_t id;		/* of a command without one */
	uint32_t round;		/* of the repetitions, the first is 0 */
	uint32_t part;		/* of the messages of the step, the first is 0 */
	uint64_t base[PROGRAM_BASES];	/* what each stands for, but NUMBER and REGION_SIZE */
	const uint64_t *region_size;	/* by index of the region; any other has 0 */
	uint32_t regions;
	const uint8_t *request;	/* for PROGRAM_REPLY: what is answered, header and all, or NULL */
	size_t request_size;
};

/* How many messages a step sends each time: 1, or one per register that a slot is given. */
uint32_t pack_parts(const struct program_step *step);

/*
 * The bytes of one message of a step of a valid program, whole even if `cut` sends less. Registers
 * of a slot become REGION_WRITEs of BAR0, cmd behind the others. A reply without a command of its
 * own (`command` 0) is one to the request, with as many zeros as a read asks for; one with an error
 * is the header alone unless a field of the payload is given. Returns their number, or -ENOSPC;
 * -EINVAL for a step that sends nothing, or not so many parts.
 */
int pack_message(const struct program *program, const struct program_step *step,
		 const struct pack_context *context, uint8_t *out, size_t size);

/*
 * Makes `step`, one of the program, the one that sends these bytes, header first: SEND, or REPLY
 * by their type. Fields that are filled in the same way by themselves are not set, nor is the id;
 * a payload shorter than its fixed part becomes a cut. 0; -EINVAL below 16 bytes; -ENOSPC: then
 * the step has no data.
 */
int pack_unmessage(struct program *program, struct program_step *step, const uint8_t *bytes,
		   size_t size);

/*
 * Makes a SEND that writes one whole register of a slot of the test device the SLOT, or POKE, that
 * sends the same, and leaves any other as it is.
 */
void pack_unslot(const struct program *program, struct program_step *step);

/* Makes `step` the one that sends these bytes as they are: RAW. 0 or -ENOSPC, as above. */
int pack_unraw(struct program *program, struct program_step *step, const uint8_t *bytes,
	       size_t size);

#endif
