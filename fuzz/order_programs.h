/* SPDX-License-Identifier: BSD-3-Clause */
/* order_programs.h - what fuzz_order.c brings into any order: short programs, and answers. */
#ifndef ORDER_PROGRAMS_H
#define ORDER_PROGRAMS_H

#include <stdint.h>

#define ORDER_STEPS 16u
#define ORDER_PAGES 32u	/* of files, mapped at these pages; those behind are without file */
#define ORDER_FILE 16u	/* pages of one file */
#define ORDER_PLAIN 9u	/* programs that need no vIOMMU extension; */
#define ORDER_PROGRAMS 14u	/* it is negotiated for those behind them */

enum order_op {
	ORDER_END,
	ORDER_MAP,
	ORDER_UNMAP,
	ORDER_START,
	ORDER_RESET,
	ORDER_STOP,
	ORDER_RUN,
	ORDER_INFO,
	ORDER_PERMIT,		/* page requests, and PASIDs */
};

/* One message, or the ones that start an operation. A page is of one space only. */
struct order_step {
	enum order_op op;
	uint32_t page;		/* of a mapping; of the source */
	uint32_t pages;		/* of a mapping, or of the operation */
	uint32_t sink;
	uint32_t slot;
	uint32_t cmd;		/* of the operation; attribute word of a mapping */
};

/* How the client answers a request of the server. */
enum order_reply {
	ORDER_RIGHT,
	ORDER_ERROR,
	ORDER_SHORT,
	ORDER_OTHER_ID,
	ORDER_NEVER,
};

/* Why no byte of a page may change, by bit. */
enum order_guard {
	ORDER_UNMAPPED = 1,
	ORDER_IS_RESET = 2,
	ORDER_IS_STOPPED = 4,
	ORDER_HAS_LEFT = 8,
};

extern const struct order_step order_programs[ORDER_PROGRAMS][ORDER_STEPS];

#endif
