/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arena.h - the descriptors that programs pass: made on demand, and made once where that is safe.
 *
 * An arena that keeps descriptors hands one of before out again, empty and of the size that was
 * asked for; that is only right where whoever had it can not use it any more, as with a server in
 * this process that has closed and unmapped it. Where another process had it, do not keep.
 *
 * A descriptor has two sides: `pass`, which is sent, and what this side keeps to look at: the same
 * file, the read end of a pipe, the other end of a socket. Contents go by pread and pwrite; nothing
 * is mapped here. Offsets and sizes are bytes.
 */
#ifndef ARENA_H
#define ARENA_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"
#include "program.h"

#define ARENA_FILL (16u << 20)	/* bytes of one fill or check: the rest is left as it is */

struct arena;
struct arena_fd;

struct arena_want {
	uint64_t size;		/* of a memfd; counter of an eventfd */
	uint32_t kind;		/* enum program_kind, not PROGRAM_SELF */
	uint32_t seals;		/* F_SEAL_* */
	bool read_only;		/* pass a description that can not be written */
};

/* 0 and *out, to be freed by arena_free; -ENOMEM. */
int arena_new(bool keep, struct arena **out);

/* Closes everything. NULL is fine. */
void arena_free(struct arena *arena);

/* 0 and *out, which stays the arena's, until arena_clear; -EFBIG; -EMFILE, -ENFILE, -ENOMEM. */
int arena_open(struct arena *arena, const struct arena_want *want, struct arena_fd **out);

/* Closes or keeps both sides of all that were opened. */
void arena_clear(struct arena *arena);

/* What is to be sent, still the arena's; -EBADF after arena_drop. */
int arena_pass(const struct arena_fd *fd);

/* Closes the side to be sent; what is behind it can still be looked at, if it is a file. */
void arena_drop(struct arena_fd *fd);

/* What a model has to know about it. */
void arena_describe(const struct arena_fd *fd, struct model_fd *out);

/*
 * The file behind a memfd: 0; -EBADF for what is no file; -EPERM for what the seals forbid; what
 * the kernel says.
 */
int arena_truncate(struct arena_fd *fd, uint64_t size);
int arena_punch(struct arena_fd *fd, uint64_t offset, uint64_t size);

/* `size` bytes of the file. -EIO beyond its end; else as above. */
int arena_read(const struct arena_fd *fd, uint64_t offset, void *data, uint32_t size);
int arena_write(struct arena_fd *fd, uint64_t offset, const void *data, uint32_t size);

/*
 * Canaries: byte i behind `offset` is seed + i * 0x9d. arena_differs counts the bytes that are
 * something else, up to the end of the file, and says in *first where the first is.
 */
int arena_fill(struct arena_fd *fd, uint64_t offset, uint64_t size, uint32_t seed);
int64_t arena_differs(const struct arena_fd *fd, uint64_t offset, uint64_t size, uint32_t seed,
		      uint64_t *first);

/* Byte i of that pattern. */
static inline uint8_t arena_pattern(uint32_t seed, uint64_t i)
{
	return (uint8_t)(seed + i * 0x9d);
}

#endif
