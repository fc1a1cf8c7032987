/* SPDX-License-Identifier: BSD-3-Clause */
/* main_fuzz.c - `vuc fuzz`: programs that are made up, on any server, over its socket. */
#include "main_fuzz.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAIN_FUZZ_LONG_MS 1000
#define MAIN_FUZZ_MINIMIZE_S 10
#define MAIN_FUZZ_TIME_S 60
#define MAIN_FUZZ_QUIET_S 10	/* between two lines where there is no terminal */

static const char main_fuzz_help[] =
	"usage: vuc fuzz [OPTION...] -- SERVER [ARGUMENT...]\n"
	"       vuc fuzz [OPTION...] --socket PATH\n"
	"Makes programs up, and changes seeds, runs them on one server that stays for as long as\n"
	"it is in order, and judges what it does. What is found is run again on fresh servers,\n"
	"made as small as the time allows, and kept once.\n\n"
	MAIN_SERVER_HELP
	"  --time S              seconds of running programs (60, or no limit with --programs)\n"
	"  --programs N          end after that many\n"
	"  --seed N              the same number makes the same programs (1)\n"
	"  --corpus DIR          seeds, *.prog; may be given several times\n"
	"  --minimize S          seconds to make a finding small (10)\n"
	"  --name NAME           of the campaign (the server's)\n"
	"  --findings DIR        where findings are kept (build/findings/NAME)\n"
	"  --report FILE         all of it as JSON (build/report/fuzz-NAME.json)\n"
	"Exit codes: 0 nothing found, 1 findings, 2 used wrongly or broken here, 3 the server\n"
	"crashed or hung, and nothing else was found.\n";

static int main_fuzz_count(const char *text, long *out)
{
	return main_number(text, 0, INT32_MAX / 1000, out) ? main_error("no number: %s", text) : 0;
}

static int main_fuzz_path(const char *text, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s", text) < size ? 0 :
								main_error("%s: too long", text);
}

static int main_fuzz_option(struct main_fuzz *fuzz, int option, const char *value)
{
	char *end;

	switch (option) {
	case 'T':
		return main_fuzz_count(value, &fuzz->seconds);
	case 'p':
		return main_fuzz_count(value, &fuzz->programs);
	case 'm':
		return main_fuzz_count(value, &fuzz->minimize);
	case 'c':
		return main_fuzz_corpus(fuzz, value);
	case 'n':
		return main_fuzz_path(value, fuzz->name, sizeof(fuzz->name));
	case 'f':
		return main_fuzz_path(value, fuzz->findings, sizeof(fuzz->findings));
	case 'j':
		return main_fuzz_path(value, fuzz->report, sizeof(fuzz->report));
	case 'S':
		errno = 0;
		fuzz->seed = strtoull(value, &end, 10);
		return errno || end == value || *end ? main_error("no seed: %s", value) : 0;
	default:
		return main_server_option(&fuzz->server, option, value);
	}
}

/* What was not said follows from the server's name. */
static void main_fuzz_defaults(struct main_fuzz *fuzz)
{
	const char *server = fuzz->server.argv ? fuzz->server.argv[0] : fuzz->server.socket;
	const char *base = strrchr(server, '/');

	if (!fuzz->name[0])
		snprintf(fuzz->name, sizeof(fuzz->name), "%s", base ? base + 1 : server);
	if (!fuzz->findings[0])
		snprintf(fuzz->findings, sizeof(fuzz->findings), "build/findings/%s", fuzz->name);
	if (!fuzz->report[0])
		snprintf(fuzz->report, sizeof(fuzz->report), "build/report/fuzz-%s.json",
			 fuzz->name);
	if (fuzz->seconds < 0)
		fuzz->seconds = fuzz->programs ? 0 : MAIN_FUZZ_TIME_S;
}

/* 0; MAIN_USAGE; -1 after --help. */
static int main_fuzz_options(struct main_fuzz *fuzz, const struct main_call *call)
{
	static const struct option options[] = {
		MAIN_SERVER_OPTIONS,
		{ "time", required_argument, NULL, 'T' },
		{ "programs", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 'S' },
		{ "corpus", required_argument, NULL, 'c' },
		{ "minimize", required_argument, NULL, 'm' },
		{ "name", required_argument, NULL, 'n' },
		{ "findings", required_argument, NULL, 'f' },
		{ "report", required_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, error;

	while ((option = getopt_long(call->argc, call->argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(main_fuzz_help, stdout);
			return -1;
		}
		error = main_fuzz_option(fuzz, option, optarg);
		if (error)
			return error;
	}
	if (optind != call->argc)
		return main_error("%s: programs are made here; see --corpus", call->argv[optind]);
	error = main_server_check(&fuzz->server);
	if (!error)
		main_fuzz_defaults(fuzz);
	return error;
}

/* Makes a directory and those above it; of a file, with `above`, only those. */
static int main_fuzz_directory(const char *path, bool above)
{
	char part[PATH_MAX];

	for (const char *at = path + 1; at[-1]; at++) {
		if (*at != '/' && (*at || above))
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)(at - path), path);
		if (mkdir(part, 0777) && errno != EEXIST)
			return main_error("%s: %s", part, strerror(errno));
	}
	return 0;
}

static void main_fuzz_status(const struct main_fuzz *fuzz, bool last)
{
	double seconds = main_fuzz_seconds(fuzz);

	printf("%.0f s: %llu programs (%.0f/s), %llu restarts, %zu findings%s", seconds,
	       (unsigned long long)fuzz->number, (double)fuzz->number / seconds,
	       (unsigned long long)fuzz->restarts, fuzz->nfinds,
	       isatty(STDOUT_FILENO) && !last ? "   \r" : "\n");
	fflush(stdout);
}

static int main_fuzz_campaign(struct main_fuzz *fuzz)
{
	int every = isatty(STDOUT_FILENO) ? 1 : MAIN_FUZZ_QUIET_S, error = 0;
	double next = every;

	while (!error && !fuzz->over && !fuzz->server.interrupted &&
	       (!fuzz->programs || fuzz->number < (uint64_t)fuzz->programs)) {
		double now = main_fuzz_seconds(fuzz);

		if (fuzz->seconds && now >= (double)fuzz->seconds)
			break;
		if (now >= next) {
			main_fuzz_status(fuzz, false);
			next = now + every;
		}
		main_fuzz_make(fuzz, fuzz->number);
		error = main_fuzz_run(fuzz);
	}
	main_fuzz_down(fuzz);
	return error;
}

static int main_fuzz_judgement(const struct main_fuzz *fuzz)
{
	size_t dead = 0;

	if (fuzz->number == fuzz->skipped)
		return main_error("no program was run");
	for (size_t i = 0; i < fuzz->nfinds; i++)
		dead += fuzz->find[i]->dead;
	if (!fuzz->nfinds)
		return MAIN_PASS;
	return dead == fuzz->nfinds ? MAIN_DEAD : MAIN_FAIL;
}

static void main_fuzz_tell(const struct main_fuzz *fuzz, int status)
{
	main_fuzz_status(fuzz, true);
	for (size_t i = 0; i < fuzz->nfinds; i++) {
		const struct main_fuzz_find *find = fuzz->find[i];

		printf("  %s\n    by %llu programs, in %u of %d runs of %s/%s/program.prog\n",
		       find->signature, (unsigned long long)find->seen, find->shown,
		       MAIN_FUZZ_RUNS, fuzz->findings, find->folder);
	}
	printf("%s\nverdict: %zu finding%s, exit code %d\n", fuzz->report, fuzz->nfinds,
	       fuzz->nfinds == 1 ? "" : "s", status);
}

static int main_fuzz_all(struct main_fuzz *fuzz)
{
	int status = MAIN_USAGE;

	fuzz->made = malloc(sizeof(*fuzz->made));
	fuzz->before = malloc(sizeof(*fuzz->before));
	fuzz->small = malloc(sizeof(*fuzz->small));
	if (!fuzz->made || !fuzz->before || !fuzz->small)
		return main_error("out of memory");
	if (main_fuzz_directory(fuzz->findings, false) || main_fuzz_directory(fuzz->report, true))
		return MAIN_USAGE;
	main_server_catch(&fuzz->server);
	fuzz->server.device = main_server_has_device(&fuzz->server);
	fuzz->begin_ns = deadline_in(0).at_ns;
	if (!main_fuzz_campaign(fuzz))
		status = main_fuzz_judgement(fuzz);
	if (main_fuzz_report(fuzz, status))
		status = MAIN_USAGE;
	main_fuzz_tell(fuzz, status);
	return status;
}

static void main_fuzz_free(struct main_fuzz *fuzz)
{
	for (size_t i = 0; i < fuzz->nseeds; i++)
		free(fuzz->seeds[i]);
	for (size_t i = 0; i < fuzz->nfinds; i++)
		free(fuzz->find[i]);
	free(fuzz->names);
	free(fuzz->made);
	free(fuzz->before);
	free(fuzz->small);
	free(fuzz);
}

int main_fuzz(const struct main_call *call)
{
	struct main_fuzz *fuzz = calloc(1, sizeof(*fuzz));
	int result;

	if (!fuzz)
		return main_error("out of memory");
	fuzz->server = main_server_new(call);
	fuzz->server.options.long_ms = MAIN_FUZZ_LONG_MS;
	fuzz->seed = 1;
	fuzz->seconds = -1;
	fuzz->minimize = MAIN_FUZZ_MINIMIZE_S;
	result = main_fuzz_options(fuzz, call);
	result = result ? (result < 0 ? MAIN_PASS : result) : main_fuzz_all(fuzz);
	main_fuzz_free(fuzz);
	return result;
}
