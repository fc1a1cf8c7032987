/* SPDX-License-Identifier: BSD-3-Clause */
/* runner.c - see runner.h. */
#include "runner.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "link.h"
#include "verdict.h"
#include "wire_ext.h"

/* A device may be told to ask without end. */
#define RUNNER_ANSWERS 4096u

/* An engine may start a helper process, and an arena may grow: once each, or a few times. */
#define RUNNER_AGAIN 3

const char *__asan_default_options(void);

/*
 * What was freed is used again soon, else each program has other memory, and page faults for it.
 * Where memory came from is told when an input is run again (ci/campaign_findings.py).
 */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=2:malloc_context_size=2";
}

static struct {
	struct exec_link server;	/* the link, which this one counts the messages of */
	struct exec *exec;
	struct verdict *verdict;	/* of the program that runs, if it is kept */
	struct exec_options options;
	struct runner_mix mix;
	bool tells;
	bool wavers;		/* does not do the same each time */
	bool repeats;		/* what was told already */
	bool passes;		/* a DMA_MAP with a descriptor was sent in this run, */
	bool maps;		/* and accepted, */
	bool agrees;		/* and so was a VERSION, */
	bool extends;		/* with the vIOMMU extension */
} runner = {
	.options = {
		.model = { .fresh = true, .still = true },
		.answers = RUNNER_ANSWERS,
		.stop = true,
		.keep = true,
	},
};

static int runner_connect(void *link, uint32_t connection)
{
	return runner.server.ops->connect(link, connection);
}

static void runner_disconnect(void *link, uint32_t connection)
{
	runner.server.ops->disconnect(link, connection);
}

static void runner_shutdown(void *link, uint32_t connection)
{
	runner.server.ops->shutdown(link, connection);
}

static int runner_send(void *link, uint32_t connection, const struct client_send *what)
{
	struct wire_header header;

	if (what->size >= sizeof(header) && what->nfds) {
		memcpy(&header, what->bytes, sizeof(header));
		runner.passes |= header.command == WIRE_DMA_MAP;
	}
	return runner.server.ops->send(link, connection, what);
}

static bool runner_extends(const struct message *m)
{
	return m->command == WIRE_VERSION &&
	       memmem(m->body, m->msg_size - sizeof(struct wire_header), WIRE_CAP_VIOMMU,
		      sizeof(WIRE_CAP_VIOMMU) - 1);
}

static int runner_recv(void *link, uint32_t connection, uint32_t channel, int timeout_ms,
		       struct message **out)
{
	int n = runner.server.ops->recv(link, connection, channel, timeout_ms, out);
	const struct message *m = *out;

	if (n != 1)
		return n;
	runner.mix.refused += m->flags & WIRE_ERROR ? 1 : 0;
	if (!(m->flags & WIRE_ERROR)) {
		runner.agrees |= m->command == WIRE_VERSION;
		runner.extends |= runner_extends(m);
		runner.mix.pages += m->command == WIRE_PAGE_REQUEST;
		runner.mix.responses += m->command == WIRE_PAGE_RESPONSE;
		runner.maps |= m->command == WIRE_DMA_MAP && runner.passes;
	}
	if (runner.tells && !runner.repeats)
		driver_tell(connection, m);
	return n;
}

static int runner_adopt_twin(void *link, uint32_t connection, int fd)
{
	return runner.server.ops->adopt_twin(link, connection, fd);
}

static int runner_socket(void *link, uint32_t connection)
{
	return runner.server.ops->socket(link, connection);
}

static int runner_tick(void *link, uint64_t ms)
{
	return runner.server.ops->tick(link, ms);
}

/* Only where the server's own does so. */
static struct exec_link_ops runner_ops = {
	.connect = runner_connect,
	.disconnect = runner_disconnect,
	.shutdown = runner_shutdown,
	.send = runner_send,
	.recv = runner_recv,
	.adopt_twin = runner_adopt_twin,
	.socket = runner_socket,
	.tick = runner_tick,
};

/* This side, and not the server, cannot go on. */
static void runner_need(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-error));
	exit(3);
}

static void runner_begin(void)
{
	struct exec_link link;

	if (runner.exec)
		return;
	runner_need(link_open(&runner.server), "the server does not start");
	runner.options.model.strict |= link_readings();
	runner_ops.watch = runner.server.ops->watch;
	link = (struct exec_link){ &runner_ops, runner.server.state };
	runner_need(exec_new(&link, &runner.options, &runner.exec), "no memory");
	runner.tells = getenv("VUC_REPLIES") != NULL;
}

/* What is left is no message, and fails the run as one. */
static void runner_blame(const struct link_left *left)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return;
	driver_explain(left, out);
	fclose(out);
	verdict_attach(runner.verdict, "What the server did wrong", text);
	verdict_none(runner.verdict, VERDICT_FAIL, "when all connections were closed");
	free(text);
}

static void runner_print(const struct exec_finding *first, const struct link_left *left, FILE *out)
{
	char census[200] = "";

	if (runner.verdict)
		verdict_print(runner.verdict, false, out);
	if (!left && runner.verdict && verdict_word(runner.verdict) == VERDICT_PASS)
		fprintf(out, "finding: %s [%s], not seen again: %s\n", first->what.code,
			first->what.requirement, first->what.text);
	if (left)
		fprintf(out, "finding: not as it was before: %s\n", left->text);
	account_census(census, sizeof(census));
	fprintf(out, "census: %s\n", census);
}

/* Where a campaign looks, if it never comes again: an engine keeps nothing of what is printed. */
static FILE *runner_report_file(void)
{
	const char *folder = getenv("VUC_REPORTS");
	char path[256];

	if (!folder || snprintf(path, sizeof(path), "%s/%d", folder, getpid()) >= (int)sizeof(path))
		return NULL;
	return fopen(path, "we");
}

/* Tells what happens step by step: when it is run again, unless that may come to something else. */
static void runner_report(const struct program *program, const struct link_left *left)
{
	struct exec_finding first = { .what.code = "" };
	FILE *file;

	exec_findings(runner.exec, 0, &first);
	if (!runner.verdict && verdict_new(program, VERDICT_ALL, &runner.verdict) == 0) {
		exec_tell(runner.exec, runner.verdict);
		exec_run(runner.exec, program);
	}
	if (left && runner.verdict)
		runner_blame(left);
	runner_print(&first, left, stderr);
	file = runner_report_file();
	if (file) {
		runner_print(&first, left, file);
		fclose(file);
	}
	abort();
}

static void runner_count(void)
{
	uint64_t sent, received;

	exec_counts(runner.exec, &sent, &received);
	runner.mix.programs++;
	runner.mix.negotiated += runner.agrees;
	runner.mix.passing += runner.passes;
	runner.mix.mapped += runner.maps;
	runner.mix.extended += runner.extends;
	runner.mix.sent += sent;
	runner.mix.received += received;
}

/* -EAGAIN: again, as link_renew() says. */
static int runner_once(const struct program *program, bool last)
{
	struct link_left left = { .text = "" };
	int64_t findings;
	int error;

	if (runner.wavers) {
		runner_need(verdict_new(program, VERDICT_ALL, &runner.verdict), "no memory");
		exec_tell(runner.exec, runner.verdict);
	}
	runner.passes = false;
	runner.maps = false;
	runner.agrees = false;
	runner.extends = false;
	findings = exec_run(runner.exec, program);
	if (findings == -EBUSY)
		driver_finding("the server takes no client any more, since the program before");
	runner_need(findings < 0 ? (int)findings : 0, "a program cannot be run");
	runner_count();
	error = link_renew(&left);
	if (findings)
		runner_report(program, NULL);
	if (error && (error != -EAGAIN || last))
		runner_report(program, &left);
	verdict_free(runner.verdict);
	runner.verdict = NULL;
	return error;
}

void runner_options(const struct exec_options *options)
{
	runner.options = *options;
	runner.wavers = true;
}

void runner_run(const struct program *program)
{
	int times = 0;

	runner_begin();
	while (runner_once(program, times == RUNNER_AGAIN) == -EAGAIN) {
		runner.repeats = true;
		times++;
	}
	runner.repeats = false;
}

const struct runner_mix *runner_mix(void)
{
	return &runner.mix;
}
