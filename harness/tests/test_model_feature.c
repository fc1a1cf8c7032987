/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_feature and model_migration: features, states and their data. */
#include "judged_feature.h"

#define MIGRATION WIRE_FEATURE_MIGRATION
#define STATE WIRE_FEATURE_MIG_DEVICE_STATE

static struct judged_part state_of(uint32_t flags, uint32_t argsz, uint32_t number)
{
	const struct wire_device_state data = { number, -1 };

	return feature(flags | STATE, argsz, &data, sizeof(data));
}

static struct judged_part go(uint32_t number)
{
	return state_of(SET, 16, number);
}

static void told(struct judged *j, uint32_t number, const char *requirement)
{
	const struct wire_feature asked = { ROOM, GET | STATE };

	tell(j, WIRE_DEVICE_FEATURE, PART(asked), state_of(GET, 16, number), requirement);
}

static void told_flags(struct judged *j, uint64_t flags, const char *requirement)
{
	const struct wire_feature asked = { ROOM, GET | MIGRATION };

	tell(j, WIRE_DEVICE_FEATURE, PART(asked), feature(GET | MIGRATION, 16, &flags, 8),
	     requirement);
}

static void device_migrates(struct judged *j)
{
	there(j, STATE);
	told_flags(j, WIRE_MIGRATION_STOP_COPY | WIRE_MIGRATION_PRE_COPY, "");
}

/* ---- which features and methods there are ---- */

static void unknown_feature_is_refused(void **state)
{
	static const uint32_t unknown[] = { 0, 3, 4, 5, 9, 0xfff, 0xffff };

	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		fails(*state, bare(GET | unknown[i]), "FEAT-GEN-002");
		fails(*state, bare(PROBE | unknown[i]), "FEAT-GEN-002");
	}
	must_fail(*state, WIRE_DEVICE_FEATURE, ZEROS(7), "FEAT-GEN-001");
}

static void feature_has_its_methods_only(void **state)
{
	fails(*state, bare(SET | MIGRATION), "FEAT-GEN-003");
	fails(*state, bare(PROBE | SET | MIGRATION), "FEAT-GEN-003");
	fails(*state, bare(PROBE | GET | START), "FEAT-GEN-003");
	fails(*state, bare(GET | START), "LOG-GEN-001");
	fails(*state, bare(GET | STOP), "LOG-GEN-001");
	fails(*state, bare(SET | REPORT), "LOG-GEN-001");
	fails(*state, bare(GET | SET | STATE), "FEAT-GEN-006");
	may(*state, bare(STATE));
	may(*state, bare(GET | 1u << 19 | STATE));
}

static void probe_and_what_it_says_agree(void **state)
{
	struct judged *j = *state;

	there(j, STATE);
	works(j, bare(PROBE | GET | SET | STATE), "FEAT-GEN-003");
	may(j, bare(PROBE | START));
	fails(j, bare(SET | START), "FEAT-GEN-008");
	may(j, bare(GET | MIGRATION));
	fails(j, bare(PROBE | GET | MIGRATION), "FEAT-GEN-008");
}

static void probe_is_sent_back(void **state)
{
	const uint64_t data = 7;
	struct judged *j = *state;
	const struct wire_feature other = { 16, PROBE | STATE };

	tell(j, WIRE_DEVICE_FEATURE, bare(PROBE | STATE), ZEROS(16), "ARGSZ-GEN-004");
	echoed(j, feature(PROBE | STATE, ROOM, NULL, 0));
	tell(j, WIRE_DEVICE_FEATURE, feature(PROBE | STATE, ROOM, NULL, 0), PART(other),
	     "FEAT-GEN-004");
	tell(j, WIRE_DEVICE_FEATURE, feature(PROBE | STATE, ROOM, NULL, 0), ZEROS(16),
	     "FEAT-GEN-004");
	may(j, feature(PROBE | STATE, 16, &data, sizeof(data)));
}

static void missing_data_are_refused(void **state)
{
	const struct wire_device_state data = { WIRE_STATE_STOP, 0 };

	fails(*state, feature(SET | STATE, 16, &data, 7), "FEAT-GEN-011");
	fails(*state, feature(SET | START, 24, &data, 8), "FEAT-GEN-011");
	fails(*state, feature(GET | REPORT, ROOM, &data, 8), "FEAT-GEN-011");
}

static void before_the_negotiation_nothing_is_learned(void **state)
{
	const struct model_options options = { .fresh = true };
	struct judged j = { .id = 0 };

	(void)state;
	assert_int_equal(model_new(&options, &j.model), 0);
	ask(&j, WIRE_DEVICE_FEATURE, bare(PROBE | STATE));
	answer_error(&j, WIRE_DEVICE_FEATURE);
	found(&j, "");
	judged_begin(&j);
	there(&j, STATE);
	model_free(j.model);
}

static void what_another_model_was_told_is_known(void **state)
{
	const struct model_options options = { .fresh = true };
	const struct wire_irq_info irq = { .argsz = 16, .index = 2 };
	const struct wire_irq_info told = { 16, WIRE_IRQ_INFO_EVENTFD, 2, 8 };
	const struct wire_irq_info other = { 16, WIRE_IRQ_INFO_EVENTFD, 2, 4 };
	const struct wire_region_info region = { .argsz = 32, .index = 1 };
	const struct wire_region_info described = { 32, WIRE_REGION_FLAG_READ, 1, 0, 4096, 0 };
	const struct wire_region_access outside = { 4096, 1, 1 };
	struct judged *j = *state;
	struct judged second = { .id = 0 };

	tell(j, WIRE_DEVICE_GET_IRQ_INFO, PART(irq), PART(told), "");
	tell(j, WIRE_DEVICE_GET_REGION_INFO, PART(region), PART(described), "");
	device_migrates(j);
	assert_int_equal(model_new(&options, &second.model), 0);
	judged_begin(&second);
	may_fail(&second, WIRE_REGION_READ, PART(outside));
	model_learn(second.model, j->model);
	must_fail(&second, WIRE_REGION_READ, PART(outside), "RW-READ-004");
	tell(&second, WIRE_DEVICE_GET_IRQ_INFO, PART(irq), PART(other), "IRQ-INFO-001");
	works(&second, go(WIRE_STATE_PRE_COPY), "MIG-FSM-006");
	model_free(second.model);
}

/* ---- flags and state of migration ---- */

static void flags_of_migration_are_judged(void **state)
{
	struct judged *j = *state;
	const struct wire_feature asked = { 15, GET | MIGRATION };
	const struct wire_feature cut = { 16, GET | MIGRATION };
	const struct wire_feature wrong = { 24, GET | MIGRATION };

	told_flags(j, WIRE_MIGRATION_PRE_COPY, "MIG-FEAT-001");
	j->model->feature.flags_told = false;
	told_flags(j, WIRE_MIGRATION_STOP_COPY | 8, "MIG-FEAT-001");
	j->model->feature.flags_told = false;
	told_flags(j, WIRE_MIGRATION_STOP_COPY, "");
	told_flags(j, WIRE_MIGRATION_STOP_COPY | WIRE_MIGRATION_PRE_COPY, "MIG-FEAT-001");
	works(j, bare(GET | MIGRATION), "MIG-FEAT-001");
	may(j, PART(asked));
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART(cut), "");
	tell(j, WIRE_DEVICE_FEATURE, PART(asked), PART(wrong), "FEAT-GEN-009");
	tell(j, WIRE_DEVICE_FEATURE, bare(GET | MIGRATION),
	     feature(GET | MIGRATION, ROOM, &(uint64_t){ 5 }, 8), "FEAT-GEN-009");
}

static void fresh_device_runs(void **state)
{
	told(*state, WIRE_STATE_STOP, "MIG-STATE-002");
	told(*state, WIRE_STATE_STOP, "");
	told(*state, 8, "MIG-STATE-001");
	works(*state, bare(GET | STATE), "MIG-STATE-001");
}

static void what_is_no_state_is_refused(void **state)
{
	static const uint32_t wrong[] = { WIRE_STATE_ERROR, 8, 100, UINT32_MAX };
	struct judged *j = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		fails(j, go(wrong[i]), "MIG-STATE-004");
	may(j, go(WIRE_STATE_RUNNING_P2P));
	told_flags(j, WIRE_MIGRATION_STOP_COPY, "");
	fails(j, go(WIRE_STATE_RUNNING_P2P), "MIG-STATE-004");
	fails(j, go(WIRE_STATE_PRE_COPY), "MIG-FEAT-003");
	told(j, WIRE_STATE_PRE_COPY, "MIG-FEAT-003");
	told(j, WIRE_STATE_PRE_COPY_P2P, "MIG-STATE-001");
}

static const struct {
	uint32_t from;
	uint32_t to;
	const char *requirement;	/* NULL: depends on the data */
	uint32_t left;			/* where a failure may leave it, beside where it was */
} ways[] = {
	{ WIRE_STATE_RUNNING, WIRE_STATE_STOP, "MIG-FSM-001", WIRE_STATE_ERROR },
	{ WIRE_STATE_STOP_COPY, WIRE_STATE_STOP, "MIG-FSM-002", WIRE_STATE_ERROR },
	{ WIRE_STATE_RESUMING, WIRE_STATE_STOP, NULL, WIRE_STATE_ERROR },
	{ WIRE_STATE_PRE_COPY, WIRE_STATE_RUNNING, "MIG-FSM-004", WIRE_STATE_ERROR },
	{ WIRE_STATE_STOP, WIRE_STATE_RUNNING, "MIG-FSM-005", WIRE_STATE_ERROR },
	{ WIRE_STATE_RUNNING, WIRE_STATE_PRE_COPY, "MIG-FSM-006", WIRE_STATE_ERROR },
	{ WIRE_STATE_STOP, WIRE_STATE_STOP_COPY, "MIG-FSM-007", WIRE_STATE_ERROR },
	{ WIRE_STATE_PRE_COPY, WIRE_STATE_STOP_COPY, "MIG-FSM-008", WIRE_STATE_ERROR },
	{ WIRE_STATE_STOP, WIRE_STATE_RESUMING, "MIG-FSM-009", WIRE_STATE_ERROR },
	{ WIRE_STATE_RUNNING, WIRE_STATE_STOP_COPY, "MIG-FSM-010", WIRE_STATE_STOP },
	{ WIRE_STATE_RUNNING, WIRE_STATE_RESUMING, "MIG-FSM-011", WIRE_STATE_STOP },
	{ WIRE_STATE_STOP, WIRE_STATE_PRE_COPY, "MIG-FSM-012", WIRE_STATE_RUNNING },
	{ WIRE_STATE_STOP_COPY, WIRE_STATE_RUNNING, "MIG-FSM-013", WIRE_STATE_STOP },
	{ WIRE_STATE_STOP_COPY, WIRE_STATE_RESUMING, "MIG-FSM-014", WIRE_STATE_STOP },
	{ WIRE_STATE_RESUMING, WIRE_STATE_RUNNING, NULL, WIRE_STATE_STOP },
	{ WIRE_STATE_RESUMING, WIRE_STATE_STOP_COPY, NULL, WIRE_STATE_STOP },
	{ WIRE_STATE_RESUMING, WIRE_STATE_PRE_COPY, NULL, WIRE_STATE_RUNNING },
	{ WIRE_STATE_PRE_COPY, WIRE_STATE_STOP, "MIG-FSM-018", WIRE_STATE_RUNNING },
	{ WIRE_STATE_PRE_COPY, WIRE_STATE_RESUMING, "MIG-FSM-019", WIRE_STATE_STOP },
};

#define WAYS (sizeof(ways) / sizeof(*ways))

/* In a state, and with room for findings: only MODEL_KEPT of them can be looked at. */
static void place(struct judged *j, uint32_t number)
{
	j->model->findings = 0;
	j->found = 0;
	j->model->feature.states = (uint8_t)(1u << number);
}

static void each_way_is_taken(void **state)
{
	struct judged *j = *state;

	device_migrates(j);
	for (size_t i = 0; i < WAYS; i++) {
		place(j, ways[i].from);
		if (ways[i].requirement)
			works(j, go(ways[i].to), ways[i].requirement);
		place(j, ways[i].from);
		echoed(j, go(ways[i].to));
		told(j, ways[i].to, "");
		place(j, ways[i].from);
		echoed(j, go(ways[i].to));
		told(j, ways[i].from, "MIG-STATE-002");
	}
}

static void failed_way_ends_where_it_began_or_on_the_way(void **state)
{
	struct judged *j = *state;

	device_migrates(j);
	for (size_t i = 0; i < WAYS; i++) {
		const uint32_t after[] = { ways[i].from, ways[i].left, WIRE_STATE_ERROR };

		for (size_t k = 0; k < 4; k++) {
			place(j, ways[i].from);
			ask(j, WIRE_DEVICE_FEATURE, go(ways[i].to));
			answer_error(j, WIRE_DEVICE_FEATURE);
			found(j, ways[i].requirement ? ways[i].requirement : "");
			told(j, k < 3 ? after[k] : ways[i].to, k < 3 ? "" : "MIG-STATE-005");
		}
	}
}

static void way_that_is_none_is_refused(void **state)
{
	static const uint32_t all[] = {
		WIRE_STATE_STOP, WIRE_STATE_RUNNING, WIRE_STATE_STOP_COPY, WIRE_STATE_RESUMING,
		WIRE_STATE_PRE_COPY,
	};
	struct judged *j = *state;

	device_migrates(j);
	for (size_t i = 0; i < 5; i++) {
		place(j, WIRE_STATE_ERROR);
		fails(j, go(all[i]), "MIG-FSM-022");
		place(j, all[i]);
		may(j, go(all[i]));
		told(j, all[i], "");
	}
	place(j, WIRE_STATE_STOP_COPY);
	fails(j, go(WIRE_STATE_PRE_COPY), "MIG-FSM-020");
}

static void odd_sizes_may_be_refused_and_change_nothing(void **state)
{
	struct judged *j = *state;

	device_migrates(j);
	may(j, state_of(SET, 15, WIRE_STATE_STOP));
	told(j, WIRE_STATE_STOP, "MIG-STATE-002");
	echoed(j, state_of(SET, 8, WIRE_STATE_RUNNING));
	told(j, WIRE_STATE_RUNNING, "");
}

static void reset_leads_to_running(void **state)
{
	struct judged *j = *state;

	place(j, WIRE_STATE_ERROR);
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	told(j, WIRE_STATE_ERROR, "MIG-STATE-002");
	place(j, WIRE_STATE_STOP);
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	told(j, WIRE_STATE_STOP, "");
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	told(j, WIRE_STATE_STOP_COPY, "MIG-STATE-005");
	j->model->strict |= 1u << MODEL_M1;
	place(j, WIRE_STATE_STOP);
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	told(j, WIRE_STATE_STOP, "MIG-STATE-002");
}

static void state_that_was_not_seen_is_not_judged(void **state)
{
	struct judged *j = *state;

	device_migrates(j);
	place(j, WIRE_STATE_RESUMING);
	ask_flagged(j, WIRE_DEVICE_FEATURE, go(WIRE_STATE_STOP), WIRE_NO_REPLY);
	told(j, WIRE_STATE_PRE_COPY, "");
	model_share(j->model);
	told(j, WIRE_STATE_STOP, "");
	told(j, WIRE_STATE_RUNNING, "");
	may(j, go(WIRE_STATE_STOP));
}

/* ---- migration data ---- */

struct data {
	struct wire_mig_data data;
	uint8_t bytes[64];
} WIRE_PACKED;

static void reads(struct judged *j, uint32_t size, uint32_t came, size_t bytes,
		  const char *requirement)
{
	const struct wire_mig_data asked = { 8 + size, size };
	const struct data reply = { .data = { 8 + came, came } };

	tell(j, WIRE_MIG_DATA_READ, PART(asked), PART_OF(&reply, 8 + bytes), requirement);
}

static void data_are_read_in_the_saving_states(void **state)
{
	const struct wire_mig_data asked = { 72, 64 }, small = { 8, 64 }, none = { 8, 0 };
	const struct data all = { .data = { 72, 64 } };
	struct judged *j = *state;

	must_fail(j, WIRE_MIG_DATA_READ, PART(asked), "MIG-READ-002");
	must_fail(j, WIRE_MIG_DATA_READ, ZEROS(7), "MIG-READ-006");
	place(j, WIRE_STATE_PRE_COPY);
	must_work(j, WIRE_MIG_DATA_READ, PART(asked), "MIG-READ-001");
	may_fail(j, WIRE_MIG_DATA_READ, PART(small));
	tell(j, WIRE_MIG_DATA_READ, PART(small), PART(all), "ARGSZ-GEN-004");
	tell(j, WIRE_MIG_DATA_READ, PART(none), PART(none), "");
	reads(j, 64, 64, 64, "");
	reads(j, 64, 10, 10, "");
	reads(j, 64, 10, 64, "MIG-READ-001");
	reads(j, 10, 64, 10, "MIG-READ-001");
}

static void stream_that_has_ended_has_no_more(void **state)
{
	struct judged *j = *state;

	device_migrates(j);
	place(j, WIRE_STATE_PRE_COPY);
	reads(j, 64, 10, 10, "");
	reads(j, 64, 64, 64, "");
	echoed(j, go(WIRE_STATE_STOP_COPY));
	reads(j, 64, 64, 64, "");
	reads(j, 64, 0, 0, "");
	reads(j, 64, 0, 0, "");
	reads(j, 64, 1, 1, "MIG-READ-003");
	told(j, WIRE_STATE_STOP_COPY, "");
	reads(j, 64, 1, 1, "MIG-READ-003");
	echoed(j, go(WIRE_STATE_STOP));
	echoed(j, go(WIRE_STATE_STOP_COPY));
	reads(j, 64, 64, 64, "");
}

static void data_are_written_while_resuming(void **state)
{
	struct data asked = { .data = { 72, 64 } };
	struct judged *j = *state;

	must_fail(j, WIRE_MIG_DATA_WRITE, PART(asked), "MIG-WRITE-002");
	place(j, WIRE_STATE_RESUMING);
	must_fail(j, WIRE_MIG_DATA_WRITE, PART_OF(&asked, 71), "MIG-WRITE-004");
	must_fail(j, WIRE_MIG_DATA_WRITE, ZEROS(7), "MIG-WRITE-004");
	tell(j, WIRE_MIG_DATA_WRITE, PART(asked), NOTHING, "");
	tell(j, WIRE_MIG_DATA_WRITE, PART(asked), ZEROS(8), "ARGSZ-GEN-004");
	told(j, WIRE_STATE_ERROR, "MIG-STATE-002");
	place(j, WIRE_STATE_RESUMING);
	may_fail(j, WIRE_MIG_DATA_WRITE, PART(asked));
	told(j, WIRE_STATE_ERROR, "");
	place(j, WIRE_STATE_RESUMING);
	asked.data.size = 8;
	may_fail(j, WIRE_MIG_DATA_WRITE, PART(asked));
	told(j, WIRE_STATE_ERROR, "MIG-STATE-002");
}

static void device_that_does_not_migrate_has_no_data(void **state)
{
	const struct wire_mig_data asked = { 72, 64 };
	struct judged *j = *state;

	model_feature_forget(j->model);
	may_fail(j, WIRE_MIG_DATA_READ, PART(asked));
	may(j, bare(PROBE | MIGRATION));
	must_fail(j, WIRE_MIG_DATA_READ, PART(asked), "MIG-READ-002");
	assert_true(model_feature_runs(j->model));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JUDGED(unknown_feature_is_refused),
		JUDGED(feature_has_its_methods_only),
		JUDGED(probe_and_what_it_says_agree),
		JUDGED(probe_is_sent_back),
		JUDGED(missing_data_are_refused),
		cmocka_unit_test(before_the_negotiation_nothing_is_learned),
		JUDGED(what_another_model_was_told_is_known),
		JUDGED(flags_of_migration_are_judged),
		JUDGED(fresh_device_runs),
		JUDGED(what_is_no_state_is_refused),
		JUDGED(each_way_is_taken),
		JUDGED(failed_way_ends_where_it_began_or_on_the_way),
		JUDGED(way_that_is_none_is_refused),
		JUDGED(odd_sizes_may_be_refused_and_change_nothing),
		JUDGED(reset_leads_to_running),
		JUDGED(state_that_was_not_seen_is_not_judged),
		JUDGED(data_are_read_in_the_saving_states),
		JUDGED(stream_that_has_ended_has_no_more),
		JUDGED(data_are_written_while_resuming),
		JUDGED(device_that_does_not_migrate_has_no_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
