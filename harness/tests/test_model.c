/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model and model_judge: what holds for all commands, and the order of the stream. */
#include <stdio.h>

#include "judged.h"

#define TYPE(type) (type)

static const struct wire_dma_map map_of_a_page = {
	.argsz = sizeof(map_of_a_page),
	.flags = WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE,
	.address = 0x10000,
	.size = 0x1000,
};
static const struct wire_dma_unmap unmap_of_a_page = {
	.argsz = sizeof(unmap_of_a_page),
	.address = 0x10000,
	.size = 0x1000,
};
static const struct wire_device_info info = { .argsz = sizeof(info) };
static const struct wire_device_info described = {
	.argsz = sizeof(described),
	.flags = WIRE_DEVICE_FLAG_PCI | WIRE_DEVICE_FLAG_RESET,
	.num_regions = JUDGED_REGIONS,
	.num_irqs = JUDGED_IRQS,
};

/* The answer to the command that was sent with this id. */
static void answer_to(struct judged *j, uint16_t id, uint16_t command, struct judged_part part,
		      uint32_t error)
{
	const struct wire_header header = {
		.id = id,
		.command = command,
		.msg_size = (uint32_t)(sizeof(header) + part.size),
		.flags = WIRE_TYPE_REPLY | (error ? WIRE_ERROR : 0),
		.error = error,
	};

	judged_message(j, &header, part, true);
}

static void map(struct judged *j)
{
	tell(j, WIRE_DMA_MAP, PART(map_of_a_page), NOTHING, "");
}

/* The finding that the test names last, by its code. */
static void found_as(struct judged *j, const char *code, const char *requirement)
{
	struct model_finding finding;

	found(j, requirement);
	model_findings(j->model, j->found - 1, &finding);
	assert_string_equal(finding.code, code);
}

/* ---- one message ---- */

static void nothing_is_executed_before_the_negotiation(void **state)
{
	const struct model_options options = { 0 };
	struct judged j = { 0 };
	struct model_expect expect;

	(void)state;
	assert_int_equal(model_new(&options, &j.model), 0);
	assert_false(model_expect(j.model, &expect));
	must_fail(&j, WIRE_DEVICE_GET_INFO, PART(info), "VER-NEG-002");
	must_fail(&j, 999, NOTHING, "VER-NEG-002");
	ask(&j, WIRE_DEVICE_RESET, NOTHING);
	assert_true(allowed(&j).closed);
	model_closed(j.model);
	found(&j, "");
	model_free(j.model);
}

static void what_is_no_command_of_a_client_is_refused(void **state)
{
	static const uint16_t unknown[] = { 0, 14, 19, 999, UINT16_MAX };

	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		must_fail(*state, unknown[i], ZEROS(64), "HDR-UNK-001");
	must_fail(*state, WIRE_DMA_READ, ZEROS(16), "HDR-UNK-002");
	must_fail(*state, WIRE_DMA_WRITE, ZEROS(24), "HDR-UNK-002");
}

static void short_payload_is_refused(void **state)
{
	must_fail(*state, WIRE_DEVICE_GET_INFO, ZEROS(15), "INFO-DEV-006");
	must_fail(*state, WIRE_DMA_MAP, NOTHING, "DMA-MAP-003");
	must_fail(*state, WIRE_DMA_UNMAP, ZEROS(23), "DMA-UNMAP-009");
	must_fail(*state, WIRE_VERSION, ZEROS(3), "VER-NEG-010");
	must_fail(*state, WIRE_REGION_READ, ZEROS(15), "RW-READ-002");
	must_fail(*state, WIRE_DEVICE_FEATURE, ZEROS(7), "FEAT-GEN-001");
}

static void message_that_is_no_command_is_not_executed(void **state)
{
	struct judged *j = *state;

	ask_flagged(j, WIRE_DEVICE_GET_INFO, PART(info), TYPE(2));
	assert_false(allowed(j).ok);
	assert_true(allowed(j).error && allowed(j).silence && allowed(j).closed);
	answer(j, WIRE_DEVICE_GET_INFO, PART(described));
	found_as(j, "reply.unexpected-success", "HDR-FLAG-002");
	ask_flagged(j, WIRE_DEVICE_GET_INFO, PART(info), TYPE(15));
	answer_error(j, WIRE_DEVICE_GET_INFO);
	found(j, "");
	ask_flagged(j, WIRE_DMA_READ, NOTHING, WIRE_TYPE_REPLY);
	answer_error(j, WIRE_DMA_READ);
	found(j, "");
}

static void answer_to_a_reply_is_found_where_that_is_read_strictly(void **state)
{
	struct judged *j = *state;

	j->model->strict = (uint64_t)1 << MODEL_T7;
	ask_flagged(j, WIRE_REGION_WRITE, NOTHING, WIRE_TYPE_REPLY);
	assert_false(allowed(j).error);
	answer_error(j, WIRE_REGION_WRITE);
	found_as(j, "reply.unexpected-error", "HDR-FLAG-003");
}

/* It may be refused, or end the connection; what comes behind it is not judged. */
static void size_below_the_header_is_refused(void **state)
{
	struct judged *j = *state;
	struct wire_header header = { .id = 77, .command = WIRE_DEVICE_RESET, .msg_size = 15 };
	const struct model_message message = { .header = &header };

	assert_int_equal(model_sent(j->model, &message), 0);
	assert_true(allowed(j).error && allowed(j).closed && !allowed(j).ok);
	header.flags = WIRE_TYPE_REPLY;
	header.msg_size = 16;
	assert_int_equal(model_received(j->model, &message), 0);
	found(j, "HDR-SIZE-002");
	header.flags = WIRE_TYPE_COMMAND;
	assert_int_equal(model_sent(j->model, &message), 0);
	model_waited(j->model);
	found(j, "");
}

static void command_on_the_twin_socket_is_not_executed(void **state)
{
	struct judged *j = *state;
	const struct wire_header header = { .id = 77, .command = WIRE_DMA_MAP, .msg_size = 48 };
	const struct wire_header reply = { .id = 77, .command = WIRE_DMA_MAP,
					   .flags = WIRE_TYPE_REPLY };
	struct model_message message = {
		.header = &header,
		.body = (const uint8_t *)&map_of_a_page,
		.size = sizeof(map_of_a_page),
		.channel = 1,
	};

	assert_int_equal(model_sent(j->model, &message), 0);
	assert_true(allowed(j).silence && allowed(j).closed && !allowed(j).ok);
	message = (struct model_message){ .header = &reply, .channel = 1 };
	assert_int_equal(model_received(j->model, &message), 0);
	found(j, "TWIN-IO-003");
}

/* The server need not read there, so that not even what is no message has to be refused. */
static void size_below_the_header_on_the_twin_socket_may_stay_unread(void **state)
{
	struct judged *j = *state;
	const struct wire_header header = { .id = 77, .command = WIRE_DEVICE_RESET };
	const struct model_message message = { .header = &header, .channel = 1 };

	assert_int_equal(model_sent(j->model, &message), 0);
	assert_true(allowed(j).silence && allowed(j).closed && !allowed(j).ok);
	model_waited(j->model);
	found(j, "");
}

static void flags_without_meaning_may_be_refused_or_ignored(void **state)
{
	static const uint32_t strange[] = { WIRE_ERROR, 1u << 6, 1u << 31 };
	struct judged *j = *state;

	for (size_t i = 0; i < 3; i++) {
		ask_flagged(j, WIRE_DEVICE_GET_INFO, PART(info), strange[i]);
		assert_true(allowed(j).ok && allowed(j).error);
		answer_error(j, WIRE_DEVICE_GET_INFO);
	}
	found(j, "");
}

static void excess_may_be_refused(void **state)
{
	static const struct model_fd fds[9] = { { .kind = MODEL_FD_EVENTFD } };
	struct judged *j = *state;
	struct judged_part many = { &info, sizeof(info), fds, 1 };

	ask(j, WIRE_DEVICE_GET_INFO, many);
	assert_true(allowed(j).ok && allowed(j).error && !allowed(j).closed);
	answer(j, WIRE_DEVICE_GET_INFO, PART(described));
	many.nfds = 9;
	ask(j, WIRE_DEVICE_GET_INFO, many);
	assert_true(allowed(j).ok && allowed(j).error && allowed(j).closed);
	answer_error(j, WIRE_DEVICE_GET_INFO);
	found(j, "");
}

static void server_out_of_descriptors_may_refuse_one(void **state)
{
	static const struct model_fd fd = { .writable = true, .size = 0x1000 };
	struct judged *j = *state;

	map(j);
	tell(j, WIRE_DMA_UNMAP, PART(unmap_of_a_page), PART(unmap_of_a_page), "");
	ask(j, WIRE_DMA_MAP, (struct judged_part){ &map_of_a_page, sizeof(map_of_a_page), &fd, 1 });
	assert_false(allowed(j).error);
	answer_to(j, j->id, WIRE_DMA_MAP, NOTHING, EMFILE);
	found(j, "");
	must_work(j, WIRE_DMA_MAP, PART(map_of_a_page), "DMA-MAP-001");
}

static void what_has_no_reply_is_expected_to_be_silent_before_the_negotiation_too(void **state)
{
	struct judged *j = *state;

	j->model->phase = MODEL_GREETING;
	ask_flagged(j, WIRE_DMA_MAP, PART(map_of_a_page), WIRE_NO_REPLY);
	assert_true(allowed(j).silence && allowed(j).closed);
	assert_false(allowed(j).ok || allowed(j).error);
}

static void size_of_a_payload_is_judged(void **state)
{
	struct wire_device_info small = { .argsz = 8 };

	tell(*state, WIRE_DEVICE_GET_INFO, PART(info), ZEROS(15), "HDR-SIZE-001");
	tell(*state, WIRE_DEVICE_GET_INFO, PART(info), ZEROS(17), "ARGSZ-GEN-004");
	tell(*state, WIRE_DEVICE_GET_INFO, PART(small), ZEROS(8), "");
	tell(*state, WIRE_DEVICE_GET_INFO, PART(small), ZEROS(9), "ARGSZ-GEN-005");
	tell(*state, WIRE_DMA_MAP, PART(map_of_a_page), ZEROS(1), "ARGSZ-GEN-004");
}

/* ---- the order of the stream ---- */

static void replies_out_of_order_are_judged_in_the_order_of_the_commands(void **state)
{
	struct judged *j = *state;
	uint16_t first = j->id;

	ask(j, WIRE_DMA_MAP, PART(map_of_a_page));
	ask(j, WIRE_DMA_UNMAP, PART(unmap_of_a_page));
	ask(j, WIRE_DMA_UNMAP, PART(unmap_of_a_page));
	ask(j, WIRE_DEVICE_GET_INFO, PART(info));
	answer_to(j, (uint16_t)(first + 4), WIRE_DEVICE_GET_INFO, PART(described), 0);
	answer_to(j, (uint16_t)(first + 3), WIRE_DMA_UNMAP, PART(unmap_of_a_page), 0);
	answer_to(j, (uint16_t)(first + 2), WIRE_DMA_UNMAP, PART(unmap_of_a_page), 0);
	found(j, "");
	answer_to(j, (uint16_t)(first + 1), WIRE_DMA_MAP, NOTHING, 0);
	found_as(j, "reply.unexpected-success", "DMA-UNMAP-003");
	assert_int_equal(j->model->count, 0);
	assert_int_equal(j->model->stored, 0);
	assert_int_equal(j->model->answered, 0);
}

static void repeated_ids_are_answered_in_order(void **state)
{
	struct judged *j = *state;

	for (int i = 0; i < 20; i++) {
		j->id = 41;
		ask(j, i % 2 ? WIRE_DMA_UNMAP : WIRE_DMA_MAP,
		    i % 2 ? PART(unmap_of_a_page) : PART(map_of_a_page));
	}
	for (int i = 0; i < 10; i++) {
		answer(j, WIRE_DMA_MAP, NOTHING);
		answer(j, WIRE_DMA_UNMAP, PART(unmap_of_a_page));
	}
	found(j, "");
	assert_int_equal(j->model->count, 0);
	answer(j, WIRE_DMA_MAP, NOTHING);
	found(j, "");
}

static void silence_is_over_when_something_behind_it_is_answered(void **state)
{
	struct judged *j = *state;

	ask_flagged(j, WIRE_DMA_MAP, PART(map_of_a_page), TYPE(7));
	ask(j, WIRE_DMA_MAP, PART(map_of_a_page));
	answer(j, WIRE_DMA_MAP, NOTHING);
	found(j, "");
	assert_int_equal(j->model->count, 0);
	assert_int_equal(j->model->dma.count, 1);
}

static void reply_that_may_be_to_either_of_two_is_not_judged(void **state)
{
	struct judged *j = *state;

	ask_flagged(j, WIRE_DMA_MAP, PART(map_of_a_page), TYPE(7));
	j->id--;
	ask(j, WIRE_DMA_MAP, PART(map_of_a_page));
	answer(j, WIRE_DMA_MAP, NOTHING);
	found(j, "");
	assert_int_equal(j->model->phase, MODEL_LOST);
}

static void command_without_reply_is_executed_when_it_must_work(void **state)
{
	struct judged *j = *state;

	map(j);
	ask_flagged(j, WIRE_DMA_UNMAP, PART(unmap_of_a_page), WIRE_NO_REPLY);
	assert_true(allowed(j).silence && !allowed(j).ok && !allowed(j).error);
	must_work(j, WIRE_DMA_MAP, PART(map_of_a_page), "DMA-MAP-001");
	must_fail(j, WIRE_DMA_UNMAP, PART(unmap_of_a_page), "DMA-UNMAP-003");
}

static void command_without_reply_leaves_a_doubt_when_it_may_fail(void **state)
{
	struct judged *j = *state;
	struct wire_dma_map odd = map_of_a_page;

	map(j);
	odd.address = 0x40001;
	ask_flagged(j, WIRE_DMA_MAP, PART(odd), WIRE_NO_REPLY);
	odd.address = 0x40000;
	may_fail(j, WIRE_DMA_MAP, PART(odd));
	may_fail(j, WIRE_DMA_UNMAP, PART(((struct wire_dma_unmap){ 24, 0, 0x40001, 0x1000 })));
	must_fail(j, WIRE_DMA_UNMAP, PART(((struct wire_dma_unmap){ 24, 0, 0x40001, 0x1000 })),
		  "DMA-UNMAP-003");
}

/* ---- the end ---- */

static void command_that_is_not_answered_is_found_at_the_end(void **state)
{
	struct judged *j = *state;

	ask(j, WIRE_DEVICE_GET_INFO, PART(info));
	ask(j, WIRE_DEVICE_GET_INFO, PART(info));
	model_closed(j->model);
	found_as(j, "reply.closed", "INFO-DEV-001");
	ask(j, WIRE_DEVICE_GET_INFO, PART(info));
	answer_error(j, WIRE_DEVICE_GET_INFO);
	found(j, "");
}

static void end_is_excused_by_what_allows_it(void **state)
{
	struct judged *j = *state;

	ask(j, WIRE_VERSION, ZEROS(4));
	answer_error(j, WIRE_VERSION);
	ask(j, WIRE_DEVICE_GET_INFO, PART(info));
	model_closed(j->model);
	found(j, "");
}

static void silence_is_found_when_nothing_more_comes(void **state)
{
	struct judged *j = *state;

	ask(j, WIRE_DMA_MAP, PART(map_of_a_page));
	ask_flagged(j, WIRE_DMA_MAP, PART(map_of_a_page), TYPE(3));
	model_waited(j->model);
	found_as(j, "reply.missing", "HDR-REPLY-001");
	assert_int_equal(j->model->count, 0);
	may_fail(j, WIRE_DMA_UNMAP, PART(unmap_of_a_page));
}

static void nothing_is_judged_after_a_broken_message(void **state)
{
	struct judged *j = *state;

	ask(j, WIRE_DEVICE_GET_INFO, PART(info));
	model_broke(j->model);
	answer_error(j, WIRE_DEVICE_GET_INFO);
	ask(j, WIRE_DEVICE_GET_INFO, PART(info));
	answer_error(j, WIRE_DEVICE_GET_INFO);
	model_waited(j->model);
	model_closed(j->model);
	found(j, "");
}

/* ---- bounds and words ---- */

static void queue_beyond_its_bound_is_given_up(void **state)
{
	struct judged *j = *state;

	for (uint32_t i = 0; i < MODEL_ASKED; i++)
		ask(j, WIRE_DEVICE_RESET, NOTHING);
	assert_int_equal(j->model->count, MODEL_ASKED);
	ask(j, WIRE_DEVICE_RESET, NOTHING);
	assert_int_equal(j->model->phase, MODEL_LOST);
	found(j, "");
}

static void replies_that_can_not_be_kept_end_the_judgement(void **state)
{
	struct judged *j = *state;
	uint8_t *large = calloc(1, MODEL_STORED);
	uint16_t first = j->id;

	assert_non_null(large);
	ask(j, WIRE_DEVICE_RESET, NOTHING);
	ask(j, WIRE_REGION_READ, ZEROS(16));
	answer_to(j, (uint16_t)(first + 2), WIRE_REGION_READ, PART_OF(large, MODEL_STORED), 0);
	free(large);
	answer_to(j, (uint16_t)(first + 1), WIRE_DEVICE_RESET, NOTHING, 0);
	assert_int_equal(j->model->phase, MODEL_LOST);
	found(j, "");
}

static void findings_beyond_those_kept_are_counted(void **state)
{
	struct judged *j = *state;
	struct model_finding finding = { .code = "none" };

	for (int i = 0; i < 2 * MODEL_KEPT; i++) {
		ask(j, 0, NOTHING);
		answer(j, 0, NOTHING);
	}
	assert_int_equal(model_findings(j->model, 2 * MODEL_KEPT - 1, &finding), 2 * MODEL_KEPT);
	assert_string_equal(finding.code, "none");
	model_findings(j->model, MODEL_KEPT - 1, &finding);
	assert_string_equal(finding.code, "reply.unexpected-success");
	assert_int_equal(finding.command, 0);
}

/* Whatever it has seen, found and kept, it is as one that has seen nothing. */
static void renewed_model_is_as_new(void **state)
{
	struct judged *j = *state;
	const struct model_options strict = { .strict = UINT64_C(1) << MODEL_D1 };
	struct model *new;
	struct model_expect expect;
	struct model_finding finding;

	map(j);
	ask(j, WIRE_DEVICE_RESET, NOTHING);
	model_waited(j->model);
	assert_int_equal(model_findings(j->model, 0, &finding), 1);
	for (uint32_t i = 0; i < 20; i++)
		ask(j, WIRE_DEVICE_GET_INFO, ZEROS(200));
	model_renew(j->model, &strict);
	assert_int_equal(model_findings(j->model, 0, &finding), 0);
	assert_false(model_expect(j->model, &expect));
	assert_int_equal(model_new(&strict, &new), 0);
	assert_memory_equal(j->model, new, offsetof(struct model, asked));
	model_free(new);
}

static void what_is_allowed_is_said_in_words(void **state)
{
	struct model_expect expect = {
		.ok = true,
		.error = true,
		.nerrnos = 2,
		.errnos = { 2, 22 },
	};
	char text[80];

	(void)state;
	model_expect_text(&expect, text, sizeof(text));
	assert_string_equal(text, "success, or error ENOENT|EINVAL");
	expect = (struct model_expect){ .closed = true, .silence = true };
	model_expect_text(&expect, text, sizeof(text));
	assert_string_equal(text, "the end of the connection, or silence");
	model_expect_text(&expect, text, 8);
	assert_string_equal(text, "the end");
}

static void readings_have_their_names(void **state)
{
	const char *const *names = model_readings();
	size_t count = 0;

	(void)state;
	while (names[count])
		count++;
	assert_int_equal(count, MODEL_READINGS);
	assert_string_equal(names[MODEL_D1], "D1");
	assert_string_equal(names[MODEL_L9], "L9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_executed_before_the_negotiation),
		JUDGED(what_is_no_command_of_a_client_is_refused),
		JUDGED(short_payload_is_refused),
		JUDGED(message_that_is_no_command_is_not_executed),
		JUDGED(answer_to_a_reply_is_found_where_that_is_read_strictly),
		JUDGED(size_below_the_header_is_refused),
		JUDGED(command_on_the_twin_socket_is_not_executed),
		JUDGED(size_below_the_header_on_the_twin_socket_may_stay_unread),
		JUDGED(flags_without_meaning_may_be_refused_or_ignored),
		JUDGED(excess_may_be_refused),
		JUDGED(server_out_of_descriptors_may_refuse_one),
		JUDGED(what_has_no_reply_is_expected_to_be_silent_before_the_negotiation_too),
		JUDGED(size_of_a_payload_is_judged),
		JUDGED(replies_out_of_order_are_judged_in_the_order_of_the_commands),
		JUDGED(repeated_ids_are_answered_in_order),
		JUDGED(silence_is_over_when_something_behind_it_is_answered),
		JUDGED(reply_that_may_be_to_either_of_two_is_not_judged),
		JUDGED(command_without_reply_is_executed_when_it_must_work),
		JUDGED(command_without_reply_leaves_a_doubt_when_it_may_fail),
		JUDGED(command_that_is_not_answered_is_found_at_the_end),
		JUDGED(end_is_excused_by_what_allows_it),
		JUDGED(silence_is_found_when_nothing_more_comes),
		JUDGED(nothing_is_judged_after_a_broken_message),
		JUDGED(queue_beyond_its_bound_is_given_up),
		JUDGED(replies_that_can_not_be_kept_end_the_judgement),
		JUDGED(findings_beyond_those_kept_are_counted),
		JUDGED(renewed_model_is_as_new),
		cmocka_unit_test(what_is_allowed_is_said_in_words),
		cmocka_unit_test(readings_have_their_names),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
