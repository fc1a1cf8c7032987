/* SPDX-License-Identifier: BSD-3-Clause */
/* pri_marker.c - see pri_marker.h. */
#include "pri_marker.h"

#include <stdlib.h>

#include "fault.h"

#define MARKER_PASIDS (UINT32_C(1) << WIRE_VIOMMU_MAX_PASID_BITS)
#define MARKER_WORDS (MARKER_PASIDS / 64)

void pri_marker_forget(struct pri *pri)
{
	free(pri->owed);
	pri->owed = NULL;
	pri->owed_count = 0;
}

static int marker_send(struct pri *pri, uint32_t pasid, struct session_reply *reply)
{
	const struct wire_page_request marker = {
		.attr = WIRE_ATTR_PASID_VALID | pasid << WIRE_ATTR_PASID_SHIFT,
	};

	return session_post(pri->session, WIRE_PAGE_REQUEST, &marker, sizeof(marker), reply);
}

/* Remembers a marker; false without memory. */
static bool marker_owe(struct pri *pri, uint32_t pasid)
{
	uint64_t bit = UINT64_C(1) << pasid % 64;

	if (!pri->owed)
		pri->owed = calloc(MARKER_WORDS, sizeof(*pri->owed));
	if (!pri->owed)
		return false;
	pri->owed_count += !(pri->owed[pasid / 64] & bit);
	pri->owed[pasid / 64] |= bit;
	return true;
}

/* On the main socket all that was sent is taken, or no command is read. */
int pri_marker_post(struct pri *pri, uint32_t pasid, struct session_reply *reply)
{
	bool behind = pri->session->twinned && session_posted(pri->session);

	if (!pri->session->limits.viommu.page_requests || pri->session->limits.viommu.poc)
		return 0;
	if (!fault_on(FAULT_markers_pile_up) &&
	    (behind || pri->owed_count || fault_on(FAULT_marker_follows_the_reply)) &&
	    marker_owe(pri, pasid))
		return 0;
	return marker_send(pri, pasid, reply);
}

static void marker_flush_word(struct pri *pri, uint32_t word)
{
	while (pri->owed[word]) {
		uint32_t bit = (uint32_t)__builtin_ctzll(pri->owed[word]);

		if (marker_send(pri, word * 64 + bit, NULL))
			return;
		pri->owed[word] &= pri->owed[word] - 1;
		pri->owed_count--;
	}
}

void pri_marker_flush(struct pri *pri)
{
	if (!pri->owed_count || session_posted(pri->session))
		return;
	for (uint32_t word = 0; word < MARKER_WORDS && pri->owed_count; word++)
		marker_flush_word(pri, word);
}
