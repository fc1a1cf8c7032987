/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_requests and model_device: what the server asks for, and what it is. */
#include "judged.h"

#define BASE ((uint64_t)0x100000)
#define PAGE ((uint64_t)0x1000)
#define ROOM 0x2000u		/* for the data of one command */
#define MAP(address, size, flags) \
	PART(((struct wire_dma_map){ 32, flags, 0, address, size }))
#define UNMAP(address, size) PART(((struct wire_dma_unmap){ 24, 0, address, size }))
#define READ WIRE_DMA_MAP_READ
#define WRITE WIRE_DMA_MAP_WRITE

static struct wire_header command_of(uint16_t id, uint16_t command)
{
	return (struct wire_header){ .id = id, .command = command, .msg_size = 16 };
}

/* The server sends a command with this range and so many bytes behind. */
static void asked(struct judged *j, uint16_t command, uint64_t address, uint64_t count,
		  const char *requirement)
{
	const struct wire_dma_access dma = { address, count };
	const struct wire_header header = command_of(7, command);
	uint8_t body[sizeof(dma) + ROOM] = { 0 };
	const struct model_message message = {
		.header = &header,
		.body = body,
		.size = sizeof(dma) + (command == WIRE_DMA_WRITE ? (size_t)count : 0),
	};

	memcpy(body, &dma, sizeof(dma));
	assert_int_equal(model_received(j->model, &message), 0);
	found(j, requirement);
}

/* The client answers the oldest command, with `tail` bytes behind the structure. */
static void answered(struct judged *j, uint16_t command, uint64_t address, size_t tail)
{
	const struct wire_dma_access dma = { address, PAGE };
	struct wire_header header = command_of(7, command);
	uint8_t body[sizeof(dma) + ROOM] = { 0 };

	header.flags = WIRE_TYPE_REPLY;
	memcpy(body, &dma, sizeof(dma));
	judged_message(j, &header, PART_OF(body, sizeof(dma) + tail), false);
}

static void is_mapped(struct judged *j, uint64_t address, uint64_t size, uint32_t flags)
{
	tell(j, WIRE_DMA_MAP, MAP(address, size, flags), NOTHING, "");
}

static void server_reaches_what_is_mapped_and_nothing_else(void **state)
{
	struct judged *j = *state;

	asked(j, WIRE_DMA_READ, BASE, 1, "DMA-RW-003");
	is_mapped(j, BASE, PAGE, READ | WRITE);
	is_mapped(j, BASE + PAGE, PAGE, READ);
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	asked(j, WIRE_DMA_WRITE, BASE, PAGE, "");
	asked(j, WIRE_DMA_READ, BASE + 1, PAGE, "");
	asked(j, WIRE_DMA_WRITE, BASE + 1, PAGE, "DMA-RW-003");
	asked(j, WIRE_DMA_WRITE, BASE + PAGE, 1, "DMA-RW-003");
	asked(j, WIRE_DMA_READ, BASE + 2 * PAGE - 1, 2, "DMA-RW-003");
	asked(j, WIRE_DMA_READ, BASE - 1, 2, "DMA-RW-003");
	asked(j, WIRE_DMA_READ, UINT64_MAX, 2, "DMA-RW-003");
	asked(j, WIRE_DMA_READ, BASE, 0, "DMA-RW-001");
	is_mapped(j, UINT64_MAX - PAGE + 1, PAGE, READ);
	asked(j, WIRE_DMA_READ, UINT64_MAX, 1, "");
}

static void range_is_reached_from_its_map_to_the_reply_of_its_unmap(void **state)
{
	struct judged *j = *state;

	is_mapped(j, BASE + PAGE, PAGE, READ);
	ask(j, WIRE_DMA_MAP, MAP(BASE, PAGE, READ));
	asked(j, WIRE_DMA_READ, BASE + 1, PAGE, "");
	asked(j, WIRE_DMA_WRITE, BASE, PAGE, "DMA-RW-003");
	asked(j, WIRE_DMA_READ, BASE - 1, PAGE, "DMA-RW-003");
	answer(j, WIRE_DMA_MAP, NOTHING);
	ask(j, WIRE_DMA_UNMAP, UNMAP(BASE, PAGE));
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	answer(j, WIRE_DMA_UNMAP, UNMAP(BASE, PAGE));
	asked(j, WIRE_DMA_READ, BASE, PAGE, "DMA-RW-003");
}

static void range_that_may_be_mapped_may_be_reached(void **state)
{
	struct judged *j = *state;

	ask_flagged(j, WIRE_DMA_MAP, MAP(BASE, PAGE, READ), WIRE_NO_REPLY);
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	asked(j, WIRE_DMA_READ, BASE + PAGE, PAGE, "DMA-RW-003");
}

/* What was sent before an unmap without reply may come behind it; not behind a later reply. */
static void range_may_be_reached_until_something_is_answered(void **state)
{
	struct judged *j = *state;

	is_mapped(j, BASE, PAGE, READ);
	ask_flagged(j, WIRE_DMA_UNMAP, UNMAP(BASE, PAGE), WIRE_NO_REPLY);
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	asked(j, WIRE_DMA_READ, BASE + PAGE, PAGE, "DMA-RW-003");
	is_mapped(j, BASE + 4 * PAGE, PAGE, READ);
	asked(j, WIRE_DMA_READ, BASE, PAGE, "DMA-RW-003");
}

static void ranges_are_not_judged_between_two_sockets(void **state)
{
	struct judged *j = *state;

	j->model->client.twin = j->model->server.twin = true;
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	asked(j, WIRE_DMA_READ, BASE, 0, "DMA-RW-001");
}

static void count_is_at_most_the_client_s_limit(void **state)
{
	struct judged *j = *state;

	j->model->client.max_data_xfer_size = PAGE;
	is_mapped(j, BASE, 2 * PAGE, READ);
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	asked(j, WIRE_DMA_READ, BASE, PAGE + 1, "DMA-RW-004");
}

static void size_of_a_command_is_judged(void **state)
{
	struct judged *j = *state;
	const struct wire_dma_access dma = { BASE, 4 };
	const struct wire_header read = command_of(7, WIRE_DMA_READ);
	const struct wire_header write = command_of(7, WIRE_DMA_WRITE);
	uint8_t body[32] = { 0 };

	memcpy(body, &dma, sizeof(dma));
	is_mapped(j, BASE, PAGE, READ | WRITE);
	judged_message(j, &read, PART_OF(body, 17), true);
	found(j, "DMA-RW-001");
	judged_message(j, &write, PART_OF(body, 19), true);
	found(j, "DMA-RW-002");
	judged_message(j, &write, PART_OF(body, 20), true);
	found(j, "");
}

static void requests_wait_for_their_replies(void **state)
{
	struct judged *j = *state;

	is_mapped(j, BASE, PAGE, READ | WRITE);
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	asked(j, WIRE_DMA_WRITE, BASE, PAGE, "");
	assert_int_equal(model_requests(j->model), 2);
	answered(j, WIRE_DMA_WRITE, BASE, 0);
	assert_int_equal(model_requests(j->model), 1);
	answered(j, WIRE_DMA_READ, BASE, PAGE);
	assert_int_equal(model_requests(j->model), 0);
	assert_int_equal(j->model->count, 0);
	assert_false(j->model->may_close);
	for (uint32_t i = 0; i < MODEL_REQUESTS + 2; i++)
		asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	assert_int_equal(model_requests(j->model), MODEL_REQUESTS + 2);
	for (uint32_t i = 0; i < MODEL_REQUESTS + 2; i++)
		answered(j, WIRE_DMA_READ, BASE, PAGE);
	assert_int_equal(model_requests(j->model), 0);
}

static void answer_that_does_not_fit_excuses_the_end(void **state)
{
	static const size_t tails[] = { PAGE - 1, PAGE + 1 };
	struct judged *j = *state;

	is_mapped(j, BASE, PAGE, READ | WRITE);
	for (size_t i = 0; i < 2; i++) {
		asked(j, WIRE_DMA_READ, BASE, PAGE, "");
		answered(j, WIRE_DMA_READ, BASE, tails[i]);
		assert_true(j->model->may_close);
		j->model->may_close = false;
	}
	asked(j, WIRE_DMA_READ, BASE, PAGE, "");
	answered(j, WIRE_DMA_READ, BASE + 1, PAGE);
	ask(j, WIRE_DEVICE_GET_INFO, ZEROS(16));
	model_closed(j->model);
	found(j, "");
}

/* ---- the device ---- */

static void reply_of_get_info_is_judged(void **state)
{
	const struct wire_device_info good = { 16, WIRE_DEVICE_FLAG_PCI | WIRE_DEVICE_FLAG_RESET,
					       JUDGED_REGIONS, JUDGED_IRQS };
	struct judged *j = *state;
	const struct wire_device_info request = { .argsz = 4096 };
	struct wire_device_info reply = good;

	tell(j, WIRE_DEVICE_GET_INFO, PART(request), PART(good), "");
	reply.argsz = 4096;
	tell(j, WIRE_DEVICE_GET_INFO, PART(request), PART(reply), "INFO-DEV-001");
	reply = good;
	reply.num_irqs++;
	tell(j, WIRE_DEVICE_GET_INFO, PART(request), PART(reply), "INFO-DEV-001");
	reply.flags = WIRE_DEVICE_FLAG_RESET;
	j->model->device.known = false;
	tell(j, WIRE_DEVICE_GET_INFO, PART(request), PART(reply), "INFO-DEV-002");
	reply = good;
	reply.flags |= 4;
	j->model->device.known = false;
	tell(j, WIRE_DEVICE_GET_INFO, PART(request), PART(reply), "INFO-DEV-008");
	reply = good;
	reply.num_regions = 8;
	j->model->device.known = false;
	tell(j, WIRE_DEVICE_GET_INFO, PART(request), PART(reply), "INFO-DEV-004");
	reply = good;
	reply.num_irqs = 2;
	j->model->device.known = false;
	tell(j, WIRE_DEVICE_GET_INFO, PART(request), PART(reply), "INFO-DEV-005");
}

static void good_question_about_the_device_is_answered(void **state)
{
	struct wire_device_info requests[] = {
		{ 15, 0, 0, 0 }, { 16, 1, 0, 0 }, { 16, 0, 1, 0 }, { 16, 0, 0, 1 },
		{ UINT32_MAX, 0, 0, 0 },
	};
	uint8_t longer[24] = { 24 };

	must_work(*state, WIRE_DEVICE_GET_INFO,
		  PART(((struct wire_device_info){ .argsz = 16 })), "INFO-DEV-001");
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++)
		may_fail(*state, WIRE_DEVICE_GET_INFO, PART(requests[i]));
	may_fail(*state, WIRE_DEVICE_GET_INFO, PART(longer));
}

static void reset_works_where_the_device_says_so(void **state)
{
	struct judged *j = *state;

	must_work(j, WIRE_DEVICE_RESET, NOTHING, "INFO-DEV-003");
	may_fail(j, WIRE_DEVICE_RESET, ZEROS(4));
	j->model->device.flags = WIRE_DEVICE_FLAG_PCI;
	must_fail(j, WIRE_DEVICE_RESET, NOTHING, "INFO-DEV-003");
	j->model->device.known = false;
	may_fail(j, WIRE_DEVICE_RESET, NOTHING);
}

static void stopped_device_may_refuse_unless_that_is_read_strictly(void **state)
{
	struct judged *j = *state;
	const struct wire_device_info request = { .argsz = 16 };

	is_mapped(j, 0, PAGE, READ);
	model_feature_forget(j->model);
	may_fail(j, WIRE_DEVICE_GET_INFO, PART(request));
	may_fail(j, WIRE_DMA_MAP, MAP(BASE, PAGE, READ));
	may_fail(j, WIRE_DMA_UNMAP, UNMAP(0, PAGE));
	j->model->strict = (uint64_t)1 << MODEL_M3;
	must_work(j, WIRE_DEVICE_GET_INFO, PART(request), "INFO-DEV-001");
	must_work(j, WIRE_DMA_MAP, MAP(BASE, PAGE, READ), "DMA-MAP-001");
	must_work(j, WIRE_DMA_UNMAP, UNMAP(0, PAGE), "DMA-UNMAP-001");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JUDGED(server_reaches_what_is_mapped_and_nothing_else),
		JUDGED(range_is_reached_from_its_map_to_the_reply_of_its_unmap),
		JUDGED(range_that_may_be_mapped_may_be_reached),
		JUDGED(range_may_be_reached_until_something_is_answered),
		JUDGED(ranges_are_not_judged_between_two_sockets),
		JUDGED(count_is_at_most_the_client_s_limit),
		JUDGED(size_of_a_command_is_judged),
		JUDGED(requests_wait_for_their_replies),
		JUDGED(answer_that_does_not_fit_excuses_the_end),
		JUDGED(reply_of_get_info_is_judged),
		JUDGED(good_question_about_the_device_is_answered),
		JUDGED(reset_works_where_the_device_says_so),
		JUDGED(stopped_device_may_refuse_unless_that_is_read_strictly),
	};

	return cmocka_run_group_tests_name("model_requests", tests, NULL, NULL);
}
