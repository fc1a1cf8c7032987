/* SPDX-License-Identifier: BSD-3-Clause */
/* driver.c - see driver.h. */
#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "envelope.h"
#include "stream.h"
#include "verdict.h"

/* So long a reply may take, in ms: longer than any time-out of the server. */
#define DRIVER_LONG 200000

/* An engine may start a helper process, and does so once. */
#define DRIVER_AGAIN 2

/* The one that is read; those before it are memory. */
#define DRIVER_EVENTFD 8

/* What the client has sent of one channel and not entered yet: the front of a message. */
struct driver_stream {
	uint8_t *bytes;
	size_t used, room;
	bool lost;		/* framing: nothing is entered any more */
};

struct driver_connection {
	bool open;
	bool ended;		/* by the server */
	bool twin;
	struct envelope *envelope;
	struct driver_stream streams[CLIENT_CHANNELS];
	struct message *last;	/* reply */
};

static struct {
	bool begun;
	bool tells;
	unsigned int again;	/* how often there were new descriptors, for the same input */
	struct exec_link link;
	int fd[DRIVER_KINDS];
	unsigned int passed;	/* since they were made or cleared, by bit */
	struct driver_connection connections[PROGRAM_CONNECTIONS];
} driver;

void driver_finding(const char *format, ...)
{
	char census[200] = "";
	va_list arguments;

	va_start(arguments, format);
	fputs("finding: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	account_census(census, sizeof(census));
	if (census[0])
		fprintf(stderr, "census: %s\n", census);
	abort();
}

void driver_explain(const struct link_left *left, FILE *out)
{
	const struct verdict_clause *clause = NULL;

	if (left->rule)
		clause = verdict_clause(left->rule->requirement);
	fprintf(out, "1. %s\n   seen      %s\n",
		left->rule ? left->rule->sentence : "it ends by itself", left->text);
	if (clause)
		verdict_print_clause(clause, out);
}

void driver_left(const struct link_left *left)
{
	fputs("What the server did wrong:\n\n", stderr);
	driver_explain(left, stderr);
	driver_finding("not as it was before: %s", left->text);
}

/* What this side needs and does not get is no finding, and no input can go on without it. */
static void driver_need(bool there, const char *what)
{
	if (there)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(3);
}

static int driver_memory(off_t size, unsigned int seals)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	driver_need(fd >= 0 && ftruncate(fd, size) == 0, "memfd");
	driver_need(!seals || fcntl(fd, F_ADD_SEALS, seals) == 0, "seals");
	return fd;
}

static int driver_reopen(int fd, int mode)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, mode | O_CLOEXEC);
}

/* Those of memory first, as most messages want them. */
static void driver_make_fds(void)
{
	int pair[2], sockets[2];
	int *fd = driver.fd;

	for (int i = 0; i < 4; i++)
		fd[i] = driver_memory((off_t)(1 << 20) << 4 * i, 0);
	fd[4] = driver_memory(1 << 16, F_SEAL_WRITE);
	fd[5] = driver_reopen(fd[0], O_RDONLY);
	fd[6] = driver_memory(100, 0);
	fd[7] = driver_memory(1 << 16, F_SEAL_SHRINK | F_SEAL_GROW);
	driver_need(pipe2(pair, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
	driver_need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0, "socket");
	fd[DRIVER_EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fd[9] = eventfd(0, EFD_CLOEXEC);
	driver_need(eventfd_write(fd[9], UINT64_MAX - 2) == 0, "eventfd");
	fd[10] = pair[0];
	fd[11] = pair[1];
	fd[12] = sockets[0];
	fd[13] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd[14] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fd[15] = driver_reopen(fd[1], O_RDONLY);
	for (int i = 0; i < DRIVER_KINDS; i++)
		driver_need(fd[i] >= 0, "descriptor");
}

void driver_begin(void)
{
	int error;

	if (driver.begun)
		return;
	driver_make_fds();
	error = link_open(&driver.link);
	if (error)
		driver_finding("the server does not start: %s", strerror(-error));
	driver.tells = getenv("VUC_REPLIES") != NULL;
	driver.begun = true;
}

int driver_fd(unsigned int kind)
{
	kind %= DRIVER_KINDS;
	driver.passed |= 1u << kind;
	return driver.fd[kind];
}

/* What was passed is empty again, as far as it can be emptied. */
static void driver_clear_fds(void)
{
	for (int i = 0; i < DRIVER_EVENTFD && driver.passed; i++) {
		if (driver.passed & 1u << i)
			(void)fallocate(driver.fd[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					INT64_MAX & ~UINT64_C(4095));
	}
	if (driver.passed & 1u << DRIVER_EVENTFD)
		(void)eventfd_read(driver.fd[DRIVER_EVENTFD], &(eventfd_t){ 0 });
	driver.passed = 0;
}

bool driver_is_connected(uint32_t connection)
{
	return driver.connections[connection].open;
}

void driver_connect(uint32_t connection)
{
	struct driver_connection *c = &driver.connections[connection];
	int error;

	driver_disconnect(connection);
	error = driver.link.ops->connect(driver.link.state, connection);
	if (error)
		driver_finding("no connection: %s", strerror(-error));
	c->open = true;
	c->envelope = envelope_new();
	driver_need(c->envelope, "envelope");
	/* What was announced as the limit is not known of bytes. */
	envelope_set_max_fds(c->envelope, STREAM_MAX_FDS);
}

void driver_disconnect(uint32_t connection)
{
	struct driver_connection *c = &driver.connections[connection];

	if (!c->open)
		return;
	driver.link.ops->disconnect(driver.link.state, connection);
	envelope_free(c->envelope);
	message_free(c->last);
	for (int i = 0; i < CLIENT_CHANNELS; i++)
		free(c->streams[i].bytes);
	memset(c, 0, sizeof(*c));
}

void driver_shutdown(uint32_t connection)
{
	if (driver.connections[connection].open)
		driver.link.ops->shutdown(driver.link.state, connection);
}

/* Enters the whole messages at the front of a stream. */
static void driver_enter(struct driver_connection *c, uint32_t channel)
{
	struct driver_stream *stream = &c->streams[channel];
	struct wire_header header;
	size_t at = 0;

	while (!stream->lost && stream->used - at >= sizeof(header)) {
		uint32_t type;
		int error;

		memcpy(&header, stream->bytes + at, sizeof(header));
		stream->lost = header.msg_size < sizeof(header);
		if (stream->lost || header.msg_size > stream->used - at)
			break;
		type = header.flags & WIRE_TYPE_MASK;
		error = envelope_sent(c->envelope, channel, stream->bytes + at, header.msg_size,
				      type != WIRE_TYPE_COMMAND && type != WIRE_TYPE_REPLY);
		driver_need(!error, "envelope");
		at += header.msg_size;
	}
	stream->used -= at;
	if (at && stream->used)
		memmove(stream->bytes, stream->bytes + at, stream->used);
}

void driver_send(uint32_t connection, uint32_t channel, const struct client_send *what)
{
	struct driver_connection *c = &driver.connections[connection];
	struct driver_stream *stream = &c->streams[channel];
	struct client_send send = *what;
	int error;

	if (!c->open || (channel && !c->twin))
		return;
	if (stream->room < stream->used + what->size) {
		stream->room = 2 * (stream->used + what->size);
		stream->bytes = realloc(stream->bytes, stream->room);
		driver_need(stream->bytes, "memory");
	}
	memcpy(stream->bytes + stream->used, what->bytes, what->size);
	stream->used += what->size;
	driver_enter(c, channel);
	send.channel = channel;
	send.timeout_ms = DRIVER_LONG;
	error = driver.link.ops->send(driver.link.state, connection, &send);
	if (error == -EPIPE)
		c->ended = true;
	else if (error)
		driver_finding("sending: %s", strerror(-error));
}

void driver_tell(uint32_t connection, const struct message *m)
{
	uint32_t size = m->msg_size - (uint32_t)sizeof(struct wire_header), sum = 0;

	for (uint32_t i = 0; i < size; i++)
		sum = sum * 31 + m->body[i];
	printf("  c%u.%u id=%u command=%u size=%u flags=0x%x error=%u fds=%u sum=%08x\n",
	       connection, m->channel, m->id, m->command, m->msg_size, m->flags, m->error, m->nfds,
	       sum);
}

/* Keeps the last reply; the first VERSION reply with a descriptor brings the twin socket. */
static void driver_keep(uint32_t connection, struct message *m)
{
	struct driver_connection *c = &driver.connections[connection];

	if (m->command == WIRE_VERSION && m->nfds == 1 && !c->twin && !(m->flags & WIRE_ERROR)) {
		int error = driver.link.ops->adopt_twin(driver.link.state, connection,
							message_take_fd(m, 0));

		c->twin = !error;
		if (c->twin)
			envelope_set_twin(c->envelope);
	}
	message_free(c->last);
	c->last = m;
}

/* One message; false if there is none. */
static bool driver_take(uint32_t connection, uint32_t channel, int timeout)
{
	struct driver_connection *c = &driver.connections[connection];
	struct envelope_violation violation;
	struct message *message;
	int n = driver.link.ops->recv(driver.link.state, connection, channel, timeout, &message);

	if (n == -EPROTO)
		driver_finding("c%u: what the server sends is no message", connection);
	if (n == 0 && channel == 0)
		c->ended = true;
	if (n <= 0)
		return false;
	envelope_received(c->envelope, message);
	if (driver.tells && !driver.again)
		driver_tell(connection, message);
	if (envelope_violations(c->envelope, 0, &violation))
		driver_finding("%s [%s] %s", violation.code, violation.requirement, violation.text);
	driver_keep(connection, message);
	return true;
}

void driver_receive(void)
{
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		while (driver.connections[i].open && driver_take(i, CLIENT_MAIN, 0))
			continue;
		while (driver.connections[i].twin && driver_take(i, CLIENT_TWIN, 0))
			continue;
	}
}

bool driver_ask(uint32_t connection, uint16_t command, const void *body, size_t size)
{
	struct driver_connection *c = &driver.connections[connection];
	struct wire_header header = {
		.id = command,
		.command = command,
		.msg_size = (uint32_t)(sizeof(header) + size),
	};
	uint8_t *bytes = malloc(header.msg_size);

	driver_need(bytes != NULL, "memory");
	memcpy(bytes, &header, sizeof(header));
	if (size)
		memcpy(bytes + sizeof(header), body, size);
	driver_receive();
	driver_send(connection, CLIENT_MAIN,
		    &(struct client_send){ .bytes = bytes, .size = header.msg_size });
	free(bytes);
	return driver_take(connection, CLIENT_MAIN, DRIVER_LONG) && c->last->command == command &&
	       c->last->id == header.id && !(c->last->flags & WIRE_ERROR);
}

const struct message *driver_last(uint32_t connection)
{
	return driver.connections[connection].last;
}

void driver_negotiate(uint32_t connection, bool twin)
{
	static const char plain[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8,"
				    "\"max_data_xfer_size\":65536,\"write_multiple\":true}}";
	static const char with[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8,"
				   "\"twin_socket\":{\"supported\":true}}}";

	if (twin)
		driver_ask(connection, WIRE_VERSION, with, sizeof(with));
	else
		driver_ask(connection, WIRE_VERSION, plain, sizeof(plain));
}

void driver_tick(uint64_t ms)
{
	driver.link.ops->tick(driver.link.state, ms);
}

/* Waits for what has to be answered on a connection, unless that ends. */
static void driver_await(uint32_t connection)
{
	struct driver_connection *c = &driver.connections[connection];

	while (!c->ended && envelope_outstanding(c->envelope)) {
		if (c->twin && driver_take(connection, CLIENT_TWIN, 0))
			continue;
		if (!driver_take(connection, CLIENT_MAIN, DRIVER_LONG) && !c->ended)
			driver_finding("c%u: %u commands are not answered", connection,
				       envelope_outstanding(c->envelope));
	}
}

bool driver_end(void)
{
	struct link_left left = { .text = "" };
	int error;

	driver_receive();
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++) {
		if (driver.connections[i].open)
			driver_await(i);
		if (driver.tells && !driver.again && driver.connections[i].open)
			printf("  c%u %s\n", i, driver.connections[i].ended ? "ended" : "stays");
		driver_disconnect(i);
	}
	driver_clear_fds();
	error = link_renew(&left);
	driver.again = error == -EAGAIN ? driver.again + 1 : 0;
	if (error && (error != -EAGAIN || driver.again > DRIVER_AGAIN))
		driver_left(&left);
	return driver.again;
}
