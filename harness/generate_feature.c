/* SPDX-License-Identifier: BSD-3-Clause */
/* generate_feature.c - DEVICE_FEATURE and the data of migrations; see generate.h. */
#include "generate_draft.h"
#include "wire.h"

void generate_state(const struct generate_draft *draft, uint32_t state)
{
	const uint32_t data[2] = { state, UINT32_MAX };

	generate_give(draft, "flags", WIRE_FEATURE_MIG_DEVICE_STATE | WIRE_FEATURE_SET);
	generate_data(draft, data, sizeof(data));
}

void generate_probe(const struct generate_draft *draft)
{
	static const uint32_t features[] = {
		WIRE_FEATURE_MIGRATION, WIRE_FEATURE_MIG_DEVICE_STATE,
		WIRE_FEATURE_DMA_LOGGING_START, WIRE_FEATURE_DMA_LOGGING_STOP,
		WIRE_FEATURE_DMA_LOGGING_REPORT, 3,
	};
	uint32_t method = WIRE_FEATURE_GET << generate_below(draft->generate, 2);

	generate_give(draft, "flags", features[generate_below(draft->generate, 6)] | method |
		      (generate_chance(draft->generate, 70) ? WIRE_FEATURE_PROBE : 0));
	if (generate_chance(draft->generate, 60))
		generate_give(draft, "argsz", GENERATE_PAGE);
}

static void generate_migrate(const struct generate_draft *draft)
{
	if (generate_chance(draft->generate, 80)) {
		generate_state(draft, generate_below(draft->generate, 9));
		return;
	}
	generate_give(draft, "flags", WIRE_FEATURE_MIG_DEVICE_STATE | WIRE_FEATURE_GET);
	generate_give(draft, "argsz", GENERATE_PAGE);
}

static void generate_report(const struct generate_draft *draft)
{
	struct wire_logging_report report = {
		.iova = generate_address(draft->generate, draft->sketch),
		.length = generate_size(draft->generate, draft->sketch),
		.page_size = GENERATE_PAGE << generate_below(draft->generate, 3),
	};

	generate_give(draft, "flags", WIRE_FEATURE_DMA_LOGGING_REPORT | WIRE_FEATURE_GET);
	generate_give(draft, "argsz", GENERATE_PAGE);
	generate_data(draft, &report, sizeof(report));
}

static void generate_log(const struct generate_draft *draft)
{
	struct {
		struct wire_logging_control control;
		struct wire_logging_range range;
	} start = {
		.control.page_size = GENERATE_PAGE,
		.control.num_ranges = generate_below(draft->generate, 2),
		.range.iova = generate_address(draft->generate, draft->sketch),
		.range.length = generate_size(draft->generate, draft->sketch),
	};
	size_t size = sizeof(start.control) + start.control.num_ranges * sizeof(start.range);

	if (generate_chance(draft->generate, 20)) {
		generate_give(draft, "flags",
			      WIRE_FEATURE_DMA_LOGGING_STOP | WIRE_FEATURE_SET);
		return;
	}
	generate_give(draft, "flags", WIRE_FEATURE_DMA_LOGGING_START | WIRE_FEATURE_SET);
	generate_data(draft, &start, size);
}

void generate_feature(const struct generate_draft *draft)
{
	/* To save the state of a device takes as long as many a program. */
	switch (generate_below(draft->generate, 10)) {
	case 0:
		generate_migrate(draft);
		break;
	case 1:
	case 2:
	case 3:
		generate_log(draft);
		break;
	case 4:
	case 5:
		generate_report(draft);
		break;
	default:
		generate_give(draft, "flags",
			      generate_below(draft->generate, 12) |
			      WIRE_FEATURE_GET << generate_below(draft->generate, 3));
	}
}

void generate_migration_data(const struct generate_draft *draft)
{
	uint8_t bytes[64];

	if (draft->step->command == WIRE_MIG_DATA_READ) {
		generate_give(draft, "size", 1u << generate_below(draft->generate, 18));
		return;
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)generate_random(draft->generate);
	generate_data(draft, bytes, generate_below(draft->generate, sizeof(bytes)));
}
