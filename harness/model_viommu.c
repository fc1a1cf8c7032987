/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_viommu.c - the capability "viommu", PAGE_REQUEST and PAGE_RESPONSE; see model_rule.h and,
 * for what is kept, model_viommu.h. A group has ended for the model from the moment on in which
 * something that may end it is sent. Page requests by a twin socket have no order with that, so
 * there nothing is counted any more from then on.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- groups ---- */

static void model_viommu_forget_groups(struct model *model)
{
	model->viommu.ngroups = 0;
	model->viommu.pages = 0;
}

void model_viommu_free(struct model *model)
{
	model_space_free(model);
	free(model->viommu.group);
	memset(&model->viommu, 0, sizeof(model->viommu));
}

/* All groups that are outstanding now may end by this, and those that come until it is done. */
static void model_viommu_retires(struct model *model)
{
	model_viommu_forget_groups(model);
	if (model->client.twin && model->server.twin)
		model->viommu.hazy = true;
}

static void model_viommu_answered(struct model *model, const struct wire_page_response *response)
{
	struct model_viommu *viommu = &model->viommu;

	for (uint32_t i = 0; i < viommu->ngroups; i++) {
		if (viommu->group[i].cookie != response->cookie)
			continue;
		viommu->pages -= viommu->group[i].pages;
		viommu->group[i] = viommu->group[--viommu->ngroups];
		return;
	}
}

/* Does the command end groups other than by the cookie of one? */
static bool model_viommu_ends_groups(const struct model_asked *asked)
{
	struct wire_region_access access;
	struct wire_dma_unmap unmap;

	switch (asked->header.command) {
	case WIRE_DEVICE_RESET:
	case WIRE_DEVICE_FEATURE:
	case WIRE_REGION_WRITE_MULTI:
		return true;
	case WIRE_REGION_WRITE:
		return !model_body(asked, &access, sizeof(access)) ||
		       access.region == WIRE_REGION_INDEX_CONFIG;
	case WIRE_DMA_UNMAP:
		return !model_body(asked, &unmap, sizeof(unmap)) ||
		       unmap.flags & WIRE_DMA_UNMAP_ALL;
	}
	return false;
}

void model_viommu_sent(struct model *model, const struct model_asked *asked)
{
	struct wire_page_response response;

	if (!model->viommu.on)
		return;
	if (model_viommu_ends_groups(asked))
		model_viommu_retires(model);
	if (asked->header.command != WIRE_PAGE_RESPONSE ||
	    !model_body(asked, &response, sizeof(response)))
		return;
	if (response.code == WIRE_PAGE_FAILURE)
		model_viommu_retires(model);
	else
		model_viommu_answered(model, &response);
}

void model_viommu_settled(struct model *model, const struct model_asked *asked)
{
	struct wire_page_response response;
	bool failure = asked->header.command == WIRE_PAGE_RESPONSE &&
		       model_body(asked, &response, sizeof(response)) &&
		       response.code == WIRE_PAGE_FAILURE;

	if (model->viommu.on && (failure || model_viommu_ends_groups(asked)))
		model_viommu_retires(model);
}

/* ---- PAGE_RESPONSE ---- */

static void model_viommu_judge_response(const struct model *model, const struct model_asked *asked,
					struct model_expect *out)
{
	struct wire_page_response response;

	if (!model->server.viommu.page_requests) {
		model_refuse(out, "VE-RESP-012", "page_requests were not negotiated");
		return;
	}
	if (!model_body(asked, &response, sizeof(response)))
		return;
	if (asked->size != sizeof(response) || response.reserved ||
	    (response.code != WIRE_PAGE_SUCCESS && response.code != WIRE_PAGE_INVALID &&
	     response.code != WIRE_PAGE_FAILURE))
		model_refuse(out, "VE-RESP-008", "size, code or reserved bytes are wrong");
	else if (!response.cookie)
		model_refuse(out, "VE-RESP-009", "no group has cookie 0");
}

const struct model_rule model_viommu_response_rule = {
	.shorter = "VE-RESP-008",
	.judge = model_viommu_judge_response,
};

/* ---- PAGE_REQUEST ---- */

static void model_viommu_blame(struct model *model, const struct model_message *message,
			       const char *requirement, const char *what)
{
	model_found(model, message->header, (struct model_broken){ "request.field", requirement },
		    "%s", what);
}

static bool model_viommu_attr_is_good(const struct model *model, uint32_t attr, uint32_t known)
{
	uint32_t pasid = attr >> WIRE_ATTR_PASID_SHIFT;

	if (attr & ~(known | WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK))
		return false;
	if (!(attr & WIRE_ATTR_PASID_VALID))
		return !pasid;
	return (uint64_t)pasid >> model->server.viommu.pasid_bits == 0;
}

bool model_viommu_attr(struct model *model, const struct model_message *message, uint32_t attr,
		       uint32_t known)
{
	if (model_viommu_attr_is_good(model, attr, known))
		return true;
	model_found(model, message->header,
		    (struct model_broken){ "request.field", "VE-ATTR-001" },
		    "allowed: an attribute word of what was negotiated; came: 0x%x", attr);
	return false;
}

/* The ranges of a group: its pages, or 0 with a finding. */
static uint64_t model_viommu_ranges(struct model *model, const struct model_message *message,
				    uint32_t nr)
{
	uint64_t page = model->server.pgsizes & -model->server.pgsizes;
	struct wire_page_range range;
	uint64_t pages = 0;

	for (uint32_t i = 0; i < nr; i++) {
		size_t at = sizeof(struct wire_page_request) + i * sizeof(range);

		if (!model_reply_at(message, at, &range, sizeof(range)))
			return 0;
		if (!range.size || (range.address | range.size) & (page - 1) || !range.perm ||
		    range.perm & ~(WIRE_PAGE_READ | WIRE_PAGE_WRITE) ||
		    range.size - 1 > UINT64_MAX - range.address) {
			model_viommu_blame(model, message, "VE-REQ-006",
					   "a range is no whole pages, or without a right");
			return 0;
		}
		pages += range.size / page;
	}
	return pages;
}

/* A group with the cookie or the prgi of another? */
static void model_viommu_same(struct model *model, const struct model_message *message,
			      const struct wire_page_request *request)
{
	for (uint32_t i = 0; i < model->viommu.ngroups; i++) {
		const struct model_group *group = &model->viommu.group[i];

		if (group->cookie == request->cookie)
			model_viommu_blame(model, message, "VE-REQ-008",
					   "the cookie of another outstanding group");
		if (group->prgi == request->prgi)
			model_viommu_blame(model, message, "VE-REQ-009",
					   "the prgi of another outstanding group");
	}
}

static void model_viommu_group(struct model *model, const struct model_message *message,
			       const struct wire_page_request *request)
{
	uint64_t pages = model_viommu_ranges(model, message, request->nr);
	struct model_viommu *viommu = &model->viommu;

	if (!pages || viommu->hazy)
		return;
	if (!viommu->group)
		viommu->group = calloc(MODEL_GROUPS, sizeof(*viommu->group));
	if (!viommu->group || viommu->ngroups == MODEL_GROUPS) {
		viommu->hazy = true;
		return;
	}
	model_viommu_same(model, message, request);
	viommu->group[viommu->ngroups++] = (struct model_group){
		.cookie = request->cookie,
		.prgi = request->prgi,
		.pages = (uint32_t)pages,
	};
	viommu->pages += pages;
	if (viommu->pages > model->server.viommu.page_requests)
		model_viommu_blame(model, message, "VE-CRED-001",
				   "more pages are outstanding than page_requests");
}

void model_viommu_came(struct model *model, const struct model_message *message)
{
	struct wire_page_request request;

	if (!model->viommu.on || !model->server.known ||
	    !model_reply_at(message, 0, &request, sizeof(request)))
		return;
	if (message->size != sizeof(request) + request.nr * sizeof(struct wire_page_range) ||
	    request.nr > WIRE_PAGE_MAX_RANGES) {
		model_viommu_blame(model, message, "VE-REQ-006", "nr is not that of the ranges");
		return;
	}
	model_viommu_attr(model, message, request.attr,
			  request.nr ? WIRE_PAGE_TRANSLATE_ONLY : 0);
	if (request.reserved || (!request.nr && (request.cookie || request.prgi)))
		model_viommu_blame(model, message, "VE-REQ-010", "a reserved field is not 0");
	if (!request.nr)
		return;
	if (!request.cookie)
		model_viommu_blame(model, message, "VE-REQ-008", "a group without cookie");
	if (request.prgi >= WIRE_PAGE_PRGIS)
		model_viommu_blame(model, message, "VE-REQ-009", "prgi is 512 or more");
	model_viommu_group(model, message, &request);
}
