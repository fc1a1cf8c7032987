/* SPDX-License-Identifier: BSD-3-Clause */
/* version_viommu.c - see version_viommu.h. */
#include "version_viommu.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "wire_ext.h"

#define VIOMMU_MAX_ADDRESS_BITS 64
/* An address space has at least one page. */
#define VIOMMU_MIN_ADDRESS_BITS 12

/* A number of the proposal, cut to 32 bits; the default if it is absent. */
static int viommu_number(struct json_object *viommu, const char *key, uint32_t absent,
			 uint32_t *out)
{
	struct json_object *value;
	int64_t number;

	*out = absent;
	if (!json_object_object_get_ex(viommu, key, &value))
		return 0;
	if (!json_object_is_type(value, json_type_int))
		return -EINVAL;
	number = json_object_get_int64(value);
	*out = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
	return number < 0 ? -EINVAL : 0;
}

static int viommu_switch(struct json_object *viommu, const char *key, bool offered, bool *out)
{
	struct json_object *value;

	*out = false;
	if (!json_object_object_get_ex(viommu, key, &value))
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return -EINVAL;
	*out = offered && json_object_get_boolean(value);
	return 0;
}

static uint32_t viommu_smaller(uint32_t proposed, uint32_t offered)
{
	return proposed < offered ? proposed : offered;
}

static int viommu_numbers(struct json_object *viommu, const struct session_viommu *offer,
			  struct session_viommu *out)
{
	if (viommu_number(viommu, WIRE_VIOMMU_VERSION, 0, &out->version) ||
	    viommu_number(viommu, WIRE_VIOMMU_PASID_BITS, 0, &out->pasid_bits) ||
	    viommu_number(viommu, WIRE_VIOMMU_MAX_PASIDS, 0, &out->max_pasids) ||
	    viommu_number(viommu, WIRE_VIOMMU_ADDRESS_BITS, VIOMMU_MAX_ADDRESS_BITS,
			  &out->address_bits) ||
	    viommu_number(viommu, WIRE_VIOMMU_PAGE_REQUESTS, 0, &out->page_requests) ||
	    out->address_bits < VIOMMU_MIN_ADDRESS_BITS)
		return -EINVAL;
	out->version = viommu_smaller(out->version, offer->version);
	out->pasid_bits = viommu_smaller(out->pasid_bits, offer->pasid_bits);
	out->max_pasids = viommu_smaller(out->max_pasids, offer->max_pasids);
	out->address_bits = viommu_smaller(out->address_bits, offer->address_bits);
	out->page_requests = viommu_smaller(out->page_requests, offer->page_requests);
	out->max_pasids = viommu_smaller(out->max_pasids, UINT32_C(1) << out->pasid_bits);
	if (!out->pasid_bits || !out->max_pasids)
		out->pasid_bits = out->max_pasids = 0;
	return 0;
}

static int viommu_switches(struct json_object *viommu, const struct session_viommu *offer,
			   struct session_viommu *out)
{
	if (viommu_switch(viommu, WIRE_VIOMMU_UNMAP_RANGE, offer->unmap_range,
			  &out->unmap_range) ||
	    viommu_switch(viommu, WIRE_VIOMMU_REPLACE, offer->replace, &out->replace) ||
	    viommu_switch(viommu, WIRE_VIOMMU_BACKING, offer->backing, &out->backing))
		return -EINVAL;
	return 0;
}

int version_viommu_read(struct json_object *capabilities, const struct session_viommu *offer,
			struct version_viommu *out)
{
	struct json_object *viommu;
	int error;

	*out = (struct version_viommu){ .width = false };
	if (!offer->version ||
	    !json_object_object_get_ex(capabilities, WIRE_CAP_VIOMMU, &viommu))
		return 0;
	if (!json_object_is_type(viommu, json_type_object))
		return -EINVAL;
	out->width = json_object_object_get_ex(viommu, WIRE_VIOMMU_ADDRESS_BITS, NULL);
	error = viommu_numbers(viommu, offer, &out->agreed);
	if (!error)
		error = viommu_switches(viommu, offer, &out->agreed);
	if (error || !out->agreed.version)
		*out = (struct version_viommu){ .width = false };
	return error;
}

struct session_viommu version_viommu_poc(uint32_t max_pasids)
{
	return (struct session_viommu){
		.poc = true,
		.pasid_bits = WIRE_VIOMMU_MAX_PASID_BITS,
		.max_pasids = max_pasids,
		.address_bits = VIOMMU_MAX_ADDRESS_BITS,
		.page_requests = 1,
	};
}

int version_viommu_text(const struct version_viommu *viommu, char *text, size_t size)
{
	const struct session_viommu *agreed = &viommu->agreed;
	const struct {
		const char *key;
		uint32_t value;	/* 0: not answered */
		const char *word;
	} members[] = {
		{ WIRE_VIOMMU_PASID_BITS, agreed->pasid_bits, NULL },
		{ WIRE_VIOMMU_MAX_PASIDS, agreed->max_pasids, NULL },
		{ WIRE_VIOMMU_ADDRESS_BITS, viommu->width ? agreed->address_bits : 0, NULL },
		{ WIRE_VIOMMU_PAGE_REQUESTS, agreed->page_requests, NULL },
		{ WIRE_VIOMMU_UNMAP_RANGE, agreed->unmap_range, "true" },
		{ WIRE_VIOMMU_REPLACE, agreed->replace, "true" },
		{ WIRE_VIOMMU_BACKING, agreed->backing, "true" },
	};
	int used;

	if (!agreed->version)
		return 0;
	used = snprintf(text, size, "\"%s\":{\"%s\":%u", WIRE_CAP_VIOMMU, WIRE_VIOMMU_VERSION,
			agreed->version);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (!members[i].value)
			continue;
		used += snprintf(text + used, size - (size_t)used, ",\"%s\":", members[i].key);
		if (members[i].word)
			used += snprintf(text + used, size - (size_t)used, "%s", members[i].word);
		else
			used += snprintf(text + used, size - (size_t)used, "%u", members[i].value);
	}
	return used + snprintf(text + used, size - (size_t)used, "}");
}
