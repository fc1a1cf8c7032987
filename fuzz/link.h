/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.h - the server that an entry works on, whichever it is linked with.
 *
 * loopback.c has the reference server over memory; adapter_link.c has any library that comes as an
 * adapter, over socket pairs. There is one server in a process.
 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>
#include <stdint.h>

#include "account_process.h"
#include "exec.h"

/* Starts the server, once, and fills in the link. 0 or -errno. */
int link_open(struct exec_link *out);

/* How strictly it is judged where the specification is ambiguous (model.h). */
uint64_t link_readings(void);

/* What is left of the clients. */
struct link_left {
	const struct account_rule *rule;	/* NULL: the server has ended */
	char text[512];
};

/*
 * Ends all connections and brings the server back to its first state. 0; -EUCLEAN when something of
 * the clients is left, and `left` says what; -EAGAIN when the process has more descriptors or maps
 * than at the time before: they may be an engine's, or kept by this side, so they count as there
 * from now on, and doing the same again tells. Another -errno when the server cannot go on.
 */
int link_renew(struct link_left *left);

#endif
