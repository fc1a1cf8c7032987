/* SPDX-License-Identifier: BSD-3-Clause */
/* main_watch.c - see main_watch.h. */
#include "main_watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "wire.h"

#define MAIN_STACKS 65536
#define MAIN_STOP_MS 10000
#define MAIN_LAST_MS 1000	/* for a server to end: one that panics may print a trace first */
#define MAIN_LOG 65536
#define MAIN_LOG_LINES 40
#define MAIN_MAGIC 0x414d4456u	/* the first register of the test device */

static void main_watch_found(const struct main_watch *watch, struct verdict *verdict,
			     const char *code, const char *text)
{
	struct model_finding finding;

	verdict_finding(&finding, code, "", 0, text);
	verdict_found(verdict, watch->step, &finding);
}

/* Where a reader begins: at the report of a crash, or a few lines before the end. */
static const char *main_watch_start(const char *log)
{
	static const char *const marks[] = { "ERROR: ", "runtime error:", "panicked at",
					     "Assertion `" };
	const char *start = NULL;
	uint32_t lines = 0;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && !start; i++)
		start = strstr(log, marks[i]);
	if (!start) {
		start = log + strlen(log);
		while (start > log && lines <= MAIN_LOG_LINES / 2)
			lines += *--start == '\n';
	}
	while (start > log && start[-1] != '\n')
		start--;
	return start;
}

void main_watch_log(const struct main_watch *watch, struct verdict *verdict)
{
	FILE *file = watch->log[0] ? fopen(watch->log, "r") : NULL;
	char *log = malloc(MAIN_LOG);
	char *start, *end;

	if (file && log) {
		log[fread(log, 1, MAIN_LOG - 1, file)] = '\0';
		start = log + (main_watch_start(log) - log);
		end = start;
		for (uint32_t i = 0; i < MAIN_LOG_LINES && *end; i++)
			end += strcspn(end, "\n") + (strchr(end, '\n') != NULL);
		*end = '\0';
		if (*start)
			verdict_attach(verdict, "What it has written", start);
	}
	free(log);
	if (file)
		fclose(file);
}

static bool main_watch_crash(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGABRT || signo == SIGILL ||
	       signo == SIGFPE || signo == SIGTRAP || signo == SIGSYS;
}

/* Blames the end of a process, if it is one to blame. */
static bool main_watch_state(const struct main_watch *watch, const struct target_state *state,
			     bool stopped, struct verdict *verdict)
{
	char text[120];

	if (state->sanitizer) {
		main_watch_found(watch, verdict, "server.sanitizer",
				 "a sanitizer reported something; see below");
		return true;
	}
	if (state->phase == TARGET_KILLED && (!stopped || main_watch_crash(state->status))) {
		snprintf(text, sizeof(text), "the server was killed by signal %d (%s)",
			 state->status, strsignal(state->status));
		main_watch_found(watch, verdict, "server.crash", text);
		return true;
	}
	if (state->phase != TARGET_EXITED || !state->status || stopped)
		return false;
	snprintf(text, sizeof(text), "the server ended by itself with exit code %d",
		 state->status);
	main_watch_found(watch, verdict, "server.exit", text);
	return true;
}

static bool main_watch_hang(struct main_watch *watch, struct verdict *verdict)
{
	char *stacks = malloc(MAIN_STACKS);

	main_watch_found(watch, verdict, "server.hang",
			 "the server lives, and answers nothing any more");
	if (stacks && target_stacks(watch->target, stacks, MAIN_STACKS) > 0)
		verdict_attach(verdict, "Where its threads are", stacks);
	free(stacks);
	return true;
}

bool main_watch_end(struct main_watch *watch, struct verdict *verdict, int short_ms)
{
	struct target_state state = { .phase = TARGET_UNKNOWN };
	bool dead;

	/* Time to fall over what the end of the connections leaves behind. */
	(void)target_wait_exit(watch->target, watch->once ? MAIN_LAST_MS : short_ms);
	target_state(watch->target, &state);
	dead = main_watch_state(watch, &state, false, verdict);
	if (!dead && watch->hung && state.phase == TARGET_RUNNING)
		dead = main_watch_hang(watch, verdict);
	if (watch->started && !target_stop(watch->target, MAIN_STOP_MS, &state) && !dead)
		dead = main_watch_state(watch, &state, true, verdict);
	if (dead)
		main_watch_log(watch, verdict);
	return dead;
}

/* One command and its reply; NULL when none came that is a success. The caller's. */
static struct message *main_watch_ask(struct client *client, const void *bytes, size_t size,
				      int timeout_ms)
{
	const struct client_send send = { .bytes = bytes, .size = size, .timeout_ms = timeout_ms };
	struct wire_header header;
	struct message *reply;

	memcpy(&header, bytes, sizeof(header));
	if (client_send(client, &send) ||
	    client_recv_reply(client, header.id, header.command, timeout_ms, &reply) != 1)
		return NULL;
	if (!(reply->flags & WIRE_ERROR))
		return reply;
	message_free(reply);
	return NULL;
}

bool main_watch_device(const struct main_watch *watch, int timeout_ms)
{
	const struct {
		struct wire_header header;
		struct wire_version body;
		char text[3];
	} WIRE_PACKED version = { { 1, WIRE_VERSION, sizeof(version), 0, 0 }, { 0, 0 }, "{}" };
	const struct {
		struct wire_header header;
		struct wire_region_access body;
	} WIRE_PACKED read = { { 2, WIRE_REGION_READ, sizeof(read), 0, 0 }, { 0, 0, 4 } };
	struct message *reply = NULL;
	struct client *client;
	uint32_t magic = 0;

	if (client_connect(watch->socket, timeout_ms, &client))
		return false;
	reply = main_watch_ask(client, &version, sizeof(version), timeout_ms);
	message_free(reply);
	if (reply)
		reply = main_watch_ask(client, &read, sizeof(read), timeout_ms);
	if (reply) {
		if (reply->msg_size == sizeof(read) + sizeof(magic))
			memcpy(&magic, reply->body + sizeof(struct wire_region_access),
			       sizeof(magic));
		message_free(reply);
	}
	client_free(client);
	return magic == MAIN_MAGIC;
}
