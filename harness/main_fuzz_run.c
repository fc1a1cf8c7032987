/* SPDX-License-Identifier: BSD-3-Clause */
/* main_fuzz_run.c - one server for many programs of `vuc fuzz`, for as long as it is in order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "main_fuzz.h"
#include "main_leak.h"

#define MAIN_FUZZ_LATE_MS 2	/* for what comes though nothing has to */
#define MAIN_FUZZ_LATE 8	/* every so many programs */
#define MAIN_FUZZ_END_MS 50	/* for a server that is about to end */
#define MAIN_FUZZ_CLOSE_MS 20	/* for a server to close what a client leaves behind */
#define MAIN_FUZZ_PATIENCE_MS 40	/* for a reply, until the program is run again */

static int main_fuzz_execs(struct main_fuzz *fuzz)
{
	struct exec_options options = fuzz->server.options;
	struct exec_link link;
	int error = exec_sockets_new(fuzz->watch.socket, options.long_ms, &fuzz->sockets);

	if (error)
		return error;
	link = exec_sockets_link(fuzz->sockets);
	options.shared = true;
	if (options.long_ms > MAIN_FUZZ_PATIENCE_MS)
		options.long_ms = MAIN_FUZZ_PATIENCE_MS;
	options.model.fresh = fuzz->server.once && fuzz->server.argv;
	for (size_t i = 0; i < 2 && !error; i++) {
		options.short_ms = i ? MAIN_FUZZ_LATE_MS : 0;
		error = exec_new(&link, &options, &fuzz->exec[i]);
	}
	return error;
}

int main_fuzz_up(struct main_fuzz *fuzz)
{
	int error = main_server_begin(&fuzz->server, &fuzz->watch);

	fuzz->up = true;
	fuzz->two = false;
	if (!error)
		error = main_fuzz_execs(fuzz);
	if (!error)
		return 0;
	main_fuzz_down(fuzz);
	return main_error("the server is not there: %s", strerror(-error));
}

void main_fuzz_down(struct main_fuzz *fuzz)
{
	if (!fuzz->up)
		return;
	for (size_t i = 0; i < 2; i++) {
		exec_free(fuzz->exec[i]);
		fuzz->exec[i] = NULL;
	}
	exec_sockets_free(fuzz->sockets);
	fuzz->sockets = NULL;
	main_server_end(&fuzz->watch);
	fuzz->up = false;
}

/* The command of the step at which the server left or did not answer; 0 for none. */
static uint16_t main_fuzz_command(const struct program *program, uint32_t at)
{
	if (at < program->count && program->step[at].op == PROGRAM_SEND)
		return program->step[at].command;
	return 0;
}

/* The server is stopped; true and its name if it has died before, or does not answer. */
static bool main_fuzz_post_mortem(struct main_fuzz *fuzz, const struct exec *exec, char *name)
{
	struct verdict *verdict;
	struct model_finding finding;
	bool dead;

	fuzz->watch.hung = exec_hung(exec);
	fuzz->watch.step = exec_stuck(exec);
	if (verdict_new(fuzz->made, fuzz->server.gate, &verdict))
		return false;
	main_watch_end(&fuzz->watch, verdict, MAIN_FUZZ_END_MS);
	dead = main_fuzz_dead(verdict, &finding);
	if (dead)
		main_fuzz_death(verdict, &finding,
				main_fuzz_command(fuzz->made, fuzz->watch.step), name,
				MAIN_FUZZ_NAME);
	verdict_free(verdict);
	return dead;
}

static bool main_fuzz_has(const struct exec *exec, const char *code)
{
	uint32_t count = exec_findings(exec, UINT32_MAX, NULL);

	for (uint32_t i = 0; i < count && i < EXEC_FINDINGS; i++) {
		struct exec_finding finding;

		exec_findings(exec, i, &finding);
		if (strcmp(finding.what.code, code) == 0)
			return true;
	}
	return false;
}

/* Is the server still fit for another program? */
static bool main_fuzz_fit_for_more(struct main_fuzz *fuzz, const struct exec *exec, int64_t result)
{
	struct target_state state;

	if (result < 0 || exec_hung(exec) || fuzz->server.once)
		return false;
	/* One that dies closes its connections first. */
	if (main_fuzz_has(exec, "reply.closed"))
		(void)target_wait_exit(fuzz->watch.target, MAIN_FUZZ_END_MS);
	if (target_state(fuzz->watch.target, &state))
		return false;
	return !state.sanitizer &&
	       (state.phase == TARGET_RUNNING || state.phase == TARGET_UNKNOWN);
}

/*
 * What the judges say of a run, up to the first silence, as nothing is waited for behind that.
 * Returns 0 or MAIN_USAGE; *doubt: the server is not trusted any more.
 */
static int main_fuzz_judge(struct main_fuzz *fuzz, const struct exec *exec, bool *doubt)
{
	uint32_t count = exec_findings(exec, UINT32_MAX, NULL);
	struct model_finding kept[EXEC_FINDINGS];
	uint32_t n = 0;

	for (uint32_t i = 0; i < count && i < EXEC_FINDINGS && !*doubt; i++) {
		struct exec_finding finding;

		exec_findings(exec, i, &finding);
		if (!verdict_fails(&finding.what, fuzz->server.gate))
			continue;
		kept[n++] = finding.what;
		*doubt |= strcmp(finding.what.code, "reply.missing") == 0 ||
			  strcmp(finding.what.code, "channel.framing") == 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		char name[MAIN_FUZZ_NAME];

		verdict_signature(&kept[i], name, sizeof(name));
		if (main_fuzz_found(fuzz, name, false))
			return MAIN_USAGE;
	}
	return 0;
}

/* Behind a run after which the server can not stay, or need not. */
static int main_fuzz_bury(struct main_fuzz *fuzz, const struct exec *exec, int64_t result)
{
	char name[MAIN_FUZZ_NAME];
	bool dead = main_fuzz_post_mortem(fuzz, exec, name), doubt = false;
	int error = 0;

	/* What else such a program shows is what follows from that. */
	if (dead)
		error = main_fuzz_found(fuzz, name, true);
	else if (result >= 0)
		error = main_fuzz_judge(fuzz, exec, &doubt);
	else if (fuzz->server.argv)
		fuzz->skipped++;
	fuzz->over = !fuzz->server.argv && (dead || result < 0);
	fuzz->restarts += !fuzz->over;
	main_fuzz_down(fuzz);
	return error;
}

/*
 * Nobody is connected. More descriptors than before are a suspicion, which is looked into; what is
 * none is what the server has from now on. *doubt: it leaks. 0; MAIN_USAGE.
 */
static int main_fuzz_leaks(struct main_fuzz *fuzz, bool *doubt)
{
	int64_t count = main_leak_fds(&fuzz->watch, fuzz->made, MAIN_FUZZ_CLOSE_MS);
	char name[MAIN_FUZZ_NAME];
	struct model_finding finding;
	uint32_t step;

	if (!count)
		return 0;
	main_leak_finding(fuzz->made, "", &finding, &step);
	verdict_signature(&finding, name, sizeof(name));
	fuzz->watch.fds = count;
	if (main_fuzz_found(fuzz, name, false))
		return MAIN_USAGE;
	*doubt = main_fuzz_is_kept(fuzz, name);
	return 0;
}

int main_fuzz_run(struct main_fuzz *fuzz)
{
	struct program *program = fuzz->made;
	uint64_t sent, received;
	bool doubt = false;
	struct exec *exec;
	int64_t result;
	int error;

	if (!fuzz->up && main_fuzz_up(fuzz))
		return MAIN_USAGE;
	exec = fuzz->exec[fuzz->number % MAIN_FUZZ_LATE == 0];
	result = exec_run(exec, program);
	exec_counts(exec, &sent, &received);
	fuzz->number++;
	fuzz->sent += sent;
	fuzz->received += received;
	if (!main_fuzz_fit_for_more(fuzz, exec, result))
		return main_fuzz_bury(fuzz, exec, result);
	error = main_fuzz_judge(fuzz, exec, &doubt);
	if (!error && !doubt)
		error = main_fuzz_leaks(fuzz, &doubt);
	if (doubt && fuzz->server.argv) {
		fuzz->restarts++;
		main_fuzz_down(fuzz);
	}
	fuzz->made = fuzz->before;
	fuzz->before = program;
	fuzz->two = fuzz->up;
	return error;
}
