/* SPDX-License-Identifier: BSD-3-Clause */
/* test_pri.c - page requests: what may be sent, credit, cookies, responses, all ways to end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call.h"
#include "clock.h"
#include "pri.h"

#define ASKERS 70
#define NOTHING 1	/* no result */

struct bench {
	struct call call;
	struct pri pri;
	struct pri_request request[ASKERS];
	int result[ASKERS];
	unsigned int sent, good, bad;
};

static void on_sent(void *owner, struct pri_request *request)
{
	struct bench *bench = owner;

	assert_int_equal(request->state, PRI_SENT);
	bench->sent++;
}

static void on_answered(void *owner, struct pri_request *request, int result)
{
	struct bench *bench = owner;
	int *place = &bench->result[request - bench->request];

	assert_int_equal(request->state, PRI_IDLE);
	assert_int_equal(*place, NOTHING);
	*place = result;
}

static void on_responded(void *owner, bool good)
{
	struct bench *bench = owner;

	bench->good += good;
	bench->bad += !good;
}

static const struct pri_ops ops = { on_sent, on_answered, on_responded };
static const struct pri_control on = {
	.ats = true, .pri = true, .pasid = true, .master = true, .allocation = 8,
};

static int set_up(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	if (call_open(&bench.call))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.call.session.limits.viommu = (struct session_viommu){
		.version = 1, .pasid_bits = 8, .max_pasids = 4, .page_requests = 6,
	};
	pri_init(&bench.pri);
	pri_set_owner(&bench.pri, &ops, &bench);
	pri_attach(&bench.pri, &bench.call.session);
	pri_set_control(&bench.pri, &on);
	bench.pri.known = true;
	*state = &bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	pri_attach(&bench->pri, NULL);
	call_close(&bench->call);
	return 0;
}

/* Asks for some pages at an address of its own; what pri_ask() says. */
static int ask(struct bench *bench, unsigned int number, uint32_t space, uint32_t pages)
{
	struct pri_request *request = &bench->request[number];

	*request = (struct pri_request){
		.space = space,
		.count = 1,
		.range = { { (number + 1) * UINT64_C(0x100000), pages * PRI_PAGE,
			     WIRE_PAGE_WRITE } },
	};
	bench->result[number] = NOTHING;
	return pri_ask(&bench->pri, request);
}

/* Asks, which has to succeed, and sends; the cookie, or 0 if it waits. */
static uint32_t post(struct bench *bench, unsigned int number, uint32_t space, uint32_t pages)
{
	assert_int_equal(ask(bench, number, space, pages), 0);
	pri_flush(&bench->pri);
	return bench->request[number].state == PRI_SENT ? bench->request[number].cookie : 0;
}

static int respond(struct bench *bench, uint32_t cookie, uint16_t code)
{
	const struct wire_page_response response = { .cookie = cookie, .code = code };

	return call_handler(&bench->call, pri_response, &bench->pri, &response, sizeof(response));
}

static bool unexpected(const struct bench *bench)
{
	return pri_status(&bench->pri) & WIRE_PCI_PRI_UPRGI;
}

static void a_group_is_one_message(void **state)
{
	struct bench *bench = *state;
	struct transport *transport = &bench->call.session.transport;
	struct pri_request *request = &bench->request[0];
	struct wire_header header;
	struct wire_page_request body;
	struct wire_page_range range[2];

	*request = (struct pri_request){
		.space = 8, .translate_only = true, .count = 2,
		.range = { { 0x5000, 0x2000, WIRE_PAGE_READ }, { 0x9000, 0x1000, 3 } },
	};
	bench->result[0] = NOTHING;
	assert_int_equal(pri_ask(&bench->pri, request), 0);
	assert_int_equal(transport_queued(transport), 0);
	pri_flush(&bench->pri);
	assert_int_equal(transport_queued(transport), 16 + 16 + 2 * 16);
	memcpy(&header, transport_at(transport, 0), sizeof(header));
	memcpy(&body, transport_at(transport, 16), sizeof(body));
	memcpy(range, transport_at(transport, 32), sizeof(range));
	assert_int_equal(header.command, WIRE_PAGE_REQUEST);
	assert_int_equal(header.flags, WIRE_NO_REPLY);
	assert_int_equal(header.msg_size, 64);
	assert_int_equal(body.cookie, 1);
	assert_int_equal(body.prgi, 0);
	assert_int_equal(body.nr, 2);
	assert_int_equal(body.attr, 0x7000 | WIRE_ATTR_PASID_VALID | WIRE_PAGE_TRANSLATE_ONLY);
	assert_int_equal(body.reserved, 0);
	assert_memory_equal(range, request->range, sizeof(range));
	assert_int_equal(bench->sent, 1);
	assert_int_equal(respond(bench, 1, WIRE_PAGE_SUCCESS), 0);
	assert_int_equal(bench->result[0], 0);
}

static void each_switch_is_needed(void **state)
{
	struct bench *bench = *state;
	struct session_viommu *viommu = &bench->call.session.limits.viommu;
	struct pri_control control;

	for (int i = 0; i < 5; i++) {
		control = on;
		control.ats = i != 0;
		control.pri = i != 1;
		control.master = i != 2;
		control.allocation = i != 3 ? 8 : 0;
		control.pasid = i != 4;
		pri_set_control(&bench->pri, &control);
		assert_int_equal(ask(bench, 0, i == 4, 1), -ENOENT);
	}
	assert_true(pri_permits(&bench->pri, 0));
	pri_set_control(&bench->pri, &on);
	assert_true(pri_permits(&bench->pri, 256));
	assert_false(pri_permits(&bench->pri, 257));
	viommu->page_requests = 0;
	assert_false(pri_permits(&bench->pri, 0));
	assert_int_equal(respond(bench, 1, 0), -ENOTSUP);
	bench->pri.known = false;
	assert_int_equal(respond(bench, 1, 0), -ENOSYS);
}

static void credit_is_pages(void **state)
{
	struct bench *bench = *state;
	uint32_t first = post(bench, 0, 0, 4), second = post(bench, 1, 0, 4);

	assert_int_equal(bench->request[1].range[0].size, 2 * PRI_PAGE);
	assert_int_equal(post(bench, 2, 0, 1), 0);
	assert_int_equal(post(bench, 3, 0, 1), 0);
	assert_int_equal(bench->pri.used, 6);
	assert_int_equal(respond(bench, second, WIRE_PAGE_INVALID), 0);
	assert_int_equal(bench->result[1], -EFAULT);
	pri_flush(&bench->pri);
	assert_int_equal(bench->request[2].state, PRI_SENT);
	assert_int_equal(bench->request[3].state, PRI_SENT);
	assert_int_equal(respond(bench, first, 0), 0);
	assert_int_equal(respond(bench, bench->request[3].cookie, 0), 0);
	assert_int_equal(respond(bench, bench->request[2].cookie, 0), 0);
	assert_int_equal(bench->pri.used, 0);
}

static void a_smaller_allocation_holds_back_new_ones(void **state)
{
	struct bench *bench = *state;
	struct pri_control control = on;
	uint32_t first = post(bench, 0, 0, 3);

	control.allocation = 1;
	pri_set_control(&bench->pri, &control);
	assert_int_equal(post(bench, 1, 0, 2), 0);
	assert_int_equal(respond(bench, first, 0), 0);
	pri_flush(&bench->pri);
	assert_int_equal(bench->request[1].range[0].size, PRI_PAGE);
	assert_int_equal(respond(bench, bench->request[1].cookie, 0), 0);
}

static void ranges_are_cut_one_after_the_other(void **state)
{
	struct bench *bench = *state;
	struct pri_request *request = &bench->request[0];

	for (uint32_t limit = 1; limit <= 6; limit++) {
		struct pri_control control = on;

		control.allocation = limit;
		pri_set_control(&bench->pri, &control);
		*request = (struct pri_request){
			.count = 2,
			.range = { { 0, 0x2000, 1 }, { 0x8000, 0x3000, 2 } },
		};
		bench->result[0] = NOTHING;
		assert_int_equal(pri_ask(&bench->pri, request), 0);
		pri_flush(&bench->pri);
		assert_int_equal(request->count, limit > 2 ? 2 : 1);
		assert_int_equal(request->range[0].size, (limit < 2 ? limit : 2) * PRI_PAGE);
		if (limit > 2)
			assert_int_equal(request->range[1].size,
					 (limit < 5 ? limit - 2 : 3) * PRI_PAGE);
		assert_int_equal(bench->pri.used, limit < 5 ? limit : 5);
		assert_int_equal(respond(bench, request->cookie, 0), 0);
	}
}

static void the_capacity_bounds_all(void **state)
{
	struct bench *bench = *state;
	struct pri_control control = on;

	control.allocation = UINT32_MAX;
	bench->call.session.limits.viommu.page_requests = UINT32_MAX;
	pri_set_control(&bench->pri, &control);
	for (unsigned int i = 0; i < ASKERS; i++)
		assert_int_equal(post(bench, i, 0, 1), i < PRI_CAPACITY ? i + 1 : 0);
	assert_int_equal(bench->pri.used, PRI_CAPACITY);
	for (uint32_t cookie = ASKERS; cookie > 0; cookie--) {
		respond(bench, cookie, 0);
		pri_flush(&bench->pri);
	}
	assert_int_equal(bench->sent, ASKERS);
}

static void responses_come_in_any_order_and_once(void **state)
{
	struct bench *bench = *state;
	uint32_t first = post(bench, 0, 0, 1), second = post(bench, 1, 3, 1);

	assert_int_equal(respond(bench, second, 0), 0);
	assert_int_equal(bench->result[0], NOTHING);
	assert_int_equal(bench->result[1], 0);
	assert_int_equal(respond(bench, second, 0), -ENOENT);
	assert_true(unexpected(bench));
	pri_set_status(&bench->pri, 0);
	assert_int_equal(respond(bench, first, 0), 0);
	assert_int_equal(respond(bench, 12345, 0), -ENOENT);
	assert_true(unexpected(bench));
	assert_int_equal(bench->good, 2);
	assert_int_equal(bench->bad, 2);
}

static void bad_responses_leave_the_group(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie = post(bench, 0, 0, 1);
	struct wire_page_response response = { .cookie = cookie, .reserved = 1 };

	for (uint16_t code = 2; code < 40; code++) {
		if (code != WIRE_PAGE_FAILURE)
			assert_int_equal(respond(bench, cookie, code), -EINVAL);
	}
	assert_int_equal(call_handler(&bench->call, pri_response, &bench->pri, &response, 8),
			 -EINVAL);
	response.reserved = 0;
	assert_int_equal(call_handler(&bench->call, pri_response, &bench->pri, &response, 7),
			 -EINVAL);
	assert_false(unexpected(bench));
	assert_int_equal(bench->pri.used, 1);
	assert_int_equal(respond(bench, cookie, 0), 0);
}

static void failure_ends_all_until_a_reset(void **state)
{
	struct bench *bench = *state;
	uint32_t first = post(bench, 0, 0, 3), second = post(bench, 1, 1, 3);

	assert_int_equal(post(bench, 2, 0, 1), 0);
	assert_int_equal(respond(bench, first, WIRE_PAGE_FAILURE), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(bench->result[i], -EIO);
	assert_int_equal(pri_status(&bench->pri), WIRE_PCI_PRI_RF);
	assert_int_equal(bench->pri.used, 0);
	assert_int_equal(respond(bench, second, 0), -ENOENT);
	assert_int_equal(ask(bench, 0, 0, 1), -ENOENT);
	pri_set_status(&bench->pri, 0);
	assert_int_equal(ask(bench, 0, 0, 1), -ENOENT);
	pri_reset(&bench->pri);
	assert_int_not_equal(post(bench, 0, 0, 1), 0);
	assert_int_equal(respond(bench, second, 0), -ENOENT);
	assert_false(unexpected(bench));
}

static void a_late_group_keeps_its_credit(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie;

	bench->request[0] = (struct pri_request){
		.timeout = 50, .count = 1, .range = { { 0, 6 * PRI_PAGE, 1 } },
	};
	bench->result[0] = NOTHING;
	assert_int_equal(pri_ask(&bench->pri, &bench->request[0]), 0);
	pri_flush(&bench->pri);
	cookie = bench->request[0].cookie;
	assert_true(pri_expire(&bench->pri, clock_now()) <= clock_now() + 50);
	assert_int_equal(bench->result[0], NOTHING);
	assert_int_equal(pri_expire(&bench->pri, clock_now() + 51), CLOCK_NEVER);
	assert_int_equal(bench->result[0], -ETIMEDOUT);
	assert_int_equal(post(bench, 1, 0, 1), 0);
	pri_set_control(&bench->pri, &(struct pri_control){ .ats = true });
	assert_int_equal(pri_status(&bench->pri), 0);
	pri_set_control(&bench->pri, &on);
	assert_int_equal(respond(bench, cookie, 0), -ENOENT);
	assert_true(unexpected(bench));
	pri_flush(&bench->pri);
	assert_int_equal(bench->request[1].state, PRI_SENT);
	assert_int_equal(respond(bench, bench->request[1].cookie, 0), 0);
}

static void a_group_goes_on_without_who_asked(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie = post(bench, 0, 0, 6);

	assert_int_equal(post(bench, 1, 0, 1), 0);
	assert_int_equal(post(bench, 2, 0, 1), 0);
	pri_withdraw(&bench->pri, &bench->request[0]);
	pri_withdraw(&bench->pri, &bench->request[2]);
	pri_withdraw(&bench->pri, &bench->request[2]);
	assert_int_equal(post(bench, 3, 0, 1), 0);
	assert_int_equal(respond(bench, cookie, 0), 0);
	assert_int_equal(bench->result[0], NOTHING);
	pri_flush(&bench->pri);
	assert_int_equal(bench->request[1].state, PRI_SENT);
	assert_int_equal(bench->request[2].state, PRI_IDLE);
	assert_int_equal(bench->request[3].state, PRI_SENT);
	assert_int_equal(bench->pri.used, 2);
}

static void the_end_of_a_pasid_ends_its_own(void **state)
{
	struct bench *bench = *state;
	uint32_t mine = post(bench, 0, 5, 3), other = post(bench, 1, 0, 3);

	assert_int_equal(post(bench, 2, 5, 1), 0);
	assert_int_equal(post(bench, 3, 6, 1), 0);
	assert_int_equal(pri_end_pasid(&bench->pri, 4, NULL), 0);
	assert_int_equal(bench->result[0], -ECANCELED);
	assert_int_equal(bench->result[2], -ECANCELED);
	assert_int_equal(bench->result[1], NOTHING);
	assert_int_equal(bench->pri.used, 3);
	pri_flush(&bench->pri);
	assert_int_equal(bench->request[3].state, PRI_SENT);
	assert_int_equal(respond(bench, mine, 0), -ENOENT);
	assert_int_equal(respond(bench, other, 0), 0);
	assert_int_equal(bench->result[1], 0);
}

static void what_a_stop_retired_is_no_fault(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie = post(bench, 0, 0, 1);

	pri_withdraw(&bench->pri, &bench->request[0]);
	pri_stop(&bench->pri);
	assert_int_equal(bench->result[0], NOTHING);
	assert_int_equal(bench->pri.used, 0);
	assert_int_equal(respond(bench, cookie, 0), -ENOENT);
	assert_false(unexpected(bench));
	assert_int_equal(post(bench, 0, 0, 1), cookie + 1);
	assert_int_equal(respond(bench, cookie + 1, 0), 0);
	assert_int_equal(respond(bench, cookie + 1, 0), -ENOENT);
	assert_true(unexpected(bench));
}

static void disabled_requests_stop(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie = post(bench, 0, 0, 6);

	assert_int_equal(post(bench, 1, 0, 1), 0);
	pri_set_control(&bench->pri, &(struct pri_control){ .ats = true, .master = true });
	pri_flush(&bench->pri);
	assert_int_equal(bench->result[1], -ENOENT);
	assert_int_equal(pri_status(&bench->pri), 0);
	assert_int_equal(respond(bench, cookie, 0), 0);
	assert_int_equal(bench->result[0], 0);
	assert_int_equal(pri_status(&bench->pri), WIRE_PCI_PRI_STOPPED);
	assert_int_equal(respond(bench, cookie, 0), -ENOENT);
	assert_int_equal(pri_status(&bench->pri), WIRE_PCI_PRI_STOPPED);
}

/* Neither a marker that nobody takes nor one that still may be sent is in the way. */
static void what_is_forbidden_waits_for_nothing(void **state)
{
	struct bench *bench = *state;
	struct pri_control control = on;

	assert_int_not_equal(post(bench, 0, 0, 6), 0);
	bench->call.session.twinned = true;
	bench->call.session.twin = bench->call.session.transport;
	assert_int_equal(pri_end_pasid(&bench->pri, 4, NULL), 0);
	assert_int_equal(bench->pri.owed_count, 1);
	assert_int_equal(post(bench, 1, 0, 1), 0);
	assert_int_equal(post(bench, 2, 3, 1), 0);
	control.pasid = false;
	pri_set_control(&bench->pri, &control);
	pri_flush(&bench->pri);
	assert_int_equal(bench->result[2], -ENOENT);
	assert_int_equal(bench->result[1], NOTHING);
	control.pri = false;
	pri_set_control(&bench->pri, &control);
	pri_flush(&bench->pri);
	assert_int_equal(bench->result[1], -ENOENT);
	assert_int_equal(bench->pri.owed_count, 1);
	bench->call.session.twinned = false;
}

static void cookies_wrap_and_are_not_given_twice(void **state)
{
	struct bench *bench = *state;
	uint32_t old = post(bench, 0, 0, 1);

	bench->pri.next_cookie = UINT32_MAX;
	assert_int_equal(post(bench, 1, 0, 1), UINT32_MAX);
	assert_int_equal(post(bench, 2, 0, 1), old + 1);
	assert_int_equal(respond(bench, old, 0), 0);
	assert_int_equal(bench->result[0], 0);
}

static void the_next_client_has_full_credit(void **state)
{
	struct bench *bench = *state;

	post(bench, 0, 0, 6);
	pri_withdraw(&bench->pri, &bench->request[0]);
	pri_attach(&bench->pri, NULL);
	pri_flush(&bench->pri);
	assert_false(pri_permits(&bench->pri, 0));
	pri_attach(&bench->pri, &bench->call.session);
	assert_int_equal(post(bench, 0, 0, 6), 1);
	assert_int_equal(bench->request[0].range[0].size, 6 * PRI_PAGE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_group_is_one_message),
		CASE(each_switch_is_needed),
		CASE(credit_is_pages),
		CASE(a_smaller_allocation_holds_back_new_ones),
		CASE(ranges_are_cut_one_after_the_other),
		CASE(the_capacity_bounds_all),
		CASE(responses_come_in_any_order_and_once),
		CASE(bad_responses_leave_the_group),
		CASE(failure_ends_all_until_a_reset),
		CASE(a_late_group_keeps_its_credit),
		CASE(a_group_goes_on_without_who_asked),
		CASE(the_end_of_a_pasid_ends_its_own),
		CASE(what_a_stop_retired_is_no_fault),
		CASE(disabled_requests_stop),
		CASE(what_is_forbidden_waits_for_nothing),
		CASE(cookies_wrap_and_are_not_given_twice),
		CASE(the_next_client_has_full_credit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
