/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_pages.c - PAGE_REQUEST and PAGE_RESPONSE; see model_rule.h and, for what is kept,
 * model_viommu.h.
 *
 * A group counts no more from the moment on in which something that may end it is sent. Page
 * requests by a twin socket have no order with that, so there nothing is counted any more from then
 * on. That it has ended is certain when the command that ends it has succeeded: behind that its
 * cookie finds nothing. That it has not ended is certain while nothing happens but mappings and
 * responses, and no time passes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model_rule.h"

/* ---- groups ---- */

static void model_pages_forget(struct model *model)
{
	model->viommu.ngroups = 0;
	model->viommu.pages = 0;
}

void model_viommu_free(struct model *model)
{
	model_space_free(model);
	free(model->viommu.group);
	free(model->viommu.cookie);
	memset(&model->viommu, 0, sizeof(model->viommu));
}

static bool model_pages_by_twin(const struct model *model)
{
	return model->client.twin && model->server.twin;
}

/* All groups that are outstanding now may end by this, and those that come until it is done. */
static void model_pages_retire(struct model *model)
{
	model_pages_forget(model);
	if (model_pages_by_twin(model))
		model->viommu.hazy = true;
}

/* Nobody knows any more whether those that are outstanding still are. */
static void model_pages_doubt(struct model *model)
{
	for (uint32_t i = 0; i < model->viommu.ngroups; i++)
		model->viommu.group[i].sure = false;
}

void model_passed(struct model *model)
{
	model_pages_doubt(model);
}

/* ---- cookies ---- */

/* The newest that had this number; NULL: none that is known. */
static struct model_cookie *model_pages_cookie(const struct model *model, uint32_t number)
{
	const struct model_viommu *viommu = &model->viommu;

	for (uint32_t i = 0; i < viommu->ncookies; i++)
		if (viommu->cookie[i].number == number)
			return &viommu->cookie[i];
	return NULL;
}

/* A group came: its cookie is none that there was before, unless all others were (VE-REQ-008). */
static bool model_pages_enter(struct model *model, const struct wire_page_request *request)
{
	struct model_viommu *viommu = &model->viommu;

	if (model_pages_cookie(model, request->cookie))
		return false;
	if (!viommu->cookie)
		viommu->cookie = calloc(MODEL_COOKIES, sizeof(*viommu->cookie));
	if (viommu->cookie && viommu->ncookies < MODEL_COOKIES)
		viommu->cookie[viommu->ncookies++] = (struct model_cookie){
			.number = request->cookie,
			.attr = request->attr & ~WIRE_PAGE_TRANSLATE_ONLY,
		};
	return true;
}

/* Does that stop the device? */
static bool model_pages_stops(const struct model_asked *asked)
{
	struct wire_device_state state;
	struct wire_feature feature;

	if (!model_body(asked, &feature, sizeof(feature)) ||
	    feature.flags != (WIRE_FEATURE_SET | WIRE_FEATURE_MIG_DEVICE_STATE) ||
	    !model_body_at(asked, sizeof(feature), &state, sizeof(state)))
		return false;
	return state.device_state == WIRE_STATE_STOP ||
	       state.device_state == WIRE_STATE_STOP_COPY ||
	       state.device_state == WIRE_STATE_RESUMING;
}

/* Is that a response that ends all groups? */
static bool model_pages_fails(const struct model_asked *asked)
{
	struct wire_page_response response;

	return asked->header.command == WIRE_PAGE_RESPONSE &&
	       model_body(asked, &response, sizeof(response)) &&
	       response.code == WIRE_PAGE_FAILURE;
}

/* Does the command end the group with that cookie? */
static bool model_pages_is_retired(const struct model_cookie *cookie,
				   const struct model_asked *asked)
{
	struct wire_page_response response;
	struct wire_dma_unmap unmap;

	switch (asked->header.command) {
	case WIRE_PAGE_RESPONSE:
		return model_pages_fails(asked) ||
		       (model_body(asked, &response, sizeof(response)) &&
			response.cookie == cookie->number);
	case WIRE_DMA_UNMAP:
		return model_body(asked, &unmap, sizeof(unmap)) &&
		       unmap.flags & WIRE_DMA_UNMAP_ALL &&
		       unmap.flags & WIRE_ATTR_PASID_VALID &&
		       (unmap.flags & ~WIRE_DMA_UNMAP_ALL) == cookie->attr;
	case WIRE_DEVICE_FEATURE:
		return model_pages_stops(asked);
	case WIRE_DEVICE_RESET:
		return true;
	}
	return false;
}

/* It has succeeded: so have those ended that came before it was sent. */
static void model_pages_ended(struct model *model, const struct model_asked *asked)
{
	for (uint32_t i = 0; i < model->viommu.ncookies && i < asked->cookies; i++) {
		struct model_cookie *cookie = &model->viommu.cookie[i];

		cookie->ended = cookie->ended || model_pages_is_retired(cookie, asked);
	}
}

/* ---- commands that end groups ---- */

static void model_pages_answered(struct model *model, struct model_asked *asked,
				 const struct wire_page_response *response)
{
	struct model_viommu *viommu = &model->viommu;

	for (uint32_t i = 0; i < viommu->ngroups; i++) {
		if (viommu->group[i].cookie != response->cookie)
			continue;
		asked->waits = viommu->group[i].sure;
		viommu->pages -= viommu->group[i].pages;
		viommu->group[i] = viommu->group[--viommu->ngroups];
		return;
	}
}

/* Does the command end groups other than by the cookie of one? */
static bool model_pages_may_end(const struct model_asked *asked)
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

/* Can the command not make a device give up what it waits for? */
static bool model_pages_is_quiet(const struct model_asked *asked)
{
	return asked->header.command == WIRE_DMA_MAP ||
	       (asked->header.command == WIRE_PAGE_RESPONSE && !model_pages_fails(asked));
}

/* Is a group that comes now outstanding until something else is sent? */
static bool model_pages_are_quiet(const struct model *model)
{
	const struct model_asked *asked;

	for (uint32_t i = 0; (asked = model_waiting(model, i)); i++)
		if (!model_pages_is_quiet(asked))
			return false;
	return model->still && !model->shared && !model_pages_by_twin(model);
}

void model_viommu_sent(struct model *model, struct model_asked *asked)
{
	struct wire_page_response response;

	asked->waits = false;
	asked->cookies = model->viommu.ncookies;
	if (!model->viommu.on)
		return;
	model_marker_sent(model, asked);
	if (model_pages_may_end(asked))
		model_pages_retire(model);
	else if (!model_pages_is_quiet(asked))
		model_pages_doubt(model);
	if (model_pages_fails(asked))
		model_pages_retire(model);
	else if (asked->header.command == WIRE_PAGE_RESPONSE &&
		 model_body(asked, &response, sizeof(response)))
		model_pages_answered(model, asked, &response);
}

void model_viommu_settled(struct model *model, const struct model_asked *asked,
			  enum model_outcome outcome, bool seen)
{
	if (!model->viommu.on)
		return;
	if (model_pages_fails(asked) || model_pages_may_end(asked))
		model_pages_retire(model);
	model->viommu.loose = !seen && (model->viommu.loose || !model_pages_is_quiet(asked));
	if (outcome == MODEL_OK)
		model_pages_ended(model, asked);
	model_marker_settled(model, asked, outcome);
}

/* ---- PAGE_RESPONSE ---- */

static void model_pages_judge_response(const struct model *model, const struct model_asked *asked,
				       struct model_expect *out)
{
	struct wire_page_response response;
	const struct model_cookie *cookie;

	if (!model->server.viommu.page_requests) {
		model_refuse(out, "VE-RESP-012", "page_requests were not negotiated");
		return;
	}
	if (!model_body(asked, &response, sizeof(response)))
		return;
	if (asked->size != sizeof(response) || response.reserved ||
	    (response.code != WIRE_PAGE_SUCCESS && response.code != WIRE_PAGE_INVALID &&
	     response.code != WIRE_PAGE_FAILURE)) {
		model_refuse(out, "VE-RESP-008", "size, code or reserved bytes are wrong");
		return;
	}
	cookie = model_pages_cookie(model, response.cookie);
	if (!response.cookie || (cookie && cookie->ended)) {
		model_refuse(out, "VE-RESP-009", "no group has cookie %u any more",
			     response.cookie);
		if (!asked->nfds && model_serves(model))
			model_errno(out, ENOENT);
	} else if (asked->waits && !asked->nfds && model_serves(model)) {
		model_demand(out, "VE-RESP-003", "the group is outstanding");
	}
}

const struct model_rule model_viommu_response_rule = {
	.shorter = "VE-RESP-008",
	.judge = model_pages_judge_response,
};

/* ---- PAGE_REQUEST ---- */

static void model_pages_blame(struct model *model, const struct model_message *message,
			      const char *requirement, const char *what)
{
	model_found(model, message->header, (struct model_broken){ "request.field", requirement },
		    "%s", what);
}

static bool model_pages_attr_is_good(const struct model *model, uint32_t attr, uint32_t known)
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
	if (model_pages_attr_is_good(model, attr, known))
		return true;
	model_found(model, message->header,
		    (struct model_broken){ "request.field", "VE-ATTR-001" },
		    "allowed: an attribute word of what was negotiated; came: 0x%x", attr);
	return false;
}

/* The ranges of a group: its pages, or 0 with a finding. */
static uint64_t model_pages_ranges(struct model *model, const struct model_message *message,
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
			model_pages_blame(model, message, "VE-REQ-006",
					  "a range is no whole pages, or without a right");
			return 0;
		}
		pages += range.size / page;
	}
	return pages;
}

/* A group with the prgi of another? */
static void model_pages_same(struct model *model, const struct model_message *message,
			      const struct wire_page_request *request)
{
	for (uint32_t i = 0; i < model->viommu.ngroups; i++) {
		const struct model_group *group = &model->viommu.group[i];

		if (group->prgi == request->prgi)
			model_pages_blame(model, message, "VE-REQ-009",
					  "the prgi of another outstanding group");
	}
}

/* May a response that is on its way be for the group, though it was sent before that came? */
static bool model_pages_is_foreseen(const struct model *model, uint32_t cookie)
{
	struct wire_page_response response;
	const struct model_asked *asked;

	for (uint32_t i = 0; (asked = model_waiting(model, i)); i++)
		if (asked->header.command == WIRE_PAGE_RESPONSE &&
		    model_body(asked, &response, sizeof(response)) && response.cookie == cookie)
			return true;
	return false;
}

static void model_pages_group(struct model *model, const struct model_message *message,
			       const struct wire_page_request *request)
{
	uint64_t pages = model_pages_ranges(model, message, request->nr);
	struct model_viommu *viommu = &model->viommu;

	if (!pages)
		return;
	if (request->cookie && !model_pages_enter(model, request))
		model_pages_blame(model, message, "VE-REQ-008", "a cookie that was used before");
	if (viommu->hazy || viommu->loose || model_pages_is_foreseen(model, request->cookie))
		return;
	if (!viommu->group)
		viommu->group = calloc(MODEL_GROUPS, sizeof(*viommu->group));
	if (!viommu->group || viommu->ngroups == MODEL_GROUPS) {
		viommu->hazy = true;
		return;
	}
	model_pages_same(model, message, request);
	viommu->group[viommu->ngroups++] = (struct model_group){
		.cookie = request->cookie,
		.prgi = request->prgi,
		.pages = (uint32_t)pages,
		.sure = model_pages_are_quiet(model),
	};
	viommu->pages += pages;
	if (viommu->pages > model->server.viommu.page_requests)
		model_pages_blame(model, message, "VE-CRED-001",
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
		model_pages_blame(model, message, "VE-REQ-006", "nr is not that of the ranges");
		return;
	}
	model_viommu_attr(model, message, request.attr,
			  request.nr ? WIRE_PAGE_TRANSLATE_ONLY : 0);
	if (request.reserved || (!request.nr && (request.cookie || request.prgi)))
		model_pages_blame(model, message, "VE-REQ-010", "a reserved field is not 0");
	if (!request.nr) {
		model_marker_came(model, request.attr);
		return;
	}
	if (!request.cookie)
		model_pages_blame(model, message, "VE-REQ-008", "a group without cookie");
	if (request.prgi >= WIRE_PAGE_PRGIS)
		model_pages_blame(model, message, "VE-REQ-009", "prgi is 512 or more");
	model_pages_group(model, message, &request);
}
