/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * account_process.h - what this process has open and mapped, whoever did it.
 *
 * Descriptors and maps are read from /proc, which is dear: that is for every few thousand programs,
 * and for when something was found. Whether one of the lowest descriptors is new is known cheaply.
 */
#ifndef ACCOUNT_PROCESS_H
#define ACCOUNT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The process: its descriptors, and the areas of its memory that show files of clients. */
struct account_process {
	unsigned int fds;
	unsigned int maps;
	uint8_t open[128];	/* the lowest 1024 descriptors, by bit */
};

/* What a clause says of something that is counted before and after. */
struct account_rule {
	const char *name;
	const char *requirement;
	const char *sentence;	/* what the server does wrong that has more of it */
};

/* Of anything at all: also where nobody knows what it is that is left. */
extern const struct account_rule account_anything;

/* Reads it from /proc. 0 or -errno. */
int account_process(struct account_process *out);

/*
 * Whether one of the lowest descriptors, up to `count`, is open now and was not then: that one, or
 * -1. One system call.
 */
int account_new_fd(const struct account_process *before, unsigned int count);

/* The same for all that there are; says in `text` what is new. */
bool account_same_process(const struct account_process *before, char *text, size_t size);

/* What there is, beside what account_process() has read last, in words; "" before that. */
void account_census(char *text, size_t size);

#endif
