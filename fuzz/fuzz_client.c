/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_client.c - a hostile server against the client of the harness.
 *
 * The client sends the commands of a fixed sequence and receives; all that the server sends comes
 * from the input, a sequence of steps. The first byte of each: bits 0 to 2 what (enum server_op),
 * the rest is its argument. No call waits, so an input ends at once or not at all. Whatever comes,
 * the client has to stay within its memory and its limits, and to leave nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "account_process.h"
#include "buf.h"
#include "client.h"
#include "driver.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the sanitizer, if there is one. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

#define SERVER_LOW_FDS 1024u
#define SERVER_AGAIN 2u
#define SERVER_STEPS 256u
#define SERVER_SENDS (1u << 20)		/* bytes in one input */
/* What a byte that came may cost, where messages are of nothing but a header. */
#define SERVER_COST 32u
#define SERVER_SLACK ((size_t)1 << 20)
#define SERVER_FDS 3u			/* of these kinds; and one is the twin socket */

enum server_op {
	SERVER_SENDS_BYTES,	/* size, a descriptor's kind if bit 4 is set, bytes; bit 3: twin */
	SERVER_REPLIES,		/* rightly but for what bits 3 to 7 say */
	SERVER_REPEATS,		/* what it sent last, 1 << (bits 3 to 7, at most 12) times */
	SERVER_ENDS,		/* bit 3: the twin; bit 4: closes, else the sending half */
	CLIENT_SENDS,		/* the next command */
	CLIENT_RECEIVES,	/* bit 3: by the twin */
	CLIENT_AWAITS,		/* the reply to the last command */
	CLIENT_SERVES,		/* takes a request of the server, and replies */
};

/* The commands of the client, and how large the replies to them are. */
static const struct server_command {
	uint16_t command;
	uint16_t size;
	uint16_t reply;
} server_commands[] = {
	{ WIRE_VERSION, 4, 40 },	 { WIRE_DEVICE_GET_INFO, 16, 16 },
	{ WIRE_DEVICE_GET_REGION_INFO, 32, 32 }, { WIRE_DEVICE_GET_IRQ_INFO, 16, 16 },
	{ WIRE_DMA_MAP, 32, 0 },	 { WIRE_REGION_READ, 16, 32 },
	{ WIRE_DEVICE_FEATURE, 16, 16 }, { WIRE_DMA_UNMAP, 24, 24 },
	{ WIRE_DEVICE_RESET, 0, 0 },
};

#define SERVER_COMMANDS (sizeof(server_commands) / sizeof(server_commands[0]))

static struct {
	bool open;
	int fd[SERVER_FDS];		/* made once */
	struct account_process process;
	unsigned int again;
	struct client *client;
	int main, twin, twin_of_client;	/* ends; -1: closed */
	uint16_t id;			/* of the last command */
	uint32_t command;		/* its number in the sequence, and one */
	uint8_t last[256 + 64];		/* what was sent last, */
	size_t last_size;
	bool last_twin;			/* and where */
	size_t sent;
	size_t memory;			/* at the beginning */
} server;

static void server_need(bool there, const char *what)
{
	if (!there)
		driver_finding("%s: %s", what, strerror(errno));
}

static size_t server_memory(void)
{
	return __sanitizer_get_current_allocated_bytes ?
		       __sanitizer_get_current_allocated_bytes() : 0;
}

static void server_open(void)
{
	server.fd[0] = memfd_create("client", MFD_CLOEXEC);
	server.fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	server.fd[2] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (uint32_t i = 0; i < SERVER_FDS; i++)
		server_need(server.fd[i] >= 0, "descriptor");
	server_need(account_process(&server.process) == 0, "this process");
	server.open = true;
}

static void server_begin(void)
{
	int pair[2], twin[2];

	if (!server.open)
		server_open();
	server_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "sockets");
	server_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, twin) == 0, "sockets");
	server.main = pair[0];
	server.twin = twin[0];
	server.twin_of_client = twin[1];
	server.id = 0;
	server.command = 0;
	server.last_size = 0;
	server.sent = 0;
	server.memory = server_memory();
	server_need(client_adopt(pair[1], &server.client) == 0, "client");
	server_need(client_judged(server.client, NULL) == 0, "model");
	client_set_max_fds(server.client, 8);
}

/* ---- the server ---- */

static int server_kind(uint32_t kind)
{
	kind %= SERVER_FDS + 1;
	return kind == SERVER_FDS ? server.twin_of_client : server.fd[kind];
}

/* The bytes of `last`, as many as fit. */
static void server_send(const int32_t *fds, size_t nfds)
{
	struct stream stream;
	int64_t n;

	if (!server.last_size || server.sent >= SERVER_SENDS)
		return;
	stream_open(&stream, server.last_twin ? server.twin : server.main, 0);
	n = stream_push(&stream, server.last, server.last_size, fds, nfds);
	server.sent += n > 0 ? (size_t)n : 0;
}

static void server_send_bytes(struct buf_reader *reader, uint32_t argument)
{
	uint8_t size = 0, kind = 0;
	int32_t fds[STREAM_MAX_FDS];
	size_t nfds = 0;

	buf_read(reader, &size, sizeof(size));
	if (argument & 2)
		buf_read(reader, &kind, sizeof(kind));
	for (; argument & 2 && nfds <= kind >> 2; nfds++)
		fds[nfds] = server_kind(kind);
	server.last_twin = argument & 1;
	server.last_size = size < buf_left(reader) ? size : buf_left(reader);
	buf_read(reader, server.last, server.last_size);
	server_send(fds, nfds);
}

/* Bits of the argument: error, another id, longer, cut short, a descriptor. */
static void server_reply(struct buf_reader *reader, uint32_t argument)
{
	const struct server_command *command;
	struct wire_header header = { .id = server.id, .flags = WIRE_TYPE_REPLY };
	int32_t fd = server.twin_of_client;
	uint8_t fill = 0;

	if (!server.command)
		return;
	buf_read(reader, &fill, sizeof(fill));
	command = &server_commands[(server.command - 1) % SERVER_COMMANDS];
	header.command = command->command;
	header.flags |= argument & 1 ? WIRE_ERROR : 0;
	header.error = argument & 1 ? fill : 0;
	header.id = (uint16_t)(header.id + (argument >> 1 & 1));
	header.msg_size = (uint32_t)sizeof(header) + command->reply + (argument & 4 ? fill : 0);
	server.last_twin = false;
	server.last_size = argument & 8 ? header.msg_size / 2 : header.msg_size;
	memset(server.last, fill, sizeof(server.last));
	memcpy(server.last, &header, sizeof(header));
	if (command->command == WIRE_VERSION)
		memcpy(server.last + sizeof(header), "\0\0\1\0{\"capabilities\":{}}", 24);
	server_send(&fd, argument >> 4 & 1);
}

static void server_repeat(uint32_t argument)
{
	for (uint32_t i = 0; i < 1u << (argument < 12 ? argument : 12); i++)
		server_send(NULL, 0);
}

static void server_end(uint32_t argument)
{
	int *fd = argument & 1 ? &server.twin : &server.main;

	if (*fd < 0)
		return;
	if (argument & 2) {
		close(*fd);
		*fd = -1;
	} else {
		shutdown(*fd, SHUT_WR);
	}
}

/* Drops what the client has sent; descriptors go with it. */
static void server_read(void)
{
	static uint8_t bytes[1 << 16];

	while (server.main >= 0 && recv(server.main, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
}

/* ---- the client ---- */

static void server_client_sends(uint32_t argument)
{
	const struct server_command *command =
		&server_commands[server.command++ % SERVER_COMMANDS];
	struct {
		struct wire_header header;
		uint8_t body[32];
	} message = {
		.header = {
			.id = ++server.id,
			.command = command->command,
			.msg_size = (uint32_t)sizeof(message.header) + command->size,
		},
		.body = { (uint8_t)command->size },
	};
	const int32_t fd = server.fd[0];
	const struct client_send send = {
		.bytes = &message,
		.size = message.header.msg_size,
		.fds = &fd,
		.nfds = command->command == WIRE_DMA_MAP,
	};

	if (command->command == WIRE_VERSION)
		memcpy(message.body, "\0\0\1\0", 4);
	client_send(server.client, &send);
	if (argument & 1)
		server_read();
}

/* Looks at all of a message, and takes the twin socket where one could be. */
static void server_client_looks(struct message *message)
{
	static volatile uint8_t sum;

	for (uint32_t i = 0; i < message->msg_size - sizeof(struct wire_header); i++)
		sum = (uint8_t)(sum + message->body[i]);
	if (message->command == WIRE_VERSION && message->nfds) {
		int fd = message_take_fd(message, 0);

		if (fd >= 0 && client_adopt_twin(server.client, fd))
			close(fd);
	}
	message_free(message);
}

static void server_client_serves(void)
{
	struct message *message;
	struct wire_header header = { .flags = WIRE_TYPE_REPLY, .msg_size = sizeof(header) };
	struct client_send send = { .bytes = &header, .size = sizeof(header) };

	if (client_recv_request(server.client, 0, &message) != 1)
		return;
	header.id = message->id;
	header.command = message->command;
	send.channel = message->channel;
	server_client_looks(message);
	client_send(server.client, &send);
	server_read();
}

static void server_client_takes(uint8_t step)
{
	const struct server_command *command =
		&server_commands[(server.command + SERVER_COMMANDS - 1) % SERVER_COMMANDS];
	struct message *message;
	int n;

	if ((step & 7) == CLIENT_RECEIVES)
		n = client_recv(server.client, step >> 3 & 1, 0, &message);
	else
		n = client_recv_reply(server.client, server.id, command->command, 0, &message);
	if (n == 1)
		server_client_looks(message);
}

/* ---- the input ---- */

static void server_check_memory(void)
{
	size_t most = server.memory + SERVER_COST * server.sent + SERVER_SLACK +
		      (size_t)CLIENT_CHANNELS * STREAM_MAX_MESSAGE;

	if (server_memory() > most)
		driver_finding("%zu bytes of memory for %zu bytes that came",
			       server_memory() - server.memory, server.sent);
}

static void server_step(struct buf_reader *reader)
{
	uint8_t step = 0;

	buf_read(reader, &step, sizeof(step));
	switch ((enum server_op)(step & 7)) {
	case SERVER_SENDS_BYTES:
		server_send_bytes(reader, step >> 3);
		break;
	case SERVER_REPLIES:
		server_reply(reader, step >> 3);
		break;
	case SERVER_REPEATS:
		server_repeat(step >> 3);
		break;
	case SERVER_ENDS:
		server_end(step >> 3);
		break;
	case CLIENT_SENDS:
		server_client_sends(step >> 3);
		break;
	case CLIENT_RECEIVES:
	case CLIENT_AWAITS:
		server_client_takes(step);
		break;
	case CLIENT_SERVES:
		server_client_serves();
		break;
	}
	server_check_memory();
}

/* True: again, to tell whose a descriptor is. */
static bool server_finish(void)
{
	size_t left = 0;
	int fd;

	client_free(server.client);
	if (server.main >= 0)
		close(server.main);
	if (server.twin >= 0)
		close(server.twin);
	close(server.twin_of_client);
	/* A thread of the engine takes memory when it begins, beside the first input. */
	if (server_memory() > server.memory)
		left = server_memory() - server.memory;
	fd = account_new_fd(&server.process, SERVER_LOW_FDS);
	server.again = left || fd >= 0 ? server.again + 1 : 0;
	if (server.again > SERVER_AGAIN && left)
		driver_finding("%zu bytes of memory are left", left);
	if (server.again > SERVER_AGAIN)
		driver_finding("descriptor %d is left", fd);
	if (fd >= 0)
		account_process(&server.process);
	return server.again;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	do {
		struct buf_reader reader = buf_reader_over(data, size);

		server_begin();
		for (uint32_t i = 0; i < SERVER_STEPS && buf_left(&reader); i++)
			server_step(&reader);
	} while (server_finish());
	return 0;
}
