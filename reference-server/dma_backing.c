/* SPDX-License-Identifier: BSD-3-Clause */
/* dma_backing.c - see dma.h: backing windows, and mappings that lie in them. */
#include <errno.h>

#include "dma_table.h"
#include "fault.h"

int dma_back(struct dma *dma, const struct dma_request *request, struct msg *msg, uint64_t *out)
{
	int window;

	if (!msg->count || request->offset % DMA_PAGE)
		return -EINVAL;
	window = window_take_alone(&dma->windows, msg->fd[0], request->offset,
				   request->pages * DMA_PAGE, request->access);
	if (window < 0)
		return window;
	*out = space_entry(request->flags, (unsigned int)window, request->offset / DMA_PAGE);
	return 0;
}

int dma_lean(struct dma *dma, const struct dma_request *request, uint64_t *out)
{
	const unsigned int rights = SPACE_READ | SPACE_WRITE;
	struct range range;
	uint64_t entry, run;

	if (dma_range(request->offset, request->pages * DMA_PAGE, &range))
		return -EINVAL;
	entry = space_find(&dma->backing, range.first / DMA_PAGE, request->pages, &run);
	if (!entry || run < request->pages)
		return -EINVAL;
	window_share(&dma->windows, space_entry_window(entry));
	*out = space_entry((unsigned int)entry & rights & request->flags,
			   space_entry_window(entry), space_entry_page(entry));
	return 0;
}

/* Nobody is in it: those who were, were waited for when their mappings went. */
int dma_unback(struct dma *dma, struct range range)
{
	uint64_t first = range.first / DMA_PAGE, pages = range_size(range) / DMA_PAGE, entry;
	struct space_mapping there;

	if (!dma_find(&dma->backing, range, &there) || there.first != first ||
	    there.pages != pages)
		return -ENOENT;
	if (window_count(&dma->windows, space_entry_window(there.entry)) > 1 &&
	    !fault_on(FAULT_backing_is_never_in_use))
		return -EBUSY;
	space_remove(&dma->backing, first, pages, &entry);
	window_leave(&dma->windows, space_entry_window(entry));
	return 0;
}
