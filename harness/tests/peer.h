/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer.h - for the unit tests of stream and client: a client that is connected to a peer which the
 * test writes byte by byte. Every test ends with the number of descriptors that it began with.
 */
#ifndef PEER_H
#define PEER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "stream.h"

#define LONG_MS 20000
#define HEADER sizeof(struct wire_header)

struct fixture {
	struct client *client;
	int peer;		/* the server's end of the main channel */
	int twin;		/* of the twin, or -1 */
	int open_before;
};

static inline int count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static inline int join(struct fixture *f)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || client_adopt(pair[0], &f->client))
		return -1;
	f->peer = pair[1];
	return 0;
}

static inline void part(struct fixture *f)
{
	client_free(f->client);
	if (f->peer >= 0)
		close(f->peer);
}

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->open_before = count_open();
	f->twin = -1;
	*state = f;
	return join(f);
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	part(f);
	if (f->twin >= 0)
		close(f->twin);
	assert_int_equal(count_open(), f->open_before);
	free(f);
	return 0;
}

/* A message of `size` bytes whose body counts up. */
static inline uint8_t *make(struct wire_header header, uint32_t size)
{
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	header.msg_size = size;
	memcpy(bytes, &header, HEADER);
	for (uint32_t i = HEADER; i < size; i++)
		bytes[i] = (uint8_t)i;
	return bytes;
}

/* What a peer sends: bytes, with `nfds` descriptors of /dev/null on the first. */
static inline void peer_send(int peer, const void *bytes, size_t size, uint32_t nfds)
{
	struct stream stream;
	int32_t fd[4];
	int64_t sent;

	assert_true(nfds <= 4);
	for (uint32_t i = 0; i < nfds; i++) {
		fd[i] = open("/dev/null", O_RDWR);
		assert_true(fd[i] >= 0);
	}
	stream_open(&stream, peer, 0);
	sent = stream_push(&stream, bytes, size, fd, nfds);
	assert_int_equal(sent, size);
	for (uint32_t i = 0; i < nfds; i++)
		close(fd[i]);
}

static inline void peer_send_message(int peer, struct wire_header header, uint32_t size,
				     uint32_t nfds)
{
	uint8_t *bytes = make(header, size);

	peer_send(peer, bytes, size, nfds);
	free(bytes);
}

static inline void assert_next(struct client *client, uint16_t id, uint32_t size, uint32_t nfds)
{
	struct message *m;
	uint8_t *bytes;

	assert_int_equal(client_recv(client, CLIENT_MAIN, LONG_MS, &m), 1);
	assert_int_equal(m->id, id);
	assert_int_equal(m->msg_size, size);
	assert_int_equal(m->nfds, nfds);
	bytes = make((struct wire_header){ 0 }, size);
	assert_memory_equal(m->body, bytes + HEADER, size - HEADER);
	free(bytes);
	for (uint32_t i = 0; i < nfds; i++)
		assert_int_equal(fcntl(m->fds[i], F_GETFD), FD_CLOEXEC);
	message_free(m);
}

static inline void assert_silent(struct client *client)
{
	struct message *m;

	assert_int_equal(client_recv(client, CLIENT_MAIN, 0, &m), -ETIMEDOUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
