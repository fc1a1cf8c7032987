/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * oracle.c - the self-test of the oracles. Each is a list of steps: what the helper process does,
 * and what the oracle has to answer afterwards.
 */
#include "oracle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "holder.h"

#define ORACLE_NOT_ASKED (-1)

struct oracle_step {
	enum holder_command command;
	int expected;
	const char *when;
};

struct oracle_trial {
	enum oracle oracle;
	const char *name;
	const struct oracle_step *steps;
	size_t nsteps;
};

static const struct oracle_step oracle_lease[] = {
	{ HOLDER_TAKE, 1, "held by a descriptor" },
	{ HOLDER_MAP, 1, "held by a descriptor and a mapping" },
	{ HOLDER_CLOSE, 1, "held by a mapping" },
	{ HOLDER_UNMAP, 0, "released" },
};

/* The seal would be granted, for good, while there is a descriptor alone. */
static const struct oracle_step oracle_seal[] = {
	{ HOLDER_TAKE, ORACLE_NOT_ASKED, "" },
	{ HOLDER_MAP, 1, "held by a descriptor and a mapping" },
	{ HOLDER_CLOSE, 1, "held by a mapping" },
	{ HOLDER_UNMAP, 0, "released" },
};

static const struct oracle_step oracle_pipe[] = {
	{ HOLDER_TAKE, 0, "held" },
	{ HOLDER_CLOSE, 1, "released" },
};

static const struct oracle_trial oracle_trials[] = {
	{ ORACLE_LEASE, "lease", oracle_lease, sizeof(oracle_lease) / sizeof(*oracle_lease) },
	{ ORACLE_SEAL, "seal", oracle_seal, sizeof(oracle_seal) / sizeof(*oracle_seal) },
	{ ORACLE_PIPE, "pipe", oracle_pipe, sizeof(oracle_pipe) / sizeof(*oracle_pipe) },
};

struct oracle_text {
	char *at;
	size_t size;
	size_t used;
};

/* What a trial asks about: one of the two is set. */
struct oracle_subject {
	enum oracle oracle;
	struct memory *memory;
	struct probe *probe;
};

__attribute__((format(printf, 2, 3)))
static void oracle_print(struct oracle_text *text, const char *format, ...)
{
	size_t room = text->size - text->used;
	va_list args;
	int n;

	if (!room)
		return;
	va_start(args, format);
	n = vsnprintf(text->at + text->used, room, format, args);
	va_end(args);
	if (n > 0)
		text->used += (size_t)n < room ? (size_t)n : room - 1;
}

static int oracle_create(struct oracle_subject *subject)
{
	if (subject->oracle == ORACLE_PIPE)
		return probe_create(&subject->probe);
	return memory_create(HOLDER_SIZE, &subject->memory);
}

static int oracle_step(const struct holder *holder, struct oracle_subject *subject,
		       enum holder_command command)
{
	int fd = -1, ret;

	if (command == HOLDER_TAKE)
		fd = subject->probe ? probe_fd(subject->probe) : memory_fd(subject->memory);
	ret = holder_command(holder, command, fd);
	if (subject->probe)
		probe_close_fd(subject->probe);
	else
		memory_close_fd(subject->memory);
	return ret;
}

static int oracle_ask(struct oracle_subject *subject)
{
	switch (subject->oracle) {
	case ORACLE_LEASE:
		return memory_held(subject->memory);
	case ORACLE_SEAL:
		return memory_mapped(subject->memory);
	case ORACLE_PIPE:
		return probe_released(subject->probe, 0);
	}
	return -EINVAL;
}

/* 0 when the oracle told the truth all the way; else what happened goes to `why`. */
static int oracle_run(const struct oracle_trial *trial, const struct holder *holder,
		      struct oracle_subject *subject, struct oracle_text *why)
{
	const struct oracle_step *step;
	int answer, ret;

	for (step = trial->steps; step < trial->steps + trial->nsteps; step++) {
		ret = oracle_step(holder, subject, step->command);
		if (ret) {
			oracle_print(why, "%s: could not be tried: %s\n", trial->name,
				     strerrordesc_np(-ret));
			return ret;
		}
		answer = step->expected == ORACLE_NOT_ASKED ? step->expected : oracle_ask(subject);
		if (answer == step->expected)
			continue;
		oracle_print(why, "%s: %s, but the answer is %d%s%s\n", trial->name, step->when,
			     answer, answer < 0 ? ", " : "",
			     answer < 0 ? strerrordesc_np(-answer) : "");
		return -EPROTO;
	}
	return 0;
}

static int oracle_try(const struct oracle_trial *trial, const struct holder *holder,
		      struct oracle_text *why)
{
	struct oracle_subject subject = { .oracle = trial->oracle };
	int ret = oracle_create(&subject);

	if (ret)
		oracle_print(why, "%s: can not be had: %s\n", trial->name, strerrordesc_np(-ret));
	else
		ret = oracle_run(trial, holder, &subject, why);
	memory_free(subject.memory);
	probe_free(subject.probe);
	return ret;
}

int oracle_selftest(char *why, size_t size)
{
	struct oracle_text text = { .at = why, .size = size };
	struct holder holder;
	int mask = 0, ret;
	size_t i;

	if (size)
		why[0] = '\0';
	for (i = 0; i < sizeof(oracle_trials) / sizeof(oracle_trials[0]); i++) {
		/* A new one each time: created before its subject, which it must not inherit. */
		ret = holder_start(&holder);
		if (ret)
			return ret;
		if (!oracle_try(&oracle_trials[i], &holder, &text))
			mask |= (int)oracle_trials[i].oracle;
		holder_end(&holder);
	}
	return mask;
}
