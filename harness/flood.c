/* SPDX-License-Identifier: BSD-3-Clause */
/* flood.c - see flood.h. */
#include "flood.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define FLOOD_ROOM 65536
#define FLOOD_IDS 65536
#define FLOOD_SCATTER UINT64_C(0x9e3779b97f4a7c15)	/* odd: one to one modulo a power of two */
#define FLOOD_BUCKET_BITS 2
#define FLOOD_CALIBRATION 48

struct flood {
	int fd;
	uint8_t *out;			/* what is being sent */
	size_t out_size;		/* of the allocation */
	size_t out_at, out_end;
	uint8_t in[FLOOD_ROOM];
	uint8_t header[sizeof(struct wire_header)];
	size_t header_got;
	uint64_t body_left;
	uint64_t waiting;		/* messages that have to be answered */
	int64_t sent_at[FLOOD_IDS];
	uint64_t number[FLOOD_IDS];
};

union flood_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(FLOOD_MAX_FDS * sizeof(int))];
};

static int64_t flood_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

unsigned int flood_bucket(int64_t ns)
{
	uint64_t value = ns > 0 ? (uint64_t)ns : 0;
	unsigned int bits, bucket;

	if (value < 1u << FLOOD_BUCKET_BITS)
		return (unsigned int)value;
	bits = 63u - (unsigned int)__builtin_clzll(value);
	bucket = (bits - FLOOD_BUCKET_BITS + 1) << FLOOD_BUCKET_BITS;
	bucket += (unsigned int)(value >> (bits - FLOOD_BUCKET_BITS)) &
		  ((1u << FLOOD_BUCKET_BITS) - 1);
	return bucket < FLOOD_BUCKETS ? bucket : FLOOD_BUCKETS - 1;
}

int flood_open(int fd, struct flood **out)
{
	struct flood *flood = calloc(1, sizeof(*flood));

	if (!flood)
		return -ENOMEM;
	flood->fd = fd;
	*out = flood;
	return 0;
}

void flood_free(struct flood *flood)
{
	if (flood)
		free(flood->out);
	free(flood);
}

/* ---- replies ---- */

static void flood_count_error(struct flood_result *out, uint32_t error)
{
	for (unsigned int i = 0; i < FLOOD_ERRORS; i++) {
		struct flood_error *row = &out->errors[i];

		/* What there is no row for goes to the last one. */
		if (row->count && row->error != error && i < FLOOD_ERRORS - 1)
			continue;
		if (!row->count)
			row->error = error;
		row->count++;
		return;
	}
}

static void flood_count(struct flood *flood, const struct wire_header *header,
			struct flood_result *out)
{
	int64_t now = flood_clock(CLOCK_MONOTONIC);

	if ((header->flags & WIRE_TYPE_MASK) != WIRE_TYPE_REPLY) {
		out->commands++;
		return;
	}
	if (flood->waiting)
		flood->waiting--;
	out->latency[flood_bucket(now - flood->sent_at[header->id])]++;
	if (!(header->flags & WIRE_ERROR)) {
		out->succeeded++;
		return;
	}
	if (!out->refused++)
		out->first_refused = flood->number[header->id];
	flood_count_error(out, header->error);
}

/* Take in what was received: 0, or -EPROTO. */
static int flood_parse(struct flood *flood, size_t size, struct flood_result *out)
{
	struct wire_header header;
	size_t at = 0, part;

	while (at < size) {
		part = size - at;
		if (flood->body_left) {
			part = part < flood->body_left ? part : (size_t)flood->body_left;
			flood->body_left -= part;
			at += part;
			continue;
		}
		if (part > sizeof(header) - flood->header_got)
			part = sizeof(header) - flood->header_got;
		memcpy(flood->header + flood->header_got, flood->in + at, part);
		flood->header_got += part;
		at += part;
		if (flood->header_got < sizeof(header))
			break;
		memcpy(&header, flood->header, sizeof(header));
		if (header.msg_size < sizeof(header))
			return -EPROTO;
		flood->header_got = 0;
		flood->body_left = header.msg_size - sizeof(header);
		flood_count(flood, &header, out);
	}
	return 0;
}

/* One read of at most `size` bytes: a count, or -errno; -EPIPE at the end. */
static int64_t flood_take(struct flood *flood, size_t size, struct flood_result *out)
{
	ssize_t got;
	int error;

	do {
		got = recv(flood->fd, flood->in, size < FLOOD_ROOM ? size : FLOOD_ROOM,
			   MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return -EPIPE;
	if (got < 0)
		return -errno;
	out->bytes += (uint64_t)got;
	error = flood_parse(flood, (size_t)got, out);
	return error ? error : got;
}

/* ---- messages ---- */

static uint64_t flood_value(const struct flood_stride *stride, uint64_t number)
{
	uint64_t index = stride->scatter ? number * FLOOD_SCATTER : number;

	if (stride->period)
		index %= stride->period;
	return stride->base + stride->step * index;
}

static void flood_store(uint8_t *at, uint32_t width, uint64_t value)
{
	uint8_t small = (uint8_t)value;
	uint16_t medium = (uint16_t)value;
	uint32_t large = (uint32_t)value;

	if (width == sizeof(small))
		memcpy(at, &small, sizeof(small));
	else if (width == sizeof(medium))
		memcpy(at, &medium, sizeof(medium));
	else if (width == sizeof(large))
		memcpy(at, &large, sizeof(large));
	else
		memcpy(at, &value, sizeof(value));
}

/* Write message `number` behind what is to be sent. */
static void flood_make(struct flood *flood, const struct flood_spec *spec, uint64_t number)
{
	uint8_t *message = flood->out + flood->out_end;
	uint16_t id = (uint16_t)number;

	memcpy(message, spec->message, spec->size);
	memcpy(message + offsetof(struct wire_header, id), &id, sizeof(id));
	for (uint32_t i = 0; i < spec->nstrides; i++) {
		const struct flood_stride *stride = &spec->strides[i];

		flood_store(message + stride->offset, stride->width, flood_value(stride, number));
	}
	flood->number[id] = number;
	flood->sent_at[id] = flood_clock(CLOCK_MONOTONIC);
	flood->out_end += spec->size;
}

static bool flood_has_fds(const struct flood_spec *spec)
{
	return spec->memfd_size || spec->each;
}

static bool flood_is_answered(const struct flood_spec *spec)
{
	struct wire_header header;

	memcpy(&header, spec->message, sizeof(header));
	return !(header.flags & WIRE_NO_REPLY);
}

static bool flood_may_send(const struct flood *flood, const struct flood_spec *spec)
{
	return spec->flags & FLOOD_UNREAD || flood->waiting < spec->window;
}

/* Make what goes by the next sendmsg, at least one message. */
static void flood_batch(struct flood *flood, const struct flood_spec *spec,
			struct flood_result *out)
{
	bool answered = flood_is_answered(spec);

	flood->out_at = flood->out_end = 0;
	do {
		flood_make(flood, spec, spec->first + out->sent);
		out->sent++;
		flood->waiting += answered;
	} while (!flood_has_fds(spec) && out->sent < spec->count && flood_may_send(flood, spec) &&
		 flood->out_end + spec->size <= FLOOD_ROOM);
}

static int flood_memfd(uint64_t size)
{
	int fd = memfd_create("flood", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)size))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* The descriptors of the message that was made last, for as long as it takes to send it. */
static int flood_attach(const struct flood_spec *spec, uint64_t sent, struct msghdr *msg,
			union flood_control *control)
{
	uint32_t each = spec->memfd_size ? 1 : spec->each;
	int fds[FLOOD_MAX_FDS];
	struct cmsghdr *c;

	if (spec->memfd_size) {
		fds[0] = flood_memfd(spec->memfd_size);
		if (fds[0] < 0)
			return fds[0];
	}
	for (uint32_t i = 0; i < each && !spec->memfd_size; i++)
		fds[i] = spec->fds[(spec->first + sent - 1) * each % spec->nfds + i];
	memset(control, 0, sizeof(*control));
	msg->msg_control = control->bytes;
	msg->msg_controllen = CMSG_SPACE(each * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(each * sizeof(int));
	memcpy(CMSG_DATA(c), fds, each * sizeof(int));
	return spec->memfd_size ? fds[0] : -1;
}

/* Send on. A count above 0; -EAGAIN when nothing fits; -EPIPE; -errno. */
static int64_t flood_push(struct flood *flood, const struct flood_spec *spec, uint64_t sent)
{
	union flood_control control;
	struct iovec iov = {
		.iov_base = flood->out + flood->out_at,
		.iov_len = flood->out_end - flood->out_at,
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t done;
	int own = -1, error;

	if (!flood->out_at && flood_has_fds(spec)) {
		own = flood_attach(spec, sent, &msg, &control);
		if (own < -1)
			return own;
	}
	do {
		done = sendmsg(flood->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (done < 0 && errno == EINTR);
	error = errno;
	if (own >= 0)
		close(own);
	if (done < 0)
		return error == ECONNRESET || error == ENOTCONN ? -EPIPE : -error;
	flood->out_at += (size_t)done;
	return done;
}

/* ---- runs ---- */

static int flood_check(const struct flood_spec *spec)
{
	if (spec->size < sizeof(struct wire_header) || !spec->window ||
	    spec->window > FLOOD_MAX_WINDOW || spec->nstrides > FLOOD_STRIDES ||
	    spec->each > FLOOD_MAX_FDS || (spec->each && (!spec->nfds || spec->nfds % spec->each)))
		return -EINVAL;
	for (uint32_t i = 0; i < spec->nstrides; i++) {
		const struct flood_stride *stride = &spec->strides[i];

		if (!stride->width || stride->width > 8 || stride->width & (stride->width - 1) ||
		    stride->offset > spec->size || stride->width > spec->size - stride->offset)
			return -EINVAL;
	}
	return 0;
}

static int flood_reserve(struct flood *flood, size_t size)
{
	uint8_t *more;

	if (size < FLOOD_ROOM)
		size = FLOOD_ROOM;
	if (size <= flood->out_size)
		return 0;
	more = realloc(flood->out, size);
	if (!more)
		return -ENOMEM;
	flood->out = more;
	flood->out_size = size;
	return 0;
}

/* Wait until the socket can be used as wanted. 0; -ETIMEDOUT; -errno. */
static int flood_wait(const struct flood *flood, short events, int32_t timeout_ms)
{
	struct pollfd pollfd = { .fd = flood->fd, .events = events };
	int ready;

	do {
		ready = poll(&pollfd, 1, timeout_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready < 0)
		return -errno;
	return ready ? 0 : -ETIMEDOUT;
}

/* What can be done now is done: 1, or 0 when it has to be waited for; -errno. */
static int flood_step(struct flood *flood, const struct flood_spec *spec, struct flood_result *out)
{
	int64_t sent = -EAGAIN, got = -EAGAIN;

	if (flood->out_at == flood->out_end && out->sent < spec->count &&
	    flood_may_send(flood, spec))
		flood_batch(flood, spec, out);
	if (flood->out_at < flood->out_end)
		sent = flood_push(flood, spec, out->sent);
	/* What the server said before it closed is still read. */
	if (!(spec->flags & FLOOD_UNREAD))
		got = flood_take(flood, FLOOD_ROOM, out);
	if (got < 0 && got != -EAGAIN)
		return (int)got;
	if (sent < 0 && sent != -EAGAIN && got == -EAGAIN)
		return (int)sent;
	return sent >= 0 || got >= 0;
}

static bool flood_is_over(const struct flood *flood, const struct flood_spec *spec,
			  const struct flood_result *out)
{
	if (out->sent < spec->count || flood->out_at < flood->out_end)
		return false;
	return !flood->waiting || spec->flags & FLOOD_UNREAD;
}

static int flood_loop(struct flood *flood, const struct flood_spec *spec, struct flood_result *out)
{
	bool unread = spec->flags & FLOOD_UNREAD;
	int result = 1;
	short events;

	while (result >= 0 && !flood_is_over(flood, spec, out)) {
		if (spec->flags & FLOOD_STOP && out->refused)
			return -ECANCELED;
		result = flood_step(flood, spec, out);
		if (result)
			continue;
		events = unread ? 0 : POLLIN;
		if (flood->out_at < flood->out_end)
			events |= POLLOUT;
		result = flood_wait(flood, events, spec->timeout_ms);
		if (result == -ETIMEDOUT && unread)
			return -EAGAIN;
	}
	return result < 0 ? result : 0;
}

int flood_run(struct flood *flood, const struct flood_spec *spec, struct flood_result *out)
{
	int64_t start = flood_clock(CLOCK_MONOTONIC);
	int result = flood_check(spec);

	memset(out, 0, sizeof(*out));
	out->first_refused = UINT64_MAX;
	if (!result)
		result = flood_reserve(flood, spec->size);
	if (!result)
		result = flood_loop(flood, spec, out);
	out->waiting = flood->waiting;
	out->elapsed_ns = (uint64_t)(flood_clock(CLOCK_MONOTONIC) - start);
	return result;
}

int flood_read(struct flood *flood, uint64_t bytes, uint32_t chunk, int32_t timeout_ms,
	       struct flood_result *out)
{
	int64_t start = flood_clock(CLOCK_MONOTONIC), got = 0;
	uint64_t left;

	memset(out, 0, sizeof(*out));
	out->first_refused = UINT64_MAX;
	while (chunk && out->bytes < bytes && got >= 0 &&
	       (flood->waiting || flood->body_left || flood->header_got)) {
		left = bytes - out->bytes;
		got = flood_take(flood, left < chunk ? (size_t)left : chunk, out);
		if (got == -EAGAIN)
			got = flood_wait(flood, POLLIN, timeout_ms);
	}
	out->waiting = flood->waiting;
	out->elapsed_ns = (uint64_t)(flood_clock(CLOCK_MONOTONIC) - start);
	return got < 0 ? (int)got : 0;
}

int64_t flood_calibrate(uint32_t rounds)
{
	char bytes[FLOOD_CALIBRATION] = "";
	int ends[2];
	int64_t start, took;
	bool works = true;

	if (!rounds)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	start = flood_clock(CLOCK_THREAD_CPUTIME_ID);
	for (uint32_t i = 0; i < rounds && works; i++)
		works = send(ends[0], bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) &&
			recv(ends[1], bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes);
	took = flood_clock(CLOCK_THREAD_CPUTIME_ID) - start;
	close(ends[0]);
	close(ends[1]);
	return works ? took / rounds : -EIO;
}
