/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of exec, over a server in memory: what goes out, what is waited for and found. */
#include <fcntl.h>

#include "exec_fixture.h"

static void a_good_server_has_no_findings(void **state)
{
	struct fixture *f = *state;
	uint64_t out, in;

	assert_int_equal(run(f, "version()\n"
				"dma_map(flags=READ, address=0x1000, size=0x1000)\n"
				"dma_unmap(address=0x1000, size=0x1000) (expect: ok)\n"), 0);
	assert_int_equal(f->fake.sends, 3);
	assert_int_equal(sent(f, 0).id, 1);
	assert_int_equal(sent(f, 2).id, 3);
	assert_int_equal(sent(f, 2).command, WIRE_DMA_UNMAP);
	exec_counts(f->exec, &out, &in);
	assert_int_equal(out, 3);
	assert_int_equal(in, 3);
	assert_false(exec_hung(f->exec));
}

static void what_the_model_finds_has_its_step(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, "version()\n"
				"tick(ms=7)\n"
				"dma_unmap(address=0x1000, size=0x1000) (nowait)\n"
				"await()\n"), 1);
	assert_found(f, 0, "reply.unexpected-success", 2);
	assert_int_equal(f->fake.ticks, 7);
}

static void a_run_can_stop_at_the_first_finding(void **state)
{
	struct fixture *f = *state;

	f->options.stop = true;
	assert_int_equal(run(f, "version()\n"
				"dma_unmap(address=0x1000, size=0x1000)\n"
				"dma_unmap(address=0x2000, size=0x1000)\n"), 1);
	assert_int_equal(f->fake.sends, 2);
}

static bool refuse(struct fake *fake, uint32_t connection, const struct wire_header *header,
		   const uint8_t *body)
{
	(void)body;
	if (header->command != WIRE_DMA_MAP)
		return false;
	fake_error(fake, connection, header, ENOSPC);
	return true;
}

static bool lose_pieces(struct fake *fake, uint32_t connection, const struct wire_header *header,
			const uint8_t *body)
{
	(void)connection;
	(void)header;
	(void)body;
	return fake->send[fake->sends - 1].nparts;
}

static void pieces_that_are_not_put_together_are_one_defect(void **state)
{
	struct fixture *f = *state;
	struct exec_finding finding = { .what.code = "" };

	f->fake.odd = lose_pieces;
	assert_int_equal(run(f, "version()\n"
				"device_get_info() (pieces: 20)\n"), 1);
	assert_found(f, 0, "reply.missing", 1);
	exec_findings(f->exec, 0, &finding);
	assert_string_equal(finding.what.requirement, "CONN-SOCK-002");
	assert_int_equal(finding.what.command, 0);
}

static void programs_may_expect_more_than_models(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = refuse;
	assert_int_equal(run(f, "version()\n"
				"dma_map(address=0, size=0x1000, flags=READ) (expect: error)\n"
				"dma_map(size=0x1000, flags=READ) (expect: error ENOSPC)\n"
				"dma_map(size=0x1000, flags=READ) (expect: error EINVAL)\n"
				"dma_map(address=0, size=0x1000, flags=READ) (expect: ok)\n"), 2);
	assert_found(f, 0, "reply.errno", 3);
	assert_found(f, 1, "reply.unexpected-error", 4);
}

static bool silent(struct fake *fake, uint32_t connection, const struct wire_header *header,
		   const uint8_t *body)
{
	(void)fake;
	(void)connection;
	(void)body;
	return header->command != WIRE_VERSION;
}

static void a_reply_that_does_not_come_is_missed(void **state)
{
	struct fixture *f = *state;

	f->options.long_ms = 1;
	f->fake.odd = silent;
	assert_int_equal(run(f, "version()\ndma_map(address=0, size=0x1000, flags=READ)\n"), 1);
	assert_found(f, 0, "reply.missing", 1);
	assert_true(exec_hung(f->exec));
	/* The program says that it need not come. */
	assert_int_equal(run(f, "version()\n"
				"dma_map(address=0, size=0x1000, flags=READ) (maybe)\n"), 0);
	assert_false(exec_hung(f->exec));
}

static bool leave(struct fake *fake, uint32_t connection, const struct wire_header *header,
		  const uint8_t *body)
{
	(void)body;
	if (header->command == WIRE_VERSION)
		return false;
	fake->end[connection] = 0;
	return true;
}

static void a_server_that_leaves_is_blamed_unless_it_has_to(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = leave;
	assert_int_equal(run(f, "version()\n"
				"dma_map(address=0, size=0x1000, flags=READ)\n"
				"dma_unmap(address=0, size=0x1000)\n"), 1);
	assert_found(f, 0, "reply.closed", 1);
	assert_int_equal(f->fake.sends, 2);
	f->fake.odd = NULL;
	assert_int_equal(run(f, "version() (expect: closed)\n"), 1);
	assert_found(f, 0, "channel.not-closed", 0);
	assert_int_equal(run(f, "version()\nawait() (expect: closed)\n"), 1);
	assert_found(f, 0, "channel.not-closed", 1);
}

/* What the device was told to finish may take longer than a server waits. */
static void a_server_may_leave_an_operation_that_drains(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = leave;
	assert_int_equal(run(f, "version()\nslot(0, cmd=READ, ctl=MID|DRAIN)\n"), 0);
	assert_int_equal(run(f, "version()\nslot(0, cmd=READ, ctl=MID)\n"), 1);
	assert_found(f, 0, "reply.closed", 1);
}

static bool babble(struct fake *fake, uint32_t connection, const struct wire_header *header,
		   const uint8_t *body)
{
	(void)header;
	(void)body;
	fake->end[connection] = -EPROTO;
	return true;
}

static void lost_framing_is_found(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = babble;
	assert_int_equal(run(f, "version()\n"), 1);
	assert_found(f, 0, "channel.framing", 0);
}

static void messages_are_divided_and_cut(void **state)
{
	struct fixture *f = *state;
	const struct fake_send *send = &f->fake.send[1];

	assert_int_equal(run(f, "version()\n"
				"r0 = null()\n"
				"device_reset(fd=r0) (pieces: 4 9/1)\n"
				"device_reset() (cut: 5)\n"
				"device_reset()\n"), 0);
	assert_int_equal(send->nparts, 3);
	assert_int_equal(send->part[0].end, 4);
	assert_int_equal(send->part[0].nfds, 0);
	assert_int_equal(send->part[1].nfds, 1);
	assert_int_equal(send->part[2].end, 16);
	assert_int_equal(f->fake.send[2].size, 5);
	assert_int_equal(f->fake.send[3].size, 16);
}

static void repeated_steps_go_out_in_batches(void **state)
{
	struct fixture *f = *state;
	struct wire_dma_map map;
	uint64_t out, in;

	assert_int_equal(run(f, "version()\n"
				"dma_map(flags=READ, address=0x10000, size=0x1000) "
				"(repeat: 1000, stride.address: 0x1000)\n"), 0);
	exec_counts(f->exec, &out, &in);
	assert_int_equal(out, 1001);
	assert_int_equal(in, 1001);
	assert_true(f->fake.sends < 10);
	memcpy(&map, f->fake.send[1].bytes + 48 + 16, sizeof(map));
	assert_int_equal(map.address, 0x11000);
}

/* Asks for memory when it is mapped, and keeps the reply to the mapping back until it has it. */
static bool reads(struct fake *fake, uint32_t connection, const struct wire_header *header,
		  const uint8_t *body)
{
	const struct wire_dma_access access = { 0x1004, 4 };
	const struct wire_header request = { 77, WIRE_DMA_READ, 32, 0, 0 };

	(void)body;
	if (header->command == WIRE_DEVICE_RESET)
		fake_queue(fake, connection, request, &access);
	return false;
}

static void requests_are_answered_from_what_is_mapped(void **state)
{
	struct fixture *f = *state;
	const struct fake_send *send = &f->fake.send[3];

	f->fake.odd = reads;
	assert_int_equal(run(f, "version()\n"
				"r0 = memfd(size=0x2000)\n"
				"fill(r0, offset=0x1000, size=0x1000, seed=5)\n"
				"dma_map(flags=READ, address=0x1000, offset=0x1000, size=0x1000, "
				"fd=r0)\n"
				"device_reset()\n"), 0);
	assert_int_equal(f->fake.sends, 4);
	assert_int_equal(sent(f, 3).id, 77);
	assert_int_equal(sent(f, 3).flags, WIRE_TYPE_REPLY);
	assert_int_equal(send->size, 36);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(send->bytes[32 + i], (uint8_t)(5 + (4 + i) * 0x9d));
}

static void requests_wait_for_the_step_that_answers_them(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = reads;
	assert_int_equal(run(f, "version()\n"
				"dma_map(flags=READ, address=0x1000, size=0x1000)\n"
				"device_reset()\n"
				"dma_unmap(address=0x1000, size=0x1000)\n"
				"reply(header.error=EFAULT)\n"
				"reply()\n"), 0);
	assert_int_equal(f->fake.sends, 5);
	assert_int_equal(sent(f, 3).command, WIRE_DMA_UNMAP);
	assert_int_equal(sent(f, 4).flags, WIRE_TYPE_REPLY | WIRE_ERROR);
	assert_int_equal(sent(f, 4).error, EFAULT);
	assert_int_equal(f->fake.send[4].size, 16);
}

static void as_many_requests_are_answered_as_the_options_say(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = reads;
	f->options.answers = 2;
	assert_int_equal(run(f, "version()\n"
				"dma_map(flags=READ, address=0x1000, size=0x1000)\n"
				"device_reset() (repeat: 3)\n"), 0);
	assert_int_equal(f->fake.sends, 5);
	assert_int_equal(sent(f, 3).flags, WIRE_TYPE_REPLY);
	assert_int_equal(sent(f, 4).flags, WIRE_TYPE_REPLY);
}

static void silence_can_be_expected(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = silent;
	assert_int_equal(run(f, "version()\n"
				"device_reset() (no_reply, expect: silence)\n"
				"await() (expect: silence)\n"), 0);
	f->fake.odd = NULL;
	assert_int_equal(run(f, "version()\n"
				"device_reset() (nowait, expect: silence)\n"), 1);
	assert_found(f, 0, "reply.unexpected", 1);
}

static void canaries_are_checked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, "r0 = memfd(size=0x2000)\n"
				"fill(r0, offset=0, size=0x2000, seed=1)\n"
				"check(r0, offset=0, size=0x2000, seed=1)\n"
				"punch(r0, offset=0x1000, size=0x1000)\n"
				"check(r0, offset=0, size=0x1000, seed=1)\n"
				"check(r0, offset=0, size=0x2000, seed=1)\n"), 1);
	assert_found(f, 0, "effect", 5);
}

/* Agrees to a twin socket. */
static bool twins(struct fake *fake, uint32_t connection, const struct wire_header *header,
		  const uint8_t *body)
{
	static const char text[] = "\0\0\0\0{\"capabilities\":{\"twin_socket\":"
				   "{\"supported\":true,\"fd_index\":0}}}";
	struct fds fds = { 0 };
	int fd = open("/dev/null", O_RDWR);

	(void)body;
	if (header->command != WIRE_VERSION) {
		close(fd);
		return false;
	}
	assert_int_equal(fds_add(&fds, &fd, 1), 0);
	fake_reply(fake, connection, header, text, sizeof(text));
	message_own(fake->queue[connection].last, &fds);
	return true;
}

static void a_twin_socket_is_used_where_it_is_asked_for(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = twins;
	assert_int_equal(run(f, "version(caps={\"capabilities\":{\"twin_socket\":"
				"{\"supported\":true}}})\n"
				"device_reset() (twin, no_reply)\n"), 0);
	assert_true(f->fake.twin >= 0);
	assert_int_equal(f->fake.send[1].channel, CLIENT_TWIN);
}

static void a_twin_socket_need_not_be_read_for_commands(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = twins;
	f->fake.twin_is_full = true;
	assert_int_equal(run(f, "version(caps={\"capabilities\":{\"twin_socket\":"
				"{\"supported\":true}}})\n"
				"device_reset() (twin, pieces: 8)\n"), 0);
	assert_false(exec_hung(f->exec));
}

static void connections_come_and_go(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, "version()\n"
				"connect(c2)\n"
				"version() (on: c2)\n"
				"disconnect(c2)\n"
				"version() (on: c2)\n"
				"shutdown(c0)\n"
				"await()\n"), 0);
	assert_int_equal(f->fake.connects, 2);
	assert_int_equal(f->fake.sends, 2);
	assert_int_equal(f->fake.send[1].connection, 2);
	assert_false(f->fake.open[0]);
}

/* Nobody but the first client is served; others wait, or are sent away. */
static bool waits(struct fake *fake, uint32_t connection, const struct wire_header *header,
		  const uint8_t *body)
{
	(void)fake;
	(void)header;
	(void)body;
	return connection != 0;
}

static bool declines(struct fake *fake, uint32_t connection, const struct wire_header *header,
		     const uint8_t *body)
{
	(void)header;
	(void)body;
	if (connection)
		fake->end[connection] = 0;
	return connection != 0;
}

static void a_second_connection_need_not_be_served(void **state)
{
	struct fixture *f = *state;
	const char *text = "version()\nconnect(c1)\nversion() (on: c1)\n";

	f->fake.odd = waits;
	assert_int_equal(run(f, text), 0);
	f->fake.odd = declines;
	assert_int_equal(run(f, text), 0);
	/* It is to be judged where it is the only one. */
	assert_int_equal(run(f, "disconnect(c0)\nconnect(c1)\nversion() (on: c1)\n"), 1);
	assert_found(f, 0, "reply.closed", 2);
}

/* The device is stopped, whoever asks. */
static bool stopped(struct fake *fake, uint32_t connection, const struct wire_header *header,
		    const uint8_t *body)
{
	const struct {
		struct wire_feature feature;
		struct wire_device_state state;
	} reply = {
		.feature = { sizeof(reply), WIRE_FEATURE_MIG_DEVICE_STATE | WIRE_FEATURE_GET },
		.state = { .device_state = WIRE_STATE_STOP, .data_fd = -1 },
	};

	(void)body;
	if (header->command != WIRE_DEVICE_FEATURE)
		return false;
	fake_reply(fake, connection, header, &reply, sizeof(reply));
	return true;
}

#define GET_STATE "device_feature(argsz=16, flags=MIG_DEVICE_STATE|GET)"

static void a_device_is_new_to_the_first_connection(void **state)
{
	struct fixture *f = *state;
	const char *first = "version()\n" GET_STATE "\n";

	f->fake.odd = stopped;
	assert_int_equal(run(f, first), 0);
	exec_free(f->exec);
	f->exec = NULL;
	f->options.model.fresh = true;
	assert_int_equal(run(f, first), 1);
	assert_int_equal(run(f, first), 1);
	assert_int_equal(run(f, "disconnect(c0)\nconnect(c0)\nversion()\n" GET_STATE "\n"), 0);
	/* Another connection may have stopped it, if it reaches it. */
	first = "version()\nconnect(c1)\n" GET_STATE "\n";
	assert_int_equal(run(f, first), 1);
	exec_free(f->exec);
	f->exec = NULL;
	f->options.shared = true;
	assert_int_equal(run(f, first), 0);
}

static void a_run_can_be_interrupted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, "version()\n"), 0);
	exec_interrupt(f->exec);
	assert_int_equal(run(f, "version()\n"), 0);
	assert_int_equal(f->fake.sends, 0);
	assert_int_equal(run(f, "version()\n"), 0);
	assert_int_equal(f->fake.sends, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_good_server_has_no_findings),
		TEST(what_the_model_finds_has_its_step),
		TEST(a_run_can_stop_at_the_first_finding),
		TEST(pieces_that_are_not_put_together_are_one_defect),
		TEST(programs_may_expect_more_than_models),
		TEST(a_reply_that_does_not_come_is_missed),
		TEST(a_server_that_leaves_is_blamed_unless_it_has_to),
		TEST(a_server_may_leave_an_operation_that_drains),
		TEST(lost_framing_is_found),
		TEST(messages_are_divided_and_cut),
		TEST(repeated_steps_go_out_in_batches),
		TEST(requests_are_answered_from_what_is_mapped),
		TEST(requests_wait_for_the_step_that_answers_them),
		TEST(as_many_requests_are_answered_as_the_options_say),
		TEST(silence_can_be_expected),
		TEST(canaries_are_checked),
		TEST(a_twin_socket_is_used_where_it_is_asked_for),
		TEST(a_twin_socket_need_not_be_read_for_commands),
		TEST(connections_come_and_go),
		TEST(a_second_connection_need_not_be_served),
		TEST(a_device_is_new_to_the_first_connection),
		TEST(a_run_can_be_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
