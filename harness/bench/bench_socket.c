/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_socket.c - what a server costs its client: one measurement of one server, in a new process.
 *
 *     bench_socket WHAT COUNT SERVER [ARGUMENT...]      ({socket} in an argument is filled in)
 *
 * maps, maps_fd  COUNT mappings of one page are made, pipelined, without a descriptor or with one
 *                file in each; then, beyond them, blocks of mappings that are made and unmade; the
 *                growth of the process in between
 * touch          a device operation (test device vdma) that looks up one byte in each of COUNT
 *                mappings of a page, of one file
 * read           COUNT times REGION_READ of 4 bytes, in turns with exchanges of as many bytes with
 *                children of ours: one that just receives and sends, and one that makes the four
 *                system calls of a server
 * unmap          COUNT times DMA_UNMAP of an idle mapping, of an idle one while the device writes
 *                elsewhere, and of the one that the device writes to
 * unmap_idle     the first of these alone
 *
 * Each line of the output is a JSON object with name, unit and value. Rates are of wall-clock time,
 * what ends in _cpu is the processor time of the server. Exit status 1: could not be measured.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "latency.h"
#include "subject.h"

#define AHEAD 8192   /* messages that may wait for their replies */
#define AHEAD_FD 256 /* the same with descriptors, of which few may be under way */
#define BLOCK 4096
#define BLOCKS 8
#define PAGE SUBJECT_PAGE
#define BASE SUBJECT_BASE
#define BUFFER SUBJECT_BUFFER

/* Mappings to make or unmake, pipelined. */
struct load {
	uint16_t command;
	uint64_t first, count; /* pages */
	int fd;                /* for each, or -1 */
	uint64_t sent, answered;
	uint64_t refused; /* how many were taken before one was not; UINT64_MAX */
	uint8_t out[BUFFER], in[BUFFER];
	size_t out_begin, out_end, in_end;
};

static bool load_may_send(const struct load *load)
{
	uint64_t ahead = load->fd < 0 ? AHEAD : AHEAD_FD;

	return load->refused == UINT64_MAX && load->sent < load->count &&
	       load->sent - load->answered < ahead;
}

static size_t load_encode(const struct load *load, uint64_t number, uint8_t *at)
{
	uint64_t page = load->first + number;

	if (load->command == WIRE_DMA_MAP) {
		struct subject_map map = subject_map(page, 1);

		memcpy(at, &map, sizeof(map));
		return sizeof(map);
	}
	struct subject_unmap unmap = subject_unmap(page, 1);

	memcpy(at, &unmap, sizeof(unmap));
	return sizeof(unmap);
}

/* Whether anything went out. */
static bool load_send(struct load *load)
{
	ssize_t n;

	while (load_may_send(load) && load->out_end + sizeof(struct subject_map) <= BUFFER)
		load->out_end += load_encode(load, load->sent++, load->out + load->out_end);
	if (load->out_begin == load->out_end)
		return false;
	n = send(subject_fd(), load->out + load->out_begin, load->out_end - load->out_begin,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		subject_fail("send: %s", strerror(errno));
	load->out_begin += (size_t)n;
	if (load->out_begin == load->out_end)
		load->out_begin = load->out_end = 0;
	return true;
}

/* The same with a descriptor in each message. */
static bool load_send_fds(struct load *load)
{
	enum { MOST = 64 };
	struct {
		_Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int))];
	} control[MOST];
	struct mmsghdr msgs[MOST] = { 0 };
	struct iovec iov[MOST];
	uint64_t first = load->sent;
	unsigned int count = 0;
	int n;

	for (; load_may_send(load) && count < MOST; count++, load->sent++) {
		uint8_t *at = load->out + count * sizeof(struct subject_map);

		iov[count] = (struct iovec){ at, load_encode(load, load->sent, at) };
		msgs[count].msg_hdr.msg_iov = &iov[count];
		msgs[count].msg_hdr.msg_iovlen = 1;
		subject_attach(&msgs[count].msg_hdr, &control[count], load->fd);
	}
	load->sent = first;
	if (!count)
		return false;
	n = sendmmsg(subject_fd(), msgs, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != ETOOMANYREFS)
		subject_fail("send: %s", strerror(errno));
	load->sent += n > 0 ? (uint64_t)n : 0;
	return n > 0;
}

/* Counts the replies that are complete. */
static void load_take(struct load *load)
{
	struct wire_header got;
	size_t at = 0;

	for (; load->in_end - at >= sizeof(got); at += got.msg_size, load->answered++) {
		memcpy(&got, load->in + at, sizeof(got));
		if (got.msg_size < sizeof(got) || got.command != load->command)
			subject_fail("not a reply to command %u", load->command);
		if (got.msg_size > load->in_end - at)
			break;
		if (got.flags & WIRE_ERROR && load->refused == UINT64_MAX)
			load->refused = load->answered;
	}
	load->in_end -= at;
	memmove(load->in, load->in + at, load->in_end);
}

static bool load_receive(struct load *load)
{
	ssize_t n =
		recv(subject_fd(), load->in + load->in_end, BUFFER - load->in_end, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		subject_fail("the server has closed the connection");
	if (n < 0)
		return false;
	load->in_end += (size_t)n;
	load_take(load);
	return true;
}

/* Makes or unmakes mappings, and says what that took. *refused as in struct load. */
static struct subject_cost load_run(uint16_t command, uint64_t first, uint64_t count, int fd,
				    uint64_t *refused)
{
	static struct load load;
	struct subject_cost begin = subject_cost_begin();

	load = (struct load){
		.command = command, .first = first, .count = count, .fd = fd, .refused = UINT64_MAX
	};
	while (load.answered < load.count) {
		bool moved = fd < 0 ? load_send(&load) : load_send_fds(&load);
		bool wants = load_may_send(&load) || load.out_begin < load.out_end;
		struct pollfd pollfd = { subject_fd(), POLLIN, 0 };

		moved |= load_receive(&load);
		if (load.refused != UINT64_MAX && load.answered == load.sent)
			break;
		pollfd.events = (short)(pollfd.events | (wants ? POLLOUT : 0));
		if (!moved && poll(&pollfd, 1, SUBJECT_WAIT_MS) <= 0)
			subject_fail("no reply to command %u", command);
	}
	*refused = load.refused;
	return subject_cost_end(begin);
}

static void emit_cost(const char *what, struct subject_cost cost, uint64_t operations,
		      uint64_t mapped)
{
	subject_emit("1/s", (double)operations / cost.seconds, "%s.%" PRIu64, what, mapped);
	subject_emit("ns", cost.cpu * 1e9 / (double)operations, "%s_cpu.%" PRIu64, what, mapped);
}

/* Mappings beyond the first `count`, in blocks that come and go. */
static void measure_blocks(const char *with, uint64_t count, int fd)
{
	struct subject_cost made = { 0, 0 }, unmade = { 0, 0 }, one;
	uint64_t refused;
	char name[32];

	for (int i = 0; i < BLOCKS; i++) {
		one = load_run(WIRE_DMA_MAP, count, BLOCK, fd, &refused);
		if (refused != UINT64_MAX) {
			subject_emit("mappings", (double)(count + refused), "refused_after%s",
				     with);
			return;
		}
		made = (struct subject_cost){ made.seconds + one.seconds, made.cpu + one.cpu };
		one = load_run(WIRE_DMA_UNMAP, count, BLOCK, -1, &refused);
		if (refused != UINT64_MAX)
			subject_fail("DMA_UNMAP is refused");
		unmade =
			(struct subject_cost){ unmade.seconds + one.seconds, unmade.cpu + one.cpu };
	}
	snprintf(name, sizeof(name), "map%s", with);
	emit_cost(name, made, (uint64_t)BLOCKS * BLOCK, count);
	snprintf(name, sizeof(name), "unmap%s", with);
	emit_cost(name, unmade, (uint64_t)BLOCKS * BLOCK, count);
}

static void measure_maps_with(const char *with, uint64_t count, int fd)
{
	struct proc_resources before = subject_resources(), after;
	uint64_t refused;
	struct subject_cost cost = load_run(WIRE_DMA_MAP, 0, count, fd, &refused);
	char name[32];

	if (refused != UINT64_MAX) {
		subject_emit("mappings", (double)refused, "refused_after%s", with);
		return;
	}
	after = subject_resources();
	snprintf(name, sizeof(name), "fill%s", with);
	emit_cost(name, cost, count, count);
	subject_emit("VMAs", (double)(after.vmas - before.vmas), "vmas%s.%" PRIu64, with, count);
	subject_emit("fds", (double)(after.fds - before.fds), "fds%s.%" PRIu64, with, count);
	subject_emit("B/mapping",
		     (double)(after.rss_anon_kib - before.rss_anon_kib) * 1024 / (double)count,
		     "rss%s.%" PRIu64, with, count);
	measure_blocks(with, count, fd);
}

static void measure_maps(uint64_t count)
{
	measure_maps_with("", count, -1);
}

static void measure_maps_fd(uint64_t count)
{
	int fd = subject_file(count + BLOCK);

	measure_maps_with("_fd", count, fd);
	close(fd);
}

static void measure_touch(uint64_t count)
{
	int done = subject_interrupt(0), fd = subject_file(count);
	struct pollfd wait = { done, POLLIN, 0 };
	struct subject_cost cost;
	uint64_t refused;

	load_run(WIRE_DMA_MAP, 0, count, fd, &refused);
	if (refused != UINT64_MAX) {
		subject_emit("mappings", (double)refused, "refused_after_touch");
	} else {
		subject_write(SLOT_SRC, BASE, 8);
		subject_write(SLOT_LEN, 1, 4);
		subject_write(SLOT_COUNT, count, 4);
		subject_write(SLOT_STRIDE, PAGE, 4);
		cost = subject_cost_begin();
		subject_write(SLOT_CMD, SLOT_TOUCH, 4);
		if (poll(&wait, 1, SUBJECT_WAIT_MS) != 1)
			subject_fail("the operation does not end");
		cost = subject_cost_end(cost);
		if ((subject_read(SLOT_STATE) & 0xff) != SLOT_DONE)
			subject_fail("the operation failed: state %#x", subject_read(SLOT_STATE));
		emit_cost("touch", cost, count, count);
	}
	close(fd);
	close(done);
}

static const struct {
	const char *name;
	void (*measure)(uint64_t count);
} whats[] = {
	{ "maps", measure_maps },   { "maps_fd", measure_maps_fd },
	{ "touch", measure_touch }, { "read", latency_read },
	{ "unmap", latency_unmap }, { "unmap_idle", latency_unmap_idle },
};

int main(int argc, char **argv)
{
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	size_t what = 0, all = sizeof(whats) / sizeof(whats[0]);

	while (what < all && argc > 3 && strcmp(argv[1], whats[what].name) != 0)
		what++;
	if (argc < 4 || what == all || count < 1 || count > UINT32_MAX) {
		fprintf(stderr, "usage: bench_socket WHAT COUNT SERVER [ARGUMENT...]\n");
		return 2;
	}
	subject_begin((const char *const *)argv + 3, argc - 3, "");
	whats[what].measure(count);
	subject_end();
	return 0;
}
