/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of stream and message, seen through a client: what comes in, however it is cut. */
#include <sys/resource.h>

#include "peer.h"

static void a_message_may_be_cut_anywhere_with_descriptors_on_every_piece(void **state)
{
	struct fixture *f = *state;
	const uint32_t size = HEADER + 24;
	uint8_t *bytes = make((struct wire_header){ .id = 3, .flags = 1 }, size);

	for (uint32_t cut = 1; cut < size; cut++) {
		for (uint32_t fds = 0; fds < 4; fds++) {
			uint32_t first = fds & 1;
			uint32_t second = fds & 2;

			peer_send(f->peer, bytes, cut, first);
			assert_silent(f->client);
			peer_send(f->peer, bytes + cut, size - cut, second);
			assert_next(f->client, 3, size, first + second);
			assert_silent(f->client);
		}
	}
	free(bytes);
}

static void a_message_may_come_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	const uint32_t size = HEADER + 16;
	uint8_t *bytes = make((struct wire_header){ .id = 4, .flags = 1 }, size);

	for (uint32_t i = 0; i < size; i++) {
		assert_silent(f->client);
		peer_send(f->peer, bytes + i, 1, 1);
	}
	assert_next(f->client, 4, size, size);
	free(bytes);
}

static void messages_that_come_together_are_told_apart(void **state)
{
	struct fixture *f = *state;
	uint8_t both[2 * HEADER + 8];
	uint8_t *one = make((struct wire_header){ .id = 1, .flags = 1 }, HEADER + 8);
	uint8_t *two = make((struct wire_header){ .id = 2, .flags = 1 }, HEADER);

	memcpy(both, one, HEADER + 8);
	memcpy(both + HEADER + 8, two, HEADER);
	peer_send(f->peer, both, sizeof(both), 0);
	assert_next(f->client, 1, HEADER + 8, 0);
	assert_next(f->client, 2, HEADER, 0);
	assert_silent(f->client);
	free(one);
	free(two);
}

static void descriptors_belong_to_the_message_of_their_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t *one = make((struct wire_header){ .id = 1, .flags = 1 }, HEADER + 8);
	uint8_t *two = make((struct wire_header){ .id = 2, .flags = 1 }, HEADER + 8);

	/* All is there before the first read, and only the sender's calls differ. */
	peer_send(f->peer, one, HEADER + 8, 0);
	peer_send(f->peer, two, HEADER + 8, 2);
	peer_send(f->peer, one, HEADER + 8, 0);
	assert_next(f->client, 1, HEADER + 8, 0);
	assert_next(f->client, 2, HEADER + 8, 2);
	assert_next(f->client, 1, HEADER + 8, 0);
	/* Meant for the second one, but sent with the last byte of the first. */
	peer_send(f->peer, one, HEADER + 7, 0);
	peer_send(f->peer, one + HEADER + 7, 1, 1);
	peer_send(f->peer, two, HEADER + 8, 0);
	assert_next(f->client, 1, HEADER + 8, 1);
	assert_next(f->client, 2, HEADER + 8, 0);
	free(one);
	free(two);
}

static void what_is_not_taken_is_closed(void **state)
{
	struct fixture *f = *state;
	struct message *m;
	int open = count_open();
	int taken;

	peer_send_message(f->peer, (struct wire_header){ .flags = 1 }, HEADER, 3);
	assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), 1);
	assert_int_equal(count_open(), open + 3);
	taken = message_take_fd(m, 1);
	assert_true(taken >= 0);
	assert_int_equal(m->fds[1], -1);
	assert_int_equal(message_take_fd(m, 1), -ENOENT);
	assert_int_equal(message_take_fd(m, 3), -ENOENT);
	message_free(m);
	assert_int_equal(count_open(), open + 1);
	close(taken);
	/* Left half-received and kept: tear_down counts. */
	peer_send_message(f->peer, (struct wire_header){ .flags = 1 }, HEADER, 2);
	peer_send(f->peer, "half", 4, 2);
	assert_int_equal(client_recv_reply(f->client, 9, 9, 0, &m), -ETIMEDOUT);
	assert_int_equal(count_open(), open + 4);
}

static void a_descriptor_that_does_not_fit_is_our_own_fault(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, none;
	struct message *m;
	int result;

	peer_send_message(f->peer, (struct wire_header){ .flags = 1 }, HEADER, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	result = client_recv(f->client, CLIENT_MAIN, LONG_MS, &m);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(result, -EMFILE);
}

static void the_end_between_messages_is_clean_and_lasts(void **state)
{
	struct fixture *f = *state;
	struct message *m;

	peer_send_message(f->peer, (struct wire_header){ .id = 1, .flags = 1 }, HEADER, 0);
	close(f->peer);
	f->peer = -1;
	assert_next(f->client, 1, HEADER, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), 0);
		assert_int_equal(client_recv_reply(f->client, 1, 1, LONG_MS, &m), 0);
		assert_int_equal(client_recv_request(f->client, LONG_MS, &m), 0);
	}
}

static void the_end_inside_a_message_is_lost_framing(void **state)
{
	const uint32_t cuts[] = { 1, HEADER - 1, HEADER, HEADER + 7 };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		uint8_t *bytes = make((struct wire_header){ .flags = 1 }, HEADER + 8);
		struct message *m;

		peer_send(f->peer, bytes, cuts[i], 1);
		close(f->peer);
		f->peer = -1;
		assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), -EPROTO);
		assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), -EPROTO);
		free(bytes);
		part(f);
		assert_int_equal(count_open(), f->open_before);
		assert_int_equal(join(f), 0);
	}
}

static void an_impossible_size_is_lost_framing(void **state)
{
	const uint32_t sizes[] = { 0, HEADER - 1, STREAM_MAX_MESSAGE + 1, UINT32_MAX };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct wire_header header = { .msg_size = sizes[i], .flags = 1 };
		struct message *m;

		peer_send(f->peer, &header, HEADER, 0);
		assert_int_equal(client_recv(f->client, CLIENT_MAIN, LONG_MS, &m), -EPROTO);
		part(f);
		assert_int_equal(count_open(), f->open_before);
		assert_int_equal(join(f), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_may_be_cut_anywhere_with_descriptors_on_every_piece),
		TEST(a_message_may_come_byte_by_byte),
		TEST(messages_that_come_together_are_told_apart),
		TEST(descriptors_belong_to_the_message_of_their_byte),
		TEST(what_is_not_taken_is_closed),
		TEST(a_descriptor_that_does_not_fit_is_our_own_fault),
		TEST(the_end_between_messages_is_clean_and_lasts),
		TEST(the_end_inside_a_message_is_lost_framing),
		TEST(an_impossible_size_is_lost_framing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
