/* SPDX-License-Identifier: BSD-3-Clause */
/* main_server.c - a server under test: started, run against, watched and stopped; see main.h. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "main.h"
#include "main_leak.h"
#include "main_watch.h"

#define MAIN_LONG_MS 5000
#define MAIN_SHORT_MS 50
#define MAIN_READY_MS 20000
#define MAIN_PLACE "{socket}"

static struct exec *volatile main_server_exec;	/* that runs, for the signal handler */
static struct main_server *main_server_caught;

static void main_server_signal(int signo)
{
	struct exec *exec = main_server_exec;

	(void)signo;
	main_server_caught->interrupted = true;
	if (exec)
		exec_interrupt(exec);
}

void main_server_catch(struct main_server *server)
{
	/* Once: the second SIGINT ends the program as usual. */
	struct sigaction action = {
		.sa_handler = main_server_signal,
		.sa_flags = (int)SA_RESETHAND,
	};

	main_server_caught = server;
	sigaction(SIGINT, &action, NULL);
}

struct main_server main_server_new(const struct main_call *call)
{
	return (struct main_server){
		.argv = call->server,
		.options = { .long_ms = MAIN_LONG_MS, .short_ms = MAIN_SHORT_MS },
		.gate = VERDICT_ALL,
	};
}

/* The readings that a list names, as bits. */
static int main_server_strict(const char *list, uint64_t *out)
{
	const char *const *names = model_readings();
	size_t length;

	if (strcmp(list, "all") == 0) {
		*out = UINT64_MAX;
		return 0;
	}
	for (; *list; list += length + (list[length] == ',')) {
		size_t i = 0;

		length = strcspn(list, ",");
		while (names[i] && (strlen(names[i]) != length ||
				    strncmp(names[i], list, length) != 0))
			i++;
		if (!names[i])
			return main_error("no reading %.*s", (int)length, list);
		*out |= UINT64_C(1) << i;
	}
	return 0;
}

static int main_server_level(const char *name, enum verdict_gate *out)
{
	static const char *const names[] = { "must", "should", "all" };

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum verdict_gate)i;
			return 0;
		}
	}
	return main_error("no level %s: must, should or all", name);
}

int main_server_option(struct main_server *server, int option, const char *value)
{
	long number;

	switch (option) {
	case 's':
		server->socket = value;
		return 0;
	case 'r':
		return main_server_strict(value, &server->options.model.strict);
	case 'l':
		return main_server_level(value, &server->gate);
	case '1':
		server->once = true;
		return 0;
	case 't':
		if (main_number(value, 1, 600000, &number))
			return main_error("no time in milliseconds: %s", value);
		server->options.long_ms = (int32_t)number;
		return 0;
	default:
		return MAIN_USAGE;	/* getopt has said why */
	}
}

int main_server_check(const struct main_server *server)
{
	if (server->argv && !server->argv[0])
		return main_error("nothing behind \"--\"");
	if (!server->argv && !server->socket)
		return main_error("no server: name its socket, or how to start it behind \"--\"");
	if (server->argv && server->socket)
		return main_error("--socket is for a server that runs already");
	return 0;
}

/* A copy of `text` with the path in place of every {socket}; the caller's. NULL: no memory. */
static char *main_filled(const char *text, const char *path)
{
	const char *place;
	char *out = NULL;
	size_t size;
	FILE *stream = open_memstream(&out, &size);

	if (!stream)
		return NULL;
	while ((place = strstr(text, MAIN_PLACE))) {
		fwrite(text, 1, (size_t)(place - text), stream);
		fputs(path, stream);
		text = place + strlen(MAIN_PLACE);
	}
	fputs(text, stream);
	return fclose(stream) ? NULL : out;
}

static void main_free_argv(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
}

static char **main_filled_argv(char *const *argv, const char *path)
{
	size_t count = 0;
	char **out;

	while (argv[count])
		count++;
	out = calloc(count + 1, sizeof(*out));
	for (size_t i = 0; out && i < count; i++) {
		out[i] = main_filled(argv[i], path);
		if (!out[i]) {
			main_free_argv(out);
			return NULL;
		}
	}
	return out;
}

/* A directory of its own for the socket and the log of a server. 0 or -errno. */
static int main_place(struct main_watch *watch)
{
	const char *base = getenv("TMPDIR");
	int n = snprintf(watch->directory, sizeof(watch->directory), "%s/vuc-XXXXXX",
			 base && *base ? base : "/tmp");

	if (n < 0 || (size_t)n >= sizeof(watch->directory))
		return -ENAMETOOLONG;
	if (!mkdtemp(watch->directory)) {
		watch->directory[0] = '\0';
		return -errno;
	}
	snprintf(watch->socket, sizeof(watch->socket), "%s/socket", watch->directory);
	snprintf(watch->log, sizeof(watch->log), "%s/log", watch->directory);
	return 0;
}

static int main_launch(struct main_watch *watch, char *const *argv)
{
	char **filled = main_filled_argv(argv, watch->socket);
	const struct target_start start = {
		.argv = (const char *const *)filled,
		.socket_path = watch->socket,
		.log_path = watch->log,
		.limit_nofile = -1,
	};
	int error = filled ? target_start(&start, &watch->target) : -ENOMEM;

	main_free_argv(filled);
	return error ? error : target_wait_ready(watch->target, MAIN_READY_MS);
}

int main_server_begin(const struct main_server *server, struct main_watch *watch)
{
	int error;

	*watch = (struct main_watch){ .started = server->argv, .once = server->once };
	if (server->argv) {
		error = main_place(watch);
		if (!error)
			error = main_launch(watch, server->argv);
		watch->fds = error ? error : main_leak_count(watch);
		return error;
	}
	snprintf(watch->socket, sizeof(watch->socket), "%s", server->socket);
	return target_attach(server->socket, &watch->target);
}

void main_server_end(struct main_watch *watch)
{
	target_free(watch->target);
	if (!watch->directory[0])
		return;
	unlink(watch->socket);
	unlink(watch->log);
	rmdir(watch->directory);
}

static int main_broken(struct verdict *verdict, const char *what, int error)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: %s", what, strerror(-error));
	verdict_none(verdict, VERDICT_BROKEN, text);
	return MAIN_USAGE;
}

/* Runs the program on a server that is there. Negative: this side failed. */
static int64_t main_exec(const struct main_server *server, struct main_watch *watch,
			 const struct program *program, struct verdict *verdict)
{
	struct exec_options options = server->options;
	struct exec_sockets *sockets;
	struct exec *exec;
	int64_t result = exec_sockets_new(watch->socket, server->options.long_ms,
					  &sockets);
	struct exec_link link;

	if (result)
		return result;
	options.model.fresh = server->argv != NULL;
	options.shared = true;
	link = exec_sockets_link(sockets);
	result = exec_new(&link, &options, &exec);
	if (!result) {
		exec_tell(exec, verdict);
		main_server_exec = exec;
		result = exec_run(exec, program);
		main_server_exec = NULL;
		watch->hung = exec_hung(exec);
		watch->step = exec_stuck(exec);
		exec_free(exec);
	}
	exec_sockets_free(sockets);
	return result;
}

static bool main_connects(const struct program *program)
{
	for (uint32_t i = 0; i < program->count; i++)
		if (program->step[i].op == PROGRAM_CONNECT)
			return true;
	return false;
}

static bool main_wants_device(const struct program *program)
{
	for (uint32_t i = 0; i < program->count; i++)
		if (program_has_slot(&program->step[i]))
			return true;
	return false;
}

bool main_server_has_device(struct main_server *server)
{
	struct main_watch watch;

	if (server->asked || !server->argv)
		return server->asked ? server->device : true;
	/* One that does not start at all is for the run to tell. */
	server->device = main_server_begin(server, &watch) ||
			 main_watch_device(&watch, server->options.long_ms);
	server->asked = true;
	main_server_end(&watch);
	return server->device;
}

/* What keeps the program from being run on this server, or NULL. */
static const char *main_lacks(struct main_server *server, const struct program *program)
{
	if (server->once && main_connects(program))
		return "the server serves one connection only";
	if (main_wants_device(program) && !main_server_has_device(server))
		return "the server does not have the test device";
	return NULL;
}

struct main_again {
	const struct main_server *server;
	struct main_watch watch;	/* a copy: what comes of it is not judged */
	const struct program *program;
};

static bool main_server_again(void *arg)
{
	struct main_again *again = arg;

	return !again->server->interrupted &&
	       main_exec(again->server, &again->watch, again->program, NULL) >= 0;
}

/* Behind a run: whether the server, if it is ours and lives, has closed what it got. */
static void main_server_leaks(const struct main_server *server, const struct main_watch *watch,
			      const struct program *program, struct verdict *verdict)
{
	struct main_again again = { server, *watch, program };

	if (server->argv && !server->once && !watch->hung)
		main_leak_look(watch, program, main_server_again, &again, verdict);
}

int main_server_run(struct main_server *server, const struct program *program,
		    struct verdict *verdict)
{
	const char *lacks = main_lacks(server, program);
	struct main_watch watch;
	int result = MAIN_USAGE;
	int64_t findings;
	int error;

	if (lacks) {
		verdict_none(verdict, VERDICT_SKIP, lacks);
		return MAIN_SKIP;
	}
	error = main_server_begin(server, &watch);
	if (error) {
		main_watch_log(&watch, verdict);
		result = main_broken(verdict, "the server is not there", error);
	} else {
		findings = main_exec(server, &watch, program, verdict);
		if (findings >= 0)
			main_server_leaks(server, &watch, program, verdict);
		if (main_watch_end(&watch, verdict, server->options.short_ms))
			result = MAIN_DEAD;
		else if (findings < 0)
			result = main_broken(verdict, "the program was not run", (int)findings);
		else
			result = verdict_word(verdict) == VERDICT_FAIL ? MAIN_FAIL : MAIN_PASS;
	}
	main_server_end(&watch);
	return result;
}
