/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unit tests of exec: spaces, and page requests of a server that asks for pages of PASID 3 whenever
 * something is mapped without PASID.
 */
#include "exec_fixture.h"
#include "wire_ext.h"

#define PAGE 0x1000u
#define P(pasid) (WIRE_ATTR_PASID_VALID | (uint32_t)(pasid) << WIRE_ATTR_PASID_SHIFT)
#define CAPS "{\"capabilities\":{\"viommu\":{\"version\":1,\"pasid_bits\":8,\"max_pasids\":8," \
	     "\"page_requests\":64,\"unmap_range\":true,\"replace\":true}}}"
#define HELLO "version(caps=" CAPS ")\n"
#define ASK(page) "dma_map(flags=READ, address=0x10" #page "000, size=0x1000)"
#define FILE_STEP "r3 = memfd(size=0x8000)\n"

static uint32_t cookies;

/* A group of two ranges: two pages to be written, and one to be read. */
static void ask_for_pages(struct fake *fake, uint32_t connection)
{
	struct {
		struct wire_page_request request;
		struct wire_page_range range[2];
	} body = {
		.request = { .cookie = ++cookies, .nr = 2, .attr = P(3) },
		.range = {
			{ 0x4000, 2 * PAGE, WIRE_PAGE_WRITE }, { 0x9000, PAGE, WIRE_PAGE_READ },
		},
	};
	const struct wire_header header = {
		.id = 900,
		.command = WIRE_PAGE_REQUEST,
		.msg_size = sizeof(header) + sizeof(body),
		.flags = WIRE_NO_REPLY,
	};

	body.request.prgi = (uint16_t)cookies;
	fake_queue(fake, connection, header, &body);
}

static bool asks(struct fake *fake, uint32_t connection, const struct wire_header *header,
		 const uint8_t *body)
{
	static const char version[] = "\0\0\0\0" CAPS;
	struct wire_page_response response;
	static uint32_t answered;
	struct wire_dma_map map;

	if (header->command == WIRE_VERSION) {
		cookies = answered = 0;
		fake_reply(fake, connection, header, version, sizeof(version));
		return true;
	}
	if (header->command == WIRE_DMA_MAP) {
		memcpy(&map, body, sizeof(map));
		fake_usual(fake, connection, header, body);
		if (!(map.flags & WIRE_ATTR_PASID_VALID))
			ask_for_pages(fake, connection);
		return true;
	}
	if (header->command != WIRE_PAGE_RESPONSE)
		return false;
	memcpy(&response, body, sizeof(response));
	if (response.cookie == answered)
		fake_error(fake, connection, header, ENOENT);
	else
		fake_usual(fake, connection, header, body);
	answered = response.cookie;
	return true;
}

static struct wire_dma_map map_of(const struct fixture *f, uint32_t index)
{
	struct wire_dma_map map;

	assert_int_equal(sent(f, index).command, WIRE_DMA_MAP);
	memcpy(&map, f->fake.send[index].bytes + sizeof(struct wire_header), sizeof(map));
	return map;
}

static void assert_response(const struct fixture *f, uint32_t index, uint32_t cookie, uint32_t code)
{
	struct wire_page_response response;

	assert_int_equal(sent(f, index).command, WIRE_PAGE_RESPONSE);
	memcpy(&response, f->fake.send[index].bytes + sizeof(struct wire_header), sizeof(response));
	assert_int_equal(response.cookie, cookie);
	assert_int_equal(response.code, code);
}

static void nobody_answers_unless_told_to(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO ASK(1) "\n" "await()\n"), 0);
	assert_int_equal(f->fake.sends, 2);
}

static void pages_are_mapped_with_the_rights_that_are_missing(void **state)
{
	struct fixture *f = *state;
	struct wire_dma_map map;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO FILE_STEP "pages(how=AT_ONCE, fd=r3)\n" ASK(2) "\n"), 0);
	assert_int_equal(f->fake.sends, 5);
	map = map_of(f, 2);
	assert_int_equal(map.flags, P(3) | WIRE_DMA_MAP_WRITE);
	assert_int_equal(map.address, 0x4000);
	assert_int_equal(map.size, 2 * PAGE);
	assert_int_equal(f->fake.send[2].nfds, 1);
	map = map_of(f, 3);
	assert_int_equal(map.flags, P(3) | WIRE_DMA_MAP_READ);
	assert_int_equal(map.address, 0x9000);
	assert_response(f, 4, 1, WIRE_PAGE_SUCCESS);
}

static void a_mapping_that_lacks_a_right_is_replaced(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO "dma_map(flags=READ|PASID(3), address=0x3000, size=0x4000)\n"
				"pages(how=AT_ONCE)\n" ASK(3) "\n"), 0);
	assert_int_equal(map_of(f, 3).flags, P(3) | WIRE_DMA_MAP_REPLACE | WIRE_DMA_MAP_READ |
					     WIRE_DMA_MAP_WRITE);
	assert_int_equal(map_of(f, 3).address, 0x3000);
	assert_int_equal(map_of(f, 3).size, 0x4000);
}

static void some_of_it_is_mapped(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO "pages(how=PARTIAL)\n" ASK(4) "\n"), 0);
	assert_int_equal(f->fake.sends, 4);
	assert_int_equal(map_of(f, 2).size, PAGE);
	assert_response(f, 3, 1, WIRE_PAGE_SUCCESS);
}

static void codes_tell_why_nothing_is_mapped(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO "pages(how=INVALID)\n" ASK(5) "\n"
				"pages(how=FAILURE)\n" ASK(6) "\n"), 0);
	assert_int_equal(f->fake.sends, 5);
	assert_response(f, 2, 1, WIRE_PAGE_INVALID);
	assert_response(f, 4, 2, WIRE_PAGE_FAILURE);
}

static void late_answers_come_behind_the_next_step(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO "pages(how=LATE)\n" ASK(7) "\n"
				"dma_unmap(address=0x107000, size=0x1000)\n"
				"device_reset()\n"), 0);
	assert_int_equal(sent(f, 2).command, WIRE_DMA_UNMAP);
	assert_int_equal(sent(f, 3).command, WIRE_DMA_MAP);
	assert_response(f, 5, 1, WIRE_PAGE_SUCCESS);
	assert_int_equal(sent(f, 6).command, WIRE_DEVICE_RESET);
}

static void a_second_answer_finds_nothing(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO "pages(how=TWICE)\n"
				ASK(8) " (expect: ok)\n"), 0);
	assert_response(f, 4, 1, WIRE_PAGE_SUCCESS);
	assert_response(f, 5, 1, WIRE_PAGE_SUCCESS);
}

static void what_was_kept_is_answered_later(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	assert_int_equal(run(f, HELLO ASK(9) "\n" ASK(0) "\n"
				"page_response(cookie=cookie+1)\n" "page_response(cookie=cookie)\n"
				"page_response(cookie=cookie, code=7) (expect: error)\n"), 1);
	assert_response(f, 3, 2, WIRE_PAGE_SUCCESS);
	assert_response(f, 4, 1, WIRE_PAGE_SUCCESS);
	assert_response(f, 5, 2, 7);
	assert_int_equal(run(f, HELLO ASK(1) "\n" "pages(how=INVALID)\n"), 0);
	assert_response(f, 2, 1, WIRE_PAGE_INVALID);
}

static void requests_are_waited_for(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	/* Whoever waits less than that does not get one. */
	f->fake.ask_ms = f->options.short_ms = f->options.long_ms = 20;
	assert_int_equal(run(f, HELLO ASK(1) "\n" ASK(2) "\n"
				"await(pages=2) (expect: ok)\n"
				"page_response(cookie=cookie1)\n" "page_response(cookie=cookie0)\n"
				"await(pages=2) (expect: ok)\n"), 0);
	assert_response(f, 3, 2, WIRE_PAGE_SUCCESS);
	assert_response(f, 4, 1, WIRE_PAGE_SUCCESS);
	assert_int_equal(run(f, HELLO ASK(1) "\n" "await(pages=2)\n"), 0);
	assert_int_equal(run(f, HELLO ASK(1) "\n"
				"await(pages=2) (expect: ok)\n"), 1);
	assert_found(f, 0, "effect", 2);
}

/* The request comes when nothing has to come any more, and replies are slower than that lull. */
static void what_is_asked_at_the_end_has_its_time(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = asks;
	f->fake.ask_ms = f->options.short_ms = 1;
	f->fake.reply_ms = f->options.long_ms = 2;
	assert_int_equal(run(f, HELLO "pages(how=AT_ONCE)\n" ASK(1) "\n"), 0);
	assert_int_equal(f->fake.sends, 5);
	assert_response(f, 4, 1, WIRE_PAGE_SUCCESS);
}

/* This server takes each of them, which is not always right. */
static void any_answer_may_be_given(void **state)
{
	struct fixture *f = *state;
	uint32_t responses = 0;

	f->fake.odd = asks;
	assert_true(run(f, "seed(5)\n" HELLO "pages(how=RANDOM)\n"
			   ASK(2) " (repeat: 16, stride.address: 0x1000)\n" "await()\n") >= 0);
	assert_true(f->fake.sends < FAKE_SENDS);
	for (uint32_t i = 0; i < f->fake.sends; i++)
		responses += sent(f, i).command == WIRE_PAGE_RESPONSE;
	assert_in_range(responses, 8, 20);
}

/* Reads four bytes at 0x1000 of PASID 1 when it is reset. */
static bool reads_in_a_space(struct fake *fake, uint32_t connection,
			     const struct wire_header *header, const uint8_t *body)
{
	const struct wire_dma_access_attr access = { 0x1000, 4, P(1) };
	const struct wire_header request = {
		.id = 77,
		.command = WIRE_DMA_READ,
		.msg_size = sizeof(request) + sizeof(access),
	};

	if (header->command != WIRE_DEVICE_RESET)
		return asks(fake, connection, header, body);
	fake_usual(fake, connection, header, body);
	fake_queue(fake, connection, request, &access);
	return true;
}

static void requests_are_answered_from_their_space(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = reads_in_a_space;
	assert_int_equal(run(f, HELLO "r0 = memfd(size=0x2000)\n"
				"fill(r0, offset=0, size=0x1000, seed=5)\n"
				"dma_map(flags=READ, address=0x1000, size=0x1000)\n"
				"dma_map(flags=READ|PASID(1), address=0x1000, size=0x1000, fd=r0)\n"
				"device_reset()\n"
				"dma_unmap(flags=RANGE|PASID(1), size=0x10000)\n"), 1);
	assert_int_equal(f->fake.send[4].size, 36);
	assert_int_equal(f->fake.send[4].bytes[32], 5);
	assert_int_equal(f->fake.send[4].bytes[33], (uint8_t)(5 + 0x9d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_answers_unless_told_to),
		TEST(pages_are_mapped_with_the_rights_that_are_missing),
		TEST(a_mapping_that_lacks_a_right_is_replaced),
		TEST(some_of_it_is_mapped),
		TEST(codes_tell_why_nothing_is_mapped),
		TEST(late_answers_come_behind_the_next_step),
		TEST(a_second_answer_finds_nothing),
		TEST(what_was_kept_is_answered_later),
		TEST(requests_are_waited_for),
		TEST(what_is_asked_at_the_end_has_its_time),
		TEST(any_answer_may_be_given),
		TEST(requests_are_answered_from_their_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
