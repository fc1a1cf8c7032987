/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of envelope: each rule is broken once, and everything that is allowed passes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "envelope.h"
#include "wire_ext.h"

#define INFO_SIZE (sizeof(struct wire_header) + sizeof(struct wire_device_info))

static int set_up(void **state)
{
	*state = envelope_new();
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	envelope_free(*state);
	return 0;
}

/* Enter a command with a payload of `size` bytes that starts with `argsz`. */
static void enter(struct envelope *e, struct wire_header header, uint32_t argsz, size_t size)
{
	uint8_t bytes[256] = { 0 };

	header.msg_size = (uint32_t)(sizeof(header) + size);
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &argsz, sizeof(argsz));
	assert_int_equal(envelope_sent(e, 0, bytes, header.msg_size, false), 0);
}

static void enter_info(struct envelope *e, uint16_t id)
{
	enter(e, (struct wire_header){ .id = id, .command = WIRE_DEVICE_GET_INFO }, 16, 16);
}

/* A good reply to DEVICE_GET_INFO. */
static struct message info_reply(uint16_t id)
{
	return (struct message){
		.id = id,
		.command = WIRE_DEVICE_GET_INFO,
		.msg_size = INFO_SIZE,
		.flags = WIRE_TYPE_REPLY,
	};
}

static struct message refusal(uint16_t id)
{
	struct message m = info_reply(id);

	m.msg_size = sizeof(struct wire_header);
	m.flags |= WIRE_ERROR;
	m.error = EINVAL;
	return m;
}

/* The message breaks one rule, once. */
static void assert_blamed(struct envelope *e, struct message m, const char *code, const char *id)
{
	struct envelope_violation v = { 0 };
	uint32_t before = envelope_violations(e, 0, &v);

	envelope_received(e, &m);
	assert_int_equal(envelope_violations(e, before, &v), before + 1);
	assert_string_equal(v.code, code);
	assert_string_equal(v.requirement, id);
	assert_true(strlen(v.text) > 0 && strlen(v.text) < sizeof(v.text) - 1);
}

static void assert_clean(struct envelope *e, struct message m)
{
	struct envelope_violation v;
	uint32_t before = envelope_violations(e, 0, &v);

	envelope_received(e, &m);
	if (envelope_violations(e, before, &v) != before)
		fail_msg("%s %s %s", v.code, v.requirement, v.text);
}

static void good_replies_pass_in_any_order(void **state)
{
	struct envelope *e = *state;

	for (uint16_t id = 1; id <= 100; id++)
		enter_info(e, id);
	assert_int_equal(envelope_outstanding(e), 100);
	for (uint16_t id = 2; id <= 100; id = (uint16_t)(id + 2))
		assert_clean(e, info_reply(id));
	for (uint16_t id = 1; id <= 100; id = (uint16_t)(id + 2))
		assert_clean(e, refusal(id));
	assert_int_equal(envelope_outstanding(e), 0);
}

static void an_id_may_repeat_in_flight(void **state)
{
	struct envelope *e = *state;

	for (int i = 0; i < 3; i++)
		enter_info(e, 7);
	for (int i = 0; i < 3; i++)
		assert_clean(e, info_reply(7));
	assert_blamed(e, info_reply(7), "envelope.unexpected-reply", "HDR-REPLY-001");
}

static void replies_that_match_nothing_are_blamed_by_what_is_nearest(void **state)
{
	struct envelope *e = *state;
	struct message m = info_reply(1);

	assert_blamed(e, m, "envelope.unexpected-reply", "HDR-REPLY-001");
	enter_info(e, 1);
	assert_blamed(e, info_reply(2), "envelope.unexpected-reply", "HDR-ID-001");
	assert_int_equal(envelope_outstanding(e), 1);
	m.command = WIRE_DEVICE_GET_IRQ_INFO;
	assert_blamed(e, m, "envelope.wrong-command", "HDR-CMD-001");
	assert_int_equal(envelope_outstanding(e), 0);
}

static void a_second_reply_does_not_pass_for_another_one(void **state)
{
	struct envelope *e = *state;

	enter_info(e, 1);
	enter_info(e, 2);
	assert_clean(e, info_reply(1));
	assert_blamed(e, info_reply(1), "envelope.unexpected-reply", "HDR-REPLY-001");
	assert_clean(e, info_reply(2));
}

static void a_command_with_no_reply_is_not_answered(void **state)
{
	struct envelope *e = *state;

	enter(e, (struct wire_header){ .id = 1, .command = WIRE_DEVICE_GET_INFO,
				       .flags = WIRE_NO_REPLY }, 16, 16);
	assert_int_equal(envelope_outstanding(e), 0);
	assert_blamed(e, info_reply(1), "envelope.reply-to-no-reply", "HDR-REPLY-002");
}

static void a_negotiation_with_no_reply_is_answered_or_not(void **state)
{
	struct envelope *e = *state;

	enter(e, (struct wire_header){ .id = 1, .command = WIRE_VERSION, .flags = WIRE_NO_REPLY },
	      sizeof(struct wire_version), sizeof(struct wire_version));
	assert_int_equal(envelope_outstanding(e), 0);
	assert_clean(e, (struct message){ .id = 1, .command = WIRE_VERSION, .msg_size = 16,
					  .flags = WIRE_TYPE_REPLY | WIRE_ERROR,
					  .error = EINVAL });
}

static void a_maybe_is_answered_or_not(void **state)
{
	struct envelope *e = *state;
	struct wire_header header = { .id = 5, .command = WIRE_DEVICE_GET_INFO, .msg_size = 3 };

	assert_int_equal(envelope_sent(e, 0, &header, sizeof(header), true), 0);
	assert_int_equal(envelope_outstanding(e), 0);
	assert_clean(e, refusal(5));
	assert_blamed(e, refusal(5), "envelope.unexpected-reply", "HDR-REPLY-001");
	header.msg_size = UINT32_MAX;
	assert_int_equal(envelope_sent(e, 0, &header, sizeof(header), true), 0);
	assert_clean(e, refusal(5));
	assert_int_equal(envelope_sent(e, 0, &header, sizeof(header) - 1, true), 0);
	assert_int_equal(envelope_sent(e, 0, &header, sizeof(header), false), 0);
	assert_blamed(e, refusal(5), "envelope.unexpected-reply", "HDR-REPLY-001");
}

static void all_messages_of_one_send_are_entered(void **state)
{
	struct envelope *e = *state;
	struct wire_header three[3] = {
		{ .id = 1, .command = WIRE_DEVICE_RESET, .msg_size = 16 },
		{ .id = 2, .command = WIRE_DEVICE_RESET, .msg_size = 16, .flags = 1 },
		{ .id = 3, .command = WIRE_DEVICE_RESET, .msg_size = 16 },
	};

	assert_int_equal(envelope_sent(e, 0, three, sizeof(three), false), 0);
	assert_int_equal(envelope_outstanding(e), 2);
}

static void header_of_a_reply_is_judged(void **state)
{
	struct envelope *e = *state;
	struct message m = info_reply(1);

	enter_info(e, 1);
	m.flags |= WIRE_NO_REPLY;
	assert_blamed(e, m, "envelope.flags", "HDR-FLAG-005");
	enter_info(e, 1);
	m.flags = WIRE_TYPE_REPLY | 0x80000000u;
	assert_blamed(e, m, "envelope.flags", "HDR-FLAG-005");
	enter_info(e, 1);
	m.flags = 2;
	assert_blamed(e, m, "envelope.wrong-type", "HDR-FLAG-001");
	m = info_reply(1);
	m.error = EINVAL;
	assert_blamed(e, m, "envelope.errno-on-success", "HDR-ERR-003");
}

static void error_replies_are_bare_headers(void **state)
{
	struct envelope *e = *state;
	struct message m = refusal(1);

	enter_info(e, 1);
	m.error = 0;
	assert_clean(e, m);
	enter_info(e, 1);
	m.msg_size = 17;
	assert_blamed(e, m, "envelope.error-with-payload", "HDR-ERR-005");
	enter_info(e, 1);
	m = refusal(1);
	m.nfds = 1;
	assert_blamed(e, m, "envelope.error-with-fds", "HDR-ERR-006");
	enter_info(e, 1);
	m = refusal(1);
	m.error = 4096;
	assert_blamed(e, m, "envelope.errno-range", "HDR-ERR-003");
}

static void a_success_reply_has_its_fixed_part(void **state)
{
	struct envelope *e = *state;
	struct message m = info_reply(1);

	enter_info(e, 1);
	m.msg_size = INFO_SIZE - 1;
	assert_blamed(e, m, "envelope.payload-size", "HDR-SIZE-001");
	/* It may stay within an argsz that is smaller (ARGSZ-GEN-005). */
	enter(e, (struct wire_header){ .id = 1, .command = WIRE_DEVICE_GET_INFO }, 15, 16);
	assert_clean(e, m);
}

static void descriptors_are_counted(void **state)
{
	struct envelope *e = *state;
	struct message m = info_reply(1);

	enter_info(e, 1);
	m.nfds = 1;
	assert_blamed(e, m, "envelope.fds-on-reply-without", "FD-PASS-001");
	m.command = WIRE_DEVICE_GET_REGION_IO_FDS;
	m.nfds = 2;
	enter(e, (struct wire_header){ .id = 1, .command = m.command }, 16, 16);
	assert_blamed(e, m, "envelope.too-many-fds", "FD-PASS-006");
	envelope_set_max_fds(e, 2);
	enter(e, (struct wire_header){ .id = 1, .command = m.command }, 16, 16);
	assert_clean(e, m);
}

static void replies_stay_on_the_channel_of_the_command(void **state)
{
	struct envelope *e = *state;
	struct message m = info_reply(1);

	enter_info(e, 1);
	m.channel = 1;
	assert_blamed(e, m, "envelope.wrong-channel", "CONN-SOCK-001");
	assert_int_equal(envelope_outstanding(e), 0);
}

static void a_server_sends_its_own_commands_only(void **state)
{
	struct envelope *e = *state;
	struct message m = { .id = 1, .command = WIRE_DMA_READ, .msg_size = 32 };

	assert_clean(e, m);
	m.msg_size = 31;
	assert_blamed(e, m, "envelope.short-message", "HDR-FMT-001");
	m.msg_size = 32;
	m.nfds = 1;
	assert_blamed(e, m, "envelope.fds-on-reply-without", "FD-PASS-001");
	m.nfds = 0;
	envelope_set_twin(e);
	assert_blamed(e, m, "envelope.wrong-channel", "TWIN-IO-001");
	m.channel = 1;
	assert_clean(e, m);
	m.command = WIRE_DEVICE_GET_INFO;
	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
	m.command = 99;
	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
}

static void page_requests_have_to_be_negotiated_and_want_no_reply(void **state)
{
	struct envelope *e = *state;
	struct message m = {
		.id = 1, .command = WIRE_PAGE_REQUEST, .msg_size = 32, .flags = WIRE_NO_REPLY,
	};

	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
	envelope_set_page_requests(e, 1);
	assert_clean(e, m);
	m.msg_size = 31;
	assert_blamed(e, m, "envelope.short-message", "HDR-FMT-001");
	m.msg_size = 48;
	m.flags = 0;
	assert_blamed(e, m, "envelope.flags", "VE-REQ-001");
	m.flags = WIRE_NO_REPLY;
	m.command = WIRE_PAGE_RESPONSE;
	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
	envelope_reset(e);
	m.command = WIRE_PAGE_REQUEST;
	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
}

static void pages_are_asked_for_in_the_poc_dialect_only_where_it_is_spoken(void **state)
{
	struct envelope *e = *state;
	struct message m = { .id = 1, .command = WIRE_POC_PAGE_REQUEST, .msg_size = 40 };

	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
	envelope_set_page_requests(e, 1);
	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
	envelope_set_poc(e);
	assert_clean(e, m);
	m.msg_size = 39;
	assert_blamed(e, m, "envelope.short-message", "HDR-FMT-001");
	m.msg_size = 40;
	m.nfds = 1;
	assert_blamed(e, m, "envelope.fds-on-reply-without", "FD-PASS-001");
	m.nfds = 0;
	envelope_reset(e);
	assert_blamed(e, m, "envelope.wrong-direction", "HDR-FMT-001");
}

static void the_list_of_violations_is_bounded_and_the_count_is_not(void **state)
{
	struct envelope *e = *state;
	struct envelope_violation v = { .code = "untouched" };
	struct message m = info_reply(1);

	for (int i = 0; i < 1000; i++)
		envelope_received(e, &m);
	assert_int_equal(envelope_violations(e, ENVELOPE_KEPT, &v), 1000);
	assert_string_equal(v.code, "untouched");
	assert_int_equal(envelope_violations(e, ENVELOPE_KEPT - 1, &v), 1000);
	assert_string_equal(v.code, "envelope.unexpected-reply");
}

static void the_text_has_room_for_the_longest_numbers(void **state)
{
	struct envelope *e = *state;
	struct message m = {
		.id = UINT16_MAX,
		.command = WIRE_DEVICE_GET_REGION_IO_FDS,
		.msg_size = UINT32_MAX,
		.flags = UINT32_MAX & ~0xeu,
		.error = UINT32_MAX,
		.nfds = 253,
		.channel = 1,
	};
	struct envelope_violation v;
	uint32_t count;

	envelope_received(e, &m);
	count = envelope_violations(e, 0, &v);
	assert_true(count >= 5);
	for (uint32_t i = 0; i < count; i++) {
		envelope_violations(e, i, &v);
		assert_true(strlen(v.text) < sizeof(v.text) - 1);
	}
}

static void a_flood_of_commands_in_flight_are_matched_in_time(void **state)
{
	struct envelope *e = *state;

	for (uint32_t i = 0; i < 1u << 18; i++)
		enter_info(e, (uint16_t)i);
	for (uint32_t i = 0; i < 1u << 18; i++) {
		struct message m = info_reply((uint16_t)i);

		envelope_received(e, &m);
	}
	assert_int_equal(envelope_outstanding(e), 0);
	assert_int_equal(envelope_violations(e, UINT32_MAX, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void a_reset_one_is_as_new(void **state)
{
	struct envelope *e = *state;
	struct message twin = { .command = WIRE_DMA_READ, .msg_size = 32 };

	envelope_set_twin(e);
	envelope_set_max_fds(e, 9);
	enter_info(e, 1);
	enter_info(e, 2);
	assert_clean(e, info_reply(1));
	assert_blamed(e, info_reply(1), "envelope.unexpected-reply", "HDR-REPLY-001");
	envelope_reset(e);
	assert_int_equal(envelope_outstanding(e), 0);
	assert_int_equal(envelope_violations(e, UINT32_MAX, NULL), 0);
	assert_clean(e, twin);
	enter_info(e, 2);
	assert_int_equal(envelope_outstanding(e), 1);
	assert_clean(e, info_reply(2));
	assert_int_equal(envelope_outstanding(e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(good_replies_pass_in_any_order),
		TEST(a_reset_one_is_as_new),
		TEST(an_id_may_repeat_in_flight),
		TEST(replies_that_match_nothing_are_blamed_by_what_is_nearest),
		TEST(a_second_reply_does_not_pass_for_another_one),
		TEST(a_command_with_no_reply_is_not_answered),
		TEST(a_negotiation_with_no_reply_is_answered_or_not),
		TEST(a_maybe_is_answered_or_not),
		TEST(all_messages_of_one_send_are_entered),
		TEST(header_of_a_reply_is_judged),
		TEST(error_replies_are_bare_headers),
		TEST(a_success_reply_has_its_fixed_part),
		TEST(descriptors_are_counted),
		TEST(replies_stay_on_the_channel_of_the_command),
		TEST(a_server_sends_its_own_commands_only),
		TEST(page_requests_have_to_be_negotiated_and_want_no_reply),
		TEST(pages_are_asked_for_in_the_poc_dialect_only_where_it_is_spoken),
		TEST(the_list_of_violations_is_bounded_and_the_count_is_not),
		TEST(the_text_has_room_for_the_longest_numbers),
		TEST(a_flood_of_commands_in_flight_are_matched_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
