/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of model_irq: what a type of interrupts offers, and what SET_IRQS makes of it. */
#include "judged.h"

#define MSIX 2u
#define VECTORS 8u
#define ALL (WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE)

#define NONE WIRE_IRQ_SET_DATA_NONE
#define BOOL WIRE_IRQ_SET_DATA_BOOL
#define EVENTFD WIRE_IRQ_SET_DATA_EVENTFD
#define MASK WIRE_IRQ_SET_ACTION_MASK
#define UNMASK WIRE_IRQ_SET_ACTION_UNMASK
#define TRIGGER WIRE_IRQ_SET_ACTION_TRIGGER

static const struct model_fd eventfds[VECTORS] = {
	{ .kind = MODEL_FD_EVENTFD }, { .kind = MODEL_FD_EVENTFD }, { .kind = MODEL_FD_EVENTFD },
	{ .kind = MODEL_FD_EVENTFD }, { .kind = MODEL_FD_EVENTFD }, { .kind = MODEL_FD_EVENTFD },
	{ .kind = MODEL_FD_EVENTFD }, { .kind = MODEL_FD_EVENTFD },
};

static struct wire_irq_info question(uint32_t index, uint32_t argsz)
{
	return (struct wire_irq_info){ .argsz = argsz, .index = index };
}

static void describe(struct judged *j, uint32_t index, uint32_t flags, uint32_t count,
		     const char *requirement)
{
	const struct wire_irq_info asked = question(index, 16);
	const struct wire_irq_info reply = { 16, flags, index, count };

	tell(j, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), PART(reply), requirement);
}

/* A SET_IRQS with its bytes, in memory that lasts until the next. */
static struct judged_part set(uint32_t flags, uint32_t start, uint32_t count, size_t bytes)
{
	static uint8_t body[sizeof(struct wire_irq_set) + 64];
	const struct wire_irq_set one = {
		.argsz = (uint32_t)(sizeof(one) + bytes),
		.flags = flags,
		.index = MSIX,
		.start = start,
		.count = count,
	};

	memset(body, 1, sizeof(body));
	memcpy(body, &one, sizeof(one));
	return PART_OF(body, sizeof(one) + bytes);
}

static struct judged_part with(struct judged_part part, size_t nfds)
{
	part.fds = eventfds;
	part.nfds = nfds;
	return part;
}

static void assign(struct judged *j, uint32_t start, uint32_t count)
{
	tell(j, WIRE_DEVICE_SET_IRQS, with(set(EVENTFD | TRIGGER, start, count, 0), count),
	     NOTHING, "");
}

static void disable(struct judged *j)
{
	tell(j, WIRE_DEVICE_SET_IRQS, set(NONE | TRIGGER, 0, 0, 0), NOTHING, "");
}

static void fails(struct judged *j, struct judged_part part, const char *requirement)
{
	must_fail(j, WIRE_DEVICE_SET_IRQS, part, requirement);
}

static void works(struct judged *j, struct judged_part part, const char *requirement)
{
	must_work(j, WIRE_DEVICE_SET_IRQS, part, requirement);
}

static void may(struct judged *j, struct judged_part part)
{
	may_fail(j, WIRE_DEVICE_SET_IRQS, part);
}

/* ---- GET_IRQ_INFO ---- */

static void each_type_is_described_and_no_other(void **state)
{
	struct wire_irq_info asked = question(MSIX, 16);

	must_work(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), "IRQ-INFO-001");
	asked.argsz = 15;
	may_fail(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked));
	asked.index = JUDGED_IRQS;
	must_fail(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), "IRQ-INFO-002");
	asked.index = UINT32_MAX;
	must_fail(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), "IRQ-INFO-002");
	must_fail(*state, WIRE_DEVICE_GET_IRQ_INFO, ZEROS(15), "IRQ-INFO-003");
}

static void description_is_judged(void **state)
{
	const struct wire_irq_info asked = question(1, 4096);
	struct wire_irq_info reply = { 16, 0, 1, 4 };

	tell(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), PART(reply), "");
	tell(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), ZEROS(20), "ARGSZ-GEN-004");
	reply.argsz = 4096;
	tell(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), PART(reply), "IRQ-INFO-001");
	reply = (struct wire_irq_info){ 16, 0, 2, 4 };
	tell(*state, WIRE_DEVICE_GET_IRQ_INFO, PART(asked), PART(reply), "IRQ-INFO-001");
	describe(*state, 1, 0, 8, "IRQ-INFO-001");
	describe(*state, 1, ALL, 8, "IRQ-INFO-001");
}

static void counts_are_those_of_a_pci_device(void **state)
{
	static const uint32_t largest[JUDGED_IRQS] = { 1, 32, 2048, 1, 1 };

	for (uint32_t i = 0; i < JUDGED_IRQS; i++) {
		struct judged *j = *state;

		describe(j, i, ALL, largest[i], "");
		j->model->irq.at[i].told = false;
		describe(j, i, ALL, largest[i] + 1, "IRQ-INFO-008");
		j->model->irq.at[i].told = false;
		describe(j, i, 0x10, largest[i], "IRQ-INFO-008");
	}
}

/* ---- what is refused ---- */

static void flags_are_one_of_each_set(void **state)
{
	static const uint32_t wrong[] = {
		0, TRIGGER, NONE, NONE | BOOL | TRIGGER, NONE | EVENTFD | TRIGGER,
		NONE | BOOL | EVENTFD | TRIGGER, NONE | MASK | UNMASK, NONE | MASK | TRIGGER,
		NONE | MASK | UNMASK | TRIGGER,
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		fails(*state, set(wrong[i], 0, 1, 0), "IRQ-SET-012");
	fails(*state, ZEROS(19), "IRQ-SET-014");
	may(*state, set(NONE | TRIGGER | 0x40, 0, 1, 0));
}

static void range_lies_inside_the_type(void **state)
{
	static const uint32_t wrong[][2] = {
		{ VECTORS, 1 }, { VECTORS - 1, 2 }, { 0, VECTORS + 1 }, { UINT32_MAX, 1 },
		{ 1, UINT32_MAX }, { 0x80000000, 0x80000000 },
	};
	struct judged *j = *state;
	struct wire_irq_set other = { 20, NONE | TRIGGER, JUDGED_IRQS, 0, 1 };

	fails(j, set(NONE | TRIGGER, 0x80000000, 0x80000000, 0), "IRQ-SET-010");
	may(j, set(NONE | TRIGGER, VECTORS, 1, 0));
	describe(j, MSIX, ALL, VECTORS, "");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		fails(j, set(NONE | MASK, wrong[i][0], wrong[i][1], 0), "IRQ-SET-010");
	fails(j, PART(other), "IRQ-SET-011");
	other.index = 1;
	describe(j, 1, 0, 0, "");
	fails(j, PART(other), "IRQ-SET-011");
}

static void bools_are_as_many_as_the_vectors(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, ALL, VECTORS, "");
	fails(j, set(BOOL | TRIGGER, 0, 3, 2), "IRQ-SET-016");
	fails(j, set(BOOL | TRIGGER, 0, 3, 0), "IRQ-SET-016");
	may(j, set(BOOL | TRIGGER, 0, 3, 4));
	may(j, set(NONE | TRIGGER, 0, 1, 4));
}

static void descriptors_are_as_many_as_the_vectors_or_none(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, ALL, VECTORS, "");
	may(j, with(set(EVENTFD | TRIGGER, 0, 2, 0), 1));
	may(j, with(set(NONE | TRIGGER, 0, 2, 0), 1));
	j->model->strict |= 1u << MODEL_I3;
	fails(j, with(set(EVENTFD | TRIGGER, 0, 2, 0), 1), "IRQ-SET-018");
	fails(j, with(set(EVENTFD | TRIGGER, 0, 1, 0), 2), "IRQ-SET-018");
}

static void type_does_no_more_than_its_flags_say(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, 0, VECTORS, "");
	fails(j, with(set(EVENTFD | TRIGGER, 0, 1, 0), 1), "IRQ-INFO-004");
	may(j, set(NONE | MASK, 0, 1, 0));
	j->model->strict |= 1u << MODEL_I8;
	fails(j, set(NONE | MASK, 0, 1, 0), "IRQ-SET-022");
	fails(j, set(BOOL | UNMASK, 0, 1, 1), "IRQ-SET-022");
}

static void type_that_can_not_be_resized_takes_no_more_vectors(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, ALL | WIRE_IRQ_INFO_NORESIZE, VECTORS, "");
	may(j, with(set(EVENTFD | TRIGGER, 0, 1, 0), 1));
	disable(j);
	works(j, with(set(EVENTFD | TRIGGER, 0, 1, 0), 1), "IRQ-SET-001");
	assign(j, 0, 2);
	fails(j, with(set(EVENTFD | TRIGGER, 2, 1, 0), 1), "IRQ-INFO-007");
	works(j, with(set(EVENTFD | TRIGGER, 1, 1, 0), 1), "IRQ-SET-001");
	disable(j);
	assign(j, 2, 1);
}

/* ---- what works ---- */

static void eventfds_are_assigned_and_given_up(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, ALL, VECTORS, "");
	works(j, with(set(EVENTFD | TRIGGER, 0, VECTORS, 0), VECTORS), "IRQ-SET-001");
	may(j, set(EVENTFD | TRIGGER, 0, 2, 0));
	may(j, set(NONE | TRIGGER, 0, 2, 0));
	may(j, set(NONE | TRIGGER, 0, 0, 0));
	assign(j, 0, 2);
	works(j, set(EVENTFD | TRIGGER, 0, 2, 0), "IRQ-SET-006");
	works(j, set(NONE | TRIGGER, 0, 2, 0), "IRQ-SET-003");
	works(j, set(BOOL | TRIGGER, 0, 2, 2), "IRQ-SET-004");
	works(j, set(NONE | TRIGGER, 0, 0, 0), "IRQ-SET-007");
	may(j, set(NONE | TRIGGER, 1, 2, 0));
	tell(j, WIRE_DEVICE_SET_IRQS, set(EVENTFD | TRIGGER, 1, 1, 0), NOTHING, "");
	may(j, set(NONE | TRIGGER, 0, 2, 0));
	disable(j);
	may(j, set(NONE | TRIGGER, 0, 1, 0));
	tell(j, WIRE_DEVICE_SET_IRQS, set(NONE | TRIGGER, 0, 1, 0), ZEROS(4), "ARGSZ-GEN-004");
}

static void masking_works_on_what_is_assigned(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, ALL, VECTORS, "");
	assign(j, 0, 2);
	works(j, set(NONE | MASK, 0, 1, 0), "IRQ-INFO-005");
	works(j, set(BOOL | UNMASK, 0, 2, 2), "IRQ-SET-020");
	tell(j, WIRE_DEVICE_SET_IRQS, set(NONE | MASK, 0, 1, 0), NOTHING, "");
	may(j, set(NONE | TRIGGER, 0, 1, 0));
	may(j, with(set(EVENTFD | MASK, 0, 1, 0), 1));
	j->model->strict |= 1u << MODEL_I4;
	works(j, with(set(EVENTFD | MASK, 0, 1, 0), 1), "IRQ-SET-021");
}

static void what_is_no_eventfd_may_be_refused(void **state)
{
	const struct model_fd fd = { .kind = MODEL_FD_MEMORY };
	struct judged *j = *state;
	struct judged_part part = set(EVENTFD | TRIGGER, 0, 1, 0);

	describe(j, MSIX, ALL, VECTORS, "");
	part.fds = &fd;
	part.nfds = 1;
	may(j, part);
}

static void odd_bools_and_sizes_may_be_refused(void **state)
{
	struct judged *j = *state;
	uint8_t body[sizeof(struct wire_irq_set) + 1];
	struct judged_part part = set(BOOL | TRIGGER, 0, 1, 1);
	struct wire_irq_set odd = { 0, NONE | TRIGGER, MSIX, 0, 1 };

	describe(j, MSIX, ALL, VECTORS, "");
	assign(j, 0, VECTORS);
	memcpy(body, part.body, sizeof(body));
	body[sizeof(body) - 1] = 2;
	may(j, PART(body));
	may(j, PART(odd));
	odd.argsz = 1000;
	may(j, PART(odd));
}

/* ---- what is not known ---- */

static void what_was_not_seen_is_not_judged(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, ALL, VECTORS, "");
	assign(j, 0, 2);
	ask_flagged(j, WIRE_DEVICE_SET_IRQS, set(EVENTFD | TRIGGER, 0, 1, 0), WIRE_NO_REPLY);
	may(j, set(NONE | TRIGGER, 0, 1, 0));
	tell(j, WIRE_DEVICE_RESET, NOTHING, NOTHING, "");
	may(j, set(NONE | TRIGGER, 1, 1, 0));
	assign(j, 0, 2);
	model_share(j->model);
	may(j, set(NONE | TRIGGER, 0, 1, 0));
	assign(j, 0, 2);
	may(j, set(NONE | TRIGGER, 0, 1, 0));
}

static void vectors_without_a_bit_are_not_judged(void **state)
{
	struct judged *j = *state;

	describe(j, MSIX, ALL, 2048, "");
	assign(j, 60, 8);
	works(j, set(NONE | TRIGGER, 60, 4, 0), "IRQ-SET-003");
	may(j, set(NONE | TRIGGER, 60, 5, 0));
	may(j, set(NONE | TRIGGER, 64, 1, 0));
	works(j, with(set(EVENTFD | TRIGGER, 2000, 1, 0), 1), "IRQ-SET-001");
}

static void stopped_device_may_refuse(void **state)
{
	struct judged *j = *state;
	const struct wire_irq_info asked = question(MSIX, 16);

	describe(j, MSIX, ALL, VECTORS, "");
	assign(j, 0, 1);
	j->model->feature.states = 1u << WIRE_STATE_STOP;
	may(j, set(NONE | TRIGGER, 0, 1, 0));
	may_fail(j, WIRE_DEVICE_GET_IRQ_INFO, PART(asked));
	fails(j, set(NONE | TRIGGER, VECTORS, 1, 0), "IRQ-SET-010");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		JUDGED(each_type_is_described_and_no_other),
		JUDGED(description_is_judged),
		JUDGED(counts_are_those_of_a_pci_device),
		JUDGED(flags_are_one_of_each_set),
		JUDGED(range_lies_inside_the_type),
		JUDGED(bools_are_as_many_as_the_vectors),
		JUDGED(descriptors_are_as_many_as_the_vectors_or_none),
		JUDGED(type_does_no_more_than_its_flags_say),
		JUDGED(type_that_can_not_be_resized_takes_no_more_vectors),
		JUDGED(eventfds_are_assigned_and_given_up),
		JUDGED(masking_works_on_what_is_assigned),
		JUDGED(what_is_no_eventfd_may_be_refused),
		JUDGED(odd_bools_and_sizes_may_be_refused),
		JUDGED(what_was_not_seen_is_not_judged),
		JUDGED(vectors_without_a_bit_are_not_judged),
		JUDGED(stopped_device_may_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
