/* SPDX-License-Identifier: BSD-3-Clause */
/* judged_feature.h - messages of DEVICE_FEATURE for the tests of what the model says of them. */
#ifndef JUDGED_FEATURE_H
#define JUDGED_FEATURE_H

#include "judged.h"

#define GET WIRE_FEATURE_GET
#define SET WIRE_FEATURE_SET
#define PROBE WIRE_FEATURE_PROBE
#define START WIRE_FEATURE_DMA_LOGGING_START
#define STOP WIRE_FEATURE_DMA_LOGGING_STOP
#define REPORT WIRE_FEATURE_DMA_LOGGING_REPORT
#define ROOM 4096u

static uint8_t body[256];

/* A DEVICE_FEATURE with its data, in memory that lasts until the next. */
static struct judged_part feature(uint32_t flags, uint32_t argsz, const void *data, size_t size)
{
	const struct wire_feature one = { argsz, flags };

	memcpy(body, &one, sizeof(one));
	if (size)
		memcpy(body + sizeof(one), data, size);
	return PART_OF(body, sizeof(one) + size);
}

static struct judged_part bare(uint32_t flags)
{
	return feature(flags, flags & GET && !(flags & PROBE) ? ROOM : 8, NULL, 0);
}

static void fails(struct judged *j, struct judged_part part, const char *requirement)
{
	must_fail(j, WIRE_DEVICE_FEATURE, part, requirement);
}

static void works(struct judged *j, struct judged_part part, const char *requirement)
{
	must_work(j, WIRE_DEVICE_FEATURE, part, requirement);
}

static void may(struct judged *j, struct judged_part part)
{
	may_fail(j, WIRE_DEVICE_FEATURE, part);
}

/* A success that sends the request back. */
static void echoed(struct judged *j, struct judged_part part)
{
	tell(j, WIRE_DEVICE_FEATURE, part, part, "");
}

static void there(struct judged *j, uint32_t id)
{
	echoed(j, bare(PROBE | id));
}

#endif
