/* SPDX-License-Identifier: BSD-3-Clause */
/* test_pri_poc.c - page requests in the poc dialect. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call.h"
#include "clock.h"
#include "pri.h"

#define NOTHING 1	/* no result */
#define A 0x5000u

struct bench {
	struct call call;
	struct pri pri;
	struct pri_request request[2];
	int result[2];
};

static void on_sent(void *owner, struct pri_request *request)
{
	(void)owner;
	assert_int_equal(request->state, PRI_SENT);
}

static void on_answered(void *owner, struct pri_request *request, int result)
{
	struct bench *bench = owner;

	bench->result[request - bench->request] = result;
}

static void on_responded(void *owner, bool good)
{
	(void)owner;
	(void)good;
}

static const struct pri_ops ops = { on_sent, on_answered, on_responded };

static int set_up(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	clock_hold(1000);
	if (call_open(&bench.call))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.call.session.t_dma = 100;
	bench.call.session.limits.viommu = (struct session_viommu){
		.poc = true, .pasid_bits = 20, .max_pasids = 4, .page_requests = 1,
	};
	pri_init(&bench.pri);
	pri_set_owner(&bench.pri, &ops, &bench);
	pri_attach(&bench.pri, &bench.call.session);
	pri_set_control(&bench.pri, &(struct pri_control){ true, true, true, true, 1 });
	bench.pri.known = true;
	*state = &bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	pri_attach(&bench->pri, NULL);
	call_close(&bench->call);
	clock_hold(CLOCK_NEVER);
	return 0;
}

static void ask(struct bench *bench, unsigned int number, uint32_t space)
{
	bench->request[number] = (struct pri_request){
		.space = space, .timeout = 50, .count = 2,
		.range = { { A, 3 * PRI_PAGE, WIRE_PAGE_WRITE }, { 0x90000, PRI_PAGE, 1 } },
	};
	bench->result[number] = NOTHING;
	assert_int_equal(pri_ask(&bench->pri, &bench->request[number]), 0);
	pri_flush(&bench->pri);
}

static int complete(struct bench *bench, uint64_t address, uint32_t flags, uint32_t pasid)
{
	const struct wire_poc_page page = { address, PRI_PAGE, flags, pasid };

	return call_handler(&bench->call, pri_completion, &bench->pri, &page, sizeof(page));
}

/* The request that went out last. */
static struct wire_poc_page last_request(struct bench *bench, struct wire_header *header)
{
	struct transport *transport = &bench->call.session.transport;
	struct wire_poc_page page;

	assert_int_equal(transport_queued(transport), sizeof(*header) + sizeof(page));
	memcpy(header, transport_at(transport, 0), sizeof(*header));
	memcpy(&page, transport_at(transport, sizeof(*header)), sizeof(page));
	transport_truncate(transport, 0);
	return page;
}

static void one_page_is_asked_for_at_a_time(void **state)
{
	struct bench *bench = *state;
	struct wire_header header;
	struct wire_poc_page page;

	ask(bench, 0, 8);
	ask(bench, 1, 0);
	page = last_request(bench, &header);
	assert_int_equal(header.command, WIRE_POC_PAGE_REQUEST);
	assert_int_equal(header.flags, WIRE_TYPE_COMMAND);
	assert_int_equal(page.address, A);
	assert_int_equal(page.count, PRI_PAGE);
	assert_int_equal(page.flags, WIRE_PAGE_WRITE);
	assert_int_equal(page.pasid, 7);
	assert_int_equal(complete(bench, A, 3, 7), 0);
	assert_int_equal(bench->result[0], 0);
	pri_flush(&bench->pri);
	page = last_request(bench, &header);
	assert_int_equal(page.pasid, WIRE_POC_NO_PASID);
	assert_int_equal(complete(bench, A, WIRE_PAGE_WRITE, WIRE_POC_NO_PASID), 0);
	assert_int_equal(complete(bench, A, WIRE_PAGE_WRITE, WIRE_POC_NO_PASID), -ENOENT);
}

static void a_wrong_completion_changes_nothing(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(complete(bench, A, 3, 7), -ENOENT);
	ask(bench, 0, 8);
	assert_int_equal(complete(bench, A + PRI_PAGE, 3, 7), -EINVAL);
	assert_int_equal(complete(bench, A, 3, 6), -EINVAL);
	assert_int_equal(complete(bench, A, 3, WIRE_POC_NO_PASID), -EINVAL);
	assert_int_equal(call_handler(&bench->call, pri_completion, &bench->pri, &bench, 8),
			 -EINVAL);
	assert_int_equal(bench->result[0], NOTHING);
	assert_int_equal(complete(bench, A, WIRE_PAGE_READ, 7), -EACCES);
	assert_int_equal(bench->result[0], -EFAULT);
	assert_int_equal(bench->pri.used, 0);
}

static void nothing_depends_on_the_reply(void **state)
{
	struct bench *bench = *state;

	for (int round = 0; round < 50; round++) {
		ask(bench, 0, 8);
		assert_int_equal(bench->request[0].state, PRI_SENT);
		assert_int_equal(complete(bench, A, 3, 7), 0);
		clock_hold(1000 + 101 * (uint64_t)round);
		session_expire(&bench->call.session, clock_now());
	}
	assert_int_equal(bench->result[0], 0);
}

static void what_was_late_frees_the_place(void **state)
{
	struct bench *bench = *state;

	ask(bench, 0, 8);
	assert_int_equal(pri_expire(&bench->pri, 1050), CLOCK_NEVER);
	assert_int_equal(bench->result[0], -ETIMEDOUT);
	ask(bench, 1, 0);
	assert_int_equal(bench->request[1].state, PRI_QUEUED);
	assert_int_equal(complete(bench, A, 3, 7), -ENOENT);
	pri_flush(&bench->pri);
	assert_int_equal(bench->request[1].state, PRI_SENT);
	pri_withdraw(&bench->pri, &bench->request[1]);
	pri_stop(&bench->pri);
	assert_int_equal(complete(bench, A, 3, WIRE_POC_NO_PASID), -ENOENT);
}

static void the_dialects_do_not_mix(void **state)
{
	struct bench *bench = *state;
	const struct wire_page_response response = { .cookie = 1 };

	ask(bench, 0, 8);
	assert_int_equal(call_handler(&bench->call, pri_response, &bench->pri, &response,
				      sizeof(response)), -ENOTSUP);
	bench->call.session.limits.viommu.poc = false;
	bench->call.session.limits.viommu.version = 1;
	assert_int_equal(complete(bench, A, 3, 7), -ENOSYS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(one_page_is_asked_for_at_a_time),
		CASE(a_wrong_completion_changes_nothing),
		CASE(nothing_depends_on_the_reply),
		CASE(what_was_late_frees_the_place),
		CASE(the_dialects_do_not_mix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
