/* SPDX-License-Identifier: BSD-3-Clause */
/* main_minimize.c - `vuc minimize`: a failing program as small as it can be. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "main.h"
#include "minimize.h"

static const char main_minimize_help[] =
	"usage: vuc minimize [OPTION...] FILE -- SERVER [ARGUMENT...]\n"
	"       vuc minimize [OPTION...] FILE --socket PATH\n"
	"Drops steps, descriptors, properties, fields and data from a program for as long as the\n"
	"server still fails in the same way, and prints what is left.\n\n"
	MAIN_SERVER_HELP
	"  --signature TEXT      the finding to keep, as `vuc run` prints it (the first one)\n"
	"  --runs N --wanted K   it has to come in K of N runs (1 of 1)\n"
	"  --most N              end after that many runs in all (2000)\n"
	"  --output FILE         write the program there (standard output)\n";

struct main_minimize {
	struct main_server server;
	const char *output;
	const char *signature;
	char found[128];	/* the signature, when none was named */
	long runs;
	long wanted;
	long most;
};

/* Has the verdict the finding that is looked for? Without one, its first becomes that. */
static bool main_minimize_has(struct main_minimize *m, const struct verdict *verdict)
{
	uint32_t count = verdict_findings(verdict, UINT32_MAX, NULL);
	struct model_finding finding = { .code = "" };

	for (uint32_t i = 0; i < count; i++) {
		char signature[128];

		verdict_findings(verdict, i, &finding);
		verdict_signature(&finding, signature, sizeof(signature));
		if (!m->signature) {
			memcpy(m->found, signature, sizeof(m->found));
			m->signature = m->found;
		}
		if (strcmp(signature, m->signature) == 0)
			return true;
	}
	return false;
}

static int main_minimize_shows(void *arg, const struct program *program)
{
	struct main_minimize *m = arg;
	struct verdict *verdict;
	int result;

	if (m->server.interrupted)
		return -EINTR;
	if (verdict_new(program, VERDICT_ALL, &verdict))
		return -ENOMEM;
	main_server_run(&m->server, program, verdict);
	result = m->server.interrupted ? -EINTR : main_minimize_has(m, verdict);
	verdict_free(verdict);
	return result;
}

static void main_minimize_smaller(void *arg, const struct program *program)
{
	(void)arg;
	fprintf(stderr, "vuc: %u steps, %u bytes of data\n", program->count, program->nbytes);
}

static int main_minimize_number(const char *text, long *out)
{
	return main_number(text, 1, 1000000, out) ? main_error("no number: %s", text) : 0;
}

static int main_minimize_option(struct main_minimize *m, int option, const char *value)
{
	switch (option) {
	case 'o':
		m->output = value;
		return 0;
	case 'g':
		m->signature = value;
		return 0;
	case 'n':
		return main_minimize_number(value, &m->runs);
	case 'k':
		return main_minimize_number(value, &m->wanted);
	case 'm':
		return main_minimize_number(value, &m->most);
	default:
		return main_server_option(&m->server, option, value);
	}
}

/* 0; MAIN_USAGE; -1 after --help. */
static int main_minimize_options(struct main_minimize *m, const struct main_call *call)
{
	static const struct option options[] = {
		MAIN_SERVER_OPTIONS,
		{ "output", required_argument, NULL, 'o' },
		{ "signature", required_argument, NULL, 'g' },
		{ "runs", required_argument, NULL, 'n' },
		{ "wanted", required_argument, NULL, 'k' },
		{ "most", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(call->argc, call->argv, "ho:", options, NULL)) != -1) {
		int error;

		if (option == 'h') {
			fputs(main_minimize_help, stdout);
			return -1;
		}
		error = main_minimize_option(m, option, optarg);
		if (error)
			return error;
	}
	if (m->wanted > m->runs)
		return main_error("--wanted %ld of --runs %ld", m->wanted, m->runs);
	if (optind != call->argc - 1)
		return main_error("one program, please; see vuc minimize --help");
	return main_server_check(&m->server);
}

static int main_minimize_program(struct main_minimize *m, struct program *program)
{
	const struct minimize_options options = {
		.shows = main_minimize_shows,
		.smaller = main_minimize_smaller,
		.arg = m,
		.wanted = (uint32_t)m->wanted,
		.runs = (uint32_t)m->runs,
		.most = (uint32_t)m->most,
	};
	struct minimize_result result;
	int error = minimize(program, &options, &result);

	if (error == -ENOENT)
		return main_error("the program does not fail%s%s", m->signature ? " with " : "",
				  m->signature ? m->signature : "");
	fprintf(stderr, "vuc: %s, in %u of %ld runs; %u runs in all\n", m->signature,
		result.shown, m->runs, result.tried);
	if (error && error != -EINTR)
		return main_error("%s", strerror(-error));
	return main_save(m->output, program);
}

int main_minimize(const struct main_call *call)
{
	struct main_minimize m = {
		.server = main_server_new(call),
		.runs = 1,
		.wanted = 1,
		.most = 2000,
	};
	struct program *program;
	int error = main_minimize_options(&m, call);

	if (!error)
		error = main_load(call->argv[optind], &program);
	if (error)
		return error < 0 ? MAIN_PASS : error;
	main_server_catch(&m.server);
	error = main_minimize_program(&m, program);
	free(program);
	return error;
}
