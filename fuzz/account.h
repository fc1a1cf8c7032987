/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * account.h - what the server has of its clients, counted, to find what is left of them.
 *
 * Two statements are taken, one before the first client and one after the last, and compared: the
 * bottom layer of the server has to be back where it was. Counting is cheap enough to be done for
 * every program. The process as a whole is in account_process.h.
 */
#ifndef ACCOUNT_H
#define ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account_process.h"
#include "inproc.h"

enum account_item {
	ACCOUNT_CLIENTS,	/* devices that are not free */
	ACCOUNT_MESSAGE_FDS,	/* descriptors that messages own */
	ACCOUNT_REQUESTS,	/* commands of the server without reply, commands that wait */
	ACCOUNT_MAPPINGS,	/* of all spaces, and of backings */
	ACCOUNT_SPACES,		/* of PASIDs */
	ACCOUNT_TABLE_BYTES,
	ACCOUNT_RETIRED,	/* nodes of the table that wait for readers */
	ACCOUNT_WINDOWS,
	ACCOUNT_WINDOW_PAGES,
	ACCOUNT_HAZARDS,	/* ranges that are in use */
	ACCOUNT_OPERATIONS,	/* of DMA, that are under way */
	ACCOUNT_PAGES,		/* that were requested, and whether more are to be */
	ACCOUNT_MARKERS,	/* stop markers that are yet to be sent */
	ACCOUNT_IRQ_FDS,
	ACCOUNT_DOORBELL_FDS,
	ACCOUNT_DIRTY_BYTES,	/* of bitmaps, and whether logging is on */
	ACCOUNT_MIGRATION,	/* streams that are open */
	ACCOUNT_ITEMS
};

struct account {
	uint64_t value[ACCOUNT_ITEMS];
};

/*
 * Of those devices that had a client when inproc_renew() was called last, which it was: nothing
 * else has happened to the others. All were when they were opened, and have nothing then.
 */
void account_take(const struct inproc *inproc, struct account *out);

/* Adds what one device has. Nothing runs meanwhile that works for it. */
void account_add(const struct server_instance *instance, struct account *out);

/* Whether two are the same; if not, says in `text` what is not. */
bool account_equal(const struct account *before, const struct account *after, char *text,
		   size_t size);

/* What is wrong if they are not: of the first item that differs. */
const struct account_rule *account_rule(const struct account *before, const struct account *after);

#endif
