/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_marker.c - stop markers: ALL of a PASID has one in front of its reply; see model_rule.h.
 *
 * A marker that was not written yet may stand for several ALL of its PASID, so that nothing is said
 * where one was sent while another had no reply.
 */
#include "model_rule.h"

/* The PASID of a command that ends a space, if it is one. */
static bool model_marker_owed(const struct model *model, const struct model_asked *asked,
			      uint32_t *pasid)
{
	struct wire_dma_unmap unmap;

	if (asked->header.command != WIRE_DMA_UNMAP || !model->server.viommu.page_requests ||
	    !model_body(asked, &unmap, sizeof(unmap)))
		return false;
	*pasid = unmap.flags >> WIRE_ATTR_PASID_SHIFT;
	return unmap.flags & WIRE_DMA_UNMAP_ALL && unmap.flags & WIRE_ATTR_PASID_VALID;
}

static struct model_ending *model_marker_at(struct model *model, uint32_t pasid)
{
	for (uint32_t i = 0; i < model->viommu.nendings; i++)
		if (model->viommu.ending[i].pasid == pasid)
			return &model->viommu.ending[i];
	return NULL;
}

void model_marker_sent(struct model *model, const struct model_asked *asked)
{
	struct model_viommu *viommu = &model->viommu;
	struct model_ending *ending;
	uint32_t pasid;

	if (!model_marker_owed(model, asked, &pasid))
		return;
	ending = model_marker_at(model, pasid);
	if (!ending && viommu->nendings == MODEL_ENDINGS) {
		viommu->unmarked = true;
		return;
	}
	if (!ending) {
		ending = &viommu->ending[viommu->nendings++];
		*ending = (struct model_ending){ .pasid = pasid };
	}
	ending->several = ending->waiting++ > 0 || ending->several;
}

void model_marker_came(struct model *model, uint32_t attr)
{
	struct model_ending *ending = model_marker_at(model, attr >> WIRE_ATTR_PASID_SHIFT);

	if (ending)
		ending->marked = true;
}

void model_marker_settled(struct model *model, const struct model_asked *asked,
			  enum model_outcome outcome)
{
	struct model_viommu *viommu = &model->viommu;
	struct model_ending *ending;
	uint32_t pasid;

	if (!model_marker_owed(model, asked, &pasid))
		return;
	ending = model_marker_at(model, pasid);
	if (!ending)
		return;
	if (outcome == MODEL_OK && !ending->marked && !ending->several && !viommu->unmarked &&
	    !(asked->header.flags & WIRE_NO_REPLY) &&
	    !(model->client.twin && model->server.twin))
		model_blame(model, &asked->header, "VE-ALL-005",
			    "allowed: a stop marker of PASID %u before the reply; came: none",
			    pasid);
	if (--ending->waiting == 0)
		*ending = viommu->ending[--viommu->nendings];
}
