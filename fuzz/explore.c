/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * explore.c - all orders of the events of small scenarios, see explore.h.
 *
 *	explore [--scenario=NAME] [--bound=N] [--most=N] [--compare] [--fault=NAME] [--print=FILE]
 *	explore --faults
 *	explore --replay=FILE
 *	explore --list
 *
 * One line for each scenario. What is found is looked for once more in schedules of growing
 * length, and the first of the shortest ones is printed, and kept in build/schedules/: as a list of
 * events that --replay executes again, and as a program for `vuc run` (explore_record.h).
 * --compare searches the small scenarios without reduction too: the states at the ends of the
 * schedules have to be the same. --print adds each schedule to a file, for explore-socket
 * (sample.c). --faults, of the build that has them, finds each of those that are about order
 * (fault.h) in the scenario that names it, and keeps them. A search is a process of its own, so
 * that a violation leaves nothing behind.
 *
 * Exit codes: 0 nothing found, 1 a violation, 2 used wrongly or broken here.
 */
#include "explore.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "explore_record.h"
#include "explore_search.h"
#include "explore_world.h"
#include "fault.h"
#include "text.h"

#define EXPLORE_FOUND 1
#define EXPLORE_BROKEN 2
#define EXPLORE_RUNS 5u		/* of a program: threads have a part in the order */

/* Shared with the processes that search. */
static struct explore_shared {
	struct explore_schedule schedule;
	struct explore_count count[2];	/* with reduction, and without */
	double seconds[2];
	bool same;			/* both ended in the same states */
	char violation[256];
} *shared;

static struct {
	const char *fault;
	const struct explore_scenario *scenario;
	uint32_t bound;			/* 0: that of the scenario */
	uint64_t most;
	FILE *print;
	bool compares;
	bool shows;
	bool quiet;
	bool tells;
} explore;

void explore_violation(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(shared->violation, sizeof(shared->violation), format, arguments);
	va_end(arguments);
	explore_note("  violation: %s", shared->violation);
	fflush(stdout);
	record_rest(world_rest);
	_exit(EXPLORE_FOUND);
}

void explore_note(const char *format, ...)
{
	va_list arguments;

	if (!explore.tells)
		return;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

static double explore_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- searches, each in a process of its own ---- */

static void explore_select(void)
{
#ifdef VUC_FAULTS
	if (explore.fault && fault_select(explore.fault))
		_exit(EXPLORE_BROKEN);
#endif
}

static void explore_once(const struct explore_scenario *scenario, uint32_t length, uint32_t which)
{
	const struct explore_options options = {
		.bound = explore.bound ? explore.bound : scenario->bound,
		.length = length,
		.reduces = which == 0,
		.most = explore.most,
		.print = length || which ? NULL : explore.print,
	};
	double start = explore_seconds();

	if (explore_search(scenario, &options, &shared->schedule, &shared->count[which]))
		_exit(EXPLORE_BROKEN);
	shared->seconds[which] = explore_seconds() - start;
}

/* All schedules; of a small scenario, twice. */
static void explore_all(const struct explore_scenario *scenario)
{
	uint64_t *sums, count;

	explore_once(scenario, 0, 0);
	shared->same = true;
	if (!explore.compares || !scenario->small)
		return;
	count = shared->count[0].states;
	sums = calloc(count, sizeof(*sums));
	for (uint64_t i = 0; i < count && sums; i++)
		sums[i] = explore_sum(i);
	explore_once(scenario, 0, 1);
	shared->same = sums && count == shared->count[1].states;
	for (uint64_t i = 0; i < count && shared->same; i++)
		shared->same = sums[i] == explore_sum(i);
	free(sums);
}

/* The shortest schedules first. */
static void explore_deepen(const struct explore_scenario *scenario)
{
	uint32_t length = 0;

	do
		explore_once(scenario, ++length, 0);
	while (shared->count[0].cut);
}

/* What was found once more. */
static void explore_again(const struct explore_scenario *scenario)
{
	const struct explore_schedule schedule = shared->schedule;
	struct explore_event possible[EXPLORE_EVENTS];
	char text[160];

	explore_begin(scenario);
	explore.tells = explore.shows;
	for (uint32_t i = 0; i < schedule.count; i++) {
		explore_tell(schedule.event[i], text, sizeof(text));
		explore_note("  %u. %s", i + 1, text);
		explore_happen(schedule.event[i]);
	}
	if (!explore_enabled(possible))
		explore_finish();
	explore_close();
	explore_note("  no violation");
}

/* With all that came. */
static void explore_replay(const struct explore_scenario *scenario)
{
	explore.shows = true;
	explore_again(scenario);
}

/* What the process ended with, or that it has crashed. */
static int explore_fork(void (*run)(const struct explore_scenario *scenario),
			const struct explore_scenario *scenario)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		explore_select();
		/* What the server logs of clients that break off is no news. */
		if (!freopen("/dev/null", "w", stderr))
			_exit(EXPLORE_BROKEN);
		run(scenario);
		fflush(NULL);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return EXPLORE_BROKEN;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	snprintf(shared->violation, sizeof(shared->violation), "the server ends by signal %d",
		 WTERMSIG(status));
	return EXPLORE_FOUND;
}

/* ---- results ---- */

/* A file of build/schedules, to be closed by the caller; NULL: it can not be written. */
static FILE *explore_open(const struct explore_scenario *scenario, const char *end, char *path,
			  size_t size)
{
	snprintf(path, size, "build/schedules/%s%s%s.%s", scenario->name, explore.fault ? "-" : "",
		 explore.fault ? explore.fault : "", end);
	if ((mkdir("build", 0777) && errno != EEXIST) ||
	    (mkdir("build/schedules", 0777) && errno != EEXIST))
		return NULL;
	return fopen(path, "we");
}

/* The events, for --replay. */
static void explore_keep_events(const struct explore_scenario *scenario)
{
	const struct explore_schedule *schedule = &shared->schedule;
	char path[160], name[16];
	FILE *file = explore_open(scenario, "txt", path, sizeof(path));

	if (!file)
		return;
	fprintf(file, "%s\n", scenario->name);
	for (uint32_t i = 0; i < schedule->count; i++) {
		explore_name(schedule->event[i], name, sizeof(name));
		fprintf(file, "%s\n", name);
	}
	if (fclose(file) == 0 && !explore.quiet)
		printf("  again: explore%s%s --replay=%s\n",
		       explore.fault ? "-faulty --fault=" : "",
		       explore.fault ? explore.fault : "", path);
}

/* The program, for `vuc run` on any server. */
static void explore_keep_program(const struct explore_scenario *scenario)
{
	char path[160], *text = malloc(TEXT_SIZE);
	FILE *file = NULL;

	record_on();
	explore_fork(explore_again, scenario);
	if (text && record_print(text, TEXT_SIZE) > 0)
		file = explore_open(scenario, "prog", path, sizeof(path));
	record_off();
	if (file)
		fprintf(file, "# %s: %s\n# runs: %u\n%s", scenario->name, shared->violation,
			EXPLORE_RUNS, text);
	free(text);
	if (file && fclose(file) == 0 && !explore.quiet)
		printf("  vuc run --runs %u %s -- SERVER\n", EXPLORE_RUNS, path);
}

static void explore_keep(const struct explore_scenario *scenario)
{
	explore_keep_events(scenario);
	explore_keep_program(scenario);
}

static void explore_row(const struct explore_scenario *scenario, uint32_t which)
{
	const struct explore_count *count = &shared->count[which];
	double seconds = shared->seconds[which] > 0 ? shared->seconds[which] : 1e-9;

	printf("%-16s %9llu %9llu %9llu %6llu %4u %8.2f %9.0f%s%s\n", which ? "  unreduced" :
	       scenario->name, (unsigned long long)count->events,
	       (unsigned long long)count->schedules, (unsigned long long)count->pruned,
	       (unsigned long long)count->states, count->longest, seconds,
	       (double)count->events / seconds, count->stopped ? "  stopped" : "",
	       which && !shared->same ? "  OTHER STATES" : "");
}

/* The shortest schedule with a violation, printed. */
static void explore_show(const struct explore_scenario *scenario)
{
	if (explore_fork(explore_deepen, scenario) != EXPLORE_FOUND)
		return;
	printf("%s: %u events: %s\n", scenario->name, shared->schedule.count, shared->violation);
	explore_fork(explore_replay, scenario);
	explore_keep(scenario);
}

static int explore_scenario(const struct explore_scenario *scenario)
{
	int result;

	memset(shared, 0, sizeof(*shared));
	result = explore_fork(explore_all, scenario);
	if (result == EXPLORE_FOUND) {
		printf("%-16s %s\n", scenario->name, shared->violation);
		explore_show(scenario);
		return result;
	}
	if (result)
		return result;
	explore_row(scenario, 0);
	if (shared->count[1].schedules)
		explore_row(scenario, 1);
	return shared->same ? 0 : EXPLORE_FOUND;
}

static int explore_scenarios_run(void)
{
	int worst = 0;

	printf("%-16s %9s %9s %9s %6s %4s %8s %9s\n", "scenario", "events", "schedules", "pruned",
	       "states", "most", "seconds", "events/s");
	for (uint32_t i = 0; i < explore_scenario_count; i++) {
		const struct explore_scenario *scenario = &explore_scenarios[i];
		int result = 0;

		if (!explore.scenario || explore.scenario == scenario)
			result = explore_scenario(scenario);
		worst = result > worst ? result : worst;
	}
	return worst;
}

/* ---- faults ---- */

#ifdef VUC_FAULTS
/* The scenario that is to find the fault, or NULL. */
static const struct explore_scenario *explore_finder(const char *fault)
{
	for (uint32_t i = 0; i < explore_scenario_count; i++) {
		const struct explore_scenario *scenario = &explore_scenarios[i];

		for (uint32_t k = 0; k < EXPLORE_FAULTS && scenario->faults[k]; k++) {
			if (strcmp(scenario->faults[k], fault) == 0)
				return scenario;
		}
	}
	return NULL;
}

/* One fault: the events of a shortest schedule that shows it. */
static bool explore_fault(const char *sentence)
{
	const struct explore_scenario *scenario = explore_finder(explore.fault);

	memset(shared, 0, sizeof(*shared));
	if (!scenario || explore_fork(explore_deepen, scenario) != EXPLORE_FOUND) {
		printf("%s: not found: %s\n", explore.fault, sentence);
		return false;
	}
	printf("%-33s %-10s %3u  %s\n", explore.fault, scenario->name, shared->schedule.count,
	       shared->violation);
	explore.quiet = true;
	explore_keep(scenario);
	return true;
}

/* All faults that are about order alone, in a table; 1 if one is not found. */
static int explore_faults(void)
{
	const char *sentence;
	int result = 0;

	for (unsigned int i = 0; fault_order(i, &explore.fault, &sentence); i++) {
		if (!explore_fault(sentence))
			result = EXPLORE_FOUND;
	}
	return result;
}
#else
static int explore_faults(void)
{
	fputs("explore: this build has no faults, explore-faulty has\n", stderr);
	return EXPLORE_BROKEN;
}
#endif

/* ---- the command line ---- */

/* The scenario and its schedule, one event a line. */
static const struct explore_scenario *explore_load(const char *path)
{
	struct explore_schedule *schedule = &shared->schedule;
	FILE *file = fopen(path, "re");
	const struct explore_scenario *scenario = NULL;
	char line[64];

	if (file && fscanf(file, "%63s", line) == 1)
		scenario = explore_find(line);
	while (scenario && schedule->count < EXPLORE_DEPTH && fscanf(file, "%63s", line) == 1) {
		if (!explore_parse(line, &schedule->event[schedule->count++]))
			scenario = NULL;
	}
	if (file)
		fclose(file);
	return scenario;
}

static int explore_load_and_replay(const char *path)
{
	const struct explore_scenario *scenario = explore_load(path);

	if (!scenario) {
		fprintf(stderr, "explore: %s is no schedule\n", path);
		return EXPLORE_BROKEN;
	}
	return explore_fork(explore_replay, scenario);
}

static int explore_list(void)
{
	for (uint32_t i = 0; i < explore_scenario_count; i++)
		printf("%-16s %s (%s)\n", explore_scenarios[i].name, explore_scenarios[i].text,
		       explore_scenarios[i].rows);
	return 0;
}

static int explore_usage(void)
{
	fputs("usage: explore [--scenario=NAME] [--bound=EVENTS] [--most=SCHEDULES] [--compare]\n"
	      "               [--fault=NAME] [--print=FILE] | --faults | --replay=FILE | --list\n",
	      stderr);
	return EXPLORE_BROKEN;
}

/* One option: its exit code, or -1 to go on. */
static int explore_option(int option)
{
	switch (option) {
	case 's':
		explore.scenario = explore_find(optarg);
		return explore.scenario ? -1 : explore_usage();
	case 'b':
		explore.bound = (uint32_t)strtoul(optarg, NULL, 10);
		return -1;
	case 'm':
		explore.most = strtoull(optarg, NULL, 10);
		return -1;
	case 'c':
		explore.compares = true;
		return -1;
	case 'f':
		explore.fault = optarg;
		return -1;
	case 'r':
		return explore_load_and_replay(optarg);
	case 'p':
		explore.print = fopen(optarg, "ae");
		return explore.print ? -1 : explore_usage();
	case 'l':
		return explore_list();
	case 'a':
		return explore_faults();
	default:
		return explore_usage();
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "scenario", required_argument, NULL, 's' },
		{ "bound", required_argument, NULL, 'b' },
		{ "most", required_argument, NULL, 'm' },
		{ "compare", no_argument, NULL, 'c' },
		{ "fault", required_argument, NULL, 'f' },
		{ "faults", no_argument, NULL, 'a' },
		{ "replay", required_argument, NULL, 'r' },
		{ "print", required_argument, NULL, 'p' },
		{ "list", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	int option, result = -1;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		return EXPLORE_BROKEN;
	while (result < 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		result = explore_option(option);
	if (result >= 0)
		return result;
	return optind < argc ? explore_usage() : explore_scenarios_run();
}
