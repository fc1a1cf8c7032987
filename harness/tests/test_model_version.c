/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_version: what must be taken, what must be refused, what a reply may hold. */
#include <stdio.h>

#include "judged.h"
#include "program.h"

#define ROOM 8192u

static int set_up(void **state)
{
	const struct model_options options = { 0 };
	struct judged *j = calloc(1, sizeof(*j));

	if (!j || model_new(&options, &j->model))
		return -1;
	*state = j;
	return 0;
}

/* A body of VERSION with this text as version data; `size` of them, the NUL included. */
struct version {
	uint8_t bytes[ROOM];
	size_t size;
};

static struct version version_of(uint16_t major, uint16_t minor, const char *text, size_t size)
{
	const struct wire_version numbers = { major, minor };
	struct version version = { .size = sizeof(numbers) + size };

	memcpy(version.bytes, &numbers, sizeof(numbers));
	memcpy(version.bytes + sizeof(numbers), text, size);
	return version;
}

static void propose(struct judged *j, const char *text, size_t size)
{
	struct version version = version_of(0, 0, text, size);

	ask(j, WIRE_VERSION, PART_OF(version.bytes, version.size));
}

/* What the model says about this text. */
static struct model_expect about(struct judged *j, const char *text, size_t size)
{
	propose(j, text, size);
	return allowed(j);
}

static const char *word(const struct model_expect *expect)
{
	if (!expect->error)
		return "taken";
	assert_true(expect->closed);
	return expect->ok ? "doubtful" : "refused";
}

struct row {
	const char *text;
	const char *lenient;
	const char *strict;	/* with N9 and N10 */
};

static const struct row texts[] = {
	{ "{}", "taken", "taken" },
	{ " {\n\"capabilities\" : { }\t}\r\n", "taken", "taken" },
	{ "{\"other\":[1,{\"a\":null}],\"capabilities\":{\"x\":-1,\"max_msg_fds\":0}}", "taken",
	  "taken" },
	{ "{\"capabilities\":{\"max_data_xfer_size\":16,\"max_dma_maps\":65535,\"pgsizes\":4096,"
	  "\"write_multiple\":false,\"twin_socket\":{\"supported\":false}}}", "taken", "taken" },
	{ "{", "refused", "refused" },
	{ "{]", "refused", "refused" },
	{ "{\"a\"}", "refused", "refused" },
	{ "", "doubtful", "refused" },
	{ "capabilities", "doubtful", "refused" },
	{ "[]", "doubtful", "refused" },
	{ "null", "doubtful", "refused" },
	{ "{\"capabilities\":null}", "doubtful", "refused" },
	{ "{\"capabilities\":[]}", "doubtful", "refused" },
	{ "{} x", "doubtful", "refused" },
	{ "{}{}", "doubtful", "refused" },
	{ "{'a':1}", "doubtful", "doubtful" },
	{ "{\"a\":01}", "doubtful", "refused" },
	{ "{\"a\":1.5}", "doubtful", "doubtful" },
	{ "{\"a\":1,\"a\":2}", "doubtful", "doubtful" },
	{ "{\"a\":\"\\u0041\"}", "doubtful", "doubtful" },
	{ "{\"\xc3\xa4\":1}", "doubtful", "doubtful" },
	{ "\xef\xbb\xbf{}", "doubtful", "doubtful" },
	{ "{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"max_msg_fds\":-1}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"max_msg_fds\":4294967296}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"max_msg_fds\":\"1\"}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"max_data_xfer_size\":0}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"pgsizes\":3}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"pgsizes\":0}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"max_dma_maps\":18446744073709551616}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"write_multiple\":1}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"twin_socket\":true}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"twin_socket\":{\"supported\":1}}}", "doubtful", "doubtful" },
	{ "{\"capabilities\":{\"twin_socket\":{\"supported\":true},\"max_msg_fds\":0}}", "doubtful",
	  "doubtful" },
};

static void version_data_are_taken_or_refused(void **state)
{
	struct judged *j = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const struct row *row = &texts[i];
		struct model_expect expect;

		model_free(j->model);
		assert_int_equal(model_new(&(struct model_options){ 0 }, &j->model), 0);
		expect = about(j, row->text, strlen(row->text) + 1);
		if (strcmp(word(&expect), row->lenient) != 0)
			print_error("%s\n", row->text);
		assert_string_equal(word(&expect), row->lenient);
		model_free(j->model);
		assert_int_equal(model_new(&(struct model_options){ .strict = UINT64_MAX },
					   &j->model), 0);
		expect = about(j, row->text, strlen(row->text) + 1);
		if (strcmp(word(&expect), row->strict) != 0)
			print_error("%s\n", row->text);
		assert_string_equal(word(&expect), row->strict);
	}
}

static void end_of_version_data_is_a_nul(void **state)
{
	struct judged *j = *state;
	struct model_expect expect = about(j, "{}", 2);

	assert_string_equal(word(&expect), "doubtful");
	model_free(j->model);
	assert_int_equal(model_new(&(struct model_options){ .strict = UINT64_MAX }, &j->model), 0);
	expect = about(j, "{}", 2);
	assert_string_equal(word(&expect), "refused");
	assert_string_equal(expect.requirement, "VER-JSON-003");
	model_free(j->model);
	assert_int_equal(model_new(&(struct model_options){ .strict = UINT64_MAX }, &j->model), 0);
	expect = about(j, "{}\0{}", 6);
	assert_string_equal(expect.requirement, "VER-JSON-004");
}

static void long_version_data_are_not_judged(void **state)
{
	char text[ROOM - 4];
	struct model_expect expect;

	memset(text, ' ', sizeof(text));
	memcpy(text, "{}", 2);
	text[sizeof(text) - 1] = '\0';
	expect = about(*state, text, sizeof(text));
	assert_string_equal(word(&expect), "doubtful");
}

static void version_data_are_optional(void **state)
{
	struct model_expect expect = about(*state, "", 0);

	assert_string_equal(word(&expect), "taken");
	assert_string_equal(expect.requirement, "VER-JSON-001");
}

static void other_major_version_is_refused(void **state)
{
	struct judged *j = *state;
	struct version version = version_of(1, 0, "", 0);

	ask(j, WIRE_VERSION, PART_OF(version.bytes, version.size));
	assert_true(allowed(j).closed && !allowed(j).ok);
	answer(j, WIRE_VERSION, PART_OF(version.bytes, version.size));
	found(j, "VER-NEG-004");
}

static void negotiation_without_reply_may_lead_to_anything(void **state)
{
	struct judged *j = *state;
	struct version version = version_of(0, 0, "", 0);

	ask_flagged(j, WIRE_VERSION, PART_OF(version.bytes, version.size), WIRE_NO_REPLY);
	assert_true(allowed(j).ok && allowed(j).error && allowed(j).closed && allowed(j).silence);
	ask(j, WIRE_DEVICE_GET_INFO, ZEROS(16));
	answer_error(j, WIRE_DEVICE_GET_INFO);
	found(j, "");
	assert_int_equal(j->model->phase, MODEL_LOST);
}

/* ---- the reply ---- */

#define OFFER "{\"capabilities\":{\"max_msg_fds\":8,\"write_multiple\":true}}"
#define TWIN_OFFER "{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}"

/* The reply to an offer: with this text, and so many descriptors. */
static void replied(struct judged *j, const char *offer, const struct version *reply, size_t nfds,
		    const char *requirement)
{
	struct wire_header header = {
		.command = WIRE_VERSION,
		.flags = WIRE_TYPE_REPLY,
	};
	struct model_message message = {
		.header = &header,
		.body = reply->bytes,
		.size = reply->size,
		.nfds = nfds,
	};

	model_free(j->model);
	j->found = 0;
	assert_int_equal(model_new(&(struct model_options){ 0 }, &j->model), 0);
	propose(j, offer, strlen(offer) + 1);
	header.id = j->id;
	assert_int_equal(model_received(j->model, &message), 0);
	found(j, requirement);
}

static void text_replied(struct judged *j, const char *offer, const char *text, size_t nfds,
			 const char *requirement)
{
	struct version reply = version_of(0, 0, text, *text ? strlen(text) + 1 : 0);

	replied(j, offer, &reply, nfds, requirement);
}

static void numbers_of_the_reply_are_judged(void **state)
{
	struct version reply = version_of(1, 0, "", 0);

	replied(*state, OFFER, &reply, 0, "VER-NEG-003");
	reply = version_of(0, 1, "", 0);
	replied(*state, OFFER, &reply, 0, "VER-NEG-005");
	reply.size = 3;
	replied(*state, OFFER, &reply, 0, "HDR-SIZE-001");
	reply = version_of(0, 0, "{}", 2);
	replied(*state, OFFER, &reply, 0, "VER-NEG-009");
}

static void version_data_of_the_reply_are_judged(void **state)
{
	static const char *const wrong[] = {
		"[]", "{\"capabilities\":1}", "{", "{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"pgsizes\":0}}", "{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"max_dma_maps\":\"1\"}}",
		"{\"capabilities\":{\"twin_socket\":{\"fd_index\":-1}}}",
	};

	text_replied(*state, OFFER, "", 0, "");
	text_replied(*state, OFFER, OFFER, 0, "");
	text_replied(*state, OFFER, "{\"capabilities\":{\"max_dma_maps\":0}}", 0, "");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		text_replied(*state, OFFER, wrong[i], 0, "VER-JSON-009");
}

static void what_was_not_offered_is_not_enabled(void **state)
{
	text_replied(*state, "{}", OFFER, 0, "VER-NEG-007");
	text_replied(*state, "{\"capabilities\":{\"write_multiple\":1}}", OFFER, 0, "");
}

static void twin_socket_comes_with_its_descriptor(void **state)
{
	static const char with_index[] =
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}";
	static const char other_index[] =
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":1}}}";
	static const char without[] =
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true},\"max_msg_fds\":0}}";

	text_replied(*state, TWIN_OFFER, with_index, 1, "");
	assert_true(((struct judged *)*state)->model->server.twin);
	text_replied(*state, TWIN_OFFER, "{}", 0, "");
	text_replied(*state, TWIN_OFFER, with_index, 0, "TWIN-NEG-002");
	text_replied(*state, TWIN_OFFER, other_index, 1, "TWIN-NEG-002");
	text_replied(*state, TWIN_OFFER, TWIN_OFFER, 1, "TWIN-NEG-002");
	text_replied(*state, OFFER, with_index, 1, "TWIN-NEG-001");
	text_replied(*state, TWIN_OFFER, "{}", 1, "TWIN-NEG-001");
	text_replied(*state, without, with_index, 1, "TWIN-NEG-003");
}

static void limits_are_those_that_were_announced(void **state)
{
	struct judged *j = *state;

	text_replied(j, OFFER, "{\"capabilities\":{\"max_msg_fds\":5,\"pgsizes\":6144}}", 0, "");
	assert_int_equal(j->model->client.max_msg_fds, 8);
	assert_int_equal(j->model->server.max_msg_fds, 5);
	assert_int_equal(model_limit(j->model, PROGRAM_MAX_MSG_FDS), 5);
	assert_int_equal(model_limit(j->model, PROGRAM_PGSIZE), 2048);
	assert_int_equal(model_limit(j->model, PROGRAM_MAX_DATA_XFER_SIZE), 1u << 20);
	assert_int_equal(model_limit(j->model, PROGRAM_MAX_DMA_MAPS), 65535);
	assert_int_equal(model_limit(j->model, PROGRAM_NUMBER), 0);
	ask(j, WIRE_VERSION, ZEROS(4));
	assert_true(allowed(j).ok && allowed(j).error && allowed(j).closed);
	answer(j, WIRE_VERSION, ZEROS(4));
	found(j, "");
	assert_int_equal(j->model->server.max_msg_fds, 5);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, judged_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(version_data_are_taken_or_refused),
		FRESH(end_of_version_data_is_a_nul),
		FRESH(long_version_data_are_not_judged),
		FRESH(version_data_are_optional),
		FRESH(other_major_version_is_refused),
		FRESH(negotiation_without_reply_may_lead_to_anything),
		FRESH(numbers_of_the_reply_are_judged),
		FRESH(version_data_of_the_reply_are_judged),
		FRESH(what_was_not_offered_is_not_enabled),
		FRESH(twin_socket_comes_with_its_descriptor),
		FRESH(limits_are_those_that_were_announced),
	};

	return cmocka_run_group_tests_name("model_version", tests, NULL, NULL);
}
