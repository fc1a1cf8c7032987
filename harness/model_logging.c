/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_logging.c - the features DMA_LOGGING_START, _STOP and _REPORT: whether logging is on, and
 * the shape of what is reported. Which pages were written is seen in memory, not in messages.
 */
#include "model_rule.h"

#include <inttypes.h>

#define MODEL_LOGGING_FEATURE sizeof(struct wire_feature)
#define MODEL_LOGGING_LEAST 512u		/* page sizes that nobody calls odd */
#define MODEL_LOGGING_MOST (UINT64_C(1) << 40)

enum model_logging_form {
	MODEL_LOGGING_BARE = 1,
	MODEL_LOGGING_WITH_DATA = 2,
};

static bool model_logging_is_power(uint64_t size)
{
	return size && !(size & (size - 1));
}

/* ---- start ---- */

static void model_logging_judge_start(const struct model *model, const struct model_asked *asked,
				      const struct model_feature_request *request,
				      struct model_expect *out)
{
	struct wire_logging_control control;
	size_t ranges = request->data - sizeof(control);
	uint64_t page;

	if (!model_body_at(asked, MODEL_LOGGING_FEATURE, &control, sizeof(control)))
		return;
	page = control.page_size;
	if (control.num_ranges > ranges / sizeof(struct wire_logging_range)) {
		model_refuse(out, "LOG-START-005", "%u ranges in %zu bytes", control.num_ranges,
			     ranges);
		return;
	}
	if (model->feature.logging == MODEL_LOGGING_ON && model_strict(model, MODEL_L5)) {
		model_refuse(out, "LOG-START-007", "logging is on");
		return;
	}
	if (model->feature.logging != MODEL_LOGGING_OFF || ranges || control.reserved ||
	    !request->plain || !model_feature_is_there(model, request->id))
		return;
	if (model_logging_is_power(page) && page >= MODEL_LOGGING_LEAST &&
	    page <= MODEL_LOGGING_MOST)
		model_demand(out, "LOG-START-003", "logging is off, and a page size is a hint");
	else if (model_strict(model, MODEL_L4))
		model_demand(out, "LOG-START-004", "another page size can be chosen");
}

/* The request comes back, but for the page size. */
static void model_logging_check_start(struct model *model, const struct model_asked *asked,
				      const struct model_feature_request *request,
				      const struct model_message *reply)
{
	struct wire_logging_control wanted, came;
	struct wire_feature feature;

	if (!request->plain ||
	    !model_body_at(asked, MODEL_LOGGING_FEATURE, &wanted, sizeof(wanted)))
		return;
	if (reply->size != asked->size || !model_reply_at(reply, 0, &feature, sizeof(feature)) ||
	    !model_reply_at(reply, MODEL_LOGGING_FEATURE, &came, sizeof(came)) ||
	    feature.argsz != request->wire.argsz || feature.flags != request->wire.flags ||
	    came.num_ranges != wanted.num_ranges || came.reserved != wanted.reserved) {
		model_blame(model, &asked->header, "LOG-START-001",
			    "allowed: the %u bytes of the request but for the page size; came: "
			    "%zu, or others", asked->size, reply->size);
		return;
	}
	if (!model_logging_is_power(came.page_size))
		model_blame(model, &asked->header, model_logging_is_power(wanted.page_size) ?
			    "LOG-START-003" : "LOG-START-004",
			    "allowed: a page size that is a power of two; came: 0x%" PRIx64,
			    came.page_size);
}

static void model_logging_done_start(struct model *model, const struct model_asked *asked,
				     const struct model_feature_request *request,
				     const struct model_message *reply)
{
	(void)asked;
	(void)request;
	(void)reply;
	model->feature.logging = MODEL_LOGGING_ON;
}

/* Where nothing was known, nothing is. */
static void model_logging_unseen_start(struct model *model, const struct model_asked *asked,
				       const struct model_feature_request *request)
{
	(void)asked;
	(void)request;
	if (model->feature.logging)
		model->feature.logging |= MODEL_LOGGING_ON;
}

const struct model_feature_row model_logging_start_row = {
	.methods = WIRE_FEATURE_SET,
	.set_data = sizeof(struct wire_logging_control),
	.other = "LOG-GEN-001",
	.judge = model_logging_judge_start,
	.check = model_logging_check_start,
	.done = model_logging_done_start,
	.unseen = model_logging_unseen_start,
};

/* ---- stop ---- */

/* Which of the two forms of STOP this is; 0 for any other. */
static uint8_t model_logging_form(const struct model_asked *asked,
				  const struct model_feature_request *request)
{
	struct wire_logging_control control;

	if (request->plain)
		return MODEL_LOGGING_BARE;
	if (request->data != sizeof(control) || !request->clean ||
	    !model_body_at(asked, MODEL_LOGGING_FEATURE, &control, sizeof(control)) ||
	    control.num_ranges || control.reserved || !model_logging_is_power(control.page_size))
		return 0;
	return MODEL_LOGGING_WITH_DATA;
}

/* One of the forms has to work. */
static void model_logging_judge_stop(const struct model *model, const struct model_asked *asked,
				     const struct model_feature_request *request,
				     struct model_expect *out)
{
	const struct model_feature *feature = &model->feature;
	uint8_t form = model_logging_form(asked, request);

	if (!form || !feature->logging || !model_feature_is_there(model, request->id))
		return;
	if (feature->logging != MODEL_LOGGING_ON) {
		if (model_strict(model, MODEL_L5) && model_strict(model, MODEL_W10) &&
		    form == MODEL_LOGGING_BARE)
			model_demand(out, "LOG-STOP-003", "logging that is off can be stopped");
		return;
	}
	if (feature->stop_refused & ~form)
		model_demand(out, "LOG-STOP-002", "the other form of this was refused");
	else if (form == MODEL_LOGGING_BARE && model_strict(model, MODEL_W10))
		model_demand(out, "LOG-STOP-002", "it needs no data");
}

static void model_logging_done_stop(struct model *model, const struct model_asked *asked,
				    const struct model_feature_request *request,
				    const struct model_message *reply)
{
	(void)asked;
	(void)request;
	(void)reply;
	model->feature.logging = MODEL_LOGGING_OFF;
}

static void model_logging_failed_stop(struct model *model, const struct model_asked *asked,
				      const struct model_feature_request *request)
{
	if (model->feature.logging == MODEL_LOGGING_ON)
		model->feature.stop_refused |= model_logging_form(asked, request);
}

static void model_logging_unseen_stop(struct model *model, const struct model_asked *asked,
				      const struct model_feature_request *request)
{
	(void)asked;
	(void)request;
	if (model->feature.logging)
		model->feature.logging |= MODEL_LOGGING_OFF;
}

const struct model_feature_row model_logging_stop_row = {
	.methods = WIRE_FEATURE_SET,
	.other = "LOG-GEN-001",
	.judge = model_logging_judge_stop,
	.done = model_logging_done_stop,
	.failed = model_logging_failed_stop,
	.unseen = model_logging_unseen_stop,
};

/* ---- report ---- */

/* Pages of the range, the last one perhaps in part. */
static uint64_t model_logging_pages(const struct wire_logging_report *report)
{
	return report->length / report->page_size + !!(report->length % report->page_size);
}

/* Bytes of the bitmap: whole words. */
static uint64_t model_logging_bytes(const struct wire_logging_report *report)
{
	uint64_t pages = model_logging_pages(report);

	return (pages / 64 + !!(pages % 64)) * 8;
}

static void model_logging_judge_report(const struct model *model, const struct model_asked *asked,
				       const struct model_feature_request *request,
				       struct model_expect *out)
{
	const struct model_feature *feature = &model->feature;
	struct wire_logging_report report;

	if (!model_body_at(asked, MODEL_LOGGING_FEATURE, &report, sizeof(report)))
		return;
	if (feature->logging == MODEL_LOGGING_OFF)
		model_refuse(out, "LOG-REPORT-002", "logging is off");
	else if (!model_logging_is_power(report.page_size))
		model_refuse(out, "LOG-REPORT-006", "0x%" PRIx64 " is no power of two",
			     report.page_size);
	else if (report.length && report.iova > UINT64_MAX - (report.length - 1))
		model_refuse(out, "LOG-REPORT-012", "0x%" PRIx64 " bytes from 0x%" PRIx64 " wrap",
			     report.length, report.iova);
	else if (!report.length && model_strict(model, MODEL_L8))
		model_refuse(out, "LOG-REPORT-012", "the range is empty");
	else if (model_strict(model, MODEL_L9) &&
		 request->wire.argsz < MODEL_LOGGING_FEATURE + sizeof(report) +
		 model_logging_bytes(&report))
		model_refuse(out, "LOG-REPORT-013", "argsz %u has no room for the bitmap",
			     request->wire.argsz);
}

/* Bits behind the last page of the range are zero. */
static void model_logging_check_padding(struct model *model, const struct model_asked *asked,
					const struct model_message *reply, uint64_t pages)
{
	uint64_t word;

	if (pages % 64 == 0 ||
	    !model_reply_at(reply, reply->size - sizeof(word), &word, sizeof(word)) ||
	    !(word >> pages % 64))
		return;
	model_blame(model, &asked->header, "LOG-REPORT-005",
		    "allowed: %" PRIu64 " pages; came: a last word of 0x%" PRIx64, pages, word);
}

static void model_logging_check_report(struct model *model, const struct model_asked *asked,
				       const struct model_feature_request *request,
				       const struct model_message *reply)
{
	struct wire_logging_report wanted, came;
	struct wire_feature feature;
	uint64_t needed;

	if (!model_body_at(asked, MODEL_LOGGING_FEATURE, &wanted, sizeof(wanted)) ||
	    !model_logging_is_power(wanted.page_size) ||
	    !model_reply_at(reply, 0, &feature, sizeof(feature)))
		return;
	needed = MODEL_LOGGING_FEATURE + sizeof(wanted) + model_logging_bytes(&wanted);
	if (feature.flags != request->wire.flags || feature.argsz != needed ||
	    (request->wire.argsz >= needed && reply->size != needed)) {
		model_blame(model, &asked->header, "LOG-REPORT-003",
			    "allowed: flags 0x%x, argsz %" PRIu64 " and as many bytes; came: "
			    "0x%x, %u, %zu bytes", request->wire.flags, needed, feature.flags,
			    feature.argsz, reply->size);
		return;
	}
	if (!model_reply_at(reply, MODEL_LOGGING_FEATURE, &came, sizeof(came)))
		return;
	if (came.iova != wanted.iova || came.length != wanted.length ||
	    came.page_size != wanted.page_size)
		model_blame(model, &asked->header, "LOG-REPORT-001",
			    "allowed: 0x%" PRIx64 " bytes from 0x%" PRIx64 " by 0x%" PRIx64
			    "; came: 0x%" PRIx64 " from 0x%" PRIx64 " by 0x%" PRIx64,
			    wanted.length, wanted.iova, wanted.page_size, came.length, came.iova,
			    came.page_size);
	if (reply->size == needed)
		model_logging_check_padding(model, asked, reply, model_logging_pages(&wanted));
}

/* It is only told while logging is on. */
static void model_logging_done_report(struct model *model, const struct model_asked *asked,
				      const struct model_feature_request *request,
				      const struct model_message *reply)
{
	(void)asked;
	(void)request;
	(void)reply;
	model->feature.logging = MODEL_LOGGING_ON;
}

const struct model_feature_row model_logging_report_row = {
	.methods = WIRE_FEATURE_GET,
	.get_data = sizeof(struct wire_logging_report),
	.other = "LOG-GEN-001",
	.judge = model_logging_judge_report,
	.check = model_logging_check_report,
	.done = model_logging_done_report,
};
