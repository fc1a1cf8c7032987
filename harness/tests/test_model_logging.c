/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_logging: DMA_LOGGING_START, _STOP and _REPORT. */
#include "judged_feature.h"

#define RANGE (UINT64_C(65) * 4096)

struct ranged {
	struct wire_logging_control control;
	struct wire_logging_range range[2];
} WIRE_PACKED;

static struct judged_part start(uint64_t page_size, uint32_t num_ranges, size_t ranges)
{
	const struct ranged data = {
		.control = { page_size, num_ranges, 0 },
		.range = { { 0, 4096 }, { 4096, 4096 } },
	};
	const size_t size = sizeof(data.control) + ranges * sizeof(data.range[0]);

	return feature(SET | START, (uint32_t)(8 + size), &data, size);
}

static struct judged_part report(uint32_t argsz, uint64_t iova, uint64_t length, uint64_t page)
{
	const struct wire_logging_report data = { iova, length, page };

	return feature(GET | REPORT, argsz, &data, sizeof(data));
}

static struct judged_part stop(bool with_data)
{
	const struct wire_logging_control data = { 4096, 0, 0 };

	return with_data ? feature(SET | STOP, 24, &data, sizeof(data)) : bare(SET | STOP);
}

static void logging(struct judged *j, bool on)
{
	j->model->feature.logging = on ? MODEL_LOGGING_ON : MODEL_LOGGING_OFF;
}

static void logging_starts_with_any_page_size(void **state)
{
	struct judged *j = *state;

	may(j, start(4096, 0, 0));
	there(j, START);
	works(j, start(512, 0, 0), "LOG-START-003");
	works(j, start(UINT64_C(1) << 40, 0, 0), "LOG-START-003");
	may(j, start(3000, 0, 0));
	may(j, start(0, 0, 0));
	may(j, start(4096, 2, 2));
	fails(j, start(4096, 2, 1), "LOG-START-005");
	fails(j, start(4096, (1u << 28) + 1, 1), "LOG-START-005");
	fails(j, start(4096, UINT32_MAX, 0), "LOG-START-005");
	logging(j, false);
	j->model->strict |= 1u << MODEL_L4;
	works(j, start(3000, 0, 0), "LOG-START-004");
}

static void reply_to_a_start_repeats_it(void **state)
{
	struct wire_logging_control data = { 4096, 0, 0 };
	struct judged *j = *state;
	uint8_t asked[24], came[24];

	memcpy(asked, start(512, 0, 0).body, sizeof(asked));
	memcpy(came, feature(SET | START, 24, &data, sizeof(data)).body, sizeof(came));
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART(came), "");
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART_OF(came, 16), "LOG-START-001");
	came[0]++;
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART(came), "LOG-START-001");
	data.page_size = 3000;
	memcpy(came, feature(SET | START, 24, &data, sizeof(data)).body, sizeof(came));
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART(came), "LOG-START-003");
	memcpy(asked, start(3000, 0, 0).body, sizeof(asked));
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART(came), "LOG-START-004");
	data = (struct wire_logging_control){ 4096, 1, 0 };
	memcpy(came, feature(SET | START, 24, &data, sizeof(data)).body, sizeof(came));
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART(came), "LOG-START-001");
}

static void logging_goes_on_and_off(void **state)
{
	struct judged *j = *state;

	fails(j, report(ROOM, 0, 4096, 4096), "LOG-REPORT-002");
	logging(j, false);
	echoed(j, start(4096, 0, 0));
	may(j, report(ROOM, 0, 4096, 4096));
	may(j, start(4096, 0, 0));
	echoed(j, stop(false));
	fails(j, report(ROOM, 0, 4096, 4096), "LOG-REPORT-002");
	logging(j, false);
	may(j, stop(false));
	ask_flagged(j, WIRE_DEVICE_FEATURE, start(4096, 0, 0), WIRE_NO_REPLY);
	may(j, report(ROOM, 0, 4096, 4096));
	logging(j, true);
	j->model->strict |= 1u << MODEL_L5;
	fails(j, start(4096, 0, 0), "LOG-START-007");
}

static void one_form_of_stop_works(void **state)
{
	struct judged *j = *state;

	there(j, STOP);
	logging(j, true);
	may(j, stop(false));
	works(j, stop(true), "LOG-STOP-002");
	j->model->feature.stop_refused = 0;
	j->model->strict |= 1u << MODEL_W10;
	works(j, stop(false), "LOG-STOP-002");
	j->model->strict |= 1u << MODEL_L5;
	logging(j, false);
	works(j, stop(false), "LOG-STOP-003");
}

static void range_and_page_size_of_a_report_make_sense(void **state)
{
	static const uint64_t odd[] = { 0, 3, 3000, UINT64_MAX };
	struct judged *j = *state;

	for (size_t i = 0; i < 4; i++) {
		logging(j, true);
		fails(j, report(ROOM, 0, 4096, odd[i]), "LOG-REPORT-006");
	}
	fails(j, report(ROOM, UINT64_MAX - 4095, 8192, 4096), "LOG-REPORT-012");
	fails(j, report(ROOM, UINT64_MAX, UINT64_MAX, 4096), "LOG-REPORT-012");
	may(j, report(ROOM, 0, 0, 4096));
	may(j, report(32, 0, 4096, 4096));
	j->model->strict |= 1u << MODEL_L8 | 1u << MODEL_L9;
	fails(j, report(ROOM, 0, 0, 4096), "LOG-REPORT-012");
	fails(j, report(39, 0, 4096, 4096), "LOG-REPORT-013");
}

/* The reply to a report of 65 pages from 0: two words. */
struct reported {
	struct wire_feature feature;
	struct wire_logging_report report;
	uint64_t word[2];
} WIRE_PACKED;

static void reports(struct judged *j, struct reported reply, uint32_t argsz, size_t size,
		    const char *requirement)
{
	tell(j, WIRE_DEVICE_FEATURE, report(argsz, 0, RANGE, 4096), PART_OF(&reply, size),
	     requirement);
}

static void bitmap_has_a_bit_for_each_page(void **state)
{
	struct judged *j = *state;
	const struct reported good = {
		.feature = { sizeof(good), GET | REPORT },
		.report = { 0, RANGE, 4096 },
		.word = { UINT64_MAX, 1 },
	};
	struct reported one = good;

	logging(j, true);
	reports(j, one, ROOM, sizeof(one), "");
	reports(j, one, ROOM, sizeof(one) - 8, "LOG-REPORT-003");
	reports(j, one, 32, 32, "");
	one.feature.argsz -= 8;
	reports(j, one, ROOM, sizeof(one), "LOG-REPORT-003");
	one = good;
	one.word[1] = 2;
	reports(j, one, ROOM, sizeof(one), "LOG-REPORT-005");
	one = good;
	one.report.iova = 4096;
	reports(j, one, ROOM, sizeof(one), "LOG-REPORT-001");
	one = good;
	one.feature.flags |= SET;
	reports(j, one, ROOM, sizeof(one), "LOG-REPORT-003");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JUDGED(logging_starts_with_any_page_size),
		JUDGED(reply_to_a_start_repeats_it),
		JUDGED(logging_goes_on_and_off),
		JUDGED(one_form_of_stop_works),
		JUDGED(range_and_page_size_of_a_report_make_sense),
		JUDGED(bitmap_has_a_bit_for_each_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
