/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - guest memory that knows whether somebody else still has it (DMA-UNMAP-005).
 *
 * The memory is a memfd that is opened twice through /proc/self/fd: one open file description is
 * kept here, the other is the one to pass. A description lives as long as any descriptor of it,
 * in any process or in flight in a socket, or any mapping made through one. It is never mapped
 * here; contents go by pread and pwrite through the kept description.
 *
 * Lease (memory_held): F_SETLEASE grants a write lease to the only open description of a file.
 * It proves, on a memory whose passed descriptor was closed here, that a descriptor or mapping
 * of any kind is left, or that none is. Conditions: /proc is mounted, the kernel has leases, we
 * own the file or have CAP_LEASE, and no process was forked from this one, and has not executed
 * yet, since the memory was created: it would have inherited both descriptions.
 *
 * Seal (memory_mapped): F_ADD_SEALS refuses F_SEAL_WRITE while there is a shared mapping of a
 * descriptor that is open for writing, be the mapping itself writable or not, or a page is pinned
 * for I/O. It proves nothing about descriptors and private mappings. A seal that was granted
 * stays: afterwards the memory can be read only and the answer remains 0.
 *
 * Either answer holds at the moment of the question; ask after the reply that promises release,
 * and of memory with one live mapping on one connection. oracle_selftest says what works here.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct memory;

/* 0 and memory that is the caller's, zeroed; -EINVAL for 0 bytes; -EFBIG, -ENOMEM, -EMFILE. */
int memory_create(uint64_t size, struct memory **out);

/* Close both descriptors and free. NULL is fine; what the peer has stays with the peer. */
void memory_free(struct memory *memory);

/* The descriptor to pass, read-write, still the memory's; -EBADF after memory_close_fd. */
int memory_fd(struct memory *memory);
void memory_close_fd(struct memory *memory);

/*
 * 1 while somebody has a descriptor or a mapping, 0 when nobody has; -EBUSY before
 * memory_close_fd; -ENOTSUP where the memfd could not be opened a second time; what the kernel says
 * where it has no leases.
 */
int memory_held(struct memory *memory);

/* 1 while a shared mapping is left, 0 when none is (and the memory is sealed); -errno. */
int memory_mapped(struct memory *memory);

/* 0 when all of the bytes were transferred; -ERANGE beyond the end; -EPERM once sealed; -errno. */
int memory_read(struct memory *memory, uint64_t offset, void *data, size_t size);
int memory_write(struct memory *memory, uint64_t offset, const void *data, size_t size);

/* Fill with the pattern byte i = (seed + i * 0x9d) & 0xff; count the bytes that differ from it. */
int memory_fill(struct memory *memory, uint32_t seed);
int64_t memory_differs(struct memory *memory, uint32_t seed);

/* Change the size; what is beyond it is gone, also for the peer. 0; -EFBIG, -EINVAL, -ENOMEM. */
int memory_truncate(struct memory *memory, uint64_t size);

#endif
