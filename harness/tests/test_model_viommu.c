/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_viommu and model_space: what holds where the extension was negotiated. */
#include <stdio.h>

#include "judged.h"

#define BASE ((uint64_t)0x100000)
#define PAGE ((uint64_t)0x1000)
#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)
#define P(pasid) (WIRE_ATTR_PASID_VALID | (uint32_t)(pasid) << WIRE_ATTR_PASID_SHIFT)
#define MAP(flags, address, size) \
	PART(((struct wire_dma_map){ 32, flags, 0, address, size }))
#define UNMAP(flags, address, size) \
	PART(((struct wire_dma_unmap){ 24, flags, address, size }))
#define RESPONSE(cookie, code, reserved) \
	PART(((struct wire_page_response){ cookie, code, reserved }))
#define FULL "{\"version\":1,\"pasid_bits\":8,\"max_pasids\":2,\"page_requests\":4," \
	     "\"unmap_range\":true,\"replace\":true,\"address_bits\":48}"

/* VERSION with that as viommu, or without; what is wrong with the answer. */
static void negotiated(struct judged *j, const char *offer, const char *came,
		       const char *requirement)
{
	const char *texts[] = { offer, came };
	uint8_t body[2][512] = { 0 };
	size_t size[2];

	for (int i = 0; i < 2; i++)
		size[i] = 5 + (size_t)snprintf((char *)body[i] + 4, sizeof(body[i]) - 4,
					       "{\"capabilities\":{\"max_dma_maps\":4%s%s}}",
					       *texts[i] ? ",\"viommu\":" : "", texts[i]);
	tell(j, WIRE_VERSION, PART_OF(body[0], size[0]), PART_OF(body[1], size[1]), requirement);
}

static int set_up_greeting(void **state)
{
	const struct model_options options = { .fresh = true };
	struct judged *j = calloc(1, sizeof(*j));

	if (!j || model_new(&options, &j->model))
		return -1;
	*state = j;
	return 0;
}

static int set_up(void **state)
{
	if (set_up_greeting(state))
		return -1;
	negotiated(*state, FULL, FULL, "");
	return 0;
}

static void is_mapped(struct judged *j, uint32_t attr, uint64_t address, uint64_t size)
{
	tell(j, WIRE_DMA_MAP, MAP(RW | attr, address, size), NOTHING, "");
}

static void sent(struct judged *j, uint16_t command, struct judged_part part,
		 const char *requirement)
{
	const struct wire_header header = { .id = 7, .command = command };

	judged_message(j, &header, part, true);
	found(j, requirement);
}

static void is_removed(struct judged *j, uint32_t flags, uint64_t removed, const char *requirement)
{
	const struct wire_page_request marker = { .attr = flags & ~WIRE_DMA_UNMAP_ALL };
	const struct wire_dma_unmap reply = { 24, flags, 0, removed };

	ask(j, WIRE_DMA_UNMAP, UNMAP(flags, 0, 0));
	if (flags & WIRE_ATTR_PASID_VALID && flags & WIRE_DMA_UNMAP_ALL)
		sent(j, WIRE_PAGE_REQUEST, PART(marker), "");
	answer(j, WIRE_DMA_UNMAP, PART(reply));
	found(j, requirement);
}

/* Refused, with that errno; another one is found. */
static void must_name(struct judged *j, uint16_t command, struct judged_part part, uint32_t number,
		      const char *requirement)
{
	ask(j, command, part);
	assert_false(allowed(j).ok);
	assert_int_equal(allowed(j).nerrnos, 1);
	assert_int_equal(allowed(j).errnos[0], number);
	answer_error(j, command);
	found(j, requirement);
}

/* ---- the capability ---- */

static void answers_are_held_to_the_proposal(void **state)
{
	static const char *const rows[][3] = {
		{ "", "", "" },
		{ FULL, "", "" },
		{ FULL, FULL, "" },
		{ "", FULL, "VE-NEG-001" },
		{ "{\"version\":0}", "{\"version\":1}", "VE-NEG-001" },
		{ FULL, "{\"version\":2,\"address_bits\":48}", "VE-NEG-003" },
		{ "{\"version\":1}", "{\"version\":1,\"replace\":true}", "VE-NEG-002" },
		{ FULL, "{\"version\":1,\"page_requests\":5}", "VE-NEG-002" },
		{ FULL, "{\"version\":1}", "VE-NEG-002" },	/* address_bits are 64 then */
		{ "{\"version\":1,\"pasid_bits\":8,\"max_pasids\":2}",
		  "{\"version\":1,\"pasid_bits\":8}", "VE-NEG-004" },
		{ "{\"version\":1,\"pasid_bits\":1,\"max_pasids\":9}",
		  "{\"version\":1,\"pasid_bits\":1,\"max_pasids\":3}", "VE-NEG-004" },
		{ FULL, "{\"version\":1,\"address_bits\":48,\"replace\":1}", "VE-NEG-002" },
	};
	const struct model_options options = { .fresh = true };
	struct judged *j = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		model_renew(j->model, &options);
		j->found = 0;
		negotiated(j, rows[i][0], rows[i][1], rows[i][2]);
	}
}

static void wrong_proposal_may_be_refused(void **state)
{
	static const char text[] = "....{\"capabilities\":{\"viommu\":{\"version\":\"1\"}}}";
	uint8_t version[sizeof(text)];

	memcpy(version, text, sizeof(text));
	memset(version, 0, 4);
	may_fail(*state, WIRE_VERSION, PART(version));
}

static void without_it_its_commands_are_unknown(void **state)
{
	struct judged *j = *state;

	negotiated(j, "", "", "");
	must_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 0), "HDR-UNK-001");
	must_fail(j, WIRE_PAGE_REQUEST, ZEROS(32), "HDR-UNK-001");
}

/* ---- spaces ---- */

static void attribute_words_have_only_what_was_negotiated(void **state)
{
	struct judged *j = *state;

	must_fail(j, WIRE_DMA_MAP, MAP(RW | 0x10, BASE, PAGE), "VE-ATTR-002");
	must_fail(j, WIRE_DMA_MAP, MAP(RW | WIRE_DMA_MAP_BACKING, BASE, PAGE), "VE-NEG-006");
	must_fail(j, WIRE_DMA_MAP, MAP(RW | 0x1000, BASE, PAGE), "VE-ATTR-004");
	must_fail(j, WIRE_DMA_MAP, MAP(RW | P(256), BASE, PAGE), "VE-ATTR-005");
	must_fail(j, WIRE_DMA_UNMAP, UNMAP(1, BASE, PAGE), "VE-ATTR-002");
	must_fail(j, WIRE_DMA_UNMAP, UNMAP(WIRE_DMA_UNMAP_ALL | WIRE_DMA_UNMAP_RANGE, 0, 0),
		  "VE-UNMAP-002");
	must_fail(j, WIRE_DMA_MAP, MAP(P(1), BASE, PAGE), "VE-MAP-001");
	must_fail(j, WIRE_DMA_MAP, MAP(RW, BASE, PAGE / 2), "VE-MAP-001");
	must_fail(j, WIRE_DMA_MAP, MAP(RW, UINT64_C(1) << 48, PAGE), "VE-MAP-001");
}

static void spaces_are_kept_apart(void **state)
{
	struct judged *j = *state;

	is_mapped(j, 0, BASE, PAGE);
	is_mapped(j, P(0), BASE, PAGE);
	is_mapped(j, P(7), BASE, PAGE);
	must_name(j, WIRE_DMA_MAP, MAP(RW | P(7), BASE, 2 * PAGE), EEXIST, "VE-MAP-003");
	must_fail(j, WIRE_DMA_UNMAP, UNMAP(P(1), BASE, PAGE), "VE-UNMAP-001");
	must_name(j, WIRE_DMA_MAP, MAP(RW | P(1), BASE, PAGE), ENOSPC, "VE-SPACE-004");
	must_work(j, WIRE_DMA_MAP, MAP(RW | P(7), 0, PAGE), "VE-SPACE-003");
	is_mapped(j, P(7), 0, PAGE);
	must_fail(j, WIRE_DMA_MAP, MAP(RW, 0, PAGE), "VE-MAP-007");
}

static void removals_are_counted(void **state)
{
	struct judged *j = *state;

	is_mapped(j, P(1), BASE, PAGE);
	is_mapped(j, P(1), BASE + PAGE, 2 * PAGE);
	is_mapped(j, 0, BASE, PAGE);
	must_fail(j, WIRE_DMA_UNMAP, UNMAP(P(1) | WIRE_DMA_UNMAP_RANGE, BASE, 2 * PAGE),
		  "VE-RANGE-003");
	must_fail(j, WIRE_DMA_UNMAP, UNMAP(P(2) | WIRE_DMA_UNMAP_RANGE, BASE, 0), "VE-RANGE-004");
	must_fail(j, WIRE_DMA_UNMAP, UNMAP(WIRE_DMA_UNMAP_ALL, 0, PAGE), "VE-ALL-001");
}

static void sizes_of_removals_are_those_of_the_mappings(void **state)
{
	struct judged *j = *state;

	is_mapped(j, P(1), BASE, PAGE);
	is_mapped(j, P(1), BASE + PAGE, 2 * PAGE);
	is_mapped(j, 0, BASE, PAGE);
	must_work(j, WIRE_DMA_UNMAP, UNMAP(P(1) | WIRE_DMA_UNMAP_ALL, 0, 0), "VE-UNMAP-003");
	is_removed(j, P(1) | WIRE_DMA_UNMAP_RANGE, 3 * PAGE, "");
	is_removed(j, P(1) | WIRE_DMA_UNMAP_ALL, PAGE, "VE-UNMAP-004");
	is_removed(j, WIRE_DMA_UNMAP_ALL, PAGE, "");
	is_removed(j, WIRE_DMA_UNMAP_ALL, 0, "");
}

static void replacement_needs_exactly_the_mapping(void **state)
{
	struct judged *j = *state;
	const uint32_t replace = RW | WIRE_DMA_MAP_REPLACE;

	is_mapped(j, P(1), BASE, 2 * PAGE);
	must_name(j, WIRE_DMA_MAP, MAP(replace | P(1), BASE, PAGE), ENOENT, "VE-REPL-001");
	must_name(j, WIRE_DMA_MAP, MAP(replace, BASE, 2 * PAGE), ENOENT, "VE-REPL-001");
	must_work(j, WIRE_DMA_MAP, MAP(replace | P(1), BASE, 2 * PAGE), "VE-REPL-001");
}

static void silent_maps_are_in_doubt_until_their_space_ends(void **state)
{
	struct judged *j = *state;

	ask_flagged(j, WIRE_DMA_MAP, MAP(RW | P(1), BASE, PAGE), WIRE_NO_REPLY);
	may_fail(j, WIRE_DMA_MAP, MAP(RW | P(1), BASE, PAGE));
	may_fail(j, WIRE_DMA_UNMAP, UNMAP(P(1), BASE, PAGE));
	is_removed(j, P(1) | WIRE_DMA_UNMAP_ALL, PAGE, "");
	must_fail(j, WIRE_DMA_UNMAP, UNMAP(P(1), BASE, PAGE), "VE-UNMAP-001");
}

/* ---- what the server sends ---- */

static void dma_is_judged_in_its_space(void **state)
{
	struct judged *j = *state;
	const struct wire_dma_access_attr there = { BASE, PAGE, P(1) }, none = { BASE, PAGE, 0 };
	const struct wire_dma_access_attr wrong = { BASE, PAGE, 0x1000 };

	is_mapped(j, P(1), BASE, PAGE);
	sent(j, WIRE_DMA_READ, PART(there), "");
	sent(j, WIRE_DMA_READ, PART(none), "DMA-RW-003");
	sent(j, WIRE_DMA_READ, PART(wrong), "VE-ATTR-001");
}

struct group {
	struct wire_page_request request;
	struct wire_page_range range;
} WIRE_PACKED;

static struct group group_of(uint32_t cookie, uint16_t prgi, uint32_t pages)
{
	return (struct group){
		.request = { .cookie = cookie, .prgi = prgi, .nr = 1, .attr = P(1) },
		.range = { BASE, pages * (uint32_t)PAGE, WIRE_PAGE_READ },
	};
}

static void page_requests_have_a_form(void **state)
{
	struct judged *j = *state;
	struct group one = group_of(1, 0, 1);
	struct wire_page_request marker = { .attr = P(1) };

	sent(j, WIRE_PAGE_REQUEST, PART(marker), "");
	marker.reserved = 1;
	sent(j, WIRE_PAGE_REQUEST, PART(marker), "VE-REQ-010");
	one.range.perm = 0;
	sent(j, WIRE_PAGE_REQUEST, PART(one), "VE-REQ-006");
	one.range.perm = WIRE_PAGE_WRITE;
	one.range.size = 1;
	sent(j, WIRE_PAGE_REQUEST, PART(one), "VE-REQ-006");
	one.request.nr = 2;
	sent(j, WIRE_PAGE_REQUEST, PART(one), "VE-REQ-006");
	one = group_of(1, WIRE_PAGE_PRGIS, 1);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "VE-REQ-009");
	one = group_of(2, 1, 1);
	one.request.attr = P(256);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "VE-ATTR-001");
}

static void groups_are_told_apart_and_have_credit(void **state)
{
	struct judged *j = *state;
	struct group one = group_of(1, 0, 2), same = group_of(1, 1, 1), many = group_of(3, 3, 2);

	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	sent(j, WIRE_PAGE_REQUEST, PART(same), "VE-REQ-008");
	same = group_of(2, 0, 1);
	tell(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 0), NOTHING, "");
	sent(j, WIRE_PAGE_REQUEST, PART(same), "");
	sent(j, WIRE_PAGE_REQUEST, PART(many), "");
	many = group_of(4, 4, 2);
	sent(j, WIRE_PAGE_REQUEST, PART(many), "VE-CRED-001");
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	many = group_of(5, 4, 2);
	sent(j, WIRE_PAGE_REQUEST, PART(many), "");
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	sent(j, WIRE_PAGE_REQUEST, PART(many), "VE-REQ-008");
}

/* Responses to groups that have ended find nothing, whatever has ended them. */
static void ended_groups_find_no_response(void **state)
{
	struct judged *j = *state;
	const struct wire_feature set = {
		sizeof(set) + 8, WIRE_FEATURE_SET | WIRE_FEATURE_MIG_DEVICE_STATE,
	};
	uint8_t stop[sizeof(set) + 8] = { 0 };
	const uint32_t state_stop = WIRE_STATE_STOP;
	struct group one;

	one = group_of(1, 0, 1);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	tell(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 0), NOTHING, "");
	must_name(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 0), ENOENT, "VE-RESP-009");
	one = group_of(2, 0, 1);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	is_removed(j, P(2) | WIRE_DMA_UNMAP_ALL, 0, "");
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(2, 0, 0));
	is_removed(j, P(1) | WIRE_DMA_UNMAP_ALL, 0, "");
	must_name(j, WIRE_PAGE_RESPONSE, RESPONSE(2, 0, 0), ENOENT, "VE-RESP-009");
	one = group_of(3, 0, 1);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	must_name(j, WIRE_PAGE_RESPONSE, RESPONSE(3, 0, 0), ENOENT, "VE-RESP-009");
	one = group_of(4, 0, 1);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	memcpy(stop, &set, sizeof(set));
	memcpy(stop + sizeof(set), &state_stop, sizeof(state_stop));
	tell(j, WIRE_DEVICE_FEATURE, PART(stop), PART(stop), "");
	is_refused(j, WIRE_PAGE_RESPONSE, RESPONSE(4, 1, 0), "VE-RESP-009");
}

/* While nothing happens a group waits for its response. */
static void outstanding_groups_are_found(void **state)
{
	const struct model_options options = { .fresh = true, .still = true };
	const struct wire_region_access write = { .region = 0, .count = 0 };
	struct judged *j = *state;
	struct group one = group_of(1, 0, 1), two = group_of(2, 1, 1), three = group_of(3, 2, 1);

	model_renew(j->model, &options);
	negotiated(j, FULL, FULL, "");
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	sent(j, WIRE_PAGE_REQUEST, PART(two), "");
	sent(j, WIRE_PAGE_REQUEST, PART(three), "");
	is_mapped(j, P(1), BASE, PAGE);
	must_work(j, WIRE_PAGE_RESPONSE, RESPONSE(2, 0, 0), "VE-RESP-003");
	tell(j, WIRE_REGION_WRITE, PART(write), PART(write), "");
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 0));
	model_passed(j->model);
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(3, 0, 0));
}

/* Whether a space has begun is not known where nobody saw its first mapping made. */
static void spaces_may_have_begun(void **state)
{
	struct judged *j = *state;

	is_mapped(j, P(1), BASE, PAGE);
	is_mapped(j, P(2), BASE, PAGE);
	is_removed(j, P(1) | WIRE_DMA_UNMAP_RANGE, PAGE, "");
	ask_flagged(j, WIRE_DMA_MAP, MAP(RW | P(3), BASE, PAGE), WIRE_NO_REPLY);
	may_fail(j, WIRE_DMA_MAP, MAP(RW | P(3), BASE + PAGE, PAGE));
	is_removed(j, P(1) | WIRE_DMA_UNMAP_ALL, 0, "");
	may_fail(j, WIRE_DMA_MAP, MAP(RW | P(3), BASE + 2 * PAGE, PAGE));
}

/* A group may have been on its way when what ends it went out. */
static void groups_on_their_way_may_have_ended(void **state)
{
	const struct model_options options = { .fresh = true, .still = true };
	const struct wire_region_access write = { .region = 0, .count = 0 };
	struct judged *j = *state;
	struct group one = group_of(1, 0, 3), two = group_of(2, 1, 3), three = group_of(3, 2, 1);

	model_renew(j->model, &options);
	negotiated(j, FULL, FULL, "");
	ask_flagged(j, WIRE_DEVICE_RESET, NOTHING, WIRE_NO_REPLY);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	sent(j, WIRE_PAGE_REQUEST, PART(two), "");
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 0));
	ask(j, WIRE_REGION_WRITE, PART(write));
	sent(j, WIRE_PAGE_REQUEST, PART(three), "");
	answer(j, WIRE_REGION_WRITE, PART(write));
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(3, 0, 0));
	ask(j, WIRE_PAGE_RESPONSE, RESPONSE(4, 0, 0));
	one = group_of(4, 3, 1);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	answer(j, WIRE_PAGE_RESPONSE, NOTHING);
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(4, 0, 0));
	ask(j, WIRE_PAGE_RESPONSE, RESPONSE(5, WIRE_PAGE_FAILURE, 0));
	one = group_of(6, 3, 1);
	sent(j, WIRE_PAGE_REQUEST, PART(one), "");
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(6, 0, 0));
}

/* What the server sends may have been on its way when an unmap without reply went out. */
static void dma_may_come_behind_a_silent_removal(void **state)
{
	struct judged *j = *state;
	const struct wire_dma_access_attr there = { BASE, PAGE, P(1) };

	is_mapped(j, P(1), BASE, PAGE);
	ask_flagged(j, WIRE_DMA_UNMAP, UNMAP(P(1) | WIRE_DMA_UNMAP_RANGE, BASE, PAGE),
		    WIRE_NO_REPLY);
	sent(j, WIRE_DMA_READ, PART(there), "");
	is_mapped(j, P(2), BASE, PAGE);
	sent(j, WIRE_DMA_READ, PART(there), "DMA-RW-003");
}

static void markers_come_before_their_reply(void **state)
{
	struct judged *j = *state;
	const struct wire_dma_unmap reply = { 24, P(1) | WIRE_DMA_UNMAP_ALL, 0, 0 };
	const struct wire_page_request other = { .attr = P(2) };

	is_removed(j, P(1) | WIRE_DMA_UNMAP_ALL, 0, "");
	ask(j, WIRE_DMA_UNMAP, UNMAP(P(1) | WIRE_DMA_UNMAP_ALL, 0, 0));
	sent(j, WIRE_PAGE_REQUEST, PART(other), "");
	answer(j, WIRE_DMA_UNMAP, PART(reply));
	found(j, "VE-ALL-005");
}

/* A mapping by the window at 0x200000, which has two pages. */
static struct judged_part indirect(uint64_t offset)
{
	static struct wire_dma_map map;

	map = (struct wire_dma_map){ 32, RW | WIRE_DMA_MAP_INDIRECT, offset, BASE, PAGE };
	return PART(map);
}

static void windows_are_a_space_of_their_own(void **state)
{
	static const char all[] = "{\"version\":1,\"backing\":true}";
	static const struct model_fd file = {
		.kind = MODEL_FD_MEMORY, .writable = true, .size = 1 << 20,
	};
	struct judged *j = *state;
	const struct wire_dma_map map = { 32, RW | WIRE_DMA_MAP_BACKING, 0, 0x200000, 2 * PAGE };
	struct judged_part window = { &map, sizeof(map), &file, 1 };
	struct judged_part filed = indirect(0x200000);

	negotiated(j, all, all, "");
	is_refused(j, WIRE_DMA_MAP, PART(map), "VE-BACK-001");
	is_refused(j, WIRE_DMA_MAP, indirect(0x200000), "VE-BACK-003");
	tell(j, WIRE_DMA_MAP, window, NOTHING, "");
	must_name(j, WIRE_DMA_MAP, window, EEXIST, "VE-BACK-002");
	is_refused(j, WIRE_DMA_MAP, indirect(0x202000), "VE-BACK-003");
	filed.fds = &file;
	filed.nfds = 1;
	is_refused(j, WIRE_DMA_MAP, filed, "VE-BACK-003");
	may_fail(j, WIRE_DMA_MAP, indirect(0x201000));
	is_refused(j, WIRE_DMA_UNMAP, UNMAP(WIRE_DMA_UNMAP_BACKING, 0x200000, PAGE),
		   "VE-UNMAP-001");
	tell(j, WIRE_DMA_UNMAP, UNMAP(WIRE_DMA_UNMAP_BACKING, 0x200000, 2 * PAGE),
	     UNMAP(WIRE_DMA_UNMAP_BACKING, 0x200000, 2 * PAGE), "");
	is_refused(j, WIRE_DMA_MAP, indirect(0x200000), "VE-BACK-003");
}

static void responses_have_a_form(void **state)
{
	struct judged *j = *state;

	must_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 7, 0), "VE-RESP-008");
	must_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 1), "VE-RESP-008");
	must_fail(j, WIRE_PAGE_RESPONSE, ZEROS(4), "VE-RESP-008");
	must_name(j, WIRE_PAGE_RESPONSE, RESPONSE(0, 0, 0), ENOENT, "VE-RESP-009");
	may_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 15, 0));
}

static void responses_need_page_requests(void **state)
{
	struct judged *j = *state;

	negotiated(j, "{\"version\":1}", "{\"version\":1}", "");
	must_fail(j, WIRE_PAGE_RESPONSE, RESPONSE(1, 0, 0), "VE-RESP-012");
}

#define GREETING(test) \
	cmocka_unit_test_setup_teardown(test, set_up_greeting, judged_tear_down)
#define NEGOTIATED(test) cmocka_unit_test_setup_teardown(test, set_up, judged_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GREETING(answers_are_held_to_the_proposal),
		GREETING(wrong_proposal_may_be_refused),
		GREETING(without_it_its_commands_are_unknown),
		NEGOTIATED(attribute_words_have_only_what_was_negotiated),
		NEGOTIATED(spaces_are_kept_apart),
		NEGOTIATED(removals_are_counted),
		NEGOTIATED(sizes_of_removals_are_those_of_the_mappings),
		NEGOTIATED(replacement_needs_exactly_the_mapping),
		NEGOTIATED(silent_maps_are_in_doubt_until_their_space_ends),
		NEGOTIATED(dma_is_judged_in_its_space),
		NEGOTIATED(page_requests_have_a_form),
		NEGOTIATED(groups_are_told_apart_and_have_credit),
		NEGOTIATED(responses_have_a_form),
		NEGOTIATED(ended_groups_find_no_response),
		GREETING(outstanding_groups_are_found),
		NEGOTIATED(spaces_may_have_begun),
		GREETING(groups_on_their_way_may_have_ended),
		NEGOTIATED(dma_may_come_behind_a_silent_removal),
		NEGOTIATED(markers_come_before_their_reply),
		GREETING(windows_are_a_space_of_their_own),
		GREETING(responses_need_page_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
