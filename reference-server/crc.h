/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crc.h - CRC-32 as in IEEE 802.3, of data that comes in any pieces.
 */
#ifndef CRC_H
#define CRC_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of nothing, with which a computation begins. */
#define CRC_START 0u

/* The CRC of what `crc` is the CRC of, followed by `size` bytes more. */
uint32_t crc_add(uint32_t crc, const void *data, size_t size);

#endif
