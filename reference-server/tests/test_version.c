/* SPDX-License-Identifier: BSD-3-Clause */
/* test_version.c - the version rule, and a table of good and bad version data. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "call.h"
#include "version.h"

static const struct version_offer offer = {
	.max_msg_fds = 16,
	.max_data_xfer_size = 65536,
	.max_dma_maps = 100,
	.pgsizes = 4096,
};

struct input {
	const char *text;
	size_t size;	/* the text's own NUL is its last byte unless it is left out here */
};

#define TEXT(literal) { literal, sizeof(literal) }
#define CAPS(literal) TEXT("{\"capabilities\":{" literal "}}")
#define CUT(literal) { literal, sizeof(literal) - 1 }

static const struct input good[] = {
	TEXT("{}"),
	TEXT(" {\n\t} \r\n"),
	TEXT("{\"capabilities\":{}}"),
	TEXT("{\"other\":[1,2.5,null,\"\\u00e9\"]}"),
	CAPS("\"max_msg_fds\":0"),
	CAPS("\"max_msg_fds\":4294967295"),
	CAPS("\"max_data_xfer_size\":1"),
	CAPS("\"max_dma_maps\":0"),
	CAPS("\"pgsizes\":4096"),
	CAPS("\"pgsizes\":18446744073709551615"),
	CAPS("\"x_test\":{\"a\":[1,2]},\"max_msg_fds\":1"),
	CAPS("\"write_multiple\":true,\"twin_socket\":{\"supported\":true,\"fd_index\":0}"),
	CAPS("\"twin_socket\":{}"),
};

static const struct input bad[] = {
	TEXT(""),
	TEXT("{"),
	TEXT("\""),
	TEXT("{]"),
	TEXT("{'a':1}"),
	TEXT("plain text"),
	TEXT("{} x"),
	TEXT("{}{}"),
	TEXT("{}\0"),
	TEXT("{}\0x"),
	CUT("{}"),
	CUT("{\"capabilities\":{}}"),
	TEXT("[]"),
	TEXT("3"),
	TEXT("\"x\""),
	TEXT("null"),
	TEXT("true"),
	TEXT("{\"a\":1,}"),
	TEXT("{\"a\":01}"),
	TEXT("{\"a\":NaN}"),
	TEXT("{\"a\":\"\xff\xfe\"}"),
	TEXT("{\"a\xff\":1}"),
	TEXT("{\"a\":\"\x01\"}"),
	TEXT("/* x */{}"),
	TEXT("{\"a\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}"),
	TEXT("{\"capabilities\":\"x\"}"),
	TEXT("{\"capabilities\":null}"),
	TEXT("{\"capabilities\":[]}"),
	TEXT("{\"capabilities\":1}"),
	CAPS("\"max_msg_fds\":\"1\""),
	CAPS("\"max_msg_fds\":true"),
	CAPS("\"max_msg_fds\":null"),
	CAPS("\"max_msg_fds\":1.5"),
	CAPS("\"max_msg_fds\":-1"),
	CAPS("\"max_msg_fds\":4294967296"),
	CAPS("\"max_msg_fds\":9223372036854775808"),
	CAPS("\"max_msg_fds\":99999999999999999999999"),
	CAPS("\"max_msg_fds\":1e400"),
	CAPS("\"max_data_xfer_size\":0"),
	CAPS("\"max_data_xfer_size\":-1"),
	CAPS("\"max_data_xfer_size\":\"x\""),
	CAPS("\"max_data_xfer_size\":1099511627776"),
	CAPS("\"max_dma_maps\":-1"),
	CAPS("\"pgsizes\":\"x\""),
	CAPS("\"pgsizes\":0"),
	CAPS("\"pgsizes\":3"),
	CAPS("\"pgsizes\":8192"),
	CAPS("\"twin_socket\":true"),
	CAPS("\"twin_socket\":{\"supported\":\"yes\"}"),
	CAPS("\"write_multiple\":1"),
};

static int set_up(void **state)
{
	static struct call call;

	*state = &call;
	return call_open(&call);
}

static int tear_down(void **state)
{
	call_close(*state);
	return 0;
}

static int propose(struct call *call, uint16_t major, uint16_t minor, struct input input)
{
	struct version version = { &offer, &call->session };
	struct wire_version numbers = { major, minor };
	/* Exactly as large as the body, so that a sanitizer sees any step beyond it. */
	uint8_t *body = malloc(sizeof(numbers) + input.size);
	int error;

	assert_non_null(body);
	memcpy(body, &numbers, sizeof(numbers));
	if (input.size)
		memcpy(body + sizeof(numbers), input.text, input.size);
	error = call_handler(call, version_command, &version, body, sizeof(numbers) + input.size);
	free(body);
	return error;
}

static void good_data_is_accepted(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct call *call = *state;

		if (propose(call, 0, 0, good[i]))
			fail_msg("refused: %s", good[i].text);
		assert_int_equal(call->session.phase, SESSION_NEGOTIATED);
		call->session.phase = SESSION_CONNECTED;
	}
}

static void bad_data_is_refused_and_negotiates_nothing(void **state)
{
	struct call *call = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (propose(call, 0, 0, bad[i]) != -EINVAL)
			fail_msg("input %zu is not refused: %s", i, bad[i].text);
		assert_int_equal(call->session.phase, SESSION_CONNECTED);
		assert_int_equal(call->session.limits.max_data_xfer_size, 1048576);
	}
}

static void expect_reply(struct call *call, uint16_t minor, const char *text)
{
	struct wire_version numbers;

	memcpy(&numbers, call->reply, sizeof(numbers));
	assert_int_equal(numbers.major, 0);
	assert_int_equal(numbers.minor, minor);
	assert_int_equal(call->size, sizeof(numbers) + (text ? strlen(text) + 1 : 0));
	if (text)
		assert_memory_equal(call->reply + sizeof(numbers), text, strlen(text) + 1);
}

static void the_smaller_minor_version_is_taken(void **state)
{
	static const struct input none = { NULL, 0 };
	struct call *call = *state;

	assert_int_equal(propose(call, 0, 0, none), 0);
	expect_reply(call, 0, NULL);
	assert_int_equal(propose(call, 0, 1, none), 0);
	expect_reply(call, 1, NULL);
	assert_int_equal(propose(call, 0, 0xffff, none), 0);
	expect_reply(call, 1, NULL);
}

static void another_major_version_is_refused(void **state)
{
	static const struct input none = { NULL, 0 };
	struct call *call = *state;

	assert_int_equal(propose(call, 1, 0, none), -EPROTONOSUPPORT);
	assert_int_equal(propose(call, 0xffff, 0, none), -EPROTONOSUPPORT);
	assert_int_equal(call->session.phase, SESSION_CONNECTED);
}

static void the_reply_has_the_proposed_keys_only(void **state)
{
	static const struct input empty = TEXT("{}");
	static const struct input some = CAPS("\"pgsizes\":12288,\"write_multiple\":true");
	static const struct input all = CAPS("\"max_dma_maps\":1,\"max_data_xfer_size\":2,"
					     "\"max_msg_fds\":3,\"pgsizes\":4096");
	struct call *call = *state;

	assert_int_equal(propose(call, 0, 1, empty), 0);
	expect_reply(call, 1, "{\"capabilities\":{}}");
	assert_int_equal(propose(call, 0, 1, some), 0);
	expect_reply(call, 1, "{\"capabilities\":{\"pgsizes\":4096,\"write_multiple\":true}}");
	assert_int_equal(propose(call, 0, 1, all), 0);
	expect_reply(call, 1, "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":65536,"
		     "\"max_dma_maps\":100,\"pgsizes\":4096}}");
}

static void limits_that_are_not_announced_keep_their_defaults(void **state)
{
	static const struct input empty = TEXT("{}");
	static const struct input all = CAPS("\"max_dma_maps\":1,\"max_data_xfer_size\":2,"
					     "\"max_msg_fds\":3");
	struct call *call = *state;
	struct session_limits *limits = &call->session.limits;

	assert_int_equal(propose(call, 0, 1, empty), 0);
	assert_int_equal(limits->client_max_msg_fds, 1);
	assert_int_equal(limits->max_data_xfer_size, 1048576);
	assert_int_equal(limits->max_dma_maps, 65535);
	assert_int_equal(propose(call, 0, 1, all), 0);
	assert_int_equal(limits->client_max_msg_fds, 3);
	assert_int_equal(limits->max_data_xfer_size, 65536);
	assert_int_equal(limits->max_dma_maps, 100);
}

static void the_twin_socket_comes_if_it_can(void **state)
{
	static const struct input asked = CAPS("\"twin_socket\":{\"supported\":true,"
					       "\"fd_index\":3}");
	static const struct input no_room = CAPS("\"max_msg_fds\":0,"
						 "\"twin_socket\":{\"supported\":true}");
	struct call *call = *state;

	assert_int_equal(propose(call, 0, 1, no_room), 0);
	expect_reply(call, 1, "{\"capabilities\":{\"max_msg_fds\":16}}");
	assert_int_equal(call->fds, 0);
	assert_false(call->session.twinned);
	assert_int_equal(propose(call, 0, 1, asked), 0);
	expect_reply(call, 1, "{\"capabilities\":{\"twin_socket\":{\"supported\":true,"
		     "\"fd_index\":0}}}");
	assert_int_equal(call->fds, 1);
	assert_true(call->session.twinned);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(good_data_is_accepted),
		CASE(bad_data_is_refused_and_negotiates_nothing),
		CASE(the_smaller_minor_version_is_taken),
		CASE(another_major_version_is_refused),
		CASE(the_reply_has_the_proposed_keys_only),
		CASE(the_twin_socket_comes_if_it_can),
		CASE(limits_that_are_not_announced_keep_their_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
