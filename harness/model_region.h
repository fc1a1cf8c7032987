/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_region.h - what the device has told about its regions. Part of model_rule.h.
 *
 * A region is known once GET_REGION_INFO has told it; regions from MODEL_REGIONS on never are. What
 * is told does not change in the life of a connection (REG-INFO-001).
 */
#ifndef MODEL_REGION_H
#define MODEL_REGION_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_REGIONS 32

struct model;

struct model_region_known {
	bool told;
	uint32_t argsz;		/* of its whole description */
	uint32_t flags;
	uint32_t io_argsz;	/* of the list of its sub-regions, 0 = not told */
	uint64_t size;
	uint64_t offset;
};

struct model_region {
	bool io_fds;		/* the list of sub-regions could be asked for once */
	struct model_region_known at[MODEL_REGIONS];
};

/* See model_learn; sub-regions depend on what the client can take. */
void model_region_learn(struct model *model, const struct model *from);

/* NULL: not known. */
const struct model_region_known *model_region_known(const struct model *model, uint32_t index);

#endif
