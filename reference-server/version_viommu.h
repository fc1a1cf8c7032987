/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * version_viommu.h - the capability "viommu": what was proposed, and what comes back ("Capability
 * viommu" of viommu.rst).
 *
 * Each member of the answer is the smaller of the proposal and the offer. A member that was not
 * proposed counts as 0 or false, and is not answered; only address_bits counts as 64 then. PASIDs
 * need pasid_bits and max_pasids, so without one of them the other is 0 as well, and there are no
 * more spaces than PASIDs.
 */
#ifndef VERSION_VIOMMU_H
#define VERSION_VIOMMU_H

#include "session.h"

struct json_object;

/* The most bytes of version_viommu_text(). */
#define VERSION_VIOMMU_TEXT 256

struct version_viommu {
	struct session_viommu agreed;	/* version 0: there is no agreement */
	bool width;			/* address_bits was proposed */
};

/*
 * What comes of the capabilities of a proposal: 0; -EINVAL for a wrong type, a negative number or
 * an impossible address_bits.
 */
int version_viommu_read(struct json_object *capabilities, const struct session_viommu *offer,
			struct version_viommu *out);

/* What holds for a client that speaks the poc dialect, with so many spaces of PASIDs. */
struct session_viommu version_viommu_poc(uint32_t max_pasids);

/* The capability of the answer with its key, or nothing: the number of bytes without the NUL. */
int version_viommu_text(const struct version_viommu *viommu, char *text, size_t size);

#endif
