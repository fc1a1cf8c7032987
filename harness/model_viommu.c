/* SPDX-License-Identifier: BSD-3-Clause */
/* model_viommu.c - the capability "viommu"; see model_rule.h. */
#include <json-c/json.h>

#include "model_rule.h"

/* ---- the capability ---- */

static void model_viommu_number(struct model_viommu_limits *limits, struct json_object *viommu,
				const char *key, uint64_t *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(viommu, key, &value))
		return;
	if (json_object_is_type(value, json_type_int) && json_object_get_int64(value) >= 0)
		*out = json_object_get_uint64(value);
	else
		limits->wrong = true;
}

static void model_viommu_switch(struct model_viommu_limits *limits, struct json_object *viommu,
				const char *key, bool *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(viommu, key, &value))
		return;
	if (json_object_is_type(value, json_type_boolean))
		*out = json_object_get_boolean(value);
	else
		limits->wrong = true;
}

void model_viommu_read(struct model_viommu_limits *limits, struct json_object *capabilities)
{
	struct json_object *viommu;

	*limits = (struct model_viommu_limits){ .version = 0 };
	if (!json_object_object_get_ex(capabilities, WIRE_CAP_VIOMMU, &viommu))
		return;
	limits->address_bits = WIRE_VIOMMU_DEFAULT_ADDRESS_BITS;
	limits->wrong = !json_object_is_type(viommu, json_type_object);
	if (limits->wrong)
		return;
	model_viommu_number(limits, viommu, WIRE_VIOMMU_VERSION, &limits->version);
	model_viommu_number(limits, viommu, WIRE_VIOMMU_PASID_BITS, &limits->pasid_bits);
	model_viommu_number(limits, viommu, WIRE_VIOMMU_MAX_PASIDS, &limits->max_pasids);
	model_viommu_number(limits, viommu, WIRE_VIOMMU_ADDRESS_BITS, &limits->address_bits);
	model_viommu_number(limits, viommu, WIRE_VIOMMU_PAGE_REQUESTS, &limits->page_requests);
	model_viommu_switch(limits, viommu, WIRE_VIOMMU_UNMAP_RANGE, &limits->unmap_range);
	model_viommu_switch(limits, viommu, WIRE_VIOMMU_REPLACE, &limits->replace);
	model_viommu_switch(limits, viommu, WIRE_VIOMMU_BACKING, &limits->backing);
}

/* The member of an answer that is more than was proposed; NULL if none is. */
static const char *model_viommu_excess(const struct model_viommu_limits *offer,
				       const struct model_viommu_limits *came)
{
	if (came->pasid_bits > offer->pasid_bits)
		return WIRE_VIOMMU_PASID_BITS;
	if (came->max_pasids > offer->max_pasids)
		return WIRE_VIOMMU_MAX_PASIDS;
	if (came->address_bits > offer->address_bits)
		return WIRE_VIOMMU_ADDRESS_BITS;
	if (came->page_requests > offer->page_requests)
		return WIRE_VIOMMU_PAGE_REQUESTS;
	if (came->unmap_range && !offer->unmap_range)
		return WIRE_VIOMMU_UNMAP_RANGE;
	if (came->replace && !offer->replace)
		return WIRE_VIOMMU_REPLACE;
	return came->backing && !offer->backing ? WIRE_VIOMMU_BACKING : NULL;
}

static void model_viommu_check_members(struct model *model, const struct model_asked *asked,
				       const struct model_viommu_limits *offer,
				       const struct model_viommu_limits *came)
{
	const char *excess = model_viommu_excess(offer, came);

	if (came->version != WIRE_VIOMMU_VERSION_1)
		model_blame(model, &asked->header, "VE-NEG-003",
			    "allowed: version 1 of viommu; came: %llu",
			    (unsigned long long)came->version);
	if (excess)
		model_blame(model, &asked->header, "VE-NEG-002",
			    "allowed: what was proposed; came: more for %s", excess);
	if (!came->pasid_bits != !came->max_pasids ||
	    came->pasid_bits > WIRE_VIOMMU_MAX_PASID_BITS ||
	    came->max_pasids > UINT64_C(1) << came->pasid_bits)
		model_blame(model, &asked->header, "VE-NEG-004",
			    "allowed: no more spaces than PASIDs; came: %llu, and %llu bits",
			    (unsigned long long)came->max_pasids,
			    (unsigned long long)came->pasid_bits);
}

void model_viommu_check(struct model *model, const struct model_asked *asked,
			const struct model_limits *offer, const struct model_limits *came)
{
	if (!came->viommu.version && !came->viommu.wrong)
		return;
	if (came->viommu.wrong) {
		model_blame(model, &asked->header, "VE-NEG-002",
			    "allowed: members of viommu of their own types; came: others");
		return;
	}
	if (came->max_data_xfer_size > UINT32_MAX)
		model_blame(model, &asked->header, "VE-NEG-011",
			    "allowed: max_data_xfer_size below 2^32; came: 0x%llx",
			    (unsigned long long)came->max_data_xfer_size);
	if (!offer->known)
		return;
	if (!offer->viommu.version || offer->viommu.wrong)
		model_blame(model, &asked->header, "VE-NEG-001",
			    "allowed: no viommu, which was not proposed; came: version %llu",
			    (unsigned long long)came->viommu.version);
	else
		model_viommu_check_members(model, asked, &offer->viommu, &came->viommu);
}
