/* SPDX-License-Identifier: BSD-3-Clause */
/* test_irq.c - GET_IRQ_INFO and SET_IRQS: what is signalled, refused, and closed. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "call.h"
#include "irq.h"

#define NONE WIRE_IRQ_SET_DATA_NONE
#define BOOL WIRE_IRQ_SET_DATA_BOOL
#define EVENTFD WIRE_IRQ_SET_DATA_EVENTFD
#define MASK WIRE_IRQ_SET_ACTION_MASK
#define UNMASK WIRE_IRQ_SET_ACTION_UNMASK
#define TRIGGER WIRE_IRQ_SET_ACTION_TRIGGER

enum { INTX, MSI, MSIX, ERR, ABSENT };

static const struct irq_type types[WIRE_IRQ_INDEX_NUM] = {
	[INTX] = { WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE | WIRE_IRQ_INFO_AUTOMASKED, 1 },
	[MSI] = { WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE | WIRE_IRQ_INFO_NORESIZE, 4 },
	[MSIX] = { WIRE_IRQ_INFO_EVENTFD | WIRE_IRQ_INFO_MASKABLE, 4 },
	[ERR] = { WIRE_IRQ_INFO_EVENTFD, 1 },
};

struct bench {
	struct call call;
	struct irq irq;
	int event[4];
	unsigned int fds_before;
};

static int set_up(void **state)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	irq_init(&bench.irq, types);
	for (int i = 0; i < 4; i++)
		bench.event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	*state = &bench;
	return call_open(&bench.call);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	irq_detach(&bench->irq);
	for (int i = 0; i < 4; i++)
		close(bench->event[i]);
	call_close(&bench->call);
	return call_count_fds() == bench->fds_before ? 0 : -1;
}

struct set {
	uint32_t flags, index, start, count;
	const int *fd;
	unsigned int fds;
	const char *data;
	size_t size;
};

static int set(struct bench *bench, struct set set)
{
	static struct msg msg;
	uint8_t body[64];
	struct wire_irq_set wire = {
		(uint32_t)(sizeof(wire) + set.size), set.flags, set.index, set.start, set.count,
	};

	memcpy(body, &wire, sizeof(wire));
	if (set.size)
		memcpy(body + sizeof(wire), set.data, set.size);
	msg_init(&msg);
	msg.body = body;
	msg.size = sizeof(wire) + set.size;
	for (unsigned int i = 0; i < set.fds; i++)
		msg_add(&msg, dup(set.fd[i]));
	return call_message(&bench->call, irq_set, &bench->irq, &msg);
}

static int assign(struct bench *bench, uint32_t index, uint32_t start, uint32_t count)
{
	return set(bench, (struct set){ EVENTFD | TRIGGER, index, start, count, bench->event,
					count, NULL, 0 });
}

static int act(struct bench *bench, uint32_t flags, uint32_t index, uint32_t start, uint32_t count)
{
	return set(bench, (struct set){ .flags = flags, .index = index, .start = start,
					.count = count });
}

static void expect_counts(struct bench *bench, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	const uint64_t expected[4] = { a, b, c, d };

	for (int i = 0; i < 4; i++) {
		uint64_t value = 0;

		if (read(bench->event[i], &value, sizeof(value)) < 0)
			value = 0;
		assert_int_equal(value, expected[i]);
	}
}

static void info_shows_the_type(void **state)
{
	struct bench *bench = *state;
	struct wire_irq_info info = { sizeof(info), 0, MSI, 0 };

	assert_int_equal(call_handler(&bench->call, irq_get_info, &bench->irq, &info,
				      sizeof(info)), 0);
	memcpy(&info, bench->call.reply, sizeof(info));
	assert_int_equal(bench->call.size, sizeof(info));
	assert_int_equal(info.flags, types[MSI].flags);
	assert_int_equal(info.count, 4);
	info.index = WIRE_IRQ_INDEX_NUM;
	assert_int_equal(call_handler(&bench->call, irq_get_info, &bench->irq, &info,
				      sizeof(info)), -EINVAL);
	info.index = 0;
	info.argsz = sizeof(info) - 1;
	assert_int_equal(call_handler(&bench->call, irq_get_info, &bench->irq, &info,
				      sizeof(info)), -EINVAL);
}

static void a_trigger_signals_exactly_its_range(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(assign(bench, MSIX, 0, 4), 0);
	assert_int_equal(act(bench, NONE | TRIGGER, MSIX, 1, 2), 0);
	expect_counts(bench, 0, 1, 1, 0);
	assert_int_equal(set(bench, (struct set){ BOOL | TRIGGER, MSIX, 0, 4, NULL, 0,
						  "\0\1\0\2", 4 }), 0);
	expect_counts(bench, 0, 1, 0, 1);
	assert_int_equal(irq_raise(&bench->irq, MSIX, 3), 0);
	expect_counts(bench, 0, 0, 0, 1);
	assert_int_equal(irq_raise(&bench->irq, MSIX, 4), -EINVAL);
	assert_int_equal(irq_raise(&bench->irq, ABSENT, 0), -EINVAL);
	assert_int_equal(irq_raise(&bench->irq, WIRE_IRQ_INDEX_NUM, 0), -EINVAL);
}

static void de_assigned_and_disabled_vectors_are_silent_and_closed(void **state)
{
	struct bench *bench = *state;
	unsigned int before = call_count_fds();

	assert_int_equal(assign(bench, MSIX, 0, 4), 0);
	assert_int_equal(call_count_fds(), before + 4);
	assert_int_equal(act(bench, EVENTFD | TRIGGER, MSIX, 1, 1), 0);
	assert_int_equal(call_count_fds(), before + 3);
	assert_int_equal(act(bench, NONE | TRIGGER, MSIX, 0, 4), 0);
	expect_counts(bench, 1, 0, 1, 1);
	assert_int_equal(act(bench, NONE | TRIGGER, MSIX, 0, 0), 0);
	assert_int_equal(call_count_fds(), before);
	assert_int_equal(act(bench, NONE | TRIGGER, MSIX, 0, 4), 0);
	expect_counts(bench, 0, 0, 0, 0);
}

static void refused_commands_change_nothing(void **state)
{
	struct bench *bench = *state;
	const struct set refused[] = {
		{ 0 | TRIGGER, MSIX, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | BOOL | TRIGGER, MSIX, 0, 1, NULL, 0, "\1", 1 },
		{ NONE, MSIX, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | MASK | UNMASK, MSIX, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER | 0x40, MSIX, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER | 0x80000000, MSIX, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, WIRE_IRQ_INDEX_NUM, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, UINT32_MAX, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, ABSENT, 0, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, MSIX, 4, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, MSIX, 0, 5, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, MSIX, UINT32_MAX, 1, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, MSIX, 1, UINT32_MAX, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, MSIX, 0x80000000, 0x80000000, NULL, 0, NULL, 0 },
		{ NONE | TRIGGER, MSIX, 1, 0, NULL, 0, NULL, 0 },
		{ BOOL | TRIGGER, MSIX, 0, 0, NULL, 0, NULL, 0 },
		{ EVENTFD | TRIGGER, MSIX, 0, 0, NULL, 0, NULL, 0 },
		{ NONE | MASK, MSIX, 0, 0, NULL, 0, NULL, 0 },
		{ BOOL | TRIGGER, MSIX, 0, 3, NULL, 0, "\1\1", 2 },
		{ BOOL | TRIGGER, MSIX, 0, 1, NULL, 0, "\1\1", 2 },
		{ NONE | TRIGGER, MSIX, 0, 1, NULL, 0, "\1", 1 },
		{ NONE | TRIGGER, MSIX, 0, 1, bench->event, 1, NULL, 0 },
		{ EVENTFD | TRIGGER, MSIX, 0, 2, bench->event, 1, NULL, 0 },
		{ EVENTFD | TRIGGER, MSIX, 0, 1, bench->event, 2, NULL, 0 },
		{ EVENTFD | TRIGGER, MSIX, 0, 1, bench->event, 1, "\1\1\1\1", 4 },
		{ NONE | MASK, ERR, 0, 1, NULL, 0, NULL, 0 },
		{ EVENTFD | UNMASK, ERR, 0, 1, bench->event, 1, NULL, 0 },
	};
	unsigned int before;

	assert_int_equal(assign(bench, MSIX, 0, 4), 0);
	before = call_count_fds();
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		if (set(bench, refused[i]) != -EINVAL)
			fail_msg("command %zu is not refused", i);
		assert_int_equal(call_count_fds(), before);
		expect_counts(bench, 0, 0, 0, 0);
	}
	assert_int_equal(act(bench, NONE | TRIGGER, MSIX, 0, 4), 0);
	expect_counts(bench, 1, 1, 1, 1);
}

static void a_masked_vector_is_pending_until_it_is_unmasked(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(assign(bench, MSIX, 0, 4), 0);
	assert_int_equal(set(bench, (struct set){ .flags = BOOL | MASK, .index = MSIX, .count = 2,
						  .data = "\0\1", .size = 2 }), 0);
	irq_raise(&bench->irq, MSIX, 0);
	irq_raise(&bench->irq, MSIX, 1);
	irq_raise(&bench->irq, MSIX, 1);
	expect_counts(bench, 1, 0, 0, 0);
	assert_int_equal(act(bench, NONE | UNMASK, MSIX, 0, 4), 0);
	expect_counts(bench, 0, 1, 0, 0);
	assert_int_equal(act(bench, NONE | UNMASK, MSIX, 0, 4), 0);
	expect_counts(bench, 0, 0, 0, 0);
}

static void a_stopped_device_is_silent_until_it_runs(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(assign(bench, MSIX, 0, 4), 0);
	assert_int_equal(act(bench, NONE | MASK, MSIX, 1, 1), 0);
	irq_hold(&bench->irq, true);
	for (uint32_t i = 0; i < 3; i++)
		irq_raise(&bench->irq, MSIX, i);
	irq_raise(&bench->irq, MSIX, 2);
	expect_counts(bench, 0, 0, 0, 0);
	assert_int_equal(irq_pending(&bench->irq, MSIX), 7);
	/* The client may trigger, and unmasking does not fire. */
	assert_int_equal(act(bench, NONE | TRIGGER, MSIX, 3, 1), 0);
	assert_int_equal(act(bench, NONE | MASK, MSIX, 0, 1), 0);
	assert_int_equal(act(bench, NONE | UNMASK, MSIX, 0, 1), 0);
	expect_counts(bench, 0, 0, 0, 1);
	irq_hold(&bench->irq, false);
	expect_counts(bench, 1, 0, 1, 0);
	assert_int_equal(act(bench, NONE | UNMASK, MSIX, 1, 1), 0);
	expect_counts(bench, 0, 1, 0, 0);
	assert_int_equal(irq_pending(&bench->irq, MSIX), 0);
	assert_int_equal(irq_set_pending(&bench->irq, MSIX, 1u << IRQ_MAX_VECTORS), -EINVAL);
}

static void intx_masks_itself_and_tells(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(assign(bench, INTX, 0, 1), 0);
	assert_int_equal(set(bench, (struct set){ EVENTFD | MASK, INTX, 0, 1, bench->event + 1, 1,
						  NULL, 0 }), 0);
	assert_int_equal(set(bench, (struct set){ EVENTFD | UNMASK, INTX, 0, 1, bench->event + 2, 1,
						  NULL, 0 }), 0);
	expect_counts(bench, 0, 0, 0, 0);
	irq_raise(&bench->irq, INTX, 0);
	expect_counts(bench, 1, 1, 0, 0);
	irq_raise(&bench->irq, INTX, 0);
	expect_counts(bench, 0, 0, 0, 0);
	/* Pending, so it fires and masks itself once more. */
	assert_int_equal(act(bench, NONE | UNMASK, INTX, 0, 1), 0);
	expect_counts(bench, 1, 1, 1, 0);
	irq_raise(&bench->irq, INTX, 0);
	irq_reset(&bench->irq);
	assert_int_equal(act(bench, NONE | UNMASK, INTX, 0, 1), 0);
	expect_counts(bench, 0, 0, 1, 0);
}

static void noresize_wants_all_disabled_first(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(assign(bench, MSI, 0, 2), 0);
	assert_int_equal(assign(bench, MSI, 2, 1), -EINVAL);
	assert_int_equal(assign(bench, MSI, 0, 3), -EINVAL);
	assert_int_equal(assign(bench, MSI, 1, 1), 0);
	assert_int_equal(act(bench, NONE | TRIGGER, MSI, 0, 0), 0);
	assert_int_equal(assign(bench, MSI, 0, 4), 0);
	assert_int_equal(act(bench, EVENTFD | TRIGGER, MSI, 0, 4), 0);
	assert_int_equal(assign(bench, MSI, 3, 1), 0);
	assert_int_equal(assign(bench, MSIX, 0, 1), 0);
	assert_int_equal(assign(bench, MSIX, 1, 1), 0);
}

static void an_unassigned_vector_forgets(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(act(bench, NONE | MASK, MSIX, 0, 1), 0);
	irq_raise(&bench->irq, MSIX, 0);
	assert_int_equal(assign(bench, MSIX, 0, 1), 0);
	assert_int_equal(act(bench, NONE | UNMASK, MSIX, 0, 1), 0);
	expect_counts(bench, 0, 0, 0, 0);
}

static void only_eventfds_and_pipes_are_accepted(void **state)
{
	struct bench *bench = *state;
	int pair[2], pipes[2], fd[8], n = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	fd[n++] = pair[0];
	fd[n++] = pair[1];
	fd[n++] = pipes[0];
	fd[n++] = epoll_create1(0);
	fd[n++] = memfd_create("x", 0);
	fd[n++] = open("/", O_RDONLY);
	fd[n++] = open("/dev/null", O_RDWR);
	fd[n++] = open("/", O_PATH);
	for (int i = 0; i < n; i++) {
		assert_int_equal(set(bench, (struct set){ EVENTFD | TRIGGER, MSIX, 0, 1, &fd[i], 1,
							  NULL, 0 }), -EINVAL);
		close(fd[i]);
	}
	assert_int_equal(set(bench, (struct set){ EVENTFD | TRIGGER, MSIX, 0, 1, &pipes[1], 1,
						  NULL, 0 }), 0);
	close(pipes[1]);
}

/* Blocking, and full: the test hangs if signalling waits. */
static void a_full_descriptor_does_not_block(void **state)
{
	struct bench *bench = *state;
	uint64_t full = UINT64_MAX - 1;
	char page[4096] = { 0 };
	int fd[2], pipes[2];

	fd[0] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(write(fd[0], &full, sizeof(full)), sizeof(full));
	assert_int_equal(pipe2(pipes, O_NONBLOCK), 0);
	while (write(pipes[1], page, sizeof(page)) > 0)
		;
	assert_int_equal(fcntl(pipes[1], F_SETFL, 0), 0);
	fd[1] = pipes[1];
	assert_int_equal(set(bench, (struct set){ EVENTFD | TRIGGER, MSIX, 0, 2, fd, 2, NULL, 0 }),
			 0);
	assert_int_equal(act(bench, NONE | TRIGGER, MSIX, 0, 2), 0);
	close(fd[0]);
	close(pipes[0]);
	close(pipes[1]);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(info_shows_the_type),
		CASE(a_trigger_signals_exactly_its_range),
		CASE(de_assigned_and_disabled_vectors_are_silent_and_closed),
		CASE(refused_commands_change_nothing),
		CASE(a_masked_vector_is_pending_until_it_is_unmasked),
		CASE(a_stopped_device_is_silent_until_it_runs),
		CASE(intx_masks_itself_and_tells),
		CASE(noresize_wants_all_disabled_first),
		CASE(an_unassigned_vector_forgets),
		CASE(only_eventfds_and_pipes_are_accepted),
		CASE(a_full_descriptor_does_not_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
