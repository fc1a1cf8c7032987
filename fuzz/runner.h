/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runner.h - runs programs on the server of link.h, judged by the model and by the accounts.
 *
 * What is found is printed as a listing of the program, with what was allowed and what came, and
 * ends the process by abort(), so that an engine keeps the input.
 */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdint.h>

#include "exec.h"

/* What the programs so far have done. */
struct runner_mix {
	uint64_t programs;
	uint64_t negotiated;	/* programs in which a VERSION was accepted */
	uint64_t passing;	/* in which a DMA_MAP carried a descriptor */
	uint64_t mapped;	/* and was accepted */
	uint64_t sent;		/* messages */
	uint64_t received;
	uint64_t refused;	/* of these, errors */
	uint64_t extended;	/* programs in which the vIOMMU extension was negotiated */
	uint64_t pages;		/* page requests */
	uint64_t responses;	/* to them, that were accepted */
};

/*
 * How programs are run by a server that does not do the same each time, before the first of them:
 * the listing is then of the run in which something was found, and not of another one.
 */
void runner_options(const struct exec_options *options);

/* The program is valid. */
void runner_run(const struct program *program);

const struct runner_mix *runner_mix(void);

#endif
