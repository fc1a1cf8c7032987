/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main_record.c - `vuc record`: stands between a client and a server, hands every message on with
 * its descriptors, and writes the session down as a program.
 *
 * Messages are handed on whole. A twin socket is stood between as well: the client gets one of
 * ours in place of the server's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "deadline.h"
#include "envelope.h"
#include "main.h"
#include "main_note.h"
#include "stream.h"
#include "wire.h"


#define MAIN_PUSH_MS 20000
#define MAIN_STREAMS 4u		/* of both sides, main and twin */

static const char main_record_help[] =
	"usage: vuc record --listen PATH --socket PATH [OPTION...]\n"
	"Waits for a client at the first path, connects it to the server at the second, hands on\n"
	"what they say to each other until one of them leaves or SIGINT comes, and then writes\n"
	"the session as a program. The client is written down and not judged: what the server\n"
	"does wrong is shown on standard error.\n\n"
	"  --listen PATH         where the client is to connect; the file must not exist\n"
	"  --socket PATH         where the server listens, which runs already\n"
	MAIN_JUDGE_HELP
	"  --output FILE         write the program there (standard output)\n";

enum main_side {
	MAIN_CLIENT = 0,
	MAIN_SERVER = 1,
	MAIN_SIDES = 2,
};

struct main_record {
	struct main_server server;
	const char *listen;
	const char *output;
	struct stream stream[MAIN_SIDES][CLIENT_CHANNELS];
	struct main_note *note;
};

static volatile sig_atomic_t main_record_ends;

static void main_record_signal(int signo)
{
	(void)signo;
	main_record_ends = 1;
}

/* A socket with that name: listening, or connected to it. A descriptor or -errno. */
static int main_record_socket(const char *path, bool listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct sockaddr *name = (const struct sockaddr *)&address;
	int fd, result;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (listens)
		result = bind(fd, name, sizeof(address)) ? -errno : listen(fd, 1) ? -errno : 0;
	else
		result = connect(fd, name, sizeof(address)) ? -errno : 0;
	if (!result)
		return fd;
	close(fd);
	return result;
}

/* The first client at the path; a descriptor or -errno. The name is gone afterwards. */
static int main_record_accept(const char *path)
{
	int fd = main_record_socket(path, true);
	int client;

	if (fd < 0)
		return fd;
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	client = client < 0 ? -errno : client;
	close(fd);
	unlink(path);
	return client;
}

static int main_record_push(struct stream *stream, const struct message *message,
			    const uint8_t *bytes)
{
	struct deadline deadline = deadline_in(MAIN_PUSH_MS);
	size_t nfds = message->nfds;
	size_t at = 0;

	while (at < message->msg_size) {
		int64_t n = stream_push(stream, bytes + at, message->msg_size - at, message->fds,
					nfds);
		struct pollfd ready = { .fd = stream->fd, .events = POLLOUT };

		if (n > 0) {
			at += (size_t)n;
			nfds = 0;
		} else if (n != -EAGAIN) {
			return (int)n;
		} else if (!deadline_left_ms(deadline) ||
			   poll(&ready, 1, deadline_left_ms(deadline)) < 0) {
			return -ETIMEDOUT;
		}
	}
	return 0;
}

/* The server agrees to a twin socket: ours goes on in its place. 0 or -errno. */
static int main_record_twin(struct main_record *record, struct message *message)
{
	size_t size = message->msg_size - sizeof(struct wire_header);
	int pair[2];

	if (message->command != WIRE_VERSION || !message->nfds || message->fds[0] < 0 ||
	    record->stream[MAIN_SERVER][CLIENT_TWIN].fd >= 0 ||
	    !memmem(message->body, size, WIRE_CAP_TWIN_SOCKET, strlen(WIRE_CAP_TWIN_SOCKET)))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	stream_open(&record->stream[MAIN_SERVER][CLIENT_TWIN],
		    fcntl(message->fds[0], F_DUPFD_CLOEXEC, 0), CLIENT_TWIN);
	stream_open(&record->stream[MAIN_CLIENT][CLIENT_TWIN], pair[0], CLIENT_TWIN);
	envelope_set_twin(record->note->envelope);
	/* The descriptor of the message now is our end, under the same number. */
	if (dup3(pair[1], message->fds[0], O_CLOEXEC) < 0) {
		close(pair[1]);
		return -errno;
	}
	close(pair[1]);
	return 0;
}

/* Hands a message on and writes it down. 0 or -errno. */
static int main_record_pass(struct main_record *record, enum main_side from,
			    struct message *message)
{
	struct wire_header header = {
		.id = message->id,
		.command = message->command,
		.msg_size = message->msg_size,
		.flags = message->flags,
		.error = message->error,
	};
	uint8_t *bytes = malloc(message->msg_size);
	int error;

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), message->body, message->msg_size - sizeof(header));
	error = from == MAIN_CLIENT ? main_note_sent(record->note, message) :
				      main_note_came(record->note, message);
	if (!error && from == MAIN_SERVER)
		error = main_record_twin(record, message);
	if (!error)
		error = main_record_push(&record->stream[1 - from][message->channel], message,
					 bytes);
	free(bytes);
	return error;
}

/* All that one stream has. 1 while it lasts, 0 at its end, -errno. */
static int main_record_pull(struct main_record *record, enum main_side side, uint32_t channel)
{
	struct message *message;
	int result;

	while ((result = stream_pull(&record->stream[side][channel], &message)) == 1) {
		int error = main_record_pass(record, side, message);

		message_free(message);
		if (error == -EPIPE)
			return 0;
		if (error)
			return error;
	}
	return result == -EAGAIN ? 1 : result;
}

/* Until one side leaves. 0; -errno; signals are let in while it waits only. */
static int main_record_relay(struct main_record *record, const sigset_t *waiting)
{
	for (;;) {
		struct pollfd ready[MAIN_STREAMS];

		for (uint32_t i = 0; i < MAIN_STREAMS; i++)
			ready[i] = (struct pollfd){
				.fd = record->stream[i % 2][i / 2].fd,
				.events = POLLIN,
			};
		if (ppoll(ready, MAIN_STREAMS, NULL, waiting) < 0)
			return main_record_ends ? 0 : -errno;
		for (uint32_t i = 0; i < MAIN_STREAMS; i++) {
			int result = ready[i].revents ?
				main_record_pull(record, (enum main_side)(i % 2), i / 2) : 1;

			if (result == 0 && i % 2 == MAIN_SERVER)
				main_note_closed(record->note);
			if (result <= 0)
				return result;
		}
	}
}

/* 0; MAIN_USAGE; -1 after --help. */
static int main_record_options(struct main_record *record, const struct main_call *call)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "strict", required_argument, NULL, 'r' },
		{ "level", required_argument, NULL, 'l' },
		{ "listen", required_argument, NULL, 'L' },
		{ "output", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(call->argc, call->argv, "ho:", options, NULL)) != -1) {
		int error = 0;

		if (option == 'h') {
			fputs(main_record_help, stdout);
			return -1;
		}
		if (option == 'L')
			record->listen = optarg;
		else if (option == 'o')
			record->output = optarg;
		else
			error = main_server_option(&record->server, option, optarg);
		if (error)
			return error;
	}
	if (call->server)
		return main_error("a session is recorded of a server that runs already");
	if (!record->listen || !record->server.socket || optind < call->argc)
		return main_error("--listen PATH and --socket PATH; see vuc record --help");
	return 0;
}

/* A client and a server, connected to each other through us. 0 or MAIN_USAGE. */
static int main_record_join(struct main_record *record)
{
	int client = main_record_accept(record->listen);
	int server;

	if (client == -EINTR)
		return main_error("no client came");
	if (client < 0)
		return main_error("%s: %s", record->listen, strerror(-client));
	stream_open(&record->stream[MAIN_CLIENT][CLIENT_MAIN], client, CLIENT_MAIN);
	server = main_record_socket(record->server.socket, false);
	if (server < 0)
		return main_error("%s: %s", record->server.socket, strerror(-server));
	stream_open(&record->stream[MAIN_SERVER][CLIENT_MAIN], server, CLIENT_MAIN);
	return 0;
}

static int main_record_session(struct main_record *record)
{
	struct sigaction action = { .sa_handler = main_record_signal };
	sigset_t blocked, waiting;
	int error;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	error = main_record_join(record);
	if (error)
		return error;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	error = main_record_ends ? 0 : main_record_relay(record, &waiting);
	if (error)
		(void)main_error("the session ended early: %s", strerror(-error));
	verdict_print(record->note->verdict, false, stderr);
	if (record->note->left_out)
		fprintf(stderr, "vuc: %u messages at the end did not fit into the program\n",
			record->note->left_out);
	program_fix(record->note->program);
	error = main_save(record->output, record->note->program);
	if (error)
		return error;
	return verdict_word(record->note->verdict) == VERDICT_FAIL ? MAIN_FAIL : MAIN_PASS;
}

int main_record(const struct main_call *call)
{
	struct main_record record = { .server = main_server_new(call) };
	int result = main_record_options(&record, call);

	if (result)
		return result < 0 ? MAIN_PASS : result;
	for (uint32_t i = 0; i < MAIN_STREAMS; i++)
		stream_open(&record.stream[i % 2][i / 2], -1, i / 2);
	if (main_note_new(&record.server.options.model, record.server.gate, &record.note))
		return main_error("out of memory");
	result = main_record_session(&record);
	for (uint32_t i = 0; i < MAIN_STREAMS; i++)
		stream_close(&record.stream[i % 2][i / 2]);
	main_note_free(record.note);
	return result;
}
