/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_region: descriptions, capabilities, accesses and sub-regions. */
#include "judged.h"

#define BOTH (WIRE_REGION_FLAG_READ | WIRE_REGION_FLAG_WRITE)
#define BAR 0u
#define ROM 6u
#define CONFIG 7u
#define SIZE 0x10000u

/* ---- descriptions ---- */

static struct wire_region_info question(uint32_t index, uint32_t argsz)
{
	return (struct wire_region_info){ .argsz = argsz, .index = index };
}

static struct wire_region_info description(uint32_t index, uint32_t flags, uint64_t size)
{
	return (struct wire_region_info){
		.argsz = sizeof(struct wire_region_info),
		.flags = flags,
		.index = index,
		.size = size,
	};
}

static void describe(struct judged *j, struct wire_region_info reply, const char *requirement)
{
	const struct wire_region_info asked = question(reply.index, 4096);

	tell(j, WIRE_DEVICE_GET_REGION_INFO, PART(asked), PART(reply), requirement);
}

static void index_beyond_the_last_is_refused(void **state)
{
	static const uint32_t beyond[] = { JUDGED_REGIONS, INT32_MAX, UINT32_MAX };

	for (size_t i = 0; i < 3; i++)
		must_fail(*state, WIRE_DEVICE_GET_REGION_INFO, PART(((struct wire_region_info){
			  .argsz = 32, .index = beyond[i] })), "REG-INFO-002");
	must_fail(*state, WIRE_DEVICE_GET_REGION_INFO, ZEROS(31), "REG-INFO-003");
}

static void region_below_the_last_is_described(void **state)
{
	struct wire_region_info asked = question(BAR, 32);

	must_work(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), "REG-INFO-001");
	asked.cap_offset = 1;
	may_fail(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked));
	asked = question(BAR, UINT32_MAX);
	may_fail(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked));
	asked = question(BAR, 31);
	may_fail(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked));
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), NOTHING, "");
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked),
	     ZEROS(32), "ARGSZ-GEN-005");
	describe(*state, description(BAR, BOTH, SIZE), "");
	describe(*state, description(BAR, BOTH, SIZE), "");
}

static void description_may_not_change(void **state)
{
	struct wire_region_info other = description(BAR, BOTH, SIZE);

	describe(*state, other, "");
	other.size++;
	describe(*state, other, "REG-INFO-001");
	other.flags = WIRE_REGION_FLAG_READ;
	describe(*state, other, "REG-INFO-001");
	other.offset = 4096;
	describe(*state, other, "REG-INFO-001");
}

static void fields_of_a_description_are_judged(void **state)
{
	struct wire_region_info asked = question(1, 4096), reply = description(2, BOTH, SIZE);

	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), PART(reply), "REG-INFO-001");
	reply = description(4, BOTH, SIZE);
	reply.argsz = 31;
	describe(*state, reply, "REG-INFO-005");
}

static void flags_of_a_description_are_judged(void **state)
{
	struct wire_region_info reply = description(3, BOTH, SIZE);

	describe(*state, description(2, 0, SIZE), "REG-INFO-010");
	describe(*state, description(4, WIRE_REGION_FLAG_MMAP | BOTH, SIZE), "REG-INFO-006");
	reply.cap_offset = 32;
	describe(*state, reply, "REG-INFO-011");
	reply = description(5, BOTH | WIRE_REGION_FLAG_CAPS, SIZE);
	describe(*state, reply, "REG-INFO-011");
	describe(*state, description(CONFIG, BOTH, 257), "REG-INFO-012");
	describe(*state, description(8, 0, 0), "");
}

static void configuration_space_has_its_flags(void **state)
{
	describe(*state, description(CONFIG, WIRE_REGION_FLAG_READ, 256), "REG-INFO-012");
}

static void descriptor_belongs_to_a_region_that_can_be_mapped(void **state)
{
	const struct wire_region_info asked = question(1, 4096);
	struct wire_region_info reply = description(1, BOTH, SIZE);
	struct model_fd fd = { .kind = MODEL_FD_MEMORY, .writable = true, .size = SIZE };
	struct judged_part part = { &reply, sizeof(reply), &fd, 1 };

	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), part, "REG-INFO-006");
	reply.flags |= WIRE_REGION_FLAG_MMAP;
	((struct judged *)*state)->model->region.at[1].told = false;
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), part, "");
	fd.size = SIZE - 4096;
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), part, "REG-INFO-008");
	fd.size = SIZE;
	fd.writable = false;
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), part, "REG-INFO-008");
	fd = (struct model_fd){ .kind = MODEL_FD_EVENTFD };
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), part, "REG-INFO-008");
	fd.kind = MODEL_FD_OTHER;
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), part, "");
}

/* ---- capabilities ---- */

struct described {
	struct wire_region_info info;
	struct wire_cap_sparse_mmap sparse;
	struct wire_sparse_area areas[2];
	struct wire_cap_type type;
} WIRE_PACKED;

static struct described good_capabilities(void)
{
	const uint32_t sparse = sizeof(struct wire_region_info);
	const uint32_t type = offsetof(struct described, type);

	return (struct described){
		.info = {
			.argsz = sizeof(struct described),
			.flags = BOTH | WIRE_REGION_FLAG_MMAP | WIRE_REGION_FLAG_CAPS,
			.index = 9,
			.cap_offset = sparse,
			.size = SIZE,
		},
		.sparse = {
			.header = { WIRE_CAP_ID_SPARSE_MMAP, 1, type },
			.nr_areas = 2,
		},
		.areas = { { 0, 4096 }, { 8192, 4096 } },
		.type = { .header = { WIRE_CAP_ID_TYPE, 1, 0 } },
	};
}

static void say(struct judged *j, struct described one, uint32_t argsz, size_t size,
		const char *requirement)
{
	const struct wire_region_info asked = question(9, argsz);
	const struct model_fd fd = { .kind = MODEL_FD_MEMORY, .writable = true };
	const struct judged_part part = { &one, size, &fd, 1 };

	tell(j, WIRE_DEVICE_GET_REGION_INFO, PART(asked), part, requirement);
}

static void say_whole(struct judged *j, struct described one, const char *requirement)
{
	say(j, one, 4096, sizeof(one), requirement);
}

static void chain_ends_inside_the_payload(void **state)
{
	struct described one = good_capabilities();

	say_whole(*state, one, "");
	one.type.header.next = one.info.cap_offset;
	say_whole(*state, one, "REG-CAP-001");
	one.type.header.next = sizeof(one) - 7;
	say_whole(*state, one, "REG-CAP-001");
	one.type.header.next = 16;
	say_whole(*state, one, "REG-CAP-001");
	one = good_capabilities();
	one.info.cap_offset = sizeof(one);
	say_whole(*state, one, "REG-CAP-001");
	one = good_capabilities();
	one.info.flags &= ~WIRE_REGION_FLAG_CAPS;
	say_whole(*state, one, "REG-INFO-011");
}

static void capabilities_have_their_form(void **state)
{
	struct described one = good_capabilities();

	one.sparse.header.version = 2;
	say_whole(*state, one, "REG-CAP-002");
	one.sparse.header.version = 1;
	one.sparse.nr_areas = 0;
	say_whole(*state, one, "REG-CAP-002");
	one.sparse.nr_areas = UINT32_MAX;
	say_whole(*state, one, "REG-CAP-002");
	one = good_capabilities();
	one.sparse.reserved = 1;
	say_whole(*state, one, "REG-CAP-002");
	one = good_capabilities();
	one.sparse.header.next = 0;
	say_whole(*state, one, "REG-CAP-005");
	one = good_capabilities();
	one.type.header.version = 2;
	say_whole(*state, one, "REG-CAP-005");
}

static void areas_are_pages_of_the_region(void **state)
{
	static const struct wire_sparse_area wrong[] = {
		{ 8192, 0 }, { 8192, 4095 }, { 8193, 4096 }, { SIZE, 4096 }, { 0, 4096 },
		{ UINT64_MAX - 4095, 8192 }, { 4096, UINT64_MAX - 4095 },
	};
	struct described one = good_capabilities();

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		one.areas[1] = wrong[i];
		say_whole(*state, one, "REG-CAP-003");
	}
	one.areas[1] = (struct wire_sparse_area){ 4096, SIZE - 4096 };
	say_whole(*state, one, "");
}

static void sparse_areas_need_the_mmap_flag(void **state)
{
	const struct wire_region_info asked = question(9, 4096);
	struct described one = good_capabilities();

	one.info.flags &= ~WIRE_REGION_FLAG_MMAP;
	tell(*state, WIRE_DEVICE_GET_REGION_INFO, PART(asked), PART(one), "REG-CAP-004");
}

static void capabilities_that_do_not_fit_are_left_out(void **state)
{
	struct judged *j = *state;
	struct described one = good_capabilities();

	say(j, one, 96, 32, "REG-INFO-005");
	say(j, one, 40, 32, "REG-CAP-001");
	one.info.cap_offset = 0;
	say(j, one, 40, 32, "");
	say(j, one, 40, 40, "");
	one.info.argsz = 80;
	say(j, one, 40, 32, "REG-INFO-001");
	one.info.flags &= ~WIRE_REGION_FLAG_CAPS;
	say(j, one, 40, 32, "");
	j->model->strict |= 1u << MODEL_W7;
	say(j, one, 40, 32, "REG-INFO-007");
}

/* ---- accesses ---- */

static struct wire_region_access access_to(uint32_t region, uint64_t offset, uint32_t count)
{
	return (struct wire_region_access){ offset, region, count };
}

/* A REGION_WRITE or an entry has data behind the structure. */
struct written {
	struct wire_region_access access;
	uint8_t data[8];
} WIRE_PACKED;

static void know_regions(struct judged *j)
{
	describe(j, description(BAR, BOTH, SIZE), "");
	describe(j, description(1, WIRE_REGION_FLAG_WRITE, SIZE), "");
	describe(j, description(2, 0, 0), "");
	describe(j, description(ROM, WIRE_REGION_FLAG_READ, SIZE), "");
	describe(j, description(CONFIG, BOTH, 256), "");
}

/* Accesses that have to fail, by the requirement when they read and when they write. */
static const struct {
	struct wire_region_access access;
	const char *read;
	const char *write;
} wrong_accesses[] = {
	{ { 0, JUDGED_REGIONS, 4 }, "RW-READ-003", "RW-WRITE-003" },
	{ { 0, UINT32_MAX, 4 }, "RW-READ-003", "RW-WRITE-003" },
	{ { SIZE, BAR, 1 }, "RW-READ-004", "RW-WRITE-003" },
	{ { SIZE - 1, BAR, 2 }, "RW-READ-004", "RW-WRITE-003" },
	{ { UINT64_C(1) << 63, BAR, 4 }, "RW-READ-004", "RW-WRITE-003" },
	{ { 0, 2, 1 }, "RW-READ-004", "RW-WRITE-003" },
	{ { UINT64_MAX, BAR, 1 }, "RW-READ-005", "RW-WRITE-003" },
	{ { UINT64_MAX - 3, 5, 8 }, "RW-READ-005", "RW-WRITE-003" },
	{ { 0, 1, 4 }, "RW-READ-009", NULL },
	{ { 0, ROM, 4 }, NULL, "RW-WRITE-004" },
};

static void access_outside_of_what_is_allowed_is_refused(void **state)
{
	know_regions(*state);
	for (size_t i = 0; i < sizeof(wrong_accesses) / sizeof(*wrong_accesses); i++) {
		struct written written = { .access = wrong_accesses[i].access };
		size_t size = sizeof(written.access) + written.access.count;

		if (wrong_accesses[i].read)
			must_fail(*state, WIRE_REGION_READ, PART(written.access),
				  wrong_accesses[i].read);
		if (wrong_accesses[i].write)
			must_fail(*state, WIRE_REGION_WRITE, PART_OF(&written, size),
				  wrong_accesses[i].write);
	}
	must_fail(*state, WIRE_REGION_READ, ZEROS(15), "RW-READ-002");
}

static void nothing_is_known_of_a_region_that_was_not_told(void **state)
{
	const struct wire_region_access far = access_to(3, UINT64_C(1) << 40, 8);

	may_fail(*state, WIRE_REGION_READ, PART(far));
}

static void transfer_above_the_limit_is_refused(void **state)
{
	const struct wire_region_access much = access_to(3, 0, JUDGED_LIMIT + 1);
	static uint8_t bytes[sizeof(much) + JUDGED_LIMIT + 1];

	must_fail(*state, WIRE_REGION_READ, PART(much), "RW-READ-006");
	memcpy(bytes, &much, sizeof(much));
	must_fail(*state, WIRE_REGION_WRITE, PART(bytes), "RW-WRITE-006");
	ask(*state, WIRE_REGION_WRITE, PART(bytes));
	assert_true(allowed(*state).closed);
}

static void reply_to_a_read_repeats_it_and_has_the_data(void **state)
{
	struct written reply = { .access = access_to(BAR, 8, 4) };
	const struct wire_region_access asked = reply.access, none = access_to(BAR, SIZE, 0);

	tell(*state, WIRE_REGION_READ, PART(asked), PART_OF(&reply, 20), "");
	tell(*state, WIRE_REGION_READ, PART(asked), PART_OF(&reply, 19), "RW-READ-001");
	tell(*state, WIRE_REGION_READ, PART(asked), PART_OF(&reply, 24), "RW-READ-001");
	reply.access.offset = 0;
	tell(*state, WIRE_REGION_READ, PART(asked), PART_OF(&reply, 20), "RW-READ-001");
	may_fail(*state, WIRE_REGION_READ, PART(none));
	tell(*state, WIRE_REGION_READ, PART(none), PART(none), "");
	tell(*state, WIRE_REGION_READ, PART(none), PART(asked), "RW-READ-008");
}

static void configuration_space_can_be_read(void **state)
{
	struct wire_region_access asked = access_to(CONFIG, 4, 4);

	know_regions(*state);
	must_work(*state, WIRE_REGION_READ, PART(asked), "RW-READ-011");
	asked.offset = 3;
	may_fail(*state, WIRE_REGION_READ, PART(asked));
	asked = access_to(CONFIG, 0, 8);
	may_fail(*state, WIRE_REGION_READ, PART(asked));
}

static void count_of_a_write_is_that_of_its_data(void **state)
{
	struct written asked = { .access = access_to(BAR, 0, 8) };

	tell(*state, WIRE_REGION_WRITE, PART(asked), PART(asked.access), "");
	tell(*state, WIRE_REGION_WRITE, PART(asked), PART(asked), "RW-WRITE-001");
	tell(*state, WIRE_REGION_WRITE, PART(asked), PART(((struct wire_region_access){
	     0, BAR, 4 })), "RW-WRITE-001");
	must_fail(*state, WIRE_REGION_WRITE, PART_OF(&asked, 23), "RW-WRITE-002");
	asked.access.count = 7;
	must_fail(*state, WIRE_REGION_WRITE, PART(asked), "RW-WRITE-002");
	asked.access.count = UINT32_MAX;
	must_fail(*state, WIRE_REGION_WRITE, PART(asked), "RW-WRITE-002");
	asked.access.count = 0;
	may_fail(*state, WIRE_REGION_WRITE, PART(asked.access));
}

/* ---- several writes ---- */

struct several {
	struct wire_write_multi multi;
	struct wire_write_multi_entry entry[3];
} WIRE_PACKED;

static struct several good_writes(void)
{
	return (struct several){
		.multi = { 3 },
		.entry = { { 0, BAR, 4, { 0 } }, { 8, BAR, 8, { 0 } }, { 16, BAR, 1, { 0 } } },
	};
}

static void count(struct judged *j, struct several several, uint64_t done,
		  const char *requirement)
{
	const struct wire_write_multi reply = { done };

	tell(j, WIRE_REGION_WRITE_MULTI, PART(several), PART(reply), requirement);
}

static void entries_are_as_many_as_they_are_said_to_be(void **state)
{
	static const uint64_t wrong[] = { 2, 4, (UINT64_C(1) << 61) + 3, UINT64_MAX };
	struct several several = good_writes();

	count(*state, several, 3, "");
	count(*state, several, 4, "RW-MULTI-001");
	for (size_t i = 0; i < 4; i++) {
		several.multi.wr_cnt = wrong[i];
		must_fail(*state, WIRE_REGION_WRITE_MULTI, PART(several), "RW-MULTI-004");
	}
	several.multi.wr_cnt = 3;
	must_fail(*state, WIRE_REGION_WRITE_MULTI, PART_OF(&several, 79), "RW-MULTI-004");
}

static void entry_that_has_to_fail_is_not_counted(void **state)
{
	struct several several = good_writes();

	know_regions(*state);
	several.entry[1].count = 9;
	count(*state, several, 1, "");
	count(*state, several, 2, "RW-MULTI-003");
	may_fail(*state, WIRE_REGION_WRITE_MULTI, PART(several));
	several = good_writes();
	several.entry[0].region = JUDGED_REGIONS;
	count(*state, several, 0, "");
	count(*state, several, 3, "RW-WRITE-003");
	several.entry[0] = (struct wire_write_multi_entry){ .region = ROM, .count = 1 };
	count(*state, several, 1, "RW-WRITE-004");
}

static void several_writes_have_to_be_negotiated(void **state)
{
	struct judged *j = *state;
	struct several several = good_writes();
	const struct wire_write_multi none = { 0 };

	may_fail(j, WIRE_REGION_WRITE_MULTI, PART(none));
	j->model->strict |= 1u << MODEL_R7;
	must_work(j, WIRE_REGION_WRITE_MULTI, PART(none), "RW-MULTI-006");
	j->model->server.write_multiple = false;
	must_fail(j, WIRE_REGION_WRITE_MULTI, PART(several), "RW-MULTI-007");
}

/* ---- sub-regions ---- */

struct listed {
	struct wire_region_io_fds info;
	struct wire_io_fd entry[2];
	uint8_t more[16];
} WIRE_PACKED;

static const struct model_fd eventfds[2] = {
	{ .kind = MODEL_FD_EVENTFD }, { .kind = MODEL_FD_EVENTFD },
};

static struct listed good_list(void)
{
	return (struct listed){
		.info = { .argsz = 96, .index = BAR, .count = 2 },
		.entry = {
			{ .offset = 0, .size = 4, .fd_index = 0 },
			{ .offset = 8, .fd_index = 1, .type = WIRE_IO_FD_TYPE_IOREGIONFD,
			  .flags = WIRE_IOREGION_POSTED_WRITES },
		},
	};
}

static void list(struct judged *j, struct listed listed, size_t size, size_t nfds,
		 const char *requirement)
{
	const struct wire_region_io_fds asked = { .argsz = 4096, .index = BAR };
	const struct judged_part part = { &listed, size, nfds ? eventfds : NULL, nfds };

	tell(j, WIRE_DEVICE_GET_REGION_IO_FDS, PART(asked), part, requirement);
}

static void list_is_as_large_as_it_says(void **state)
{
	struct judged *j = *state;
	struct listed listed = good_list();

	must_fail(j, WIRE_DEVICE_GET_REGION_IO_FDS, PART(((struct wire_region_io_fds){
		  .argsz = 16, .index = JUDGED_REGIONS })), "REG-IOFD-002");
	list(j, listed, 96, 2, "");
	list(j, listed, 88, 2, "REG-IOFD-003");
	listed.info.index = 1;
	list(j, listed, 96, 2, "REG-IOFD-003");
	listed.info = (struct wire_region_io_fds){ .argsz = 96, .count = 3 };
	list(j, listed, 96, 2, "REG-IOFD-004");
	listed.info = (struct wire_region_io_fds){ .argsz = 16 };
	describe(j, description(BAR, BOTH, SIZE), "");
	list(j, listed, 16, 0, "REG-IOFD-008");
	list(j, listed, 16, 1, "REG-IOFD-007");
}

static void entry_has_the_room_of_its_structure(void **state)
{
	struct judged *j = *state;
	struct listed listed = good_list();

	listed.info.argsz = 112;
	listed.entry[1] = (struct wire_io_fd){ .size = 0 };
	list(j, listed, 112, 2, "");
	j->model->strict |= 1u << MODEL_W2;
	list(j, listed, 112, 2, "REG-IOFD-004");
	may_fail(j, WIRE_DEVICE_GET_REGION_IO_FDS, PART(((struct wire_region_io_fds){
		 .argsz = 16, .index = 1 })));
	j->model->strict |= 1u << MODEL_R8;
	must_work(j, WIRE_DEVICE_GET_REGION_IO_FDS, PART(((struct wire_region_io_fds){
		  .argsz = 16, .index = 1 })), "REG-IOFD-007");
}

static void entry_describes_a_part_of_its_region(void **state)
{
	struct judged *j = *state;
	struct listed listed = good_list();

	describe(j, description(BAR, BOTH, SIZE), "");
	list(j, listed, 96, 1, "REG-IOFD-006");
	listed.entry[0].offset = SIZE - 3;
	list(j, listed, 96, 2, "REG-IOFD-009");
	listed.entry[0] = (struct wire_io_fd){ .size = 3 };
	list(j, listed, 96, 2, "REG-IOFD-009");
	listed.entry[0] = (struct wire_io_fd){ .flags = 4 };
	list(j, listed, 96, 2, "REG-IOFD-009");
	listed.entry[0] = (struct wire_io_fd){ .padding = 1 };
	list(j, listed, 96, 2, "REG-IOFD-009");
	listed.entry[0] = (struct wire_io_fd){ .type = 77, .size = 3 };
	list(j, listed, 96, 2, "");
	listed.entry[1].flags = 0;
	list(j, listed, 96, 2, "REG-IOFD-010");
	listed.entry[1].size = SIZE + 1;
	list(j, listed, 96, 2, "REG-IOFD-010");
}

static void descriptor_of_an_ioeventfd_is_one(void **state)
{
	const struct wire_region_io_fds asked = { .argsz = 4096, .index = BAR };
	const struct model_fd fds[2] = { { .kind = MODEL_FD_OTHER }, { .kind = MODEL_FD_OTHER } };
	struct listed listed = good_list();
	const struct judged_part part = { &listed, 96, fds, 2 };

	tell(*state, WIRE_DEVICE_GET_REGION_IO_FDS, PART(asked), part, "REG-IOFD-006");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JUDGED(index_beyond_the_last_is_refused),
		JUDGED(region_below_the_last_is_described),
		JUDGED(description_may_not_change),
		JUDGED(fields_of_a_description_are_judged),
		JUDGED(flags_of_a_description_are_judged),
		JUDGED(configuration_space_has_its_flags),
		JUDGED(descriptor_belongs_to_a_region_that_can_be_mapped),
		JUDGED(chain_ends_inside_the_payload),
		JUDGED(capabilities_have_their_form),
		JUDGED(areas_are_pages_of_the_region),
		JUDGED(sparse_areas_need_the_mmap_flag),
		JUDGED(capabilities_that_do_not_fit_are_left_out),
		JUDGED(access_outside_of_what_is_allowed_is_refused),
		JUDGED(nothing_is_known_of_a_region_that_was_not_told),
		JUDGED(transfer_above_the_limit_is_refused),
		JUDGED(reply_to_a_read_repeats_it_and_has_the_data),
		JUDGED(configuration_space_can_be_read),
		JUDGED(count_of_a_write_is_that_of_its_data),
		JUDGED(entries_are_as_many_as_they_are_said_to_be),
		JUDGED(entry_that_has_to_fail_is_not_counted),
		JUDGED(several_writes_have_to_be_negotiated),
		JUDGED(list_is_as_large_as_it_says),
		JUDGED(entry_has_the_room_of_its_structure),
		JUDGED(entry_describes_a_part_of_its_region),
		JUDGED(descriptor_of_an_ioeventfd_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
