/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_watch.c - see explore_watch.h. */
#include "explore_watch.h"

#include <errno.h>
#include <string.h>

#include "device_slot_flow.h"
#include "explore_device.h"
#include "explore_group.h"
#include "explore_memory.h"
#include "explore_peer.h"
#include "explore_record.h"

#define WATCH_SUM UINT64_C(0xcbf29ce484222325)

/* What a command that was sent has to be answered with, and what its reply means. */
struct watch_command {
	uint16_t id;
	uint16_t command;
	bool last;		/* of its step */
	struct explore_step step;
	int error;		/* that is expected, positive; of RESPOND it is not known yet */
	uint32_t removes;	/* mappings, by bit */
	uint32_t started;	/* slots that were started before, by bit */
};

static struct {
	const struct explore_scenario *scenario;
	struct watch_command command[WATCH_COMMANDS];	/* a queue */
	uint32_t first, count;
	uint16_t next_id;
	uint32_t mapped;		/* as of the last command sent, by bit */
	uint32_t live[EXPLORE_MAPPINGS];	/* how often it is there for the device */
	uint32_t sure;			/* there, and no command says otherwise, by bit */
	uint32_t missing;		/* slots that have missed a page, by bit */
	struct watch_request dma[WATCH_REQUESTS];
	uint32_t dma_count, dma_open;	/* dma_open: without answer, by bit */
	uint32_t markers[EXPLORE_MAPPINGS];	/* by space */
	uint32_t started;		/* slots, by bit, since the last reset that was sent */
	uint32_t starts[EXPLORE_SLOTS];	/* that were sent, */
	uint32_t begun[EXPLORE_SLOTS];	/* and operations that were seen to be there */
	bool running[EXPLORE_SLOTS];
	uint32_t end[EXPLORE_SLOTS];	/* the state in which it was, when it ran no more */
	bool stops;			/* as of the last command sent, */
	bool stopped;			/* and as of the last reply */
	bool always;			/* page requests are permitted from first to last */
	bool blamed;			/* UPRGI may be set */
	uint64_t sum[2];		/* of what came, by channel */
} watch;

/* ---- what is sent ---- */

/* Whether nothing that the client does switches page requests off. */
static bool watch_always(const struct explore_scenario *scenario)
{
	for (uint32_t i = 0; i < EXPLORE_THREADS; i++) {
		for (uint32_t k = 0; k < EXPLORE_STEPS; k++) {
			const struct explore_step *step = &scenario->thread[i][k];

			if (step->op == EXPLORE_PRI_RESET || step->op == EXPLORE_RESET ||
			    step->op == EXPLORE_NO_MASTER ||
			    (step->op == EXPLORE_RESPOND && step->with == WIRE_PAGE_FAILURE))
				return false;
		}
	}
	return scenario->credit;
}

void watch_begin(const struct explore_scenario *scenario)
{
	memset(&watch, 0, sizeof(watch));
	watch.scenario = scenario;
	watch.next_id = 1;
	watch.sum[0] = WATCH_SUM;
	watch.sum[1] = WATCH_SUM;
	watch.always = watch_always(scenario);
	group_begin(scenario);
	memory_begin(scenario);
	memory_refresh(watch.live);
}

static int watch_map(uint32_t number)
{
	if (watch.mapped & 1u << number)
		return EEXIST;
	watch.mapped |= 1u << number;
	watch.live[number]++;
	return 0;
}

static int watch_replace(uint32_t number, uint32_t with, uint32_t *removes)
{
	if (!(watch.mapped & 1u << number))
		return ENOENT;
	*removes = 1u << number;
	watch.mapped &= ~*removes;
	return watch_map(with);
}

/* The mappings of a space that lie in its first pages. */
static uint32_t watch_inside(uint32_t space, uint32_t pages)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < EXPLORE_MAPPINGS; i++) {
		const struct explore_mapping *mapping = &watch.scenario->mapping[i];

		if (mapping->space == space && mapping->page + mapping->pages <= pages)
			found |= watch.mapped & 1u << i;
	}
	return found;
}

static void watch_predict(struct watch_command *command)
{
	const struct explore_step *step = &command->step;

	switch (step->op) {
	case EXPLORE_MAP:
		command->error = watch_map(step->what);
		break;
	case EXPLORE_REPLACE:
		command->error = watch_replace(step->what, step->with, &command->removes);
		break;
	case EXPLORE_UNMAP:
		command->removes = watch.mapped & 1u << step->what;
		command->error = command->removes ? 0 : ENOENT;
		break;
	case EXPLORE_RANGE:
		command->removes = watch_inside(step->what, step->with);
		break;
	case EXPLORE_ALL:
		command->removes = watch_inside(step->what, UINT32_MAX);
		group_ends(step->what);
		break;
	case EXPLORE_START:
		group_started(step->what);
		watch.started |= 1u << step->what;
		watch.starts[step->what]++;
		break;
	case EXPLORE_RESET:
		command->started = watch.started;
		watch.started = 0;
		break;
	case EXPLORE_STOP:
		watch.stops = true;
		break;
	case EXPLORE_RUN:
		watch.stops = false;
		watch.stopped = false;
		break;
	case EXPLORE_INVENT:
		command->error = ENOENT;
		break;
	case EXPLORE_END:
	case EXPLORE_RELEASE:
	case EXPLORE_RESPOND:
	case EXPLORE_ANSWER:
	case EXPLORE_PRI_RESET:
	case EXPLORE_ENABLE:
	case EXPLORE_NO_MASTER:
	case EXPLORE_INFO:
		break;
	}
	watch.mapped &= ~command->removes;
	watch.sure &= ~command->removes;
}

uint16_t watch_sent(uint16_t command, const struct explore_step *step, bool last)
{
	struct watch_command *out = &watch.command[(watch.first + watch.count) % WATCH_COMMANDS];

	if (watch.count++ == WATCH_COMMANDS)
		explore_violation("explore: too many commands at once");
	*out = (struct watch_command){
		.id = watch.next_id++,
		.command = command,
		.last = last,
		.step = *step,
	};
	if (last)
		watch_predict(out);
	memory_refresh(watch.live);
	return out->id;
}

uint32_t watch_outstanding(void)
{
	return watch.count;
}

bool watch_is_stopped(void)
{
	return watch.stopped;
}

const struct watch_request *watch_dma(uint32_t number)
{
	return number < watch.dma_count ? &watch.dma[number] : NULL;
}

const struct watch_group *watch_group(uint32_t number)
{
	return group_get(number);
}

void watch_answered(uint32_t number)
{
	watch.dma_open &= ~(1u << number);
}

/* ---- replies ---- */

/* A slot is in a state in which it should not be. */
static void __attribute__((noreturn)) watch_blame(uint32_t number, const struct explore_view *slot,
						  const char *what)
{
	record_blames(number, slot->state);
	explore_violation("slot %u %s", number, what);
}

/* Nothing of before a reset goes on. */
static void watch_check_slots(uint32_t slots)
{
	struct explore_view slot;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (slots & 1u << i && explore_view(i, &slot) && (slot.live || slot.busy))
			watch_blame(i, &slot, "goes on though a reset was answered");
	}
}

/* No operation of a space that has ended waits for it. */
static void watch_check_space(uint32_t space)
{
	struct explore_view slot;

	if (space && !watch.markers[space])
		explore_violation("the reply to ALL comes before its stop marker");
	if (space)
		watch.markers[space]--;
	for (uint32_t i = 0; i < EXPLORE_SLOTS && space; i++) {
		if (explore_view(i, &slot) && slot.state == SLOT_WAIT_PAGE && slot.space == space)
			watch_blame(i, &slot, "waits for a page of a space that has ended");
	}
}

/* The mapping is there, unless it was removed and made again by what was sent since. */
static void watch_is_mapped(uint32_t number)
{
	if (watch.live[number] == 1)
		watch.sure |= watch.mapped & 1u << number;
}

/* What a good reply means. */
static void watch_done(const struct watch_command *command)
{
	switch (command->step.op) {
	case EXPLORE_ALL:
		if (command->step.what)
			group_retire(false, command->step.what, false);
		group_ended(command->step.what);
		watch_check_space(command->step.what);
		break;
	case EXPLORE_RESET:
		group_retire(true, 0, true);
		watch_check_slots(command->started & ~watch.started);
		break;
	case EXPLORE_PRI_RESET:
		group_retire(true, 0, true);
		break;
	case EXPLORE_STOP:
		group_retire(true, 0, true);
		watch.stopped = watch.stops;
		break;
	case EXPLORE_MAP:
		watch_is_mapped(command->step.what);
		break;
	case EXPLORE_REPLACE:
		watch_is_mapped(command->step.with);
		break;
	case EXPLORE_END:
	case EXPLORE_UNMAP:
	case EXPLORE_RANGE:
	case EXPLORE_START:
	case EXPLORE_RELEASE:
	case EXPLORE_RESPOND:
	case EXPLORE_INVENT:
	case EXPLORE_ANSWER:
	case EXPLORE_RUN:
	case EXPLORE_ENABLE:
	case EXPLORE_NO_MASTER:
	case EXPLORE_INFO:
		break;
	}
	for (uint32_t i = 0; i < EXPLORE_MAPPINGS; i++)
		watch.live[i] -= command->removes >> i & 1;
	memory_refresh(watch.live);
}

static void watch_reply(const struct message *m)
{
	const struct watch_command *command = &watch.command[watch.first];
	uint32_t error = m->flags & WIRE_ERROR ? m->error : 0;

	if (!watch.count)
		explore_violation("a reply to nothing, id %u", m->id);
	if (m->id != command->id || m->command != command->command)
		explore_violation("command %u with id %u is to be answered, and %u with id %u is",
				  command->command, command->id, m->command, m->id);
	watch.first = (watch.first + 1) % WATCH_COMMANDS;
	watch.count--;
	if (!command->last || command->step.op != EXPLORE_RESPOND)
		record_expects((uint32_t)command->error);
	if (command->last && command->step.op == EXPLORE_RESPOND)
		watch.blamed |= group_answered(&command->step, error);
	else if (error != (uint32_t)command->error)
		explore_violation("command %u with id %u is answered with %u instead of %u",
				  m->command, m->id, error, (uint32_t)command->error);
	watch.blamed |= command->step.op == EXPLORE_INVENT;
	if (command->last && !error)
		watch_done(command);
}

/* ---- what the device asks ---- */

/* Whether the memory that a message is for is mapped, and with that right. */
static bool watch_allows(const struct watch_request *request)
{
	uint32_t right = request->command == WIRE_DMA_READ ? WIRE_DMA_MAP_READ : WIRE_DMA_MAP_WRITE;
	uint64_t first = request->access.address / MEMORY_PAGE;
	uint64_t last = (request->access.address + request->access.count - 1) / MEMORY_PAGE;

	for (uint32_t i = 0; i < EXPLORE_MAPPINGS; i++) {
		const struct explore_mapping *mapping = &watch.scenario->mapping[i];

		if (watch.live[i] && mapping->flags & right &&
		    mapping->space == group_space(request->access.attr) && first >= mapping->page &&
		    last < mapping->page + mapping->pages)
			return true;
	}
	return false;
}

static void watch_take_dma(const struct message *m)
{
	struct watch_request *request = &watch.dma[watch.dma_count];

	if (watch.dma_count == WATCH_REQUESTS)
		explore_violation("explore: too many requests");
	*request = (struct watch_request){ m->id, m->command, m->channel, { 0 } };
	memcpy(&request->access, m->body, sizeof(request->access));
	if (!watch_allows(request))
		explore_violation("a message for memory that is not mapped any more");
	watch.dma_open |= 1u << watch.dma_count++;
}

/* Those that a response was sent to: the reply to it can come behind what the twin brings. */
static uint32_t watch_crossing(void)
{
	uint32_t pages = 0;

	for (uint32_t i = 0; i < watch.count && watch.scenario->twin; i++) {
		const struct watch_command *command =
			&watch.command[(watch.first + i) % WATCH_COMMANDS];
		const struct watch_group *group = group_get(command->step.what);

		if (command->step.op == EXPLORE_RESPOND && group->state == WATCH_OUTSTANDING)
			pages += group->pages;
	}
	return pages;
}

static void watch_take_page(const struct message *m)
{
	struct wire_page_request head;

	memcpy(&head, m->body, sizeof(head));
	if (!head.nr)
		watch.markers[group_space(head.attr) % EXPLORE_MAPPINGS]++;
	else
		group_take(m, watch_crossing());
}

static void watch_take(const struct message *m)
{
	uint64_t *sum = &watch.sum[m->channel];
	const uint32_t head[] = { m->id, m->command, m->flags, m->error };

	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
		*sum = (*sum ^ head[i]) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < m->msg_size - sizeof(struct wire_header); i++)
		*sum = (*sum ^ m->body[i]) * UINT64_C(0x100000001b3);
	explore_note("    %s %u id %u%s%s, %u bytes",
		     (m->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY ? "reply" : "command",
		     m->command, m->id, m->flags & WIRE_ERROR ? " with error " : "",
		     m->flags & WIRE_ERROR ? strerrorname_np((int)m->error) : "", m->msg_size);
	record_came(m);
	if ((m->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY) {
		watch_reply(m);
		return;
	}
	if (watch.stopped)
		explore_violation("command %u comes from a device that is stopped", m->command);
	if (m->command == WIRE_PAGE_REQUEST)
		watch_take_page(m);
	else
		watch_take_dma(m);
}

/* ---- after each event ---- */

static void watch_revives(uint32_t number)
{
	record_wants(number, watch.end[number]);
	explore_violation("slot %u goes on though its operation has ended", number);
}

/* An operation that has ended does not go on. */
static void watch_check_ends(void)
{
	struct explore_view slot;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (!explore_view(i, &slot))
			continue;
		watch.begun[i] += slot.live && !watch.running[i];
		watch.running[i] = slot.live;
		watch.end[i] = slot.live ? watch.end[i] : slot.state;
		if (watch.begun[i] > watch.starts[i])
			watch_revives(i);
	}
}

/* Whether a mapping by which all may be done was there before the last event, and is. */
static bool watch_finds(uint32_t space, uint64_t address)
{
	for (uint32_t i = 0; i < EXPLORE_MAPPINGS; i++) {
		const struct explore_mapping *mapping = &watch.scenario->mapping[i];
		uint64_t page = address / MEMORY_PAGE - mapping->page;

		if (watch.sure & 1u << i && mapping->space == space && page < mapping->pages &&
		    !(~mapping->flags & (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)))
			return true;
	}
	return false;
}

/* What an operation has missed is looked up anew. */
static void watch_check_misses(void)
{
	struct explore_view slot;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		uint32_t bit = 1u << i;
		bool misses = explore_view(i, &slot) && slot.live && slot.missing;

		if (misses && !(watch.missing & bit) && watch_finds(slot.space, slot.address)) {
			record_blames(i, SLOT_WAIT_PAGE);
			explore_violation("slot %u misses a page that is mapped", i);
		}
		watch.missing = misses ? watch.missing | bit : watch.missing & ~bit;
	}
}

static void watch_check_credit(void)
{
	uint16_t status;
	int64_t used;

	if (!explore_credit(&used, &status))
		return;
	if (used >= 0 && used != group_pages())
		explore_violation("%u pages of credit are taken, and %u pages outstanding",
				  (uint32_t)used, group_pages());
	if (status & WIRE_PCI_PRI_UPRGI && !watch.blamed)
		explore_violation("a late response counts as unexpected");
}

void watch_receive(void)
{
	struct message *m;

	group_expire();
	watch_check_misses();
	while ((m = explore_take()) != NULL) {
		watch_take(m);
		message_free(m);
	}
	memory_check();
	watch_check_ends();
	if (!watch.count && !explore_is_over())
		watch_check_credit();
}

/* ---- the end ---- */

static void watch_check_rest(uint32_t number, const struct explore_view *slot)
{
	if (slot->state == SLOT_WAIT_PAGE && !group_pages())
		watch_blame(number, slot, "waits for a page of which nobody knows");
	if (slot->state == SLOT_WAIT_PAGE && !group_knows(slot->cookie) &&
	    group_pages() < watch.scenario->credit)
		watch_blame(number, slot, "waits for credit, and there is some");
	if (slot->state == SLOT_WAIT_MSG && !watch.dma_open)
		watch_blame(number, slot, "waits for a reply to nothing");
	if ((slot->state == SLOT_RUN || slot->state == SLOT_QUEUED) && !watch.stopped)
		watch_blame(number, slot, "does not go on");
	if (slot->error == ENOENT && slot->pages && watch.always)
		watch_blame(number, slot, "has missed a page and not asked for it");
	if (watch.stopped && slot->pinned)
		watch_blame(number, slot, "holds memory though the device is stopped");
}

void watch_rest(void)
{
	struct explore_view slot;

	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++) {
		if (explore_view(i, &slot))
			watch_check_rest(i, &slot);
	}
}

void watch_end(void)
{
	memset(watch.live, 0, sizeof(watch.live));
	memory_refresh(watch.live);
	memory_check();
	if (explore_remembers())
		explore_violation("page requests or spaces outlive the client");
}

uint64_t watch_mix(uint64_t sum, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
	return sum;
}

uint64_t watch_sum(void)
{
	uint64_t sum = watch_mix(watch.sum[0], &watch.sum[1], sizeof(watch.sum[1]));

	for (uint32_t i = 0; i < MEMORY_PAGES; i++)
		sum = watch_mix(sum, memory_bytes(i), MEMORY_BYTES);
	return explore_device_sum(sum);
}
