/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_viommu.h - what the model knows of a connection with the vIOMMU extension. Part of
 * model_rule.h.
 *
 * Space "none" is model->dma, as without the extension; each PASID has a table of its own beside
 * it. Groups of pages that the server has asked for are kept until they may have ended: by a
 * response, or by anything that retires groups. What they still take of the credit is therefore
 * never more than the server has. Cookies are kept for as long as there is room.
 */
#ifndef MODEL_VIOMMU_H
#define MODEL_VIOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "model_dma.h"
#include "wire_ext.h"

#define MODEL_SPACES 1024	/* with a PASID; of more none is known */
#define MODEL_GROUPS 1024	/* outstanding; later ones are not followed */
#define MODEL_COOKIES 1024	/* that were given out; later ones are not known */
#define MODEL_ENDINGS 16	/* spaces that ALL ends at the same time */

/* The members of the capability; version 0: it is absent. */
struct model_viommu_limits {
	uint64_t version;
	uint64_t pasid_bits;
	uint64_t max_pasids;
	uint64_t address_bits;
	uint64_t page_requests;
	bool unmap_range;
	bool replace;
	bool backing;
	bool wrong;		/* a member of another type, or that can not be meant */
};

struct model_space {
	uint32_t pasid;
	bool open;		/* it has had a mapping, and no ALL since then; */
	bool begun;		/* or it may have */
	struct model_dma dma;
};

struct model_group {
	uint32_t cookie;
	uint16_t prgi;
	bool sure;		/* nothing has happened that might have ended it */
	uint32_t pages;
};

struct model_cookie {
	uint32_t number;
	uint32_t attr;		/* the space of its group */
	bool ended;		/* for certain */
};

/* A space that ALL ends: its stop marker has to come first. */
struct model_ending {
	uint32_t pasid;
	uint32_t waiting;	/* ALL without reply */
	bool several;		/* there was more than one at the same time */
	bool marked;
};

struct model_viommu {
	bool on;
	bool lost;		/* spaces with a PASID are not known */
	bool loose;		/* no reply has come yet behind a command that may end groups */
	bool hazy;		/* groups may end without being seen to: they are not counted */
	struct model_space **space;
	uint32_t nspaces;
	struct model_dma backing;	/* windows */
	struct model_group *group;
	uint32_t ngroups;
	uint64_t pages;		/* of all groups */
	struct model_cookie *cookie;
	uint32_t ncookies;
	struct model_ending ending[MODEL_ENDINGS];
	uint32_t nendings;
	bool unmarked;		/* more spaces were ended than there is room for */
};

#endif
