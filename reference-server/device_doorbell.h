/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_doorbell.h - the first page of BAR4, in which five places are doorbells.
 *
 * The page is memory. A write of exactly the offset, size and value of a doorbell is not stored:
 * it adds 1 to the doorbell's counter, a 32-bit word of the page. The client may as well write
 * the number of rings to the doorbell's eventfd (GET_REGION_IO_FDS), which has the same effect.
 * The descriptors are read whenever somebody could see the difference: before each access to the
 * page, before the state is saved, and when the client leaves. So what a client has rung before it
 * sends a command has happened when that is executed. The last doorbell has an ioregionfd: each
 * write that is posted there, as a packet of 32 bytes, rings once, and it takes nothing but writes.
 *
 * | doorbell | size       | value     | fd      | counter |
 * | 0x800    | 4          | any       | 0       | 0x840   |
 * | 0x808    | 2          | any       | 0       | 0x840   |
 * | 0x810    | 4          | 0x5a      | 1       | 0x844   |
 * | 0x818    | up to 8    | any       | 2       | 0x848   |
 * | 0x820    | up to 8    | any       | 3       | 0x84c   |
 *
 * The descriptors are made when a client asks for them, and belong to it; the next one, and its
 * device, have others.
 */
#ifndef DEVICE_DOORBELL_H
#define DEVICE_DOORBELL_H

#include "device_memory.h"

#define DEVICE_DOORBELLS 5
#define DEVICE_DOORBELL_EVENTFDS 3
#define DEVICE_DOORBELL_FDS 4
#define DEVICE_DOORBELL_COUNTERS 0x840u
#define DEVICE_DOORBELL_MATCH 0x5au

struct device_doorbell {
	struct device_memory *memory;	/* of BAR4 */
	int fd[DEVICE_DOORBELL_FDS];	/* the client's ends, all or none; -1 */
	int commands;			/* our end of the ioregionfd; -1 */
};

/* A packet on an ioregionfd, from the proposal that the text links to; no kernel has it. */
struct device_doorbell_command {
	uint32_t info;		/* bits 3:0: 0 = read, 1 = write */
	uint32_t padding;
	uint64_t user_data;	/* of the sub-region */
	uint64_t offset;	/* in the sub-region */
	uint64_t data;
};

/* The doorbells as GET_REGION_IO_FDS describes them, DEVICE_DOORBELLS of them. */
extern const struct wire_io_fd device_doorbell_io[DEVICE_DOORBELLS];

/* Accesses to BAR4, doorbells included; the owner is a struct device_doorbell. */
extern const struct region_ops device_doorbell_ops;

/* Doorbells in `memory`, which stays the caller's, without descriptors. */
void device_doorbell_init(struct device_doorbell *doorbell, struct device_memory *memory);

/*
 * The client wants descriptors: 0 and there are some, or -errno and it gets none, which is no
 * harm.
 */
int device_doorbell_attach(struct device_doorbell *doorbell);

/* The client is gone, perhaps with its descriptors: its last rings are counted. */
void device_doorbell_detach(struct device_doorbell *doorbell);

/* Reads the descriptors and counts what they were rung. */
void device_doorbell_poll(struct device_doorbell *doorbell);

/* Forgets what was rung and not counted yet (reset). */
void device_doorbell_drop(struct device_doorbell *doorbell);

#endif
