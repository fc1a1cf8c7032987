/* SPDX-License-Identifier: BSD-3-Clause */
/* vuc_flood.c - the part of vuc.h about floods; as vuc.c, nothing is decided here. */
#include "vuc.h"

#include "flood.h"
#include "steady.h"
#include "vuc_same.h"

SAME_FIELD(vuc_flood_stride, flood_stride, offset);
SAME_FIELD(vuc_flood_stride, flood_stride, width);
SAME_FIELD(vuc_flood_stride, flood_stride, base);
SAME_FIELD(vuc_flood_stride, flood_stride, step);
SAME_FIELD(vuc_flood_stride, flood_stride, period);
SAME_FIELD(vuc_flood_stride, flood_stride, scatter);
SAME_FIELD(vuc_flood_stride, flood_stride, reserved);
SAME_SIZE(vuc_flood_stride, flood_stride);

SAME_FIELD(vuc_flood_spec, flood_spec, message);
SAME_FIELD(vuc_flood_spec, flood_spec, size);
SAME_FIELD(vuc_flood_spec, flood_spec, window);
SAME_FIELD(vuc_flood_spec, flood_spec, first);
SAME_FIELD(vuc_flood_spec, flood_spec, count);
SAME_FIELD(vuc_flood_spec, flood_spec, strides);
SAME_FIELD(vuc_flood_spec, flood_spec, nstrides);
SAME_FIELD(vuc_flood_spec, flood_spec, flags);
SAME_FIELD(vuc_flood_spec, flood_spec, fds);
SAME_FIELD(vuc_flood_spec, flood_spec, nfds);
SAME_FIELD(vuc_flood_spec, flood_spec, each);
SAME_FIELD(vuc_flood_spec, flood_spec, memfd_size);
SAME_FIELD(vuc_flood_spec, flood_spec, timeout_ms);
SAME_FIELD(vuc_flood_spec, flood_spec, reserved);
SAME_SIZE(vuc_flood_spec, flood_spec);

SAME_FIELD(vuc_flood_error, flood_error, count);
SAME_FIELD(vuc_flood_error, flood_error, error);
SAME_FIELD(vuc_flood_error, flood_error, reserved);
SAME_SIZE(vuc_flood_error, flood_error);

SAME_FIELD(vuc_flood_result, flood_result, sent);
SAME_FIELD(vuc_flood_result, flood_result, succeeded);
SAME_FIELD(vuc_flood_result, flood_result, refused);
SAME_FIELD(vuc_flood_result, flood_result, first_refused);
SAME_FIELD(vuc_flood_result, flood_result, commands);
SAME_FIELD(vuc_flood_result, flood_result, bytes);
SAME_FIELD(vuc_flood_result, flood_result, elapsed_ns);
SAME_FIELD(vuc_flood_result, flood_result, errors);
SAME_FIELD(vuc_flood_result, flood_result, latency);
SAME_FIELD(vuc_flood_result, flood_result, waiting);
SAME_SIZE(vuc_flood_result, flood_result);

SAME_FIELD(vuc_steady_step, steady_step, message);
SAME_FIELD(vuc_steady_step, steady_step, expected);
SAME_FIELD(vuc_steady_step, steady_step, size);
SAME_FIELD(vuc_steady_step, steady_step, expected_size);
SAME_FIELD(vuc_steady_step, steady_step, offset);
SAME_FIELD(vuc_steady_step, steady_step, flags);
SAME_FIELD(vuc_steady_step, steady_step, fd);
SAME_FIELD(vuc_steady_step, steady_step, reserved);
SAME_SIZE(vuc_steady_step, steady_step);

SAME_FIELD(vuc_steady_result, steady_result, rounds);
SAME_FIELD(vuc_steady_result, steady_result, timed);
SAME_FIELD(vuc_steady_result, steady_result, longest_ns);
SAME_FIELD(vuc_steady_result, steady_result, latency);
SAME_FIELD(vuc_steady_result, steady_result, error);
SAME_FIELD(vuc_steady_result, steady_result, step);
SAME_SIZE(vuc_steady_result, steady_result);

SAME_NUMBER(VUC_FLOOD_UNREAD, FLOOD_UNREAD);
SAME_NUMBER(VUC_FLOOD_STOP, FLOOD_STOP);
SAME_NUMBER(VUC_FLOOD_ERRORS, FLOOD_ERRORS);
SAME_NUMBER(VUC_FLOOD_BUCKETS, FLOOD_BUCKETS);
SAME_NUMBER(VUC_STEADY_TIMED, STEADY_TIMED);
SAME_NUMBER(VUC_STEADY_AGAIN, STEADY_AGAIN);
SAME_NUMBER(VUC_MAX_FDS, FLOOD_MAX_FDS);

int vuc_flood_open(int fd, struct vuc_flood **out)
{
	return flood_open(fd, (struct flood **)out);
}

void vuc_flood_free(struct vuc_flood *flood)
{
	flood_free((struct flood *)flood);
}

int vuc_flood_run(struct vuc_flood *flood, const struct vuc_flood_spec *spec,
		  struct vuc_flood_result *out)
{
	return flood_run((struct flood *)flood, (const struct flood_spec *)spec,
			 (struct flood_result *)out);
}

int vuc_flood_read(struct vuc_flood *flood, uint64_t bytes, uint32_t chunk, int32_t timeout_ms,
		   struct vuc_flood_result *out)
{
	return flood_read((struct flood *)flood, bytes, chunk, timeout_ms,
			  (struct flood_result *)out);
}

int64_t vuc_flood_calibrate(uint32_t rounds)
{
	return flood_calibrate(rounds);
}

int vuc_steady_start(int fd, const struct vuc_steady_step *steps, uint32_t nsteps,
		     int32_t timeout_ms, struct vuc_steady **out)
{
	return steady_start(fd, (const struct steady_step *)steps, nsteps, timeout_ms,
			    (struct steady **)out);
}

void vuc_steady_stop(struct vuc_steady *steady, uint64_t rounds, struct vuc_steady_result *out)
{
	steady_stop((struct steady *)steady, rounds, (struct steady_result *)out);
}
