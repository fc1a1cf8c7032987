/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_lanes.c - lanes side by side: a thread for each, one lock for all; see exec_state.h.
 *
 * Nothing but waiting happens without the lock. What a lane waits for may be taken in by another
 * one, which then wakes it by its eventfd. The seed of the program decides how long a lane lets
 * others go first before each of its steps: it does not order anything.
 */
#include "exec_state.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EXEC_PAUSE_BITS 18u	/* ns of the longest pause */
#define EXEC_YIELDS 32u

int exec_lanes_begin(struct exec *exec)
{
	struct exec_lanes *lanes = &exec->lanes;

	pthread_mutex_init(&lanes->lock, NULL);
	pthread_cond_init(&lanes->left, NULL);
	for (uint32_t i = 0; i < PROGRAM_LANES; i++)
		lanes->lane[i] = (struct exec_lane){ .exec = exec, .index = i, .wake = -1 };
	for (uint32_t i = 0; i < PROGRAM_LANES && exec->link.ops->watch; i++) {
		lanes->lane[i].wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (lanes->lane[i].wake < 0)
			return -errno;
	}
	return 0;
}

void exec_lanes_end(struct exec *exec)
{
	struct exec_lanes *lanes = &exec->lanes;

	for (uint32_t i = 0; i < PROGRAM_LANES; i++)
		if (lanes->lane[i].wake >= 0)
			close(lanes->lane[i].wake);
	pthread_cond_destroy(&lanes->left);
	pthread_mutex_destroy(&lanes->lock);
}

/* The lock is free for others between these two. */
static struct exec_lane *exec_lanes_let_go(struct exec *exec)
{
	struct exec_lane *lane = &exec->lanes.lane[exec->lane];

	pthread_mutex_unlock(&exec->lanes.lock);
	return lane;
}

static void exec_lanes_come_back(struct exec_lane *lane)
{
	struct exec *exec = lane->exec;

	pthread_mutex_lock(&exec->lanes.lock);
	exec->lane = lane->index;
	exec->step = lane->at;
}

bool exec_lanes_awaits(const struct exec *exec, uint32_t step)
{
	uint32_t lane = exec->program->step[step].lane;
	uint32_t at = exec->lanes.lane[lane].at;

	if (!exec->lanes.many || step >= exec->lanes.end)
		return step > exec->step;
	return step > at || (step == at && lane != exec->lane);
}

/* Whether a step alters the file behind that handle, or puts another one there. */
static bool exec_lanes_alters(const struct program_step *step, uint32_t handle)
{
	return step->handle == handle &&
	       (step->op == PROGRAM_OPEN || step->op == PROGRAM_TRUNCATE ||
		step->op == PROGRAM_PUNCH || step->op == PROGRAM_FILL);
}

bool exec_lanes_alter(const struct exec *exec, uint32_t handle)
{
	const struct program_step *step = exec->program->step;

	for (uint32_t i = exec->lanes.first; exec->lanes.many && i < exec->lanes.end; i++)
		if (step[i].lane != exec->lane && exec_lanes_alters(&step[i], handle))
			return true;
	return false;
}

bool exec_lanes_resize(const struct exec *exec, const struct program_step *step, uint32_t handle)
{
	bool waits = !(step->properties & (PROGRAM_NOWAIT | PROGRAM_NO_REPLY));
	uint32_t i = exec->lanes.many ? exec->lanes.first : exec->step;

	for (; exec->link.ops->watch && i < exec->program->count; i++) {
		const struct program_step *other = &exec->program->step[i];
		bool beside = exec->lanes.many && i < exec->lanes.end && other->lane != step->lane;

		if (other->op == PROGRAM_TRUNCATE && other->handle == handle &&
		    (beside || (!waits && i > exec->step)))
			return true;
	}
	return false;
}

void exec_lanes_tell(struct exec *exec, uint32_t connection)
{
	const uint64_t one = 1;

	exec->lanes.changes[connection]++;
	for (uint32_t i = 0; i < PROGRAM_LANES && exec->lanes.many; i++) {
		const struct exec_lane *lane = &exec->lanes.lane[i];

		/* It can not be full: who waits has read it. */
		if (lane->waits && lane->connection == connection)
			(void)!write(lane->wake, &one, sizeof(one));
	}
}

bool exec_lanes_wait(struct exec *exec, uint32_t connection, int timeout_ms)
{
	uint64_t before = exec->lanes.changes[connection], woken;
	struct exec_lane *lane = &exec->lanes.lane[exec->lane];
	int fd[CLIENT_CHANNELS];
	int ready;

	exec->link.ops->watch(exec->link.state, connection, fd);
	lane->connection = connection;
	lane->waits = true;
	exec_lanes_let_go(exec);
	ready = poll((struct pollfd[]){
			     { .fd = fd[CLIENT_MAIN], .events = POLLIN },
			     { .fd = fd[CLIENT_TWIN], .events = POLLIN },
			     { .fd = lane->wake, .events = POLLIN },
		     }, 3, timeout_ms);
	exec_lanes_come_back(lane);
	lane->waits = false;
	(void)!read(lane->wake, &woken, sizeof(woken));
	pthread_cond_broadcast(&exec->lanes.left);
	return ready || exec->lanes.changes[connection] != before;
}

static bool exec_lanes_waits_any(const struct exec *exec, uint32_t connection)
{
	for (uint32_t i = 0; i < PROGRAM_LANES; i++)
		if (exec->lanes.lane[i].waits && exec->lanes.lane[i].connection == connection)
			return true;
	return false;
}

void exec_lanes_leave(struct exec *exec, uint32_t connection)
{
	const struct exec_lane *lane = &exec->lanes.lane[exec->lane];

	if (!exec->lanes.many)
		return;
	exec_lanes_tell(exec, connection);
	while (exec_lanes_waits_any(exec, connection))
		pthread_cond_wait(&exec->lanes.left, &exec->lanes.lock);
	exec->lane = lane->index;
	exec->step = lane->at;
}

int exec_lanes_tick(struct exec *exec, uint64_t ms)
{
	struct exec_lane *lane;
	int error;

	if (!exec->lanes.many) {
		error = exec->link.ops->tick(exec->link.state, ms);
	} else {
		lane = exec_lanes_let_go(exec);
		error = exec->link.ops->tick(exec->link.state, ms);
		exec_lanes_come_back(lane);
	}
	exec_passed(exec);
	return error;
}

/* A counter, stirred, as in generate.c. */
static uint32_t exec_lanes_random(struct exec_lane *lane)
{
	uint64_t z = lane->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(z >> 32);
}

/* Others may go first: always for a moment, and as long as the seed says; 0 says nothing. */
static void exec_lanes_pause(struct exec_lane *lane)
{
	uint32_t random = exec_lanes_random(lane), yields = 1;
	struct timespec pause = { 0, 0 };

	if (lane->exec->program->seed && random & 1)
		yields += random >> 8 & (EXEC_YIELDS - 1);
	if (lane->exec->program->seed && (random & 6) == 2)
		pause.tv_nsec = 1L << (random >> 16) % EXEC_PAUSE_BITS;
	exec_lanes_let_go(lane->exec);
	while (yields--)
		sched_yield();
	if (pause.tv_nsec)
		ppoll(NULL, 0, &pause, NULL);
	exec_lanes_come_back(lane);
}

/* The next step of a lane, from `at` on, or the end. */
static uint32_t exec_lanes_next(const struct exec_lane *lane, uint32_t at)
{
	const struct exec *exec = lane->exec;

	while (at < exec->lanes.end && exec->program->step[at].lane != lane->index)
		at++;
	return at;
}

static void *exec_lanes_thread(void *arg)
{
	struct exec_lane *lane = arg;
	struct exec *exec = lane->exec;

	exec_lanes_come_back(lane);
	while (lane->at < exec->lanes.end) {
		exec_lanes_pause(lane);
		if (!exec_goes_on(exec))
			break;
		exec_one(exec);
		lane->at = exec_lanes_next(lane, lane->at + 1);
	}
	lane->at = exec->lanes.end;
	exec_lanes_let_go(exec);
	return NULL;
}

/* Whether the thread of that lane runs. */
static bool exec_lanes_start(struct exec *exec, uint32_t index)
{
	struct exec_lane *lane = &exec->lanes.lane[index];
	uint64_t seed = exec->program->seed;

	lane->random = seed << 32 | exec->step << 8 | index;
	lane->at = exec_lanes_next(lane, exec->step);
	if (lane->at == exec->lanes.end)
		return false;
	if (!pthread_create(&lane->thread, NULL, exec_lanes_thread, lane))
		return true;
	lane->at = exec->lanes.end;
	exec->error = -EAGAIN;
	return false;
}

static uint32_t exec_lanes_count(const struct exec *exec, uint32_t end)
{
	uint32_t used = 0;

	for (uint32_t i = exec->step; i < end; i++)
		used |= 1u << exec->program->step[i].lane;
	return (uint32_t)__builtin_popcount(used);
}

uint32_t exec_lanes_run(struct exec *exec)
{
	bool runs[PROGRAM_LANES];
	uint32_t end = exec->step;

	if (!exec->link.ops->watch)
		return 0;
	while (end < exec->program->count && exec->program->step[end].op != PROGRAM_BARRIER)
		end++;
	if (exec_lanes_count(exec, end) < 2)
		return 0;
	exec->lanes.first = exec->step;
	exec->lanes.end = end;
	exec->lanes.many = true;
	/* So that all begin together, and know of each other. */
	pthread_mutex_lock(&exec->lanes.lock);
	for (uint32_t i = 0; i < PROGRAM_LANES; i++)
		runs[i] = exec_lanes_start(exec, i);
	pthread_mutex_unlock(&exec->lanes.lock);
	for (uint32_t i = 0; i < PROGRAM_LANES; i++)
		if (runs[i])
			pthread_join(exec->lanes.lane[i].thread, NULL);
	exec->lanes.many = false;
	return end - exec->lanes.first;
}
