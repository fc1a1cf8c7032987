/* SPDX-License-Identifier: BSD-3-Clause */
/* loop_transport.c - see loop_transport.h. */
#include "loop_transport.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fault.h"
#include "transport_socket.h"

/* Main and twin sockets of all devices, and some whose server has closed but not the client. */
#define LOOP_COUNT (4 * INPROC_DEVICES)
/* The socket of loop i is LOOP_SOCKET - i: no descriptor. */
#define LOOP_SOCKET (-2)
/* Bytes of messages that are taken in one read. */
#define LOOP_TOGETHER 4096u

/* A descriptor on its way. */
struct loop_fd {
	uint64_t at;		/* the byte of the stream that it travels with */
	int fd;
};

struct loop {
	bool server, client;	/* who has it; nobody: it is free, and keeps its memory */
	bool adopted;		/* by the client, if it is one of a twin socket */
	bool shut;		/* the client sends nothing more */
	bool broken;		/* what the server sent is no message */
	int socket;		/* of the transport */
	uint32_t reads;
	struct transport_buffer in;
	uint64_t position;	/* in the stream, of the byte at in.begin */
	struct loop_fd *fds;
	size_t fds_begin, fds_end, fds_room;
	struct message_queue out;
	size_t kept;		/* bytes in it */
};

static struct loop loop_all[LOOP_COUNT];
static enum inproc_traces loop_traces;

static struct loop *loop_take(void)
{
	for (int i = 0; i < LOOP_COUNT; i++) {
		struct loop *loop = &loop_all[i];

		if (loop->server || loop->client)
			continue;
		*loop = (struct loop){
			.in.bytes = loop->in.bytes,
			.in.capacity = loop->in.capacity,
			.fds = loop->fds,
			.fds_room = loop->fds_room,
		};
		return loop;
	}
	return NULL;
}

struct loop *loop_new(int *socket)
{
	struct loop *loop = loop_take();

	if (!loop)
		return NULL;
	loop->client = true;
	loop->server = true;
	loop->adopted = true;
	loop->socket = LOOP_SOCKET - (int)(loop - loop_all);
	*socket = loop->socket;
	return loop;
}

/* The loop of a transport that is open; that of a twin socket comes to be here. NULL: too many. */
static struct loop *loop_find(int socket)
{
	struct loop *loop;

	if (socket <= LOOP_SOCKET)
		return &loop_all[LOOP_SOCKET - socket];
	for (int i = 0; i < LOOP_COUNT; i++) {
		if (loop_all[i].server && loop_all[i].socket == socket)
			return &loop_all[i];
	}
	loop = loop_take();
	if (loop) {
		loop->server = true;
		loop->socket = socket;
	}
	return loop;
}

struct loop *loop_of(const struct transport *transport)
{
	struct loop *loop = loop_find(transport->fd);

	if (!loop || loop->client)
		return NULL;
	loop->client = true;
	loop->adopted = true;
	return loop;
}

static void loop_drop_input(struct loop *loop)
{
	for (size_t i = loop->fds_begin; i < loop->fds_end; i++)
		close(loop->fds[i].fd);
	loop->fds_begin = 0;
	loop->fds_end = 0;
	loop->in.begin = 0;
	loop->in.end = 0;
}

void loop_free(struct loop *loop)
{
	message_free_all(&loop->out);
	loop->kept = 0;
	loop->client = false;
	loop->shut = true;
}

void loop_refuse(struct loop *loop)
{
	loop->server = false;
	loop_free(loop);
}

static int loop_add_fd(struct loop *loop, uint64_t at, int fd)
{
	if (loop->fds_end == loop->fds_room) {
		size_t room = loop->fds_room ? 2 * loop->fds_room : 64;
		struct loop_fd *fds = realloc(loop->fds, room * sizeof(*fds));

		if (!fds)
			return -ENOMEM;
		loop->fds = fds;
		loop->fds_room = room;
	}
	loop->fds[loop->fds_end++] = (struct loop_fd){ at, fd };
	return 0;
}

int loop_send(struct loop *loop, const void *bytes, size_t size, const int *fd, size_t count)
{
	uint64_t at = loop->position + transport_used(&loop->in);
	size_t need = transport_used(&loop->in) + size, taken = 0;
	int error = loop->server ? 0 : -EPIPE;

	/* In few and large steps. */
	if (!error && need > loop->in.capacity - loop->in.begin &&
	    transport_room(&loop->in, 2 * need + 4096))
		error = -ENOMEM;
	while (!error && taken < count) {
		error = loop_add_fd(loop, at, fd[taken]);
		taken += !error;
	}
	for (; taken < count; taken++)
		close(fd[taken]);
	if (error)
		return error;
	memcpy(loop->in.bytes + loop->in.end, bytes, size);
	loop->in.end += size;
	return 0;
}

void loop_shut(struct loop *loop)
{
	loop->shut = true;
}

int loop_recv(struct loop *loop, uint32_t channel, struct message **out)
{
	struct message *message = loop->out.first;

	if (!message && loop->broken)
		return -EPROTO;
	if (!message)
		return loop->server ? -EAGAIN : 0;
	message_unlink(&loop->out, NULL, message);
	loop->kept -= message->msg_size;
	message->channel = channel;
	*out = message;
	return 1;
}

/* Whether the client has closed its end of a twin socket, which it has not adopted. */
static bool loop_is_left(const struct loop *loop)
{
	struct pollfd pollfd = { .fd = loop->socket, .events = POLLIN };

	return !loop->adopted && poll(&pollfd, 1, 0) == 1 && pollfd.revents & POLLHUP;
}

uint32_t loop_events(const struct transport *transport)
{
	struct loop *loop = loop_find(transport->fd);
	uint32_t events = 0;

	if (!loop)
		return EPOLLHUP;
	if (transport_used(&loop->in))
		events |= EPOLLIN;
	if (loop->shut || loop_is_left(loop))
		events |= EPOLLIN | EPOLLRDHUP;
	if ((loop->shut && !loop->client) || (events && loop_is_left(loop)))
		events |= EPOLLHUP;
	if (transport_queued(transport))
		events |= EPOLLOUT;
	return events;
}

/* What a command may leave behind when it is executed. */
static void loop_trace_command(uint16_t command)
{
	enum inproc_traces traces = INPROC_NOTHING;

	switch (command) {
	case WIRE_DMA_UNMAP:
		traces = INPROC_UNMAPS;
		break;
	case WIRE_VERSION:
	case WIRE_DMA_MAP:
	case WIRE_DEVICE_GET_INFO:
	case WIRE_DEVICE_GET_REGION_INFO:
	case WIRE_DEVICE_GET_REGION_IO_FDS:
	case WIRE_DEVICE_GET_IRQ_INFO:
	case WIRE_REGION_READ:
		break;
	default:
		traces = INPROC_ANYTHING;
	}
	if (traces > loop_traces)
		loop_traces = traces;
}

/* Those that begin in the transport's input, which was empty before. */
static void loop_trace(const struct transport *t)
{
	const uint8_t *bytes = t->in.bytes + t->in.begin;
	size_t left = transport_used(&t->in);
	struct wire_header header;

	while (left >= sizeof(header)) {
		memcpy(&header, bytes, sizeof(header));
		loop_trace_command(header.command);
		if (header.msg_size < sizeof(header) || header.msg_size > left)
			break;
		bytes += header.msg_size;
		left -= header.msg_size;
	}
}

enum inproc_traces loop_take_traces(void)
{
	enum inproc_traces traces = loop_traces;

	loop_traces = INPROC_NOTHING;
	return traces;
}

/*
 * The bytes up to the end of the header, or of the message, that the transport has the front of:
 * whatever size it has agreed to.
 */
static size_t loop_wanted(const struct transport *t, size_t used)
{
	size_t size = transport_head_size(t, used);

	return size < TRANSPORT_HEADER ? TRANSPORT_HEADER : size;
}

/* Exactly so much memory behind the transport's input. */
static int loop_fit(struct transport *t, size_t size)
{
	size_t used = transport_used(&t->in);
	uint8_t *bytes = malloc(size);

	if (!bytes)
		return -ENOMEM;
	if (used)
		memcpy(bytes, t->in.bytes + t->in.begin, used);
	free(t->in.bytes);
	t->in.bytes = bytes;
	t->in.capacity = size;
	t->in.begin = 0;
	t->in.end = used;
	return 0;
}

static void loop_read(struct transport *t, struct loop *loop, size_t size)
{
	memcpy(t->in.bytes + t->in.end, loop->in.bytes + loop->in.begin, size);
	t->in.end += size;
	loop->in.begin += size;
	loop->position += size;
	while (loop->fds_begin < loop->fds_end && loop->fds[loop->fds_begin].at < loop->position)
		msg_add(&t->msg, loop->fds[loop->fds_begin++].fd);
	if (loop->fds_begin == loop->fds_end) {
		loop->fds_begin = 0;
		loop->fds_end = 0;
	}
	if (loop->in.begin == loop->in.end) {
		loop->in.begin = 0;
		loop->in.end = 0;
	}
}

/* The whole messages that wait from `size` bytes on, as far as they are taken together. */
static size_t loop_more(const struct transport *t, const struct loop *loop, size_t size)
{
	size_t left = transport_used(&loop->in);
	struct wire_header header;

	while (left >= size && left - size >= sizeof(header)) {
		memcpy(&header, loop->in.bytes + loop->in.begin + size, sizeof(header));
		if (header.msg_size < sizeof(header) || header.msg_size > t->max_message ||
		    header.msg_size > left - size || header.msg_size > LOOP_TOGETHER - size)
			break;
		size += header.msg_size;
	}
	return size;
}

/* The size of the message that begins with the transport's input and goes on in the loop. */
static size_t loop_next_size(const struct transport *t, const struct loop *loop)
{
	struct wire_header header;
	size_t used = transport_used(&t->in), left = transport_used(&loop->in);

	if (used || left < sizeof(header))
		return loop_wanted(t, used);
	memcpy(&header, loop->in.bytes + loop->in.begin, sizeof(header));
	if (header.msg_size < sizeof(header) || header.msg_size > t->max_message)
		return sizeof(header);
	return header.msg_size;
}

int transport_fill(struct transport *t)
{
	struct loop *loop = loop_find(t->fd);
	size_t used = transport_used(&t->in), left = loop ? transport_used(&loop->in) : 0, size;

	if (!left) {
		if (loop && !loop->shut && !loop_is_left(loop))
			return -EAGAIN;
		if (used && fault_on(FAULT_end_inside_a_message_crashes))
			abort();
		t->eof = true;
		return 0;
	}
	size = loop_next_size(t, loop);
	if (!used && size < LOOP_TOGETHER && loop->fds_begin == loop->fds_end &&
	    loop->reads++ % 2 == 0)
		size = loop_more(t, loop, size);
	if (size != t->in.capacity || t->in.begin) {
		if (loop_fit(t, size))
			return -ENOMEM;
	}
	if (left > size - used)
		left = size - used;
	loop_read(t, loop, left);
	if (used < TRANSPORT_HEADER && used + left >= TRANSPORT_HEADER)
		loop_trace(t);
	return (int)left;
}

/* Takes one message of the output; 0, or -errno if that cannot be. */
static int loop_deliver(struct loop *loop, const uint8_t *bytes, size_t left)
{
	struct wire_header header;
	struct message *message;

	if (left < sizeof(header))
		return -EPROTO;
	memcpy(&header, bytes, sizeof(header));
	if (header.msg_size < sizeof(header) || header.msg_size > left)
		return -EPROTO;
	message = message_new(&header, 0);
	if (!message)
		return -ENOMEM;
	memcpy(message->storage, bytes + sizeof(header), header.msg_size - sizeof(header));
	message_push(&loop->out, message);
	loop->kept += header.msg_size;
	return (int)header.msg_size;
}

/* The descriptors of the first message that is sent become the message's. */
static void loop_deliver_fds(struct transport *t, struct message *message)
{
	struct fds list = { 0 };

	if (fds_add(&list, t->out_fds[0].fd, t->out_fds[0].count) == 0)
		message_own(message, &list);
	t->out_fds[0].count = 0;
}

ssize_t transport_send(struct transport *t)
{
	struct loop *loop = loop_find(t->fd);
	bool with = t->out_fds_count && t->out_fds[0].at == 0;
	unsigned int next = with ? 1 : 0;
	size_t end = next < t->out_fds_count ? t->out_fds[next].at : transport_queued(t), at = 0;

	if (!loop || (!loop->client && loop->adopted) || loop->kept > LOOP_KEPT)
		return -EPIPE;
	while (at < end && !loop->broken) {
		int n = loop_deliver(loop, t->out.bytes + t->out.begin + at, end - at);

		if (n == -ENOMEM)
			return -EPIPE;
		loop->broken = n < 0;
		if (with && at == 0 && n > 0)
			loop_deliver_fds(t, loop->out.last);
		at += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)end;
}

void transport_hang_up(struct transport *t)
{
	struct loop *loop = loop_find(t->fd);

	if (loop) {
		loop_drop_input(loop);
		loop->server = false;
		if (!loop->client)
			message_free_all(&loop->out);
	}
	if (t->fd >= 0)
		close(t->fd);
}
