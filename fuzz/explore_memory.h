/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore_memory.h - the memory of the client, and what it says of who has touched it.
 *
 * A page that no mapping lets be written holds canaries, and those of a page that nothing is mapped
 * to must not be read either, into the device's buffer or, by a copy, into a page that may be
 * written: no scenario reads what an operation has filled, where the same byte may come about, and
 * what is filled has it at most once in a row. Violations: explore_violation().
 */
#ifndef EXPLORE_MEMORY_H
#define EXPLORE_MEMORY_H

#include "explore.h"

#define MEMORY_PAGE 4096u
#define MEMORY_PAGES 16u	/* of the file */
/* Bytes that are looked at in each page: operations are as short. */
#define MEMORY_BYTES 256u

/* No mapping is there. The memory and its file are made once. */
void memory_begin(const struct explore_scenario *scenario);

int memory_file(void);
const uint8_t *memory_bytes(uint32_t page);

/* Mappings have come or gone: `live` says of each how often it is there. Pages change with that. */
void memory_refresh(const uint32_t *live);

/* Whether pages were written, or read into the device's buffer or a page, that may not be. */
void memory_check(void);

#endif
