/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unit tests of lanes that run side by side, over a server in memory that answers one lane when
 * another has sent something: what has to overlap does, or the test waits for LONG_MS and fails.
 */
#include <semaphore.h>
#include <time.h>

#include "deadline.h"
#include "fake_link.h"

#define LONG_MS 20000
#define PAGE 0x1000u
#define SEEDS 20

struct fixture {
	struct fake fake;
	struct exec *exec;
	struct program *program;
	struct exec_options options;
	sem_t sent;			/* what a tick waits for */
	bool late;			/* it did not come */
};

/* What has come of DMA_MAP, by the page of its address, and was not answered. */
static struct {
	struct wire_header header[16];
	bool came[16], waits[16];
} maps;

static void lanes_watch(void *link, uint32_t connection, int fd[CLIENT_CHANNELS])
{
	(void)link;
	(void)connection;
	fd[CLIENT_MAIN] = fd[CLIENT_TWIN] = -1;
}

static int lanes_tick(void *link, uint64_t ms)
{
	struct fixture *f = link;
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += (time_t)ms / 1000;
	if (sem_timedwait(&f->sent, &limit))
		f->late = true;
	return 0;
}

/* The first member of a fixture is the fake, so its functions do for this link. */
static struct exec_link_ops lanes_ops(void)
{
	struct exec_link_ops ops = fake_ops;

	ops.watch = lanes_watch;
	ops.tick = lanes_tick;
	return ops;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&maps, 0, sizeof(maps));
	if (!f)
		return -1;
	f->fake.twin = -1;
	f->options.long_ms = LONG_MS;
	f->program = calloc(1, sizeof(*f->program));
	*state = f;
	return f->program && !sem_init(&f->sent, 0, 0) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	exec_free(f->exec);
	sem_destroy(&f->sent);
	free(f->program);
	free(f);
	return 0;
}

/* Runs a program with a seed; the number of findings. */
static int64_t run(struct fixture *f, uint32_t seed, const char *text)
{
	const struct exec_link_ops ops = lanes_ops();
	const struct exec_link link = { &ops, f };
	struct text_error error;
	int64_t findings;

	if (text_parse(f->program, text, strlen(text), &error))
		fail_msg("line %u: %s", error.line, error.text);
	f->program->seed = seed;
	f->fake.sends = 0;
	memset(&maps, 0, sizeof(maps));
	assert_int_equal(exec_new(&link, &f->options, &f->exec), 0);
	findings = exec_run(f->exec, f->program);
	exec_free(f->exec);
	f->exec = NULL;
	return findings;
}

static uint32_t page_of(const uint8_t *body)
{
	struct wire_dma_map map;

	memcpy(&map, body, sizeof(map));
	return (uint32_t)(map.address / PAGE);
}

/* A mapping is answered when that of the next page has come; those from page 8 on at once. */
static bool answer_the_one_before(struct fake *fake, uint32_t connection,
				  const struct wire_header *header, const uint8_t *body)
{
	uint32_t page;

	if (header->command != WIRE_DMA_MAP)
		return false;
	page = page_of(body);
	maps.came[page] = true;
	if (page && maps.waits[page - 1])
		fake_reply(fake, connection, &maps.header[page - 1], NULL, 0);
	maps.waits[page] = page < 8 && !maps.came[page + 1];
	maps.header[page] = *header;
	if (!maps.waits[page])
		fake_reply(fake, connection, header, NULL, 0);
	return true;
}

static void lanes_wait_for_each_other(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = answer_the_one_before;
	for (uint32_t seed = 0; seed < SEEDS; seed++) {
		assert_int_equal(run(f, seed, "version()\n"
				     "barrier()\n"
				     "dma_map(address=0x5000, size=0x1000, flags=READ)\n"
				     "dma_map(address=0x7000, size=0x1000, flags=READ)\n"
				     "dma_map(address=0x6000, size=0x1000, flags=READ) (lane: 1)\n"
				     "dma_map(address=0x8000, size=0x1000, flags=READ) (lane: 1)\n"
				     ), 0);
		assert_int_equal(f->fake.sends, 5);
	}
}

static bool is_of_first_phase(const struct fake_send *send)
{
	return page_of(send->bytes + sizeof(struct wire_header)) < 12;
}

static void no_lane_goes_on_before_all_are_at_the_barrier(void **state)
{
	struct fixture *f = *state;

	for (uint32_t seed = 0; seed < SEEDS; seed++) {
		assert_int_equal(run(f, seed, "version()\n"
				     "barrier()\n"
				     "dma_map(address=0x8000, size=0x1000, flags=READ)\n"
				     "dma_map(address=0x9000, size=0x1000, flags=READ) (lane: 1)\n"
				     "dma_map(address=0xa000, size=0x1000, flags=READ) (lane: 2)\n"
				     "dma_map(address=0xb000, size=0x1000, flags=READ) (lane: 2)\n"
				     "barrier()\n"
				     "dma_map(address=0xc000, size=0x1000, flags=READ) (lane: 1)\n"
				     "dma_map(address=0xd000, size=0x1000, flags=READ) (lane: 3)\n"
				     ), 0);
		assert_int_equal(f->fake.sends, 7);
		for (uint32_t i = 1; i < 7; i++)
			assert_int_equal(is_of_first_phase(&f->fake.send[i]), i < 5);
	}
}

static bool tell(struct fake *fake, uint32_t connection, const struct wire_header *header,
		 const uint8_t *body)
{
	struct fixture *f = (struct fixture *)fake;

	(void)body;
	if (header->command != WIRE_DMA_MAP)
		return false;
	sem_post(&f->sent);
	return connection == 1;		/* which is not answered */
}

static void others_go_on_while_time_passes(void **state)
{
	struct fixture *f = *state;

	f->fake.odd = tell;
	assert_int_equal(run(f, 1, "version()\n"
			     "barrier()\n"
			     "tick(ms=20000)\n"
			     "dma_map(address=0x1000, size=0x1000, flags=READ) (lane: 1)\n"), 0);
	assert_false(f->late);
}

static void a_connection_is_closed_though_another_lane_waits_for_it(void **state)
{
	struct fixture *f = *state;
	struct deadline half = deadline_in(LONG_MS / 2);

	f->fake.odd = tell;
	assert_int_equal(run(f, 1, "version()\n"
			     "connect(c1)\n"
			     "version() (on: c1)\n"
			     "barrier()\n"
			     "dma_map(address=0x1000, size=0x1000, flags=READ) (on: c1)\n"
			     "tick(ms=20000) (lane: 1)\n"
			     "disconnect(c1) (lane: 1)\n"
			     "connect(c1) (lane: 1)\n"
			     "version() (on: c1, lane: 1)\n"), 0);
	assert_false(f->late);
	assert_true(deadline_left_ms(half));
	assert_int_equal(f->fake.connects, 3);
}

static void what_depends_on_the_order_is_not_judged(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, 0, "r0 = memfd(size=0x1000)\n"
			     "barrier()\n"
			     "fill(r0, size=16, seed=1)\n"
			     "check(r0, size=16, seed=2)\n"
			     "fill(r0, size=16, seed=3) (lane: 1)\n"), 0);
	assert_int_equal(run(f, 0, "r0 = memfd(size=0x1000)\n"
			     "barrier()\n"
			     "fill(r0, size=16, seed=1)\n"
			     "check(r0, size=16, seed=2)\n"
			     "r1 = memfd(size=0x1000) (lane: 1)\n"), 1);
}

static bool ask(struct fake *fake, uint32_t connection, const struct wire_header *header,
		const uint8_t *body)
{
	const struct wire_dma_access access = { .address = PAGE, .count = 4 };
	const struct wire_header request = {
		.id = 7,
		.command = WIRE_DMA_READ,
		.msg_size = sizeof(request) + sizeof(access),
	};

	(void)body;
	if (header->command == WIRE_DEVICE_RESET)
		fake_queue(fake, connection, request, &access);
	return false;
}

static void a_request_waits_for_the_lane_that_answers_it(void **state)
{
	struct fixture *f = *state;
	uint32_t errors = 0;

	f->fake.odd = ask;
	f->options.short_ms = LONG_MS;
	for (uint32_t seed = 0; seed < SEEDS; seed++) {
		run(f, seed, "version()\n"
		    "dma_map(address=0x1000, size=0x1000, flags=READ)\n"
		    "barrier()\n"
		    "device_reset()\n"
		    "device_get_info() (repeat: 3)\n"
		    "reply(header.error=EFAULT) (lane: 1)\n");
		for (uint32_t i = 0; i < f->fake.sends; i++) {
			struct wire_header header;

			memcpy(&header, f->fake.send[i].bytes, sizeof(header));
			errors += header.command == WIRE_DMA_READ && header.error == EFAULT;
		}
	}
	assert_int_equal(errors, SEEDS);
}

static void a_link_of_one_thread_has_one_order(void **state)
{
	struct fixture *f = *state;
	const struct exec_link link = { &fake_ops, &f->fake };
	const char *text = "version()\n"
			   "dma_map(address=0x8000, size=0x1000, flags=READ) (lane: 1)\n"
			   "dma_map(address=0x9000, size=0x1000, flags=READ)\n"
			   "dma_map(address=0xa000, size=0x1000, flags=READ) (lane: 1)\n";
	struct text_error error;

	assert_int_equal(text_parse(f->program, text, strlen(text), &error), 0);
	assert_int_equal(exec_new(&link, &f->options, &f->exec), 0);
	assert_int_equal(exec_run(f->exec, f->program), 0);
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(page_of(f->fake.send[i].bytes + sizeof(struct wire_header)),
				 i + 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(lanes_wait_for_each_other),
		TEST(no_lane_goes_on_before_all_are_at_the_barrier),
		TEST(others_go_on_while_time_passes),
		TEST(a_connection_is_closed_though_another_lane_waits_for_it),
		TEST(what_depends_on_the_order_is_not_judged),
		TEST(a_request_waits_for_the_lane_that_answers_it),
		TEST(a_link_of_one_thread_has_one_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
