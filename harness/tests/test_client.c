/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of client: connecting, sending in pieces, and who gets which message. */
#include <pthread.h>
#include <stdio.h>
#include <sys/un.h>

#include "peer.h"

static void add_twin(struct fixture *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(client_adopt_twin(f->client, pair[0]), 0);
	f->twin = pair[1];
}

static struct client_send whole(const void *bytes, size_t size)
{
	return (struct client_send){ .bytes = bytes, .size = size, .timeout_ms = LONG_MS };
}

static void what_came_before_a_broken_pipe_can_be_read(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes = make((struct wire_header){ .id = 1, .command = 13 }, HEADER);
	struct client_send send = whole(bytes, HEADER);
	struct message *m;

	/* Closed with unread bytes: the kernel reports ECONNRESET once. */
	assert_int_equal(client_send(f->client, &send), 0);
	assert_true(client_unread(f->client) > 0);
	peer_send_message(f->peer, (struct wire_header){ .id = 1, .flags = 1 }, HEADER, 1);
	close(f->peer);
	f->peer = -1;
	assert_int_equal(client_send(f->client, &send), -EPIPE);
	assert_int_equal(client_send(f->client, &send), -EPIPE);
	assert_int_equal(client_unread(f->client), 0);
	assert_next(f->client, 1, HEADER, 1);
	assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), 0);
	free(bytes);
}

static void pieces_have_to_add_up(void **state)
{
	static const struct client_part parts[] = { { 8, 0 }, { 16, 1 }, { 16, 0 } };
	struct fixture *f = *state;
	uint8_t bytes[17] = { 0 };
	const int32_t fd = f->peer;
	struct client_send send = whole(bytes, 0);

	assert_int_equal(client_send(f->client, &send), -EINVAL);
	send.size = 16;
	send.parts = parts;
	send.nparts = 2;
	assert_int_equal(client_send(f->client, &send), -EINVAL);	/* too few descriptors */
	send.fds = &fd;
	send.nfds = 1;
	send.size = 17;
	assert_int_equal(client_send(f->client, &send), -EINVAL);	/* too few bytes */
	send.size = 16;
	send.nparts = 3;
	assert_int_equal(client_send(f->client, &send), -EINVAL);	/* an empty piece */
	send.nparts = 0;
	send.nfds = STREAM_MAX_FDS + 1;
	assert_int_equal(client_send(f->client, &send), -EINVAL);
	send.nfds = 0;
	send.channel = CLIENT_TWIN;
	assert_int_equal(client_send(f->client, &send), -ENOTCONN);
	send.channel = 2;
	assert_int_equal(client_send(f->client, &send), -EINVAL);
}

/* A server that notes the size and the number of descriptors of its first reads, and their sum. */
struct reader {
	int fd;
	uint32_t until;		/* bytes */
	uint32_t reads;
	uint32_t all_fds;
	uint32_t size[4];
	uint32_t nfds[4];
};

static uint32_t reader_close_fds(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	uint32_t count = c ? (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int)) : 0;

	for (uint32_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		close(fd);
	}
	return count;
}

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	uint32_t total = 0;

	for (; total < r->until; r->reads++) {
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(8 * sizeof(int))];
		} control;
		char data[4096];
		struct iovec iov = { data, sizeof(data) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		ssize_t got = recvmsg(r->fd, &msg, 0);
		uint32_t i = r->reads < 4 ? r->reads : 3;

		if (got <= 0)
			break;
		total += (uint32_t)got;
		r->size[i] = (uint32_t)got;
		r->nfds[i] = reader_close_fds(&msg);
		r->all_fds += r->nfds[i];
	}
	return NULL;
}

static void paced_pieces_are_read_one_by_one_with_their_descriptors(void **state)
{
	struct fixture *f = *state;
	const uint32_t size = HEADER + 16;
	uint8_t *bytes = make((struct wire_header){ .id = 1, .command = 4 }, size);
	const int32_t fds[] = { f->peer, f->peer, f->peer };

	for (uint32_t cut = 1; cut + 1 < size; cut++) {
		const struct client_part parts[] = { { cut, 1 }, { cut + 1, 0 }, { size, 2 } };
		struct reader reader = { .fd = f->peer, .until = size };
		struct client_send send = whole(bytes, size);
		pthread_t thread;

		send.fds = fds;
		send.nfds = 3;
		send.parts = parts;
		send.nparts = 3;
		send.flags = CLIENT_SEND_PACED;
		assert_int_equal(pthread_create(&thread, NULL, reader_run, &reader), 0);
		assert_int_equal(client_send(f->client, &send), 0);
		pthread_join(thread, NULL);
		assert_int_equal(reader.reads, 3);
		assert_int_equal(reader.size[0], cut);
		assert_int_equal(reader.size[1], 1);
		assert_int_equal(reader.nfds[0], 1);
		assert_int_equal(reader.nfds[1], 0);
		assert_int_equal(reader.nfds[2], 2);
	}
	assert_int_equal(envelope_outstanding(client_envelope(f->client)), size - 2);
	free(bytes);
}

static void descriptors_go_out_once_however_often_the_socket_is_full(void **state)
{
	struct fixture *f = *state;
	const uint32_t size = 4u << 20;
	uint8_t *bytes = make((struct wire_header){ .id = 1, .command = 4 }, size);
	const int32_t fds[] = { f->peer, f->peer };
	struct reader reader = { .fd = f->peer, .until = size };
	struct client_send send = whole(bytes, size);
	pthread_t thread;

	send.fds = fds;
	send.nfds = 2;
	assert_int_equal(pthread_create(&thread, NULL, reader_run, &reader), 0);
	assert_int_equal(client_send(f->client, &send), 0);
	pthread_join(thread, NULL);
	assert_int_equal(reader.all_fds, 2);
	free(bytes);
}

static void a_server_that_does_not_read_is_given_up(void **state)
{
	static const struct client_part parts[] = { { 1, 0 }, { HEADER, 0 } };
	struct fixture *f = *state;
	uint8_t *bytes = make((struct wire_header){ .command = 4 }, 4u << 20);
	struct client_send send = whole(bytes, HEADER);

	send.timeout_ms = 20;
	send.parts = parts;
	send.nparts = 2;
	send.flags = CLIENT_SEND_PACED;
	assert_int_equal(client_send(f->client, &send), -ETIMEDOUT);
	send = whole(bytes, 4u << 20);
	send.timeout_ms = 20;
	assert_int_equal(client_send(f->client, &send), -ETIMEDOUT);
	send.timeout_ms = 0;
	assert_int_equal(client_send(f->client, &send), -ETIMEDOUT);
	free(bytes);
}

/* A server that writes all it has before it reads anything. */
struct flood {
	int fd;
	uint32_t size;		/* of one message */
	uint32_t count;
	size_t reads;		/* bytes to read afterwards */
	bool done;
};

static void *flood_run(void *arg)
{
	struct flood *flood = arg;
	struct wire_header header = { .msg_size = flood->size, .command = 4, .flags = 1 };
	size_t total = 0;
	ssize_t got = 1;
	uint8_t *bytes = calloc(1, flood->size);

	for (uint32_t i = 0; bytes && i < flood->count; i++) {
		header.id = (uint16_t)i;
		memcpy(bytes, &header, HEADER);
		for (size_t at = 0; at < flood->size; at += (size_t)got) {
			got = send(flood->fd, bytes + at, flood->size - at, MSG_NOSIGNAL);
			if (got <= 0)
				goto out;
		}
	}
	while (total < flood->reads && (got = recv(flood->fd, bytes, flood->size, 0)) > 0)
		total += (size_t)got;
	flood->done = total == flood->reads;
out:
	free(bytes);
	return NULL;
}

static void two_sides_that_write_first_do_not_wait_for_each_other(void **state)
{
	struct fixture *f = *state;
	const uint32_t size = 4u << 20;
	uint8_t *bytes = make((struct wire_header){ .id = 1, .command = 4 }, size);
	struct flood flood = { .fd = f->peer, .size = 1u << 20, .count = 8, .reads = size };
	struct client_send send = whole(bytes, size);
	struct message *m;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, flood_run, &flood), 0);
	assert_int_equal(client_send(f->client, &send), 0);
	pthread_join(thread, NULL);
	assert_true(flood.done);
	for (uint16_t id = 0; id < 8; id++) {
		assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), 1);
		assert_int_equal(m->id, id);
		message_free(m);
	}
	free(bytes);
}

static void what_is_kept_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct flood flood = { .fd = f->peer, .size = STREAM_MAX_MESSAGE, .count = 3 };
	struct message *m;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, flood_run, &flood), 0);
	assert_int_equal(client_recv_reply(f->client, 9, 4, LONG_MS, &m), -ENOBUFS);
	for (uint16_t id = 0; id < 3; id++) {
		assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), 1);
		assert_int_equal(m->id, id);
		message_free(m);
	}
	pthread_join(thread, NULL);
}

static void assert_reply(struct client *client, uint16_t id, uint16_t command)
{
	struct message *m;

	assert_int_equal(client_recv_reply(client, id, command, LONG_MS, &m), 1);
	assert_int_equal(m->id, id);
	assert_int_equal(m->command, command);
	assert_int_equal(m->flags & WIRE_TYPE_MASK, WIRE_TYPE_REPLY);
	message_free(m);
}

static void assert_request(struct client *client, uint16_t id, uint32_t channel)
{
	struct message *m;

	assert_int_equal(client_recv_request(client, LONG_MS, &m), 1);
	assert_int_equal(m->id, id);
	assert_int_equal(m->channel, channel);
	assert_int_equal(m->flags & WIRE_TYPE_MASK, WIRE_TYPE_COMMAND);
	message_free(m);
}

static void replies_and_commands_of_one_socket_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct message *m;

	/* The same id in both directions (HDR-ID-003), replies out of order. */
	peer_send_message(f->peer, (struct wire_header){ 1, 11, .flags = 0 }, 32, 0);
	peer_send_message(f->peer, (struct wire_header){ 2, 4, .flags = 1 }, 32, 0);
	peer_send_message(f->peer, (struct wire_header){ 1, 5, .flags = 1 }, 48, 1);
	peer_send_message(f->peer, (struct wire_header){ 1, 4, .flags = 1 }, 32, 0);
	peer_send_message(f->peer, (struct wire_header){ 2, 12, .flags = 0 }, 32, 0);
	assert_reply(f->client, 1, 4);
	assert_reply(f->client, 2, 4);
	assert_request(f->client, 1, CLIENT_MAIN);
	assert_request(f->client, 2, CLIENT_MAIN);
	assert_int_equal(client_recv_request(f->client, 0, &m), -ETIMEDOUT);
	assert_int_equal(client_recv_reply(f->client, 1, 11, 0, &m), -ETIMEDOUT);
	assert_next(f->client, 1, 48, 1);
	/* Emptied queues take messages again. */
	peer_send_message(f->peer, (struct wire_header){ 3, 4, .flags = 1 }, 32, 0);
	peer_send_message(f->peer, (struct wire_header){ 4, 4, .flags = 1 }, 32, 0);
	assert_int_equal(client_recv_request(f->client, 0, &m), -ETIMEDOUT);
	assert_reply(f->client, 4, 4);
	peer_send_message(f->peer, (struct wire_header){ 5, 4, .flags = 1 }, 32, 0);
	assert_int_equal(client_recv_request(f->client, 0, &m), -ETIMEDOUT);
	assert_next(f->client, 3, 32, 0);
	assert_next(f->client, 5, 32, 0);
}

static void a_twin_is_listened_to_as_well(void **state)
{
	struct fixture *f = *state;
	struct message *m;

	assert_int_equal(client_fd(f->client, CLIENT_TWIN), -ENOTCONN);
	add_twin(f);
	assert_int_equal(client_adopt_twin(f->client, f->peer), -EBUSY);
	assert_true(client_fd(f->client, CLIENT_TWIN) >= 0);
	peer_send_message(f->twin, (struct wire_header){ .id = 1, .command = 11 }, 32, 0);
	peer_send_message(f->peer, (struct wire_header){ 1, 4, .flags = 1 }, 32, 0);
	assert_reply(f->client, 1, 4);
	assert_request(f->client, 1, CLIENT_TWIN);
	peer_send_message(f->twin, (struct wire_header){ .id = 2, .command = 11 }, 32, 0);
	assert_silent(f->client);
	assert_int_equal(client_recv(f->client, CLIENT_TWIN, LONG_MS, &m), 1);
	message_free(m);
	close(f->twin);
	f->twin = -1;
	assert_int_equal(client_recv_request(f->client, LONG_MS, &m), 0);
	assert_int_equal(client_recv_reply(f->client, 1, 4, 0, &m), -ETIMEDOUT);
}

static void the_checker_sees_what_is_sent_and_what_comes(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes = make((struct wire_header){ .id = 1, .command = 13 }, HEADER);
	struct client_send send = whole(bytes, HEADER);
	const struct envelope *e = client_envelope(f->client);
	struct envelope_violation v;

	assert_int_equal(client_send(f->client, &send), 0);
	assert_int_equal(envelope_outstanding(e), 1);
	for (int i = 0; i < 2; i++)
		peer_send_message(f->peer, (struct wire_header){ .id = 1, .command = 13,
								 .flags = 1 }, HEADER, 0);
	assert_reply(f->client, 1, 13);
	assert_int_equal(envelope_outstanding(e), 0);
	assert_int_equal(envelope_violations(e, 0, &v), 0);
	assert_reply(f->client, 1, 13);
	assert_int_equal(envelope_violations(e, 0, &v), 1);
	assert_string_equal(v.code, "envelope.unexpected-reply");
	free(bytes);
}

/* A socket that listens at `path` with room for one connection that is not accepted. */
static int listen_at(struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof(address->sun_path), "/tmp/vuc-test-%d", (int)getpid());
	unlink(address->sun_path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
	assert_int_equal(listen(fd, 0), 0);
	return fd;
}

static void *accept_run(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);

	if (fd >= 0)
		close(fd);
	return NULL;
}

static void a_full_backlog_is_waited_for(void **state)
{
	struct client *first, *second;
	struct sockaddr_un address;
	int fd = listen_at(&address);
	pthread_t thread;

	(void)state;
	assert_int_equal(client_connect(address.sun_path, 0, &first), 0);
	assert_int_equal(client_connect(address.sun_path, 0, &second), -ETIMEDOUT);
	assert_int_equal(client_connect(address.sun_path, 20, &second), -ETIMEDOUT);
	assert_int_equal(pthread_create(&thread, NULL, accept_run, &fd), 0);
	assert_int_equal(client_connect(address.sun_path, LONG_MS, &second), 0);
	pthread_join(thread, NULL);
	client_free(first);
	client_free(second);
	close(fd);
	assert_int_equal(client_connect(address.sun_path, 0, &first), -ECONNREFUSED);
	unlink(address.sun_path);
}

static void a_path_that_can_not_be_reached_is_told(void **state)
{
	struct client *client;
	char path[200];

	(void)state;
	assert_int_equal(client_connect("/nowhere/at/all", LONG_MS, &client), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(client_connect(path, LONG_MS, &client), -ENAMETOOLONG);
	assert_int_equal(client_adopt(-1, &client), -EBADF);
	client_free(NULL);
	message_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_came_before_a_broken_pipe_can_be_read),
		TEST(pieces_have_to_add_up),
		TEST(paced_pieces_are_read_one_by_one_with_their_descriptors),
		TEST(descriptors_go_out_once_however_often_the_socket_is_full),
		TEST(a_server_that_does_not_read_is_given_up),
		TEST(two_sides_that_write_first_do_not_wait_for_each_other),
		TEST(what_is_kept_is_bounded),
		TEST(replies_and_commands_of_one_socket_are_told_apart),
		TEST(a_twin_is_listened_to_as_well),
		TEST(the_checker_sees_what_is_sent_and_what_comes),
		TEST(a_full_backlog_is_waited_for),
		TEST(a_path_that_can_not_be_reached_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
