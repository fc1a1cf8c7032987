/* SPDX-License-Identifier: BSD-3-Clause */
/* test_version_viommu.c - the capability "viommu": what is answered, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "call.h"
#include "version.h"
#include "wire_ext.h"

static struct version_offer offer = {
	.max_msg_fds = 16,
	.max_data_xfer_size = 65536,
	.max_dma_maps = 100,
	.pgsizes = 4096,
};

static const struct session_viommu viommu = {
	.version = 1,
	.pasid_bits = 20,
	.max_pasids = 1024,
	.address_bits = 64,
	.page_requests = 64,
	.unmap_range = true,
	.replace = true,
};

static int set_up(void **state)
{
	static struct call call;

	offer.viommu = viommu;
	*state = &call;
	return call_open(&call);
}

static int tear_down(void **state)
{
	call_close(*state);
	return 0;
}

/* Proposes this capability; the text of the reply is in the call behind the numbers. */
static int propose(struct call *call, const char *value)
{
	struct version version = { &offer, &call->session };
	struct wire_version numbers = { 0, 1 };
	char body[1024];
	int size;

	call->session.phase = SESSION_CONNECTED;
	memcpy(body, &numbers, sizeof(numbers));
	size = snprintf(body + sizeof(numbers), sizeof(body) - sizeof(numbers),
			"{\"capabilities\":{\"viommu\":%s}}", value);
	return call_handler(call, version_command, &version, body,
			    sizeof(numbers) + (size_t)size + 1);
}

static void expect(struct call *call, const char *value, const char *answer)
{
	char text[1024];

	if (propose(call, value))
		fail_msg("refused: %s", value);
	snprintf(text, sizeof(text), "{\"capabilities\":{%s%s}}", answer ? "\"viommu\":" : "",
		 answer ? answer : "");
	assert_string_equal((const char *)call->reply + sizeof(struct wire_version), text);
}

static void each_member_is_the_smaller_one(void **state)
{
	struct call *call = *state;

	expect(call, "{\"version\":1}", "{\"version\":1}");
	assert_int_equal(call->session.limits.viommu.address_bits, 64);
	expect(call, "{\"version\":7,\"pasid_bits\":64,\"max_pasids\":99999999999,"
		     "\"address_bits\":80,\"page_requests\":4,\"unmap_range\":true,"
		     "\"replace\":false,\"backing\":true,\"other\":[]}",
	       "{\"version\":1,\"pasid_bits\":20,\"max_pasids\":1024,\"address_bits\":64,"
	       "\"page_requests\":4,\"unmap_range\":true}");
	assert_int_equal(call->session.limits.viommu.max_pasids, 1024);
	assert_false(call->session.limits.viommu.replace);
	assert_false(call->session.limits.viommu.backing);
	expect(call, "{\"version\":1,\"pasid_bits\":3,\"max_pasids\":2,\"address_bits\":39}",
	       "{\"version\":1,\"pasid_bits\":3,\"max_pasids\":2,\"address_bits\":39}");
}

static void pasids_need_bits_and_room(void **state)
{
	struct call *call = *state;

	expect(call, "{\"version\":1,\"pasid_bits\":3}", "{\"version\":1}");
	expect(call, "{\"version\":1,\"max_pasids\":3}", "{\"version\":1}");
	expect(call, "{\"version\":1,\"pasid_bits\":3,\"max_pasids\":9}",
	       "{\"version\":1,\"pasid_bits\":3,\"max_pasids\":8}");
	expect(call, "{\"version\":1}", "{\"version\":1}");
	assert_int_equal(call->session.limits.viommu.pasid_bits, 0);
}

static void without_a_common_version_there_is_nothing(void **state)
{
	struct call *call = *state;

	expect(call, "{}", NULL);
	expect(call, "{\"version\":0,\"pasid_bits\":3,\"max_pasids\":2}", NULL);
	assert_int_equal(call->session.limits.viommu.pasid_bits, 0);
	offer.viommu.version = 0;
	expect(call, "{\"version\":1}", NULL);
	expect(call, "7", NULL);
	assert_int_equal(call->session.limits.viommu.address_bits, 0);
}

static void wrong_types_are_refused(void **state)
{
	static const char *const bad[] = {
		"true", "1", "[]", "null", "{\"version\":\"1\"}", "{\"version\":-1}",
		"{\"version\":1,\"pasid_bits\":true}", "{\"version\":1,\"max_pasids\":1.5}",
		"{\"version\":1,\"page_requests\":-4}", "{\"version\":1,\"address_bits\":0}",
		"{\"version\":1,\"address_bits\":11}", "{\"version\":1,\"unmap_range\":1}",
		"{\"version\":1,\"replace\":\"yes\"}", "{\"version\":1,\"backing\":null}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (propose(*state, bad[i]) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_member_is_the_smaller_one),
		CASE(pasids_need_bits_and_room),
		CASE(without_a_common_version_there_is_nothing),
		CASE(wrong_types_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
