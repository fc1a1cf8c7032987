/* SPDX-License-Identifier: BSD-3-Clause */
/* main_leak.c - see main_leak.h. */
#include "main_leak.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "deadline.h"
#include "wire.h"

#define MAIN_LEAK_SOON_MS 100	/* in which a server that does not leak closes what it had */
#define MAIN_LEAK_LATE_MS 1000	/* and at the latest */
#define MAIN_LEAK_LOOK_NS 100000
#define MAIN_LEAK_WARM 1	/* runs, after the first, for what is opened once */
#define MAIN_LEAK_RUNS 4	/* between two looks */

int64_t main_leak_count(const struct main_watch *watch)
{
	struct target_state state;
	int error = target_state(watch->target, &state);

	if (error)
		return error;
	if (state.phase != TARGET_RUNNING || state.pid <= 0)
		return state.phase == TARGET_UNKNOWN ? -ENOTSUP : -ESRCH;
	return proc_fds(state.pid);
}

static int64_t main_leak_settle(const struct main_watch *watch, int64_t most, int patience_ms)
{
	/* Nobody tells when a process closes a descriptor. */
	const struct timespec look = { .tv_nsec = MAIN_LEAK_LOOK_NS };
	struct deadline end = deadline_in(patience_ms);
	int64_t count = main_leak_count(watch);

	while (count > most && deadline_left_ms(end)) {
		ppoll(NULL, 0, &look, NULL);
		count = main_leak_count(watch);
	}
	return count;
}

/* The last message with descriptors, or else the last of all. */
static uint32_t main_leak_step(const struct program *program)
{
	uint32_t last = 0, with = program->count;

	for (uint32_t i = 0; i < program->count; i++) {
		if (program->step[i].op != PROGRAM_SEND)
			continue;
		last = i;
		if (program->step[i].nfds)
			with = i;
	}
	return with < program->count ? with : last;
}

void main_leak_finding(const struct program *program, const char *text,
		       struct model_finding *finding, uint32_t *step)
{
	bool sent;

	*step = main_leak_step(program);
	sent = *step < program->count && program->step[*step].op == PROGRAM_SEND;
	verdict_finding(finding, "server.leak-fds", "DISC-CLI-008",
			sent ? program->step[*step].command : 0, text);
}

/* A connection that the server itself holds open, by its other end, has not ended. */
static bool main_leak_holds(const struct program *program)
{
	for (uint32_t i = 0; i < program->count; i++)
		if (program->step[i].op == PROGRAM_OPEN && program->step[i].kind == PROGRAM_SELF)
			return true;
	return false;
}

int64_t main_leak_fds(const struct main_watch *watch, const struct program *program,
		      int patience_ms)
{
	int64_t count;

	if (watch->fds <= 0 || main_leak_holds(program))
		return 0;
	count = main_leak_settle(watch, watch->fds, patience_ms);
	return count > watch->fds ? count : 0;
}

static bool main_leak_again(bool (*again)(void *arg), void *arg, int times)
{
	for (int i = 0; i < times; i++)
		if (!again(arg))
			return false;
	return true;
}

void main_leak_look(const struct main_watch *watch, const struct program *program,
		    bool (*again)(void *arg), void *arg, struct verdict *verdict)
{
	int64_t first, second, third;
	struct model_finding finding;
	char text[200];
	uint32_t step;

	if (!main_leak_fds(watch, program, MAIN_LEAK_SOON_MS))
		return;
	if (!main_leak_again(again, arg, MAIN_LEAK_WARM))
		return;
	first = main_leak_settle(watch, watch->fds, MAIN_LEAK_SOON_MS);
	if (first <= watch->fds || !main_leak_again(again, arg, MAIN_LEAK_RUNS))
		return;
	second = main_leak_settle(watch, first, MAIN_LEAK_SOON_MS);
	if (second <= first || !main_leak_again(again, arg, MAIN_LEAK_RUNS))
		return;
	third = main_leak_settle(watch, second, MAIN_LEAK_LATE_MS);
	if (third <= second)
		return;
	snprintf(text, sizeof(text),
		 "it had %lld descriptors open before the first client, and %lld, %lld and %lld "
		 "when nobody was connected after %d, %d and %d runs of this program",
		 (long long)watch->fds, (long long)first, (long long)second, (long long)third,
		 1 + MAIN_LEAK_WARM, 1 + MAIN_LEAK_WARM + MAIN_LEAK_RUNS,
		 1 + MAIN_LEAK_WARM + 2 * MAIN_LEAK_RUNS);
	main_leak_finding(program, text, &finding, &step);
	verdict_found(verdict, step, &finding);
}
