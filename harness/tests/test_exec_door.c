/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unit tests of the side door, over a device in memory: it begins an operation when slot 0 is told
 * to, is held at so many points, and takes codes whenever it is looked at. An unmap waits for it.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "exec_fixture.h"

#define REGION "device_get_region_info(index=2)\n"
#define START "slot(0, cmd=FILL)\n"
#define UNMAP "dma_unmap(size=0x1000) (nowait)\n"
#define PLACE 0x100u		/* of the region in its file */
#define LONG_MS 200
#define SHORT_MS 20

enum { IDLE, QUEUED, RUN, HELD, WAIT_PAGE, WAIT_MSG, DONE, FAULT };

static struct device {
	int file;
	uint32_t points;	/* where it will be held */
	uint32_t state;
	uint32_t last;		/* the code that was taken last */
	uint32_t taken;		/* how many */
	bool waits;		/* a command */
	struct wire_header waiting;
	uint32_t looks;		/* until it is shown that it is held */
	uint32_t end;		/* the state behind the last point */
} device;

static void device_put(uint64_t at, uint32_t word)
{
	assert_int_equal(pwrite(device.file, &word, 4, (off_t)(PLACE + at)), 4);
}

static void device_show(uint32_t state)
{
	device.state = state;
	device_put(0x40, state | (state == HELD ? device.points << 8 : 0));
}

static void device_region(struct fake *fake, uint32_t connection, const struct wire_header *header)
{
	const struct wire_region_info info = {
		.argsz = sizeof(info), .index = 2, .size = 0x1000, .offset = PLACE,
	};
	struct fds fds = { 0 };
	int fd = dup(device.file);

	fake_reply(fake, connection, header, &info, sizeof(info));
	assert_int_equal(fds_add(&fds, &fd, 1), 0);
	message_own(fake->queue[connection].last, &fds);
}

static bool device_odd(struct fake *fake, uint32_t connection, const struct wire_header *header,
		       const uint8_t *body)
{
	(void)body;
	if (header->command == WIRE_DEVICE_GET_REGION_INFO) {
		device_region(fake, connection, header);
		return true;
	}
	if (header->command == WIRE_REGION_WRITE)
		device_show(device.looks ? QUEUED : HELD);
	device.waits = header->command == WIRE_DMA_UNMAP && device.state == HELD;
	device.waiting = *header;
	return device.waits;
}

static void device_takes(struct fake *fake, uint32_t code)
{
	device.last = code;
	device.taken++;
	device_put(0, 0);
	device.points -= device.points ? 1 : 0;
	device_show(device.points && code == 1 ? HELD : device.end);
	if (device.waits && device.state != HELD)
		fake_usual(fake, 0, &device.waiting, (const uint8_t[24]){ 0 });
}

static int device_recv(void *link, uint32_t connection, uint32_t channel, int timeout_ms,
		       struct message **out)
{
	uint32_t code;

	if (device.state == QUEUED && --device.looks == 0)
		device_show(HELD);
	assert_int_equal(pread(device.file, &code, 4, PLACE), 4);
	if (code && device.state == HELD)
		device_takes(link, code);
	return fake_recv(link, connection, channel, timeout_ms, out);
}

/* Of what the program wants: what this device answers is no matter here. */
static uint32_t wanted(const struct fixture *f, uint32_t index, struct exec_finding *out)
{
	struct exec_finding finding = { .step = 0 };
	uint32_t count = exec_findings(f->exec, 0, &finding), ours = 0;

	for (uint32_t i = 0; i < count; i++) {
		exec_findings(f->exec, i, &finding);
		if (strstr(finding.what.text, "the program expects") && ours++ == index)
			*out = finding;
	}
	return ours;
}

static void assert_wanted(const struct fixture *f, uint32_t index, const char *code, uint32_t step)
{
	struct exec_finding finding = { .what.code = "none" };

	assert_true(wanted(f, index, &finding) > index);
	assert_string_equal(finding.what.code, code);
	assert_int_equal(finding.step, step);
}

/* The number of those with a device that is held so often, and comes to that state then. */
static uint32_t runs(struct fixture *f, uint32_t points, uint32_t end, const char *text)
{
	struct exec_link_ops ops = fake_ops;
	const struct exec_link link = { &ops, &f->fake };
	struct text_error error;
	struct exec_finding first;
	uint32_t findings;

	ops.recv = device_recv;
	f->fake.odd = device_odd;
	f->options.long_ms = LONG_MS;
	/* Then there is no time but for one that is at work. */
	f->options.short_ms = device.looks ? 0 : SHORT_MS;
	f->fake.sends = 0;
	device = (struct device){ .points = points, .end = end, .looks = device.looks };
	device.file = memfd_create("door", MFD_CLOEXEC);
	assert_int_equal(ftruncate(device.file, 0x2000), 0);
	if (text_parse(f->program, text, strlen(text), &error))
		fail_msg("line %u: %s", error.line, error.text);
	exec_free(f->exec);
	assert_int_equal(exec_new(&link, &f->options, &f->exec), 0);
	assert_true(exec_run(f->exec, f->program) >= 0);
	findings = wanted(f, 0, &first);
	close(device.file);
	return findings;
}

static void a_slot_goes_on_from_point_to_point(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(runs(f, 2, DONE, "version()\n" REGION START "door(0, step=NEXT)\n"), 0);
	assert_int_equal(device.taken, 1);
	assert_int_equal(device.state, HELD);
	assert_int_equal(runs(f, 3, DONE, "version()\n" REGION START "door(0, step=NEXT)\n"
			      "door(0, step=END)\n"), 0);
	assert_int_equal(device.taken, 2);
	assert_int_equal(device.last, 2);
	assert_int_equal(device.state, DONE);
}

static void a_slot_is_waited_for(void **state)
{
	struct fixture *f = *state;

	device.looks = 5;
	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION START "door(0, step=NEXT)\n"), 0);
	assert_int_equal(device.taken, 1);
	device.looks = 0;
	/* One that is at rest is not held by waiting. */
	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION "door(0, step=NEXT)\n"), 0);
	assert_int_equal(device.taken, 0);
}

static void a_slot_goes_on_while_a_command_waits(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION START UNMAP "door(0, step=NEXT)\n"
			      "await() (expect: ok)\n"), 0);
	assert_int_equal(device.taken, 1);
	/* What holds it up is no excuse where a program says that it has to be answered. */
	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION "slot(0, cmd=FILL, ctl=MID)\n" UNMAP
			      "await()\n"), 0);
	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION "slot(0, cmd=FILL, ctl=MID)\n" UNMAP
			      "await() (expect: ok)\n"), 1);
	assert_wanted(f, 0, "reply.missing", 4);
}

static void states_are_judged(void **state)
{
	struct fixture *f = *state;
	const char *text = "version()\n" REGION START "door(0, state=HELD, step=NEXT)\n"
			   "door(0, state=DONE)\n" "door(0, not=WAIT_PAGE)\n"
			   "door(0, state=REST)\n";

	assert_int_equal(runs(f, 1, DONE, text), 0);
	assert_int_equal(runs(f, 1, FAULT, text), 1);
	assert_wanted(f, 0, "effect", 4);
	/* Of a page that nobody was asked for, nobody knows. */
	assert_int_equal(runs(f, 1, WAIT_PAGE, text), 3);
	assert_wanted(f, 1, "effect", 5);
	assert_wanted(f, 2, "effect", 6);
	assert_int_equal(runs(f, 1, RUN, text), 2);
	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION "door(0, state=HELD, step=NEXT)\n"),
			 1);
}

static uint32_t descriptors(void)
{
	uint32_t count = 0;

	for (int fd = 0; fd < 64; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void without_a_file_nothing_is_done(void **state)
{
	struct fixture *f = *state;
	uint32_t before = descriptors();

	assert_int_equal(runs(f, 1, DONE, "version()\n" START "door(0, step=NEXT, state=DONE)\n"),
			 0);
	assert_int_equal(device.taken, 0);
	/* Nor on another connection, or on one that was closed. */
	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION START "disconnect(c0)\n"
			      "connect(c0)\n" "version()\n" "door(0, state=DONE)\n"), 0);
	assert_int_equal(runs(f, 1, DONE, "version()\n" REGION REGION START "connect(c1)\n"
			      "version() (on: c1)\n" "door(0, state=DONE) (on: c1)\n"), 0);
	assert_int_equal(device.taken, 0);
	assert_int_equal(descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_slot_goes_on_from_point_to_point),
		TEST(a_slot_is_waited_for),
		TEST(a_slot_goes_on_while_a_command_waits),
		TEST(states_are_judged),
		TEST(without_a_file_nothing_is_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
