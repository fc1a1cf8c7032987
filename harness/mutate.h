/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mutate.h - a program that is a little different from another.
 *
 * For engines that look for programs by changing those that they have. What changes is a step, a
 * field, a descriptor, how a message is sent; so most of what comes out still means something.
 */
#ifndef MUTATE_H
#define MUTATE_H

#include "generate.h"
#include "program.h"

/* Changes a valid program in one or a few places; it stays valid. It may be as it was before. */
void mutate_program(struct generate *generate, struct program *program);

/* The beginning of one and the end of another; `out` is neither of them. */
void mutate_cross(struct generate *generate, const struct program *a, const struct program *b,
		  struct program *out);

#endif
