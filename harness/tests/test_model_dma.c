/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_dma: which ranges can be mapped and unmapped, and the table behind that. */
#include "judged.h"

#define BASE ((uint64_t)0x100000)
#define PAGE ((uint64_t)0x1000)
#define SIZE ((uint64_t)0x10000)
#define TOP_PAGE (UINT64_MAX - PAGE + 1)
#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)
#define MAP(address, size) PART(((struct wire_dma_map){ 32, RW, 0, address, size }))
#define UNMAP(address, size) PART(((struct wire_dma_unmap){ 24, 0, address, size }))

static const struct model_fd memory = {
	.kind = MODEL_FD_MEMORY,
	.writable = true,
	.shrinks = true,
	.size = SIZE,
};

static struct wire_dma_map map_of(uint64_t address, uint64_t size)
{
	return (struct wire_dma_map){ sizeof(struct wire_dma_map), RW, 0, address, size };
}

static struct wire_dma_unmap unmap_of(uint64_t address, uint64_t size)
{
	return (struct wire_dma_unmap){ sizeof(struct wire_dma_unmap), 0, address, size };
}

/* The pieces of a test: a range by its address and size. */
static void is_mapped(struct judged *j, uint64_t address, uint64_t size)
{
	struct wire_dma_map map = map_of(address, size);

	tell(j, WIRE_DMA_MAP, PART(map), NOTHING, "");
}

static void is_unmapped(struct judged *j, uint64_t address, uint64_t size)
{
	struct wire_dma_unmap unmap = unmap_of(address, size);

	tell(j, WIRE_DMA_UNMAP, PART(unmap), PART(unmap), "");
}

static void must_map(struct judged *j, uint64_t address, uint64_t size, const char *requirement)
{
	struct wire_dma_map map = map_of(address, size);

	must_work(j, WIRE_DMA_MAP, PART(map), requirement);
}

static void may_map(struct judged *j, const struct wire_dma_map *map, const struct model_fd *fds,
		    size_t nfds)
{
	may_fail(j, WIRE_DMA_MAP, (struct judged_part){ map, sizeof(*map), fds, nfds });
}

static void can_not_unmap(struct judged *j, uint64_t address, uint64_t size)
{
	struct wire_dma_unmap unmap = unmap_of(address, size);

	ask(j, WIRE_DMA_UNMAP, PART(unmap));
	assert_false(allowed(j).ok);
	assert_string_equal(allowed(j).requirement, "DMA-UNMAP-003");
	answer_error(j, WIRE_DMA_UNMAP);
	found(j, "");
}

static void strictly(struct judged *j, enum model_reading reading)
{
	j->model->strict |= (uint64_t)1 << reading;
}

/* ---- DMA_MAP ---- */

static void device_may_do_without_dma_until_it_has_mapped_something(void **state)
{
	struct wire_dma_map map = map_of(BASE, SIZE);

	may_map(*state, &map, NULL, 0);
	is_mapped(*state, 0, PAGE);
	must_map(*state, BASE, SIZE, "DMA-MAP-001");
	must_work(*state, WIRE_DMA_MAP,
		  (struct judged_part){ &map, sizeof(map), &memory, 1 }, "DMA-MAP-002");
}

static void overlap_is_refused_with_eexist(void **state)
{
	static const uint64_t over[][2] = {
		{ BASE + PAGE, PAGE }, { BASE, PAGE }, { BASE - PAGE, 2 * PAGE },
		{ BASE + SIZE - PAGE, 2 * PAGE }, { BASE - PAGE, SIZE + 2 * PAGE },
	};
	struct judged *j = *state;

	is_mapped(j, BASE, SIZE);
	for (size_t i = 0; i < sizeof(over) / sizeof(*over); i++) {
		struct wire_dma_map map = map_of(over[i][0], over[i][1]);
		struct model_finding finding;

		ask(j, WIRE_DMA_MAP, PART(map));
		assert_false(allowed(j).ok);
		assert_int_equal(allowed(j).nerrnos, 1);
		assert_int_equal(allowed(j).errnos[0], EEXIST);
		answer_error(j, WIRE_DMA_MAP);
		found(j, "DMA-MAP-005");
		model_findings(j->model, j->found - 1, &finding);
		assert_string_equal(finding.code, "reply.errno");
	}
	must_map(j, BASE - PAGE, PAGE, "DMA-MAP-001");
	must_map(j, BASE + SIZE, PAGE, "DMA-MAP-001");
}

static void identical_map_is_read_in_two_ways(void **state)
{
	struct wire_dma_map map = map_of(BASE, SIZE);

	is_mapped(*state, BASE, SIZE);
	may_map(*state, &map, NULL, 0);
	strictly(*state, MODEL_D1);
	ask(*state, WIRE_DMA_MAP, PART(map));
	assert_int_equal(allowed(*state).errnos[0], EEXIST);
	answer(*state, WIRE_DMA_MAP, NOTHING);
	found(*state, "DMA-MAP-005");
}

static void nothing_is_known_after_an_overlap_that_was_taken(void **state)
{
	struct wire_dma_map map = map_of(BASE, PAGE);

	is_mapped(*state, BASE, SIZE);
	tell(*state, WIRE_DMA_UNMAP, UNMAP(BASE, SIZE), UNMAP(BASE, SIZE), "");
	is_mapped(*state, BASE, SIZE);
	ask(*state, WIRE_DMA_MAP, PART(map));
	answer(*state, WIRE_DMA_MAP, NOTHING);
	found(*state, "DMA-MAP-005");
	may_map(*state, &map, NULL, 0);
	may_fail(*state, WIRE_DMA_UNMAP, UNMAP(BASE, PAGE));
}

static void range_that_wraps_is_refused(void **state)
{
	struct wire_dma_map map = map_of(UINT64_MAX - PAGE + 1, 2 * PAGE);

	must_fail(*state, WIRE_DMA_MAP, PART(map), "DMA-MAP-013");
}

static void range_up_to_the_top_may_be_mapped(void **state)
{
	struct wire_dma_map map = map_of(TOP_PAGE, PAGE);

	is_mapped(*state, BASE, SIZE);
	may_map(*state, &map, NULL, 0);
	is_mapped(*state, TOP_PAGE, PAGE);
	can_not_unmap(*state, TOP_PAGE - PAGE, 2 * PAGE);
	is_unmapped(*state, TOP_PAGE, PAGE);
}

static void doubtful_map_may_be_refused(void **state)
{
	struct wire_dma_map maps[] = {
		map_of(BASE + 1, SIZE), map_of(BASE, SIZE - 1), map_of(BASE, (uint64_t)1 << 40),
		map_of(BASE, 0), map_of(BASE, SIZE), map_of(BASE, SIZE), map_of(BASE, SIZE),
		map_of(BASE, SIZE), map_of(BASE, SIZE),
	};

	maps[4].argsz = 31;
	maps[5].argsz = 33;
	maps[6].flags = 0;
	maps[7].flags = RW | 4;
	maps[8].offset = PAGE;
	is_mapped(*state, 0, PAGE);
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		may_map(*state, &maps[i], NULL, 0);
	strictly(*state, MODEL_T19);
	must_fail(*state, WIRE_DMA_MAP, PART(maps[4]), "DMA-MAP-004");
}

static void undefined_flags_are_refused_where_that_is_read_strictly(void **state)
{
	struct wire_dma_map map = map_of(BASE, SIZE);

	strictly(*state, MODEL_D2);
	for (uint32_t bit = 2; bit < 32; bit++) {
		map.flags = RW | 1u << bit;
		must_fail(*state, WIRE_DMA_MAP, PART(map), "DMA-MAP-011");
		model_dma_free(((struct judged *)*state)->model);
	}
}

static void file_that_does_not_fit_may_be_refused(void **state)
{
	struct model_fd fds[] = { memory, memory, memory, memory };
	struct wire_dma_map map = map_of(BASE, SIZE);

	fds[0].kind = MODEL_FD_OTHER;
	fds[2].size = SIZE - 1;
	is_mapped(*state, 0, PAGE);
	may_map(*state, &map, &fds[0], 1);
	may_map(*state, &map, &fds[2], 1);
	may_map(*state, &map, &fds[2], 2);
	map.offset = PAGE;
	may_map(*state, &map, &memory, 1);
	map.offset = TOP_PAGE;
	may_map(*state, &map, &memory, 1);
}

/* What the mode of a descriptor and seals say does not change while a command waits. */
static void file_that_forbids_it_is_refused(void **state)
{
	struct model_fd fds[] = { memory, memory };
	struct wire_dma_map map = map_of(BASE, SIZE);

	fds[0].writable = false;
	fds[1].size = SIZE - 1;
	fds[1].fixed = true;
	is_mapped(*state, 0, PAGE);
	for (size_t i = 0; i < 2; i++, map.address += SIZE)
		must_fail(*state, WIRE_DMA_MAP,
			  (struct judged_part){ &map, sizeof(map), &fds[i], 1 }, "VIO-MAP-004");
	map.flags = WIRE_DMA_MAP_READ;
	must_work(*state, WIRE_DMA_MAP, (struct judged_part){ &map, sizeof(map), &fds[0], 1 },
		  "DMA-MAP-002");
}

static void page_size_is_the_one_that_was_announced(void **state)
{
	struct judged *j = *state;

	j->model->server.pgsizes = 0x201000;
	is_mapped(j, 0, PAGE);
	must_map(j, BASE, PAGE, "DMA-MAP-001");
	j->model->server.pgsizes = 0x200000;
	may_map(j, &(struct wire_dma_map){ 32, RW, 0, BASE, PAGE }, NULL, 0);
	must_map(j, 0x400000, 0x200000, "DMA-MAP-001");
}

static void one_range_more_than_announced_is_refused(void **state)
{
	struct judged *j = *state;

	j->model->server.max_dma_maps = 3;
	for (uint32_t i = 0; i < 3; i++)
		is_mapped(j, BASE + i * PAGE, PAGE);
	ask(j, WIRE_DMA_MAP, MAP(0, PAGE));
	assert_false(allowed(j).ok);
	assert_string_equal(allowed(j).requirement, "VER-CAP-005");
	answer_error(j, WIRE_DMA_MAP);
	found(j, "");
	is_unmapped(j, BASE, PAGE);
	must_map(j, 0, PAGE, "DMA-MAP-001");
}

/* ---- DMA_UNMAP ---- */

static void only_what_is_mapped_like_this_can_be_unmapped(void **state)
{
	static const uint64_t others[][2] = {
		{ BASE - SIZE, SIZE }, { BASE, PAGE }, { BASE + PAGE, PAGE }, { BASE, SIZE - 1 },
		{ BASE, SIZE + PAGE }, { BASE, 2 * SIZE }, { BASE + PAGE, SIZE }, { BASE, 0 },
		{ 0, 0 }, { BASE, UINT64_MAX },
	};

	is_mapped(*state, BASE, SIZE);
	is_mapped(*state, BASE + SIZE, SIZE);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		can_not_unmap(*state, others[i][0], others[i][1]);
	must_work(*state, WIRE_DMA_UNMAP, UNMAP(BASE, SIZE), "DMA-UNMAP-001");
	is_unmapped(*state, BASE, SIZE);
	must_fail(*state, WIRE_DMA_UNMAP, UNMAP(BASE, SIZE), "DMA-UNMAP-003");
}

static void doubtful_unmap_does_what_its_reply_says(void **state)
{
	struct wire_dma_unmap unmap = unmap_of(BASE, SIZE);

	is_mapped(*state, BASE, SIZE);
	unmap.argsz = 23;
	may_fail(*state, WIRE_DMA_UNMAP, PART(unmap));
	tell(*state, WIRE_DMA_UNMAP, PART(unmap), ZEROS(24), "ARGSZ-GEN-005");
	can_not_unmap(*state, BASE, SIZE);
	is_mapped(*state, BASE, SIZE);
	unmap = unmap_of(BASE, SIZE);
	unmap.flags = 1;
	may_fail(*state, WIRE_DMA_UNMAP, PART(unmap));
	tell(*state, WIRE_DMA_UNMAP, PART(unmap), PART(unmap), "");
	can_not_unmap(*state, BASE, SIZE);
}

static void range_around_one_that_is_not_mapped_may_still_be(void **state)
{
	struct wire_dma_map around = map_of(BASE, SIZE), inside = map_of(BASE + PAGE, PAGE);
	struct wire_dma_map map = map_of(BASE, PAGE);

	around.argsz = inside.argsz = 31;
	is_mapped(*state, 0, PAGE);
	ask_flagged(*state, WIRE_DMA_MAP, PART(around), WIRE_NO_REPLY);
	ask_flagged(*state, WIRE_DMA_MAP, PART(inside), WIRE_NO_REPLY);
	may_fail(*state, WIRE_DMA_UNMAP, UNMAP(BASE + PAGE, PAGE));
	can_not_unmap(*state, BASE + PAGE, PAGE);
	may_map(*state, &map, NULL, 0);
}

static void unmap_with_a_descriptor_may_be_refused_for_that(void **state)
{
	struct wire_dma_map map = map_of(BASE, SIZE);
	struct wire_dma_unmap unmap = unmap_of(BASE, SIZE);

	map.argsz = 31;
	is_mapped(*state, 0, PAGE);
	ask_flagged(*state, WIRE_DMA_MAP, PART(map), WIRE_NO_REPLY);
	may_fail(*state, WIRE_DMA_UNMAP,
		 (struct judged_part){ &unmap, sizeof(unmap), &memory, 1 });
	is_unmapped(*state, BASE, SIZE);
}

static void flag_for_all_ranges_may_unmap_them(void **state)
{
	struct wire_dma_unmap all = { 24, 2, 0, 0 };

	is_mapped(*state, BASE, SIZE);
	tell(*state, WIRE_DMA_UNMAP, PART(all), PART(all), "");
	may_fail(*state, WIRE_DMA_UNMAP, UNMAP(BASE, SIZE));
	may_map(*state, &(struct wire_dma_map){ 32, RW, 0, BASE, SIZE }, NULL, 0);
}

static void longer_unmap_is_read_in_two_ways(void **state)
{
	uint8_t longer[32] = { 0 };
	struct wire_dma_unmap unmap = unmap_of(BASE, SIZE);

	memcpy(longer, &unmap, sizeof(unmap));
	is_mapped(*state, BASE, SIZE);
	may_fail(*state, WIRE_DMA_UNMAP, PART(longer));
	strictly(*state, MODEL_T11);
	must_work(*state, WIRE_DMA_UNMAP, PART(longer), "DMA-UNMAP-001");
}

static void reply_repeats_the_entry(void **state)
{
	struct wire_dma_unmap unmap = unmap_of(BASE, SIZE), reply = unmap;

	unmap.argsz = 64;
	is_mapped(*state, BASE, SIZE);
	tell(*state, WIRE_DMA_UNMAP, PART(unmap), PART(reply), "");
	is_mapped(*state, BASE, SIZE);
	tell(*state, WIRE_DMA_UNMAP, PART(unmap), PART(unmap), "");
	is_mapped(*state, BASE, SIZE);
	reply.argsz = 32;
	tell(*state, WIRE_DMA_UNMAP, PART(unmap), PART(reply), "DMA-UNMAP-002");
	is_mapped(*state, BASE, SIZE);
	reply = unmap;
	reply.size++;
	tell(*state, WIRE_DMA_UNMAP, PART(unmap), PART(reply), "DMA-UNMAP-001");
	is_mapped(*state, BASE, SIZE);
	tell(*state, WIRE_DMA_UNMAP, PART(unmap), ZEROS(23), "HDR-SIZE-001");
}

static void range_of_nothing_may_be_unmapped_once_one_was_mapped(void **state)
{
	can_not_unmap(*state, BASE, 0);
	is_mapped(*state, BASE, 0);
	may_fail(*state, WIRE_DMA_UNMAP, UNMAP(BASE, 0));
}

static void reset_keeps_ranges_or_not(void **state)
{
	struct judged *j = *state;

	is_mapped(j, BASE, SIZE);
	strictly(j, MODEL_M2);
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	must_work(j, WIRE_DMA_UNMAP, UNMAP(BASE, SIZE), "DMA-UNMAP-001");
	j->model->strict = 0;
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	may_fail(j, WIRE_DMA_UNMAP, UNMAP(BASE, SIZE));
}

/* ---- the table ---- */

#define SLOTS 512u
#define STEPS 40000u

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* The table beside a plain array of pages: whatever is mapped and unmapped, both agree. */
static void table_agrees_with_a_plain_one(void **state)
{
	struct judged *j = *state;
	uint32_t size[SLOTS] = { 0 };
	uint32_t seed = 7, mapped = 0;

	for (uint32_t step = 0; step < STEPS; step++) {
		uint32_t at = next_random(&seed) % SLOTS, pages = 1 + next_random(&seed) % 4;
		uint64_t address = (uint64_t)at * PAGE;
		bool free = at + pages <= SLOTS;

		for (uint32_t i = 0; i < SLOTS; i++)
			if (i < at + pages && size[i] && i + size[i] > at)
				free = false;
		if (size[at]) {
			is_unmapped(j, address, (uint64_t)size[at] * PAGE);
			size[at] = 0;
			mapped--;
		} else if (free) {
			is_mapped(j, address, (uint64_t)pages * PAGE);
			size[at] = pages;
			mapped++;
		} else {
			can_not_unmap(j, address, (uint64_t)pages * PAGE);
		}
		assert_int_equal(j->model->dma.count, mapped);
	}
	for (uint32_t i = 0; i < mapped; i++) {
		uint64_t address, length;

		assert_true(model_mapping(j->model, i, &address, &length));
		assert_int_equal(length, (uint64_t)size[address / PAGE] * PAGE);
	}
	assert_false(model_mapping(j->model, mapped, &(uint64_t){ 0 }, &(uint64_t){ 0 }));
}

static void as_many_ranges_as_a_large_server_takes_are_told_apart(void **state)
{
	struct judged *j = *state;
	const uint32_t count = 1u << 18;

	j->model->server.max_dma_maps = count;
	for (uint32_t i = 0; i < count; i++)
		is_mapped(j, (uint64_t)(i * 0x9e3779b1u) << 12, PAGE);
	assert_false(j->model->dma.lost);
	ask(j, WIRE_DMA_MAP, MAP(1ull << 50, PAGE));
	assert_string_equal(allowed(j).requirement, "VER-CAP-005");
	answer_error(j, WIRE_DMA_MAP);
	for (uint32_t i = 0; i < count; i++)
		is_unmapped(j, (uint64_t)(i * 0x9e3779b1u) << 12, PAGE);
	assert_int_equal(j->model->dma.count, 0);
}

static void doubts_beyond_their_bound_are_given_up(void **state)
{
	struct judged *j = *state;

	for (uint32_t i = 0; i <= MODEL_DMA_DOUBTS; i++) {
		assert_false(j->model->dma.lost);
		ask_flagged(j, WIRE_DMA_MAP, MAP(BASE + i * PAGE, 1), WIRE_NO_REPLY);
	}
	assert_true(j->model->dma.lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JUDGED(device_may_do_without_dma_until_it_has_mapped_something),
		JUDGED(overlap_is_refused_with_eexist),
		JUDGED(identical_map_is_read_in_two_ways),
		JUDGED(nothing_is_known_after_an_overlap_that_was_taken),
		JUDGED(range_that_wraps_is_refused),
		JUDGED(range_up_to_the_top_may_be_mapped),
		JUDGED(doubtful_map_may_be_refused),
		JUDGED(undefined_flags_are_refused_where_that_is_read_strictly),
		JUDGED(file_that_does_not_fit_may_be_refused),
		JUDGED(file_that_forbids_it_is_refused),
		JUDGED(page_size_is_the_one_that_was_announced),
		JUDGED(one_range_more_than_announced_is_refused),
		JUDGED(only_what_is_mapped_like_this_can_be_unmapped),
		JUDGED(doubtful_unmap_does_what_its_reply_says),
		JUDGED(range_around_one_that_is_not_mapped_may_still_be),
		JUDGED(unmap_with_a_descriptor_may_be_refused_for_that),
		JUDGED(flag_for_all_ranges_may_unmap_them),
		JUDGED(longer_unmap_is_read_in_two_ways),
		JUDGED(reply_repeats_the_entry),
		JUDGED(range_of_nothing_may_be_unmapped_once_one_was_mapped),
		JUDGED(reset_keeps_ranges_or_not),
		JUDGED(table_agrees_with_a_plain_one),
		JUDGED(as_many_ranges_as_a_large_server_takes_are_told_apart),
		JUDGED(doubts_beyond_their_bound_are_given_up),
	};

	return cmocka_run_group_tests_name("model_dma", tests, NULL, NULL);
}
