/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake_link.h - for the unit tests of exec: a server in memory that does what a test tells it to.
 *
 * It answers each command as a server should that knows no device; `odd` is asked before and may
 * do something else. All that was sent is kept.
 */
#ifndef FAKE_LINK_H
#define FAKE_LINK_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "exec.h"
#include "text.h"
#include "wire.h"

#define FAKE_SENDS 64

struct fake_send {
	uint8_t bytes[4096];	/* the first of them */
	size_t size;
	size_t nfds;
	int32_t fd[16];
	size_t nparts;
	struct client_part part[16];
	uint32_t connection;
	uint32_t channel;
};

struct fake {
	/* True: done; else the command is answered as usual. */
	bool (*odd)(struct fake *fake, uint32_t connection, const struct wire_header *header,
		    const uint8_t *body);
	struct message_queue queue[PROGRAM_CONNECTIONS];
	bool open[PROGRAM_CONNECTIONS];
	int ask_ms, reply_ms;		/* whoever waits less gets no command, or no reply */
	int end[PROGRAM_CONNECTIONS];	/* what recv says when the queue is empty; 1: nothing yet */
	uint32_t sends;
	struct fake_send send[FAKE_SENDS];	/* the last ones are overwritten */
	uint64_t ticks;
	int twin;			/* that was adopted, or -1 */
	bool twin_is_full;		/* nobody reads what goes out by it */
	uint32_t connects;
};

static inline void fake_queue(struct fake *fake, uint32_t connection, struct wire_header header,
			      const void *body)
{
	struct message *message = message_new(&header, CLIENT_MAIN);

	assert_non_null(message);
	if (body)
		memcpy(message->storage, body, header.msg_size - sizeof(header));
	message_push(&fake->queue[connection], message);
}

/* The next message that comes in that time. */
static inline struct message *fake_next(struct fake *fake, uint32_t connection, int timeout_ms)
{
	struct message *next = fake->queue[connection].first;
	bool replies = next && (next->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY;

	return timeout_ms < (replies ? fake->reply_ms : fake->ask_ms) ? NULL : next;
}

/* A success with that payload, or an error. */
static inline void fake_reply(struct fake *fake, uint32_t connection,
			      const struct wire_header *to, const void *body, uint32_t size)
{
	fake_queue(fake, connection,
		   (struct wire_header){
			   .id = to->id,
			   .command = to->command,
			   .msg_size = (uint32_t)sizeof(*to) + size,
			   .flags = WIRE_TYPE_REPLY,
		   }, body);
}

static inline void fake_error(struct fake *fake, uint32_t connection,
			      const struct wire_header *to, uint32_t error)
{
	fake_queue(fake, connection,
		   (struct wire_header){
			   .id = to->id,
			   .command = to->command,
			   .msg_size = sizeof(*to),
			   .flags = WIRE_TYPE_REPLY | WIRE_ERROR,
			   .error = error,
		   }, NULL);
}

static inline void fake_usual(struct fake *fake, uint32_t connection,
			      const struct wire_header *header, const uint8_t *body)
{
	if (header->flags & (WIRE_TYPE_MASK | WIRE_NO_REPLY))
		return;
	if (header->command == WIRE_VERSION)
		fake_reply(fake, connection, header, "\0\0\0\0", sizeof(struct wire_version));
	else if (header->command == WIRE_DMA_UNMAP)
		fake_reply(fake, connection, header, body, sizeof(struct wire_dma_unmap));
	else
		fake_reply(fake, connection, header, NULL, 0);
}

static inline int fake_connect(void *link, uint32_t connection)
{
	struct fake *fake = link;

	assert_false(fake->open[connection]);
	fake->open[connection] = true;
	fake->end[connection] = 1;
	fake->connects++;
	return 0;
}

static inline void fake_disconnect(void *link, uint32_t connection)
{
	struct fake *fake = link;

	assert_true(fake->open[connection]);
	fake->open[connection] = false;
	message_free_all(&fake->queue[connection]);
}

static inline void fake_shutdown(void *link, uint32_t connection)
{
	struct fake *fake = link;

	fake->end[connection] = 0;
}

static inline int fake_sendmsg(void *link, uint32_t connection, const struct client_send *what)
{
	struct fake *fake = link;
	struct fake_send *send = &fake->send[fake->sends++ % FAKE_SENDS];
	size_t at = 0;

	assert_true(fake->open[connection]);
	*send = (struct fake_send){
		.size = what->size,
		.nfds = what->nfds,
		.nparts = what->nparts,
		.connection = connection,
		.channel = what->channel,
	};
	memcpy(send->bytes, what->bytes,
	       what->size < sizeof(send->bytes) ? what->size : sizeof(send->bytes));
	for (size_t i = 0; i < what->nfds && i < 16; i++)
		send->fd[i] = what->fds[i];
	for (size_t i = 0; i < what->nparts && i < 16; i++)
		send->part[i] = what->parts[i];
	while (what->size - at >= sizeof(struct wire_header)) {
		const uint8_t *bytes = (const uint8_t *)what->bytes + at;
		struct wire_header header;

		memcpy(&header, bytes, sizeof(header));
		if (header.msg_size < sizeof(header) || header.msg_size > what->size - at)
			break;
		if (!fake->odd || !fake->odd(fake, connection, &header, bytes + sizeof(header)))
			fake_usual(fake, connection, &header, bytes + sizeof(header));
		at += header.msg_size;
	}
	return fake->twin_is_full && what->channel == CLIENT_TWIN ? -ETIMEDOUT : 0;
}

static inline int fake_recv(void *link, uint32_t connection, uint32_t channel, int timeout_ms,
			    struct message **out)
{
	struct fake *fake = link;

	(void)channel;
	assert_true(fake->open[connection]);
	*out = fake_next(fake, connection, timeout_ms);
	if (!*out)
		return fake->end[connection] == 1 ? -ETIMEDOUT : fake->end[connection];
	message_unlink(&fake->queue[connection], NULL, *out);
	return 1;
}

static inline int fake_adopt_twin(void *link, uint32_t connection, int fd)
{
	struct fake *fake = link;

	(void)connection;
	fake->twin = fd;
	return 0;
}

static inline int fake_socket(void *link, uint32_t connection)
{
	(void)link;
	return 1000 + (int)connection;
}

static inline int fake_tick(void *link, uint64_t ms)
{
	struct fake *fake = link;

	fake->ticks += ms;
	return 0;
}

static const struct exec_link_ops fake_ops = {
	.connect = fake_connect,
	.disconnect = fake_disconnect,
	.shutdown = fake_shutdown,
	.send = fake_sendmsg,
	.recv = fake_recv,
	.adopt_twin = fake_adopt_twin,
	.socket = fake_socket,
	.tick = fake_tick,
};

#endif
