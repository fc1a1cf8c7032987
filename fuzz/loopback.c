/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loopback.c - link.h with the reference server in this process, over memory.
 *
 * After each program the accounts of the server are compared with those of the beginning, and the
 * lowest descriptors of the process; all descriptors, and its maps, every LOOPBACK_CENSUS
 * programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "account.h"
#include "account_process.h"
#include "link.h"
#include "loop_transport.h"
#include "stream.h"

#define LOOPBACK_CENSUS 4096u
/* Descriptors in which a leak is looked for after each program. */
#define LOOPBACK_FDS 96u

struct loopback_connection {
	struct loop *main;	/* NULL: there is none */
	struct loop *twin;
	int twin_fd;		/* the client's end, which only shows that it is still there */
	int device;
};

static struct loopback {
	struct inproc inproc;
	bool open;
	struct loopback_connection connections[PROGRAM_CONNECTIONS];
	int pair[2];		/* a socket, for those who want to pass one */
	struct account before;
	struct account_process process;
	unsigned int programs;
} loopback;

static struct loopback_connection *loopback_at(uint32_t connection)
{
	return &loopback.connections[connection % PROGRAM_CONNECTIONS];
}

static void loopback_disconnect(void *link, uint32_t connection)
{
	struct loopback_connection *c = loopback_at(connection);

	(void)link;
	if (!c->main)
		return;
	loop_free(c->main);
	if (c->twin)
		loop_free(c->twin);
	if (c->twin_fd >= 0)
		close(c->twin_fd);
	*c = (struct loopback_connection){ .twin_fd = -1 };
	inproc_serve(&loopback.inproc);
}

static int loopback_connect(void *link, uint32_t connection)
{
	struct loopback_connection *c = loopback_at(connection);
	int socket;

	loopback_disconnect(link, connection);
	c->main = loop_new(&socket);
	if (!c->main)
		return -EMFILE;
	c->device = inproc_connect(&loopback.inproc, socket);
	c->twin_fd = -1;
	if (c->device >= 0)
		return 0;
	loop_refuse(c->main);
	c->main = NULL;
	return -ECONNREFUSED;
}

static void loopback_shutdown(void *link, uint32_t connection)
{
	struct loopback_connection *c = loopback_at(connection);

	(void)link;
	if (!c->main)
		return;
	loop_shut(c->main);
	inproc_serve(&loopback.inproc);
}

/* One piece, with duplicates of the descriptors. */
static int loopback_send_piece(struct loop *loop, const struct client_send *what,
			       const struct client_part *piece, const struct client_part *done)
{
	int fds[STREAM_MAX_FDS];
	uint32_t count = 0;
	int error = 0;

	if (piece->nfds > STREAM_MAX_FDS || piece->nfds > what->nfds - done->nfds)
		return -EINVAL;
	if (piece->end <= done->end || piece->end > what->size)
		return -EINVAL;
	while (count < piece->nfds && !error) {
		fds[count] = fcntl(what->fds[done->nfds + count], F_DUPFD_CLOEXEC, 0);
		if (fds[count] < 0)
			error = -errno;
		else
			count++;
	}
	if (!error)
		return loop_send(loop, (const uint8_t *)what->bytes + done->end,
				 piece->end - done->end, fds, count);
	while (count)
		close(fds[--count]);
	return error;
}

static int loopback_send(void *link, uint32_t connection, const struct client_send *what)
{
	struct loopback_connection *c = loopback_at(connection);
	struct loop *loop = what->channel == CLIENT_TWIN ? c->twin : c->main;
	const struct client_part whole = { (uint32_t)what->size, (uint32_t)what->nfds };
	const struct client_part *parts = what->nparts ? what->parts : &whole;
	struct client_part done = { 0, 0 };
	int error = 0;

	(void)link;
	if (!loop)
		return -ENOTCONN;
	for (size_t i = 0; i < (what->nparts ? what->nparts : 1) && !error; i++) {
		error = loopback_send_piece(loop, what, &parts[i], &done);
		done.end = parts[i].end;
		done.nfds += parts[i].nfds;
		if (!error && what->flags & CLIENT_SEND_PACED)
			inproc_serve(&loopback.inproc);
	}
	inproc_serve(&loopback.inproc);
	return error;
}

/* What is there on a channel, or on any of them. */
static int loopback_take(const struct loopback_connection *c, uint32_t channel,
			 struct message **out)
{
	int n = -EAGAIN;

	if (channel == CLIENT_TWIN)
		return c->twin ? loop_recv(c->twin, CLIENT_TWIN, out) : -ENOTCONN;
	if (channel == CLIENT_CHANNELS && c->twin)
		n = loop_recv(c->twin, CLIENT_TWIN, out);
	return n == 1 ? n : loop_recv(c->main, CLIENT_MAIN, out);
}

static int loopback_recv(void *link, uint32_t connection, uint32_t channel, int timeout_ms,
			 struct message **out)
{
	const struct loopback_connection *c = loopback_at(connection);
	uint64_t end = loopback.inproc.now + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
	bool more = true;
	int n;

	(void)link;
	if (!c->main)
		return -ENOTCONN;
	while ((n = loopback_take(c, channel, out)) == -EAGAIN && more)
		more = inproc_wait(&loopback.inproc, end);
	return n == -EAGAIN ? -ETIMEDOUT : n;
}

static int loopback_adopt_twin(void *link, uint32_t connection, int fd)
{
	struct loopback_connection *c = loopback_at(connection);
	const struct session *session = &loopback.inproc.instances[c->device]->session;

	(void)link;
	if (!c->main || c->twin || !inproc_is_busy(&loopback.inproc, c->device) ||
	    !session->twinned) {
		close(fd);
		return -EBUSY;
	}
	c->twin = loop_of(&session->twin);
	c->twin_fd = fd;
	return c->twin ? 0 : -EBUSY;
}

static int loopback_socket(void *link, uint32_t connection)
{
	(void)link;
	(void)connection;
	return loopback.pair[0];
}

static int loopback_tick(void *link, uint64_t ms)
{
	uint64_t end = loopback.inproc.now + ms;

	(void)link;
	while (inproc_wait(&loopback.inproc, end))
		continue;
	return 0;
}

static const struct exec_link_ops loopback_ops = {
	.connect = loopback_connect,
	.disconnect = loopback_disconnect,
	.shutdown = loopback_shutdown,
	.send = loopback_send,
	.recv = loopback_recv,
	.adopt_twin = loopback_adopt_twin,
	.socket = loopback_socket,
	.tick = loopback_tick,
};

static int loopback_start(void)
{
	int error;

	for (int i = 0; i < PROGRAM_CONNECTIONS; i++)
		loopback.connections[i].twin_fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, loopback.pair))
		return -errno;
	error = inproc_open(&loopback.inproc, loop_events);
	if (error)
		return error;
	loopback.open = true;
	account_take(&loopback.inproc, &loopback.before);
	return account_process(&loopback.process);
}

int link_open(struct exec_link *out)
{
	*out = (struct exec_link){ &loopback_ops, &loopback };
	return loopback.open ? 0 : loopback_start();
}

/* The reference server reads everything as strictly as it can be read. */
uint64_t link_readings(void)
{
	return UINT64_MAX;
}

/* What of the process is more than it was; that others have taken the place of some is not. */
static int loopback_look(char *text, size_t size)
{
	bool census = ++loopback.programs % LOOPBACK_CENSUS == 0;
	bool same;

	if (!census && account_new_fd(&loopback.process, LOOPBACK_FDS) < 0)
		return 0;
	same = account_same_process(&loopback.process, text, size);
	account_process(&loopback.process);
	return same ? 0 : -EAGAIN;
}

int link_renew(struct link_left *left)
{
	struct account after;

	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++)
		loopback_disconnect(NULL, i);
	inproc_renew(&loopback.inproc, loop_take_traces());
	account_take(&loopback.inproc, &after);
	left->rule = &account_anything;
	if (account_equal(&loopback.before, &after, left->text, sizeof(left->text)))
		return loopback_look(left->text, sizeof(left->text));
	left->rule = account_rule(&loopback.before, &after);
	return -EUCLEAN;
}
