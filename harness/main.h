/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.h - the commands of `vuc`, and what they share: files of programs, and a server under test.
 */
#ifndef MAIN_H
#define MAIN_H

#include <stdbool.h>
#include <stdio.h>

#include "exec.h"
#include "program.h"
#include "target.h"
#include "verdict.h"

enum main_exit {
	MAIN_PASS = 0,
	MAIN_FAIL = 1,		/* non-conformant */
	MAIN_USAGE = 2,		/* wrong usage, or this side is broken */
	MAIN_DEAD = 3,		/* the server crashed or hung */
	MAIN_SKIP = 77,
};

/* Each gets what follows its name, split at "--", and returns an enum main_exit. */
struct main_call {
	int argc;		/* argv[0] is the name of the command */
	char **argv;
	char **server;		/* behind "--", NULL-terminated; NULL without it */
};

int main_run(const struct main_call *call);
int main_print(const struct main_call *call);
int main_parse(const struct main_call *call);
int main_pack(const struct main_call *call);
int main_minimize(const struct main_call *call);
int main_explain(const struct main_call *call);
int main_record(const struct main_call *call);
int main_fuzz(const struct main_call *call);

/* Says what is wrong on stderr; MAIN_USAGE. */
int main_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A decimal number in [least, most] and nothing else: 0, or -EINVAL. */
int main_number(const char *text, long least, long most, long *out);

/* ---- main_files.c ---- */

/*
 * Reads a program: text if the name ends in .prog or is "-", packed otherwise. 0; MAIN_USAGE with
 * the reason on stderr. *out is the caller's, to be freed.
 */
int main_load(const char *path, struct program **out);

/* Writes it, in the form that the name asks for; NULL or "-" is text on stdout. */
int main_save(const char *path, const struct program *program);

/* ---- main_server.c ---- */

struct main_server {
	char **argv;		/* to start it, "{socket}" is filled in; NULL = it runs already */
	const char *socket;	/* where it listens; NULL = a place is made */
	struct exec_options options;
	enum verdict_gate gate;
	bool interrupted;
	bool once;		/* it serves one connection only */
	bool asked;		/* whether it has the test device is known: */
	bool device;
};

/* The options of all commands that talk to a server. */
#define MAIN_SERVER_OPTIONS \
	{ "socket", required_argument, NULL, 's' }, \
	{ "strict", required_argument, NULL, 'r' }, \
	{ "level", required_argument, NULL, 'l' }, \
	{ "timeout", required_argument, NULL, 't' }, \
	{ "once", no_argument, NULL, '1' }
#define MAIN_JUDGE_HELP \
	"  --strict W1,...|all   ambiguities of the specification that are read strictly\n" \
	"  --level must|should|all   the requirements that fail a run (all)\n"
#define MAIN_SERVER_HELP \
	"  --socket PATH         the server runs already and listens there; else it is started:\n" \
	"                        what follows \"--\", with {socket} filled in\n" \
	MAIN_JUDGE_HELP \
	"  --timeout MS          when to give up a reply (5000)\n" \
	"  --once                the server serves one connection: programs with more are skipped\n"

/* The defaults, for a call that names its server behind "--". */
struct main_server main_server_new(const struct main_call *call);

/* One of the options above: 0, or MAIN_USAGE with the reason on stderr. */
int main_server_option(struct main_server *server, int option, const char *value);

/* Is there a server to talk to? 0, or MAIN_USAGE with the reason on stderr. */
int main_server_check(const struct main_server *server);

/*
 * Runs a program on a fresh server, or on the one that runs, and stops what it has started. Tells
 * `verdict` all of it, how the process ended included. Returns MAIN_PASS, _FAIL, _DEAD, _SKIP, or
 * MAIN_USAGE when this side failed, which the verdict says as well.
 */
int main_server_run(struct main_server *server, const struct program *program,
		    struct verdict *verdict);

struct main_watch;

/*
 * For who runs several programs on one server: starts it, or looks for the one that runs. 0 or
 * -errno; main_server_end is due in either case, behind main_watch_end if that is asked.
 */
int main_server_begin(const struct main_server *server, struct main_watch *watch);
void main_server_end(struct main_watch *watch);

/*
 * Does the server have the test device? Asked once, of a server of its own; one that runs already
 * may serve a single connection, and is believed.
 */
bool main_server_has_device(struct main_server *server);

/* From now on SIGINT ends the run that is under way, and sets server->interrupted. */
void main_server_catch(struct main_server *server);

#endif
