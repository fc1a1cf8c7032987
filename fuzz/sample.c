/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sample.c - the scenarios of explore on a server that is somewhere else, by samples.
 *
 *	explore-socket [--scenario=NAME] [--samples=N] [--seed=S] [--tries=N] [--findings=DIR]
 *	               (--socket=PATH | -- SERVER [ARGUMENT...])
 *	explore-socket --follow=FILE [--scenario=NAME] (--socket=PATH | -- SERVER [ARGUMENT...])
 *
 * The server speaks the vIOMMU extension and has the test device. Each sample is a schedule that a
 * number chooses, counted from the seed: which message comes and where it is cut, at which of its
 * hold points each operation stops and when it goes on, when the client answers, when it goes. The
 * watch of the search (explore_watch.h) looks at what comes and at memory; of the device it knows
 * what registers show. Threads and the kernel have a part in the order, too, so a sample need not
 * show again what it has shown: it is tried again on fresh servers, told as k of n, and kept as a
 * program for `vuc run` (explore_record.h), in DIR (build/findings/explore). --seed=S --samples=1
 * executes the sample itself again.
 *
 * --follow executes schedules that `explore --print` has written, all hold points on, and tells
 * how fast.
 *
 * Exit codes: 0 nothing found, 1 a violation, 2 used wrongly or broken here.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "explore.h"
#include "explore_record.h"
#include "sample_link.h"
#include "sample_run.h"
#include "target.h"
#include "text.h"

#define SAMPLE_FOUND 1
#define SAMPLE_READY_MS 20000
#define SAMPLE_RUNS 5u		/* of a program: threads have a part in the order */
#define SAMPLE_LINE ((size_t)8 * EXPLORE_DEPTH)

/* Shared with the processes that run samples. */
static struct sample_shared {
	uint64_t samples, events;
	uint64_t seed;			/* of the sample that is run */
	double seconds;
	char violation[256];
} *shared;

static struct {
	const struct explore_scenario *scenario;
	uint64_t samples, seed, tries;
	const char *socket, *findings, *follow;
	char **argv;			/* of the server; NULL: it runs already */
	char path[64];
} sample = { .samples = 100, .seed = 1, .tries = 5, .findings = "build/findings/explore" };

void explore_violation(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(shared->violation, sizeof(shared->violation), format, arguments);
	va_end(arguments);
	record_rest(sample_rest);
	_exit(SAMPLE_FOUND);
}

void explore_note(const char *format, ...)
{
	(void)format;
}

static double sample_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of all that was started and has ended, the server as well. */
static double sample_processor_seconds(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_CHILDREN, &usage))
		return 0;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- the server ---- */

/* The argument with {socket} filled in; lives as long as the process. */
static char *sample_fill(char *argument)
{
	static const char place[] = "{socket}";
	const char *at = strstr(argument, place);
	char *filled;

	if (!at)
		return argument;
	if (asprintf(&filled, "%.*s%s%s", (int)(at - argument), argument, sample.path,
		     at + strlen(place)) < 0)
		_exit(SAMPLE_BROKEN);
	return filled;
}

/* Starts one of our own. It ends with this process. */
static struct target *sample_start(void)
{
	const char *argv[64] = { NULL };
	struct target_start start = {
		.argv = argv,
		.socket_path = sample.path,
		.limit_nofile = -1,
	};
	struct target *target = NULL;
	int error;

	for (size_t i = 0; sample.argv[i] && i + 1 < sizeof(argv) / sizeof(argv[0]); i++)
		argv[i] = sample_fill(sample.argv[i]);
	error = target_start(&start, &target);
	if (!error)
		error = target_wait_ready(target, SAMPLE_READY_MS);
	if (error) {
		fprintf(stderr, "explore-socket: %s: %s\n", argv[0], strerror(-error));
		_exit(SAMPLE_BROKEN);
	}
	return target;
}

/* A violation by a server that has crashed is that it has. */
static int sample_fork(void (*run)(const struct explore_scenario *scenario),
		       const struct explore_scenario *scenario)
{
	struct target *target;
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		target = sample.argv ? sample_start() : NULL;
		run(scenario);
		target_free(target);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return SAMPLE_BROKEN;
	if (sample.argv)
		unlink(sample.path);
	return WEXITSTATUS(status);
}

/* ---- samples ---- */

static void sample_one(const struct explore_scenario *scenario)
{
	struct sample_schedule schedule = { .path = sample.path, .seed = shared->seed };

	sample_run(scenario, &schedule);
	shared->events += schedule.events;
	shared->samples++;
}

static void sample_all(const struct explore_scenario *scenario)
{
	double start = sample_seconds();

	for (uint64_t i = 0; i < sample.samples; i++) {
		shared->seed = sample.seed + i;
		sample_one(scenario);
	}
	shared->seconds = sample_seconds() - start;
}

/* The sample that has shown something, as a program. */
static void sample_keep_program(const struct explore_scenario *scenario)
{
	char path[256], *text = malloc(TEXT_SIZE);
	FILE *file = NULL;

	snprintf(path, sizeof(path), "%s/%s-%" PRIu64 ".prog", sample.findings, scenario->name,
		 shared->seed);
	if (text && record_print(text, TEXT_SIZE) > 0)
		file = fopen(path, "we");
	if (file)
		fprintf(file, "# %s: %s\n# runs: %u\n%s", scenario->name, shared->violation,
			SAMPLE_RUNS, text);
	free(text);
	if (file && fclose(file) == 0)
		printf("  vuc run --runs %u %s -- SERVER\n", SAMPLE_RUNS, path);
}

/* Whether the sample shows it again. */
static void sample_try(const struct explore_scenario *scenario)
{
	uint64_t shown = 0;

	for (uint64_t i = 0; i < sample.tries && sample.argv; i++)
		shown += sample_fork(sample_one, scenario) == SAMPLE_FOUND;
	printf("  seed %" PRIu64 " of %s: again in %" PRIu64 " of %" PRIu64 " runs\n", shared->seed,
	       scenario->name, shown, sample.argv ? sample.tries : 0);
}

static void sample_row(const struct explore_scenario *scenario, double processor)
{
	printf("%-16s %9" PRIu64 " %9" PRIu64 " %9.4f %9.0f %9.4f\n", scenario->name,
	       shared->events, shared->samples, shared->seconds,
	       (double)shared->events / shared->seconds, processor);
}

static int sample_scenario(const struct explore_scenario *scenario)
{
	double before = sample_processor_seconds();
	int result;

	memset(shared, 0, sizeof(*shared));
	record_on();
	result = sample_fork(sample_all, scenario);
	if (result == SAMPLE_BROKEN)
		return result;
	if (result == SAMPLE_FOUND) {
		printf("%-16s sample %" PRIu64 ": %s\n", scenario->name, shared->samples + 1,
		       shared->violation);
		sample_keep_program(scenario);
		record_off();
		sample_try(scenario);
		return result;
	}
	record_off();
	sample_row(scenario, sample_processor_seconds() - before);
	return 0;
}

/* ---- schedules of the search ---- */

/* The events of a line behind its first word. How many. */
static uint32_t sample_parse(char *words, struct explore_event *out)
{
	uint32_t count = 0;
	char *rest = NULL;

	for (char *word = strtok_r(words, " \n", &rest); word && count < EXPLORE_DEPTH;
	     word = strtok_r(NULL, " \n", &rest)) {
		if (!explore_parse(word, &out[count++]))
			_exit(SAMPLE_BROKEN);
	}
	return count;
}

/* All schedules of the scenario in the file. */
static void sample_follow(const struct explore_scenario *scenario)
{
	static struct explore_event events[EXPLORE_DEPTH];
	static char line[SAMPLE_LINE];
	size_t length = strlen(scenario->name);
	FILE *file = fopen(sample.follow, "re");
	double start = sample_seconds();

	while (file && fgets(line, sizeof(line), file)) {
		struct sample_schedule schedule = { .path = sample.path, .follow = events };

		if (strncmp(line, scenario->name, length) != 0 || line[length] != ' ')
			continue;
		schedule.count = sample_parse(line + length, events);
		sample_run(scenario, &schedule);
		shared->events += schedule.count;
		shared->samples++;
	}
	shared->seconds = sample_seconds() - start;
	if (!file || fclose(file))
		_exit(SAMPLE_BROKEN);
}

static int sample_followed(const struct explore_scenario *scenario)
{
	double before = sample_processor_seconds();
	int result;

	memset(shared, 0, sizeof(*shared));
	result = sample_fork(sample_follow, scenario);
	if (result == SAMPLE_FOUND)
		printf("%-16s schedule %" PRIu64 ": %s\n", scenario->name, shared->samples + 1,
		       shared->violation);
	else if (!result && shared->samples)
		sample_row(scenario, sample_processor_seconds() - before);
	return result;
}

/* ---- the whole ---- */

static int sample_scenarios(void)
{
	int worst = 0;

	if (!sample.follow)
		printf("seed %" PRIu64 "\n", sample.seed);
	printf("%-16s %9s %9s %9s %9s %9s\n", "scenario", "events", "schedules", "seconds",
	       "events/s", "processor");
	for (uint32_t i = 0; i < explore_scenario_count && worst != SAMPLE_BROKEN; i++) {
		const struct explore_scenario *scenario = &explore_scenarios[i];
		int result = 0;

		if (!sample.scenario || sample.scenario == scenario)
			result = sample.follow ? sample_followed(scenario) :
						 sample_scenario(scenario);
		worst = result > worst ? result : worst;
	}
	return worst;
}

static int sample_usage(void)
{
	fputs("usage: explore-socket [--scenario=NAME] [--samples=N] [--seed=S] [--tries=N]\n"
	      "                      [--findings=DIR] [--follow=FILE]\n"
	      "                      (--socket=PATH | -- SERVER [ARGUMENT...])\n",
	      stderr);
	return SAMPLE_BROKEN;
}

/* One option: its exit code, or -1 to go on. */
static int sample_option(int option)
{
	switch (option) {
	case 's':
		sample.scenario = explore_find(optarg);
		return sample.scenario ? -1 : sample_usage();
	case 'n':
		sample.samples = strtoull(optarg, NULL, 10);
		return -1;
	case 'r':
		sample.seed = strtoull(optarg, NULL, 10);
		return -1;
	case 't':
		sample.tries = strtoull(optarg, NULL, 10);
		return -1;
	case 'd':
		sample.findings = optarg;
		return -1;
	case 'f':
		sample.follow = optarg;
		return -1;
	case 'p':
		sample.socket = optarg;
		return -1;
	default:
		return sample_usage();
	}
}

/* Where the server listens, and where findings go. 0 or -errno. */
static int sample_places(void)
{
	char *at, path[256];

	if (sample.socket)
		snprintf(sample.path, sizeof(sample.path), "%s", sample.socket);
	else
		snprintf(sample.path, sizeof(sample.path), "/tmp/explore-%d.socket", getpid());
	snprintf(path, sizeof(path), "%s/", sample.findings);
	for (at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		if (mkdir(path, 0777) && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "scenario", required_argument, NULL, 's' },
		{ "samples", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 'r' },
		{ "tries", required_argument, NULL, 't' },
		{ "findings", required_argument, NULL, 'd' },
		{ "follow", required_argument, NULL, 'f' },
		{ "socket", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	int option, result = -1;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		return SAMPLE_BROKEN;
	while (result < 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		result = sample_option(option);
	if (result >= 0)
		return result;
	sample.argv = optind < argc ? argv + optind : NULL;
	if (!sample.argv == !sample.socket || sample_places())
		return sample_usage();
	return sample_scenarios();
}
