/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the command `vuc`: picks the command that is named and hands the rest on to it.
 *
 * Exit codes: 0 pass, 1 non-conformant, 2 wrong usage or broken on this side, 3 the server crashed
 * or hung, 77 skipped.
 */
#include "main.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct main_command {
	const char *name;
	int (*call)(const struct main_call *call);
	const char *line;
};

static const struct main_command main_commands[] = {
	{ "run", main_run, "run programs on a server and judge what it does" },
	{ "fuzz", main_fuzz, "make programs up and run them, and keep what is found" },
	{ "minimize", main_minimize, "make a program that fails as small as it can be" },
	{ "record", main_record, "stand between a client and a server and write what they say" },
	{ "print", main_print, "print programs as text" },
	{ "parse", main_parse, "check programs, and say where they are wrong" },
	{ "pack", main_pack, "write a program as the bytes that fuzzing engines use" },
	{ "explain", main_explain, "what a requirement or a failure code means" },
};

#define MAIN_COMMANDS (sizeof(main_commands) / sizeof(main_commands[0]))

int main_error(const char *format, ...)
{
	va_list arguments;

	fputs("vuc: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return MAIN_USAGE;
}

int main_number(const char *text, long least, long most, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	if (errno || end == text || *end || *out < least || *out > most)
		return -EINVAL;
	return 0;
}

static void main_help(FILE *out)
{
	fputs("usage: vuc COMMAND [OPTION...] ...\n"
	      "The conformance suite for vfio-user, program by program.\n\n", out);
	for (size_t i = 0; i < MAIN_COMMANDS; i++)
		fprintf(out, "  vuc %-10s %s\n", main_commands[i].name, main_commands[i].line);
	fputs("\nvuc COMMAND --help says more. corpus/README.md describes programs.\n"
	      "Exit codes: 0 pass, 1 non-conformant, 2 wrong usage or broken here, 3 the server\n"
	      "crashed or hung, 77 skipped.\n", out);
}

/* Splits the arguments at "--", which only the commands that start a server know. */
static struct main_call main_split(int argc, char **argv)
{
	struct main_call call = { .argc = argc, .argv = argv };

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--") != 0)
			continue;
		call.argc = i;
		call.server = argv + i + 1;
		argv[i] = NULL;
		break;
	}
	return call;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	/* A peer that closes is told by an error of the call. */
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
		main_help(stdout);
		return MAIN_PASS;
	}
	for (size_t i = 0; i < MAIN_COMMANDS; i++) {
		struct main_call call;

		if (strcmp(name, main_commands[i].name) != 0)
			continue;
		call = main_split(argc - 1, argv + 1);
		return main_commands[i].call(&call);
	}
	if (*name)
		return main_error("no command %s; see vuc --help", name);
	main_help(stderr);
	return MAIN_USAGE;
}
