/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * minimize.h - makes a program that shows something smaller, as long as it still shows it.
 *
 * In this order, again and again until nothing helps: drops steps (halves, quarters, ... single
 * ones), repetitions, descriptors, pieces, properties, fields (which are then filled in as usual),
 * numbers, and data from its end. A program counts as one that shows it when it did so in `wanted`
 * of at most `runs` runs.
 */
#ifndef MINIMIZE_H
#define MINIMIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "program.h"

struct minimize_options {
	/* 1 when this run of the program has shown it, 0 when not; -errno stops everything. */
	int (*shows)(void *arg, const struct program *program);
	/* Told after each success, for progress; may be NULL. */
	void (*smaller)(void *arg, const struct program *program);
	void *arg;
	uint32_t wanted;	/* at least 1 */
	uint32_t runs;		/* at least `wanted` */
	uint32_t most;		/* runs in all; then it ends with what it has. 0 = no limit */
};

struct minimize_result {
	uint32_t tried;		/* runs in all */
	uint32_t shown;		/* of `runs` runs of the program at the end */
};

/*
 * 0: *program is the smaller one; -ENOENT when it did not show it in the first place; -ENOMEM; what
 * `shows` returned. *program is valid in any case, and shows it unless -ENOENT.
 */
int minimize(struct program *program, const struct minimize_options *options,
	     struct minimize_result *result);

#endif
