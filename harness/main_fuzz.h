/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main_fuzz.h - the parts of `vuc fuzz`: programs are made (main_fuzz_make.c), run on one server
 * one after the other (main_fuzz_run.c), and what is found is seen again, made small and kept
 * (main_fuzz_find.c).
 */
#ifndef MAIN_FUZZ_H
#define MAIN_FUZZ_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "deadline.h"
#include "main.h"
#include "main_watch.h"

#define MAIN_FUZZ_RUNS 3	/* on a fresh server each, for whether a finding comes again */
#define MAIN_FUZZ_SEEDS 256
#define MAIN_FUZZ_FINDS 1024
#define MAIN_FUZZ_NAME 192	/* bytes of a signature */

/* What has been found. The names that lead to it are those that it had before it was small. */
struct main_fuzz_find {
	char signature[MAIN_FUZZ_NAME];
	char folder[MAIN_FUZZ_NAME];
	uint64_t program;	/* number of the first that showed it */
	uint64_t seen;		/* programs that have shown it */
	uint32_t shown;		/* of MAIN_FUZZ_RUNS, by the program that is kept */
	uint32_t steps;
	bool dead;		/* the server crashed or hung */
	bool known;		/* it was kept before this campaign */
	double after;		/* seconds */
};

struct main_fuzz_name {
	char name[MAIN_FUZZ_NAME];
	struct main_fuzz_find *find;	/* NULL: it did not come again */
};

struct main_fuzz {
	struct main_server server;
	uint64_t seed;
	long seconds;		/* of running programs; 0 = no limit */
	long programs;		/* 0 = no limit */
	long minimize;		/* seconds for each finding */
	char name[64];
	char findings[PATH_MAX / 2];
	char report[PATH_MAX / 2];

	struct program *seeds[MAIN_FUZZ_SEEDS];
	size_t nseeds;
	struct program *made;	/* that runs */
	struct program *before;	/* and the one that ran before it on the same server */
	struct program *small;	/* for minimize */
	bool two;		/* there was one before */

	struct main_watch watch;
	struct exec_sockets *sockets;
	struct exec *exec[2];	/* one that looks for what comes late, one that does not */
	bool up;
	bool over;		/* the server is gone and is not ours to start */

	uint64_t number;	/* programs that ran */
	uint64_t skipped;	/* that this side could not run */
	uint64_t restarts;
	uint64_t sent;
	uint64_t received;
	int64_t begin_ns;
	int64_t aside_ns;	/* spent on findings */
	struct main_fuzz_find *find[MAIN_FUZZ_FINDS];
	size_t nfinds;
	struct main_fuzz_name *names;
	size_t nnames;
};

/* Seconds since the beginning, without those that were spent on findings. */
double main_fuzz_seconds(const struct main_fuzz *fuzz);

/* ---- main_fuzz_make.c ---- */

/* Reads all programs of a directory, in the order of their names. 0 or MAIN_USAGE. */
int main_fuzz_corpus(struct main_fuzz *fuzz, const char *directory);

/* Makes fuzz->made the program with that number: the same for the same seed and corpus. */
void main_fuzz_make(struct main_fuzz *fuzz, uint64_t number);

/* ---- main_fuzz_run.c ---- */

/* Starts the server. 0; MAIN_USAGE with the reason on stderr. */
int main_fuzz_up(struct main_fuzz *fuzz);

/* Stops it without a judgement. */
void main_fuzz_down(struct main_fuzz *fuzz);

/* Runs fuzz->made, and sees to what is found. 0; MAIN_USAGE when this side can not go on. */
int main_fuzz_run(struct main_fuzz *fuzz);

/* ---- main_fuzz_find.c ---- */

/* The name of how the server died, by what the verdict shows and the command that led to it. */
void main_fuzz_death(const struct verdict *verdict, const struct model_finding *finding,
		     uint16_t command, char *name, size_t size);

/* The finding of a verdict that says that the server died: true and *out. */
bool main_fuzz_dead(const struct verdict *verdict, struct model_finding *out);

/* fuzz->made has shown this; `dead` = the server crashed or hung. 0; MAIN_USAGE. */
int main_fuzz_found(struct main_fuzz *fuzz, const char *signature, bool dead);

/* Has that been found, and seen again? */
bool main_fuzz_is_kept(const struct main_fuzz *fuzz, const char *signature);

/* Writes the JSON of all. 0; MAIN_USAGE. */
int main_fuzz_report(const struct main_fuzz *fuzz, int status);

#endif
