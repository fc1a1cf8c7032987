/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands.h - the table of all commands: what each may look like, and who executes it.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "dispatch.h"
#include "wire_ext.h"

/* Whose state a handler gets: the order of dispatch.owners. */
enum commands_owner {
	COMMANDS_VERSION,	/* struct version */
	COMMANDS_DMA,		/* struct dma */
	COMMANDS_IRQ,		/* struct irq */
	COMMANDS_REGION,	/* struct region_table */
	COMMANDS_DEVICE,	/* struct device */
	COMMANDS_FEATURE,	/* struct feature */
	COMMANDS_MIGRATION,	/* struct migration */
	COMMANDS_PRI,		/* struct pri */
	COMMANDS_OWNERS
};

#define COMMANDS_COUNT (WIRE_PAGE_RESPONSE + 1)

/* Indexed by command number. Numbers that have no row get ENOSYS. */
extern const struct dispatch_command commands_table[COMMANDS_COUNT];

#endif
