/* SPDX-License-Identifier: BSD-3-Clause */
/* window.c - see window.h. The copies and their faults are in window_copy.c. */
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fault.h"
#include "range.h"
#include "window_copy.h"

#define WINDOW_SEALS (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)
#define WINDOW_MAX_ALIGNMENT (UINT64_C(1) << 30)
#define WINDOW_BOTH (WINDOW_READ | WINDOW_WRITE)

/* What was asked for: the pages, and what tells the file and the descriptor from others. */
struct window_request {
	int fd;
	unsigned int access;
	unsigned int mode;
	struct stat stat;
	uint64_t first, end;
	bool alone;
};

void window_init(struct window_table *table)
{
	memset(table, 0, sizeof(*table));
	table->max_count = WINDOW_QUOTA;
	table->max_pages = WINDOW_PAGE_QUOTA;
}

static int window_check_file(struct window_request *request, uint64_t offset, uint64_t size)
{
	struct range file, part;

	if (fstat(request->fd, &request->stat))
		return -errno;
	if (!S_ISREG(request->stat.st_mode))
		return -ENODEV;
	if (range_make(0, (uint64_t)request->stat.st_size, &file) ||
	    range_make(offset, size, &part) ||
	    (!range_contains(file, part) && !fault_on(FAULT_file_end_is_ignored)))
		return -EINVAL;
	request->first = offset / WINDOW_PAGE;
	request->end = (offset + size) / WINDOW_PAGE;
	return request->end > WINDOW_FILE_PAGES ? -ENOSPC : 0;
}

static int window_check_access(struct window_request *request)
{
	int flags = fcntl(request->fd, F_GETFL);
	int mode = flags & O_ACCMODE, seals;

	if (flags < 0)
		return -errno;
	if (flags & O_PATH || mode == O_WRONLY)
		return -EACCES;
	request->mode = mode == O_RDWR ? WINDOW_BOTH : WINDOW_READ;
	if (!(request->access & WINDOW_WRITE))
		return 0;
	if (mode != O_RDWR && !fault_on(FAULT_open_mode_is_ignored))
		return -EACCES;
	/* Files that cannot be sealed say -1. A window from before the seal could still be used. */
	seals = fcntl(request->fd, F_GET_SEALS);
	if (fault_on(FAULT_seals_are_ignored))
		return 0;
	return seals >= 0 && seals & WINDOW_SEALS ? -EPERM : 0;
}

static bool window_fits(const struct window *window, const struct window_request *request)
{
	bool same = window->ino == request->stat.st_ino ||
		    fault_on(FAULT_files_are_not_told_apart);

	return window->base && !window->fenced && !window->alone && same &&
	       window->dev == request->stat.st_dev && window->mode == request->mode &&
	       !(request->access & ~window->rights) && window->first <= request->first &&
	       request->end <= window->first + window->pages;
}

/* The window that covers the request, or -1. Most often it is the one that was taken last. */
static int window_find(const struct window_table *table, const struct window_request *request)
{
	if (window_fits(&table->windows[table->last], request))
		return (int)table->last;
	for (unsigned int i = 0; i < table->end; i++) {
		if (window_fits(&table->windows[i], request))
			return (int)i;
	}
	return -1;
}

/* What the file's pages are aligned to: those of hugetlbfs are larger than ours. */
static uint64_t window_alignment(const struct stat *stat)
{
	uint64_t size = (uint64_t)stat->st_blksize;

	return size > WINDOW_PAGE && size <= WINDOW_MAX_ALIGNMENT && !(size & (size - 1)) ?
		       size : WINDOW_PAGE;
}

/* No more than was asked for, but in whole pages of the file. */
static void window_enclose(struct window *window, const struct window_request *request)
{
	uint64_t pages = window_alignment(&request->stat) / WINDOW_PAGE;

	window->first = request->first - request->first % pages;
	window->pages = (request->end - window->first + pages - 1) / pages * pages;
}

/* The extent that the request lies in. */
static void window_extend(struct window *window, const struct window_request *request)
{
	uint64_t file = ((uint64_t)request->stat.st_size - 1) / WINDOW_PAGE + 1;
	uint64_t end = (request->end - 1) / WINDOW_EXTENT * WINDOW_EXTENT + WINDOW_EXTENT;

	window->first = request->first / WINDOW_EXTENT * WINDOW_EXTENT;
	window->pages = (end < file ? end : file) - window->first;
}

/* A reserved place, with room for the page behind it, which is given back later. NULL: none. */
static uint8_t *window_reserve(uint64_t size, uint64_t alignment)
{
	uint64_t slack = alignment - WINDOW_PAGE, total = size + WINDOW_PAGE + slack, before;
	uint8_t *place = mmap(NULL, total, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (place == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)place & (alignment - 1);
	if (before)
		munmap(place, before);
	if (slack > before)
		munmap(place + total - (slack - before), slack - before);
	return place + before;
}

static int window_place(struct window *window, const struct window_request *request, int prot)
{
	uint64_t size = window->pages * WINDOW_PAGE;
	uint8_t *place = window_reserve(size, window_alignment(&request->stat));
	int error;

	if (!place)
		return -ENOMEM;
	if (mmap(place, size, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, request->fd,
		 (off_t)(window->first * WINDOW_PAGE)) == MAP_FAILED) {
		error = -errno;
		munmap(place, size + WINDOW_PAGE);
		return error;
	}
	munmap(place + size, WINDOW_PAGE);
	window->base = place;
	return 0;
}

static int window_open(struct window *window, const struct window_request *request)
{
	int error;

	window->rights = request->mode;
	error = window_place(window, request,
			     request->mode & WINDOW_WRITE ? PROT_READ | PROT_WRITE : PROT_READ);
	if (error != -EPERM || request->access & WINDOW_WRITE || fault_on(FAULT_seals_are_ignored))
		return error;
	/* A file sealed against writing can still be read through a descriptor that may write. */
	window->rights = WINDOW_READ;
	return window_place(window, request, PROT_READ);
}

/* Makes a window at a free place: its index, or -errno. */
static int window_make(struct window_table *table, const struct window_request *request)
{
	struct window window = {
		.dev = request->stat.st_dev,
		.ino = request->stat.st_ino,
		.mode = request->mode,
		.alone = request->alone,
	};
	unsigned int index = 0;
	int error;

	if (request->alone)
		window_enclose(&window, request);
	else
		window_extend(&window, request);
	if (table->count >= table->max_count || table->count >= WINDOW_MAX ||
	    table->pages > table->max_pages || window.pages > table->max_pages - table->pages)
		return -ENOSPC;
	error = window_open(&window, request);
	if (error)
		return error;
	while (table->windows[index].base)
		index++;
	table->windows[index] = window;
	table->pages += window.pages;
	table->count++;
	if (index >= table->end)
		table->end = index + 1;
	return (int)index;
}

static int window_get(struct window_table *table, const struct window_request *request)
{
	int result = -1;

	if (!request->alone && !fault_on(FAULT_each_map_has_a_window))
		result = window_find(table, request);
	if (result < 0)
		result = window_make(table, request);
	if (result < 0)
		return result;
	table->last = (unsigned int)result;
	table->windows[result].mappings++;
	return result;
}

static int window_check(struct window_request *request, uint64_t offset, uint64_t size)
{
	int result = window_check_file(request, offset, size);

	window_catch_faults();
	return result ? result : window_check_access(request);
}

int window_take(struct window_table *table, int fd, uint64_t offset, uint64_t size,
		unsigned int access)
{
	struct window_request request = { .fd = fd, .access = access };
	int error = window_check(&request, offset, size);

	return error ? error : window_get(table, &request);
}

int window_take_alone(struct window_table *table, int fd, uint64_t offset, uint64_t size,
		      unsigned int access)
{
	struct window_request request = { .fd = fd, .access = access, .alone = true };
	int error = window_check(&request, offset, size);

	return error ? error : window_get(table, &request);
}

void window_share(struct window_table *table, unsigned int index)
{
	table->windows[index].mappings++;
}

uint64_t window_count(const struct window_table *table, unsigned int index)
{
	return table->windows[index].mappings;
}

static void window_close(struct window_table *table, unsigned int index)
{
	struct window *window = &table->windows[index];

	if (fault_on(FAULT_file_goes_with_its_window))
		madvise(window->base, window->pages * WINDOW_PAGE, MADV_REMOVE);
	munmap(window->base, window->pages * WINDOW_PAGE);
	if (window->fenced)
		window_fenced(-1);
	table->pages -= window->pages;
	table->count--;
	*window = (struct window){ .base = NULL };
	while (table->end && !table->windows[table->end - 1].base)
		table->end--;
}

bool window_drop(struct window_table *table, unsigned int index)
{
	if (--table->windows[index].mappings)
		return false;
	window_close(table, index);
	return true;
}

void window_leave(struct window_table *table, unsigned int index)
{
	if (--table->windows[index].mappings == 0)
		table->idle++;
}

int window_sweep(struct window_table *table)
{
	for (unsigned int i = 0; table->idle && i < table->end; i++) {
		if (!table->windows[i].base || table->windows[i].mappings)
			continue;
		table->idle--;
		window_close(table, i);
		return (int)i;
	}
	return -1;
}

void window_clear(struct window_table *table)
{
	table->idle = 0;
	for (unsigned int i = table->end; i-- > 0;) {
		if (table->windows[i].base)
			window_close(table, i);
	}
}

uint8_t *window_at(const struct window_table *table, unsigned int index, uint64_t page)
{
	const struct window *window = &table->windows[index];

	return window->base + (page - window->first) * WINDOW_PAGE;
}

void window_fence(struct window_table *table)
{
	for (unsigned int i = 0; i < table->end; i++) {
		struct window *window = &table->windows[i];
		uint64_t size = window->pages * WINDOW_PAGE;

		if (!window->base || window->fenced)
			continue;
		window->fenced = true;
		window_fenced(1);
		/* Where memory is too short to let the file go, at least nobody gets at it. */
		if (mmap(window->base, size, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
		    MAP_FAILED)
			mprotect(window->base, size, PROT_NONE);
	}
}
