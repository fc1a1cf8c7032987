/* SPDX-License-Identifier: BSD-3-Clause */
/* order_programs.c - see order_programs.h. */
#include "order_programs.h"

#include "device_slot_chunk.h"
#include "wire_ext.h"

#define MAP(page, pages) { ORDER_MAP, page, pages, 0, 0, 0 }
#define UNMAP(page, pages) { ORDER_UNMAP, page, pages, 0, 0, 0 }
#define START(slot, cmd, page, sink, pages) { ORDER_START, page, pages, sink, slot, cmd }
#define SPACED_MAP(page, pages, attr) { ORDER_MAP, page, pages, 0, 0, attr }
#define SPACED_UNMAP(page, pages, attr) { ORDER_UNMAP, page, pages, 0, 0, attr }
#define ONLY(op) { op, 0, 0, 0, 0, 0 }
#define DIRECT (DMA_DIRECT << 4)
#define MESSAGES (DMA_MESSAGES << 4)
#define ASKS 0x40u		/* for pages that it misses */
#define P(pasid) (WIRE_ATTR_PASID_VALID | (pasid) << WIRE_ATTR_PASID_SHIFT)
#define RANGE WIRE_DMA_UNMAP_RANGE
#define ALL WIRE_DMA_UNMAP_ALL
#define REPLACE WIRE_DMA_MAP_REPLACE

const struct order_step order_programs[ORDER_PROGRAMS][ORDER_STEPS] = {
	{ MAP(0, 4), START(0, OP_FILL | DIRECT, 0, 0, 3), UNMAP(0, 4), MAP(0, 4), UNMAP(0, 4) },
	{ MAP(0, 2), MAP(16, 2), START(0, OP_COPY | DIRECT, 0, 16, 2), UNMAP(0, 2), UNMAP(16, 2),
	  MAP(16, 2) },
	{ MAP(32, 2), START(0, OP_FILL, 0, 32, 2), UNMAP(32, 2), MAP(32, 2),
	  START(1, OP_READ, 32, 0, 1), UNMAP(32, 2) },
	{ MAP(0, 1), MAP(32, 1), START(0, OP_COPY, 32, 0, 1), START(1, OP_COPY, 0, 32, 1),
	  UNMAP(0, 1), UNMAP(32, 1), ONLY(ORDER_RESET) },
	{ MAP(0, 4), START(0, OP_FILL | DIRECT, 0, 0, 4), ONLY(ORDER_STOP), UNMAP(0, 4),
	  MAP(0, 4), ONLY(ORDER_RUN), ONLY(ORDER_STOP), ONLY(ORDER_RUN) },
	{ MAP(0, 4), START(0, OP_FILL | DIRECT, 0, 0, 4), ONLY(ORDER_RESET),
	  START(1, OP_WRITE, 0, 0, 4), UNMAP(0, 4), ONLY(ORDER_RESET) },
	{ MAP(0, 1), MAP(1, 1), MAP(2, 1), START(0, OP_FILL, 0, 0, 3), UNMAP(1, 1), UNMAP(2, 1),
	  UNMAP(0, 1), MAP(1, 1), ONLY(ORDER_INFO) },
	{ MAP(0, 2), START(0, OP_FILL, 0, 0, 2), START(1, OP_WRITE, 0, 0, 2), UNMAP(0, 2),
	  MAP(0, 2), START(2, OP_FILL, 0, 0, 2), UNMAP(0, 2) },
	{ MAP(0, 2), START(0, OP_WRITE | MESSAGES, 0, 0, 2), ONLY(ORDER_STOP), ONLY(ORDER_RUN),
	  UNMAP(0, 2), ONLY(ORDER_RESET) },
	/* with the vIOMMU extension */
	{ ONLY(ORDER_PERMIT), START(0, OP_FILL | DIRECT | ASKS | P(1), 0, 0, 3),
	  SPACED_UNMAP(0, 2, RANGE | P(1)), SPACED_UNMAP(0, 4, ALL | P(1)),
	  START(0, OP_FILL | ASKS | P(1), 0, 0, 2), SPACED_UNMAP(0, 4, ALL | P(1)) },
	{ ONLY(ORDER_PERMIT), START(0, OP_COPY | ASKS | P(1), 0, 16, 2),
	  START(1, OP_FILL | ASKS, 0, 8, 2), SPACED_UNMAP(16, 2, ALL | P(1)),
	  ONLY(ORDER_RESET), ONLY(ORDER_PERMIT), START(0, OP_READ | ASKS | P(2), 24, 0, 2) },
	{ ONLY(ORDER_PERMIT), SPACED_MAP(0, 4, P(1)), START(0, OP_FILL | DIRECT | P(1), 0, 0, 4),
	  SPACED_MAP(0, 4, REPLACE | P(1)), SPACED_UNMAP(0, 4, RANGE | P(1)),
	  SPACED_MAP(0, 4, P(2)), SPACED_UNMAP(0, 4, ALL | P(2)) },
	{ ONLY(ORDER_PERMIT), START(0, OP_FILL | ASKS | P(1), 0, 0, 2), ONLY(ORDER_STOP),
	  SPACED_MAP(0, 2, P(1)), ONLY(ORDER_RUN), ONLY(ORDER_STOP), ONLY(ORDER_RUN),
	  SPACED_UNMAP(0, 2, ALL | P(1)) },
	{ ONLY(ORDER_PERMIT), START(0, OP_WRITE | MESSAGES | ASKS | P(1), 0, 32, 2),
	  START(1, OP_FILL | ASKS | P(2), 0, 0, 2), START(2, OP_READ | ASKS, 16, 0, 2),
	  SPACED_UNMAP(32, 2, RANGE | P(1)), SPACED_UNMAP(0, 2, ALL | P(2)),
	  SPACED_UNMAP(32, 2, ALL | P(1)) },
};
