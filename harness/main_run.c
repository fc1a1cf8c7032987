/* SPDX-License-Identifier: BSD-3-Clause */
/* main_run.c - `vuc run`: programs on a server, one after the other. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "main.h"

static const char main_run_help[] =
	"usage: vuc run [OPTION...] FILE... -- SERVER [ARGUMENT...]\n"
	"       vuc run [OPTION...] FILE... --socket PATH\n"
	"Runs programs on a server, each on a fresh one if it is started here, and says what it\n"
	"did that the specification does not allow.\n\n"
	MAIN_SERVER_HELP
	"  --json FILE           write everything there as well, as JSON\n"
	"  --runs N              run each program N times; a failure of any counts (1)\n"
	"  --verbose             show the listing of programs that pass, too\n"
	"  --brief               show no listing\n";

struct main_run {
	struct main_server server;
	const char *json;
	long runs;
	bool verbose;
	bool brief;
	FILE *out;		/* of the JSON, or NULL */
	uint32_t count[5];	/* by enum verdict_word */
	int exit;
	bool any;
};

/* The exit code of all: the worst that came; skipped only if nothing ran. */
static void main_run_worst(struct main_run *run, int one)
{
	static const int order[] = { MAIN_SKIP, MAIN_PASS, MAIN_USAGE, MAIN_FAIL, MAIN_DEAD };
	size_t now = 0, then = 0;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		now = order[i] == one ? i : now;
		then = order[i] == run->exit ? i : then;
	}
	if (!run->any || now > then)
		run->exit = one;
	run->any = true;
}

static void main_run_tell(struct main_run *run, const char *path, const struct verdict *verdict)
{
	enum verdict_word word = verdict_word(verdict);

	run->count[word]++;
	if ((word != VERDICT_PASS && word != VERDICT_SKIP) || run->verbose) {
		printf("# %s\n", path);
		verdict_print(verdict, run->brief, stdout);
		putchar('\n');
	} else {
		printf("%-8s %s%s%s\n", verdict_word_name(word), path,
		       word == VERDICT_SKIP ? ": " : "", verdict_why(verdict));
	}
	fflush(stdout);
	if (!run->out)
		return;
	fputs(ftell(run->out) > 1 ? ",\n" : "", run->out);
	verdict_json(verdict, path, run->out);
}

static int main_run_once(struct main_run *run, const char *path, const struct program *program)
{
	struct verdict *verdict;
	int result;

	if (verdict_new(program, run->server.gate, &verdict))
		return main_error("out of memory");
	result = main_server_run(&run->server, program, verdict);
	main_run_tell(run, path, verdict);
	verdict_free(verdict);
	return result;
}

static void main_run_file(struct main_run *run, const char *path)
{
	struct program *program;
	int result = main_load(path, &program);

	if (result) {
		main_run_worst(run, result);
		return;
	}
	for (long i = 0; i < run->runs && !run->server.interrupted; i++)
		main_run_worst(run, main_run_once(run, path, program));
	free(program);
}

/* 0 when there is something to run; MAIN_USAGE; -1 after --help. */
static int main_run_options(struct main_run *run, const struct main_call *call)
{
	static const struct option options[] = {
		MAIN_SERVER_OPTIONS,
		{ "json", required_argument, NULL, 'j' },
		{ "runs", required_argument, NULL, 'n' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "brief", no_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(call->argc, call->argv, "hv", options, NULL)) != -1) {
		int error = 0;

		if (option == 'h') {
			fputs(main_run_help, stdout);
			return -1;
		}
		if (option == 'j')
			run->json = optarg;
		else if (option == 'v')
			run->verbose = true;
		else if (option == 'b')
			run->brief = true;
		else if (option == 'n' && main_number(optarg, 1, 1000000, &run->runs))
			error = main_error("no number of runs: %s", optarg);
		else if (option != 'n')
			error = main_server_option(&run->server, option, optarg);
		if (error)
			return error;
	}
	if (optind == call->argc)
		return main_error("no program; see vuc run --help");
	return main_server_check(&run->server);
}

static int main_run_open(struct main_run *run)
{
	if (!run->json)
		return 0;
	run->out = fopen(run->json, "w");
	if (!run->out)
		return main_error("%s: %s", run->json, strerror(errno));
	fputs("[", run->out);
	return 0;
}

static void main_run_close(struct main_run *run)
{
	if (!run->out)
		return;
	fputs("]\n", run->out);
	if (fclose(run->out))
		main_run_worst(run, main_error("%s: can not be written", run->json));
}

int main_run(const struct main_call *call)
{
	struct main_run run = { .server = main_server_new(call), .runs = 1 };
	int error = main_run_options(&run, call);

	if (!error)
		error = main_run_open(&run);
	if (error)
		return error < 0 ? MAIN_PASS : error;
	main_server_catch(&run.server);
	for (int i = optind; i < call->argc && !run.server.interrupted; i++)
		main_run_file(&run, call->argv[i]);
	main_run_close(&run);
	printf("%u passed, %u failed, %u deviate, %u skipped, %u broken; exit code %d\n",
	       run.count[VERDICT_PASS], run.count[VERDICT_FAIL], run.count[VERDICT_DEVIATES],
	       run.count[VERDICT_SKIP], run.count[VERDICT_BROKEN], run.exit);
	return run.exit;
}
