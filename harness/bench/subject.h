/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * subject.h - the server that is measured: one process, one connection, messages as structures.
 *
 * There is one at a time. What goes wrong ends the program: no figure is better than a wrong one.
 * Figures go to standard output, a JSON object with name, unit and value in each line.
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proc.h"
#include "wire.h"

#define SUBJECT_PAGE UINT64_C(4096)
#define SUBJECT_BASE (UINT64_C(1) << 32)  /* address of the first page that is mapped */
#define SUBJECT_BUFFER ((size_t)64 << 10) /* room for a reply */
#define SUBJECT_WAIT_MS 120000            /* a server that is silent for so long is not measured */

/* vdma: the registers of slot 0 in BAR0, and what is written to them. */
enum subject_slot {
	SLOT_CMD = 0x100,
	SLOT_SRC = 0x108,
	SLOT_DST = 0x110,
	SLOT_LEN = 0x118,
	SLOT_COUNT = 0x128,
	SLOT_STRIDE = 0x12c,
	SLOT_STATE = 0x130,
	SLOT_STEP = 0x13c,
};
#define SLOT_TOUCH 0x84u /* with an interrupt at the end */
#define SLOT_FILL 5u
#define SLOT_ABORT 3u
#define SLOT_QUEUED 1u
#define SLOT_RUN 2u
#define SLOT_DONE 6u

struct subject_map {
	struct wire_header header;
	struct wire_dma_map map;
} WIRE_PACKED;

struct subject_unmap {
	struct wire_header header;
	struct wire_dma_unmap unmap;
} WIRE_PACKED;

struct subject_access {
	struct wire_header header;
	struct wire_region_access access;
	uint64_t data;
} WIRE_PACKED;

/* What something took: wall-clock time, and processor time of the server, in seconds. */
struct subject_cost {
	double seconds, cpu;
};

/*
 * Start a server by its argv, in which {socket} is filled in, connect to it and negotiate; what is
 * proposed beyond sizes is JSON that begins with a comma, or "".
 */
void subject_begin(const char *const *arguments, int count, const char *capabilities);

/* Stop it. */
void subject_end(void);

/* Stop it, say why, and exit with status 1. */
_Noreturn void subject_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One figure; the rest is its name. */
void subject_emit(const char *unit, double value, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Seconds since some moment. */
double subject_now(void);

struct subject_cost subject_cost_begin(void);
struct subject_cost subject_cost_end(struct subject_cost begin);

/* What its process holds. */
struct proc_resources subject_resources(void);

/* The socket. */
int subject_fd(void);

/* A header with a new id. */
struct wire_header subject_header(uint16_t command, size_t size);

/* Put a descriptor, which stays the caller's, into a message; `control` has room for one. */
void subject_attach(struct msghdr *msg, void *control, int fd);

/* Send a message, with a descriptor or with -1, and wait for its reply: its size. */
size_t subject_call(const void *message, size_t size, int fd, uint8_t *reply);

uint32_t subject_read(uint64_t offset);
void subject_write(uint64_t offset, uint64_t value, uint32_t size);

/* The eventfd of a vector of MSI-X, the caller's. */
int subject_interrupt(uint32_t vector);

/* Pages are those of the file as well. */
struct subject_map subject_map(uint64_t page, uint64_t pages);
struct subject_unmap subject_unmap(uint64_t page, uint64_t pages);

/* A file of that many pages, the caller's. */
int subject_file(uint64_t pages);

#endif
