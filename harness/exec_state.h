/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_state.h - what the parts of exec share: a run, its connections, and what each is asked.
 *
 * exec.c goes through the steps; exec_lanes.c does so side by side; exec_connection.c takes in what
 * comes; exec_judge.c says what is wrong with it; exec_send.c sends; exec_reply.c answers the
 * server, exec_pages.c its page requests; exec_map.c knows what is mapped; exec_file.c is about
 * descriptors, exec_guard.c about memory that was unmapped, exec_door.c about slots of the device.
 *
 * While lanes run side by side, who calls any of this holds the lock of the run. It is let go in
 * exec_lanes.c alone, while a lane waits; `lane` and `step` are those of who holds it.
 */
#ifndef EXEC_STATE_H
#define EXEC_STATE_H

#include <pthread.h>
#include <signal.h>

#include "arena.h"
#include "envelope.h"
#include "exec.h"
#include "pack.h"

#define EXEC_BATCH 256u			/* messages of a repeated step that go out at once */
#define EXEC_BATCH_BYTES (256u << 10)
#define EXEC_MAPS 4096u			/* mappings whose bytes are known */
#define EXEC_BYTES (PACK_MESSAGE + EXEC_BATCH_BYTES)
#define EXEC_REGIONS 16u		/* whose sizes are known */
#define EXEC_REQUESTS 256u		/* of the server that wait for an answer */
#define EXEC_COOKIES (PROGRAM_COOKIE_LAST - PROGRAM_COOKIE_0 + 1u)

/* A mapping: where the bytes of [address, address + size) are. */
struct exec_map {
	uint64_t address;
	uint64_t size;
	uint64_t offset;
	struct arena_fd *file;		/* NULL: it came without one */
	uint64_t space;			/* PASID + 1; 0 = none */
	uint32_t flags;			/* of its message, with the vIOMMU extension; else 0 */
};

/* What a DMA_READ or DMA_WRITE is about. */
struct exec_access {
	uint64_t space;
	uint64_t address;
	uint64_t count;
};

/* A page request without response. */
struct exec_page {
	struct message *message;
	uint32_t cookie;
	uint32_t step;			/* that it came with */
	uint8_t how;			/* enum program_pages, never RANDOM */
};

/* A command that was sent and not answered yet. */
struct exec_asked {
	uint16_t id;
	uint16_t command;
	uint16_t step;
	uint8_t channel;
	bool must;			/* it has to be answered */
	bool done;
	bool aside;			/* not the message of its step */
	struct exec_map map;		/* what DMA_MAP and DMA_UNMAP are about */
};

/* The step that has used an id last, in the run with that number. */
struct exec_origin {
	uint32_t run;
	uint32_t step;
};

struct exec_connection {
	bool open;
	bool ended;			/* nothing more will come */
	bool broke;			/* what we sent is no sequence of messages any more */
	bool twin;
	bool second;			/* beside another one: need not be served (CONN-SOCK-004) */
	bool served;			/* something has come */
	bool divided;			/* a message went out in pieces */
	bool hung;
	bool slot;			/* the device was told to do something */
	uint16_t next_id;
	uint64_t number;		/* of all connections that were made */
	struct model *model;
	struct envelope *envelope;
	uint32_t model_taken;		/* findings that were taken over */
	uint32_t envelope_taken;
	struct exec_asked *asked;	/* what is in front of `head` is done */
	size_t head;
	size_t count;
	size_t room;
	size_t must;			/* of them, to be answered and not yet done */
	size_t mine[PROGRAM_LANES];	/* of those, sent by the step that runs in a lane */
	struct message_queue requests;
	uint32_t nrequests;
	struct exec_map *map;		/* room for EXEC_MAPS */
	uint32_t nmaps;
	bool unmapped;			/* there were more than that */
	struct exec_page *page;		/* room for EXEC_REQUESTS, the oldest first */
	uint32_t npages;
	struct {
		uint64_t random;
		uint32_t last;		/* cookie */
		uint32_t came;		/* requests, other ones, */
		uint32_t others;
		uint32_t cookie[EXEC_COOKIES];	/* and those of the first */
		uint8_t how;		/* enum program_pages */
		uint8_t handle;		/* of the file that pages are taken from, if `filed` */
		bool filed;
	} pages;
	struct {
		bool open;
		int fd;
		uint64_t at;		/* in that file */
	} door;
	bool flooded;			/* there were more requests than are kept, or answered */
	uint64_t region_size[EXEC_REGIONS];
	uint32_t max_fds;		/* what was announced to the server */
	struct exec_origin *origin;	/* by id; kept over all runs */
};

/* What a handle stands for: nothing, a descriptor, or the socket of a connection. */
struct exec_handle {
	struct arena_fd *file;
	bool self;
	uint8_t connection;
};

/* A lane, which has a thread while several run side by side. */
struct exec_lane {
	struct exec *exec;
	uint32_t index;
	uint32_t at;			/* its step that runs; `end` when there is none left */
	uint64_t random;
	pthread_t thread;
	int wake;			/* eventfd */
	bool waits;			/* for something to come */
	uint32_t connection;		/* by this one */
};

/* What is beyond the steps of one lane; all but `many` is for as long as that is true. */
struct exec_lanes {
	bool many;			/* lanes run side by side; others only read it meanwhile */
	uint32_t first;			/* of the steps that do, */
	uint32_t end;			/* and the one behind them */
	pthread_mutex_t lock;
	pthread_cond_t left;		/* a lane waits no longer */
	uint64_t changes[PROGRAM_CONNECTIONS];	/* something came, or it ended */
	struct exec_lane lane[PROGRAM_LANES];
};

#define EXEC_GUARDS 64u			/* pieces of files with canaries */

/* Bytes of a file that were unmapped and are not to change; those of a file are found by it. */
struct exec_guard {
	struct arena_fd *file;		/* NULL: none */
	uint64_t offset;
	uint64_t size;			/* 0: the file has had mappings whose end is not known */
	uint32_t connection;
	uint32_t step;			/* that unmapped it */
};

#define EXEC_FDS (PROGRAM_FDS * UINT8_MAX)	/* the most that a message of a program can have */

/* The descriptors of a message. */
struct exec_passed {
	struct arena_fd *first;		/* behind the first of them; NULL for a socket of ours */
	int32_t fd[EXEC_FDS];
	struct model_fd known[EXEC_FDS];
};

struct exec {
	struct exec_link link;
	struct exec_options options;
	struct verdict *verdict;
	struct arena *arena;
	const struct program *program;
	uint32_t run;			/* number of the run, never 0 */
	uint32_t step;			/* that runs */
	uint32_t lane;			/* of it */
	struct exec_lanes lanes;
	volatile sig_atomic_t interrupted;
	int error;			/* this side failed */
	bool hung;
	uint64_t made;			/* connections */
	uint32_t answered;		/* requests that no step has answered */
	bool talked;			/* a connection has been made in this run */
	uint32_t stuck;			/* step at which the server left, or did not answer */
	bool held;			/* a slot of the test device may hold things up */
	bool drains;			/* for longer than a server may wait */
	bool doors;			/* a step of the program uses the side door */
	bool guards;			/* canaries where something was unmapped */
	struct exec_guard guard[EXEC_GUARDS];
	uint32_t nguards;
	bool unguarded;			/* there were more than that */
	struct exec_handle handle[PROGRAM_HANDLES];
	struct exec_connection connection[PROGRAM_CONNECTIONS];
	uint8_t *bytes;			/* EXEC_BYTES */
	struct exec_passed passed;	/* with the message that is on its way */
	uint64_t sent;
	uint64_t received;
	uint32_t findings;
	struct exec_finding kept[EXEC_FINDINGS];
};

/* ---- exec.c ---- */

/* Whether there are steps to be done as far as it can be told. */
bool exec_goes_on(const struct exec *exec);

/* Does the step that runs, and sees what came by itself meanwhile. */
void exec_one(struct exec *exec);

/* ---- exec_lanes.c ---- */

/* Before and after all runs. 0 or -errno. */
int exec_lanes_begin(struct exec *exec);
void exec_lanes_end(struct exec *exec);

/*
 * From the step on that is next, those that lanes do side by side, up to a barrier, are done:
 * their number, 0 if the next one is to be done by itself.
 */
uint32_t exec_lanes_run(struct exec *exec);

/* Whether a step, which is no later than its lane is, has still to be done or is being done. */
bool exec_lanes_awaits(const struct exec *exec, uint32_t step);

/* Whether another lane runs beside this one and alters that file. */
bool exec_lanes_alter(const struct exec *exec, uint32_t handle);

/*
 * Whether the size of a file may be another one when a message of the step that runs is executed:
 * another lane truncates it, or a later step does and nobody waits before.
 */
bool exec_lanes_resize(const struct exec *exec, const struct program_step *step, uint32_t handle);

/* A connection has changed: lanes that wait for it look again. */
void exec_lanes_tell(struct exec *exec, uint32_t connection);

/* Waits until something may have come on it, or it has changed: false after that many ms. */
bool exec_lanes_wait(struct exec *exec, uint32_t connection, int timeout_ms);

/* No lane waits for that connection any more, which has ended. */
void exec_lanes_leave(struct exec *exec, uint32_t connection);

/* Time passes. 0 or what the link says. */
int exec_lanes_tick(struct exec *exec, uint64_t ms);

/* ---- exec_connection.c ---- */

/* Makes connection `index`, which is closed; 0; what the link says; -ENOMEM. */
int exec_open(struct exec *exec, uint32_t index);

/* Time has passed, or may have. */
void exec_passed(struct exec *exec);

/* Closes it, and forgets what belongs to it. One that is closed is fine. */
void exec_shut(struct exec *exec, uint32_t index);

/*
 * Takes in one message, waiting that long. 1, also when another lane did; 0 when none came or the
 * connection has ended.
 */
int exec_receive(struct exec *exec, uint32_t index, int timeout_ms);

/* Takes in what comes until nothing does for a while. */
void exec_lull(struct exec *exec, uint32_t index);

/* Takes in whatever has come. */
void exec_drain(struct exec *exec, uint32_t index);

/*
 * Waits until *count is 0: for replies, answering what the server asks in between. Gives up when
 * the connection has ended, or the server waits for an answer that a later step gives.
 */
void exec_await(struct exec *exec, uint32_t index, const size_t *count);

/* Answers what no later step answers. */
void exec_serve(struct exec *exec, uint32_t index);

/* Waits until the server closes the connection, or it can be said that it does not. */
void exec_await_end(struct exec *exec, uint32_t index);

/* A VERSION with that body goes out; `silent`: without reply. */
void exec_announced(struct exec_connection *connection, const uint8_t *body, size_t size,
		    bool silent);

/* Enters a command that was sent; false without memory. */
bool exec_ask(struct exec *exec, uint32_t index, const struct exec_asked *asked);

/* ---- exec_judge.c ---- */

/* A finding of our own, or one that was taken over; requirement "" for none. */
void exec_blame(struct exec *exec, uint32_t index, const struct model_finding *finding,
		uint32_t step);
void exec_blame_text(struct exec *exec, uint32_t index, const char *code, const char *text);

/* Takes over what the model has found since the last time. */
void exec_take(struct exec *exec, uint32_t index);

/* What the envelope checker says of a message that came, which belongs to `step`. */
void exec_check_envelope(struct exec *exec, uint32_t index, const struct message *message,
			 uint32_t step);

/* Is a reply what its step expects? */
void exec_expect(struct exec *exec, uint32_t index, const struct exec_asked *asked,
		 const struct message *message);

/* Commands that expected the end of the connection have what they want; others do not. */
void exec_expect_end(struct exec *exec, uint32_t index);

/* The step that has sent the command with that id, in the run; the one that runs, if none has. */
uint32_t exec_step_of(const struct exec *exec, uint32_t index, uint16_t id);

/* ---- exec_send.c ---- */

/* SEND, RAW, SLOT and POKE: sends, and waits for what the step waits for. 0 or -errno of ours. */
int exec_send(struct exec *exec, const struct program_step *step);

/* Sends the first `size` of exec->bytes, a message of `step`, and tells who judges. */
void exec_deliver(struct exec *exec, const struct program_step *step, uint32_t channel,
		  size_t size);

/* What the next message of a connection takes from it. */
void exec_pack_context(const struct exec *exec, uint32_t index, struct pack_context *out);

/* ---- exec_reply.c ---- */

/* A command of the server came; it is the connection's from now on. */
void exec_request(struct exec *exec, uint32_t index, struct message *message);

/* Answers the one that has waited longest, rightly. */
void exec_answer(struct exec *exec, uint32_t index);

/* REPLY: as the step says. */
int exec_reply(struct exec *exec, const struct program_step *step);

/* ---- exec_map.c ---- */

/* The space of an attribute word. */
uint64_t exec_space(uint32_t attr);

/* The mapping that `address` is in, or NULL. */
struct exec_map *exec_map_at(const struct exec_connection *connection, uint64_t space,
			     uint64_t address);

/* What a DMA_MAP or DMA_UNMAP that goes out is about; any other message leaves *out as it is. */
void exec_map_of(const struct exec *exec, uint32_t index, const struct model_message *message,
		 struct exec_map *out);

/* Moves what a request asks for: to `in`, or from `from`. 0, or a positive errno for the server. */
uint32_t exec_move(const struct exec_connection *connection, struct exec_access access,
		   uint8_t *in, const uint8_t *from);

/* ---- exec_pages.c ---- */

/* A page request came; it is the connection's from now on. */
void exec_page_came(struct exec *exec, uint32_t index, struct message *message);

/* A response with that cookie goes out. */
void exec_page_answered(struct exec_connection *connection, uint32_t cookie);

/* The cookie of the oldest one without response; of the last, if there is none; 0. */
uint32_t exec_page_cookie(const struct exec_connection *connection);

/* Where a step names one that has not come: waits for it. */
void exec_page_await(struct exec *exec, const struct program_step *step);

/* Waits until so many have come, and so many requests of other kinds; whether they have. */
bool exec_requests_wait(struct exec *exec, uint32_t index, const uint64_t count[2]);

/* PAGES. */
void exec_pages(struct exec *exec, const struct program_step *step);

/* Answers those that are to be answered by themselves. */
void exec_pages_serve(struct exec *exec, uint32_t index);

/* The end of a connection. */
void exec_pages_forget(struct exec_connection *connection);

/* A command about a mapping has succeeded. */
void exec_mapped(struct exec *exec, uint32_t index, const struct exec_asked *asked);

/* ---- exec_guard.c ---- */

/* What a message is about to do to files: those that it maps are not guarded any more. */
void exec_guard_passes(struct exec *exec, const struct program_step *step);

/* The program itself is about to alter a file. */
void exec_guard_alters(struct exec *exec, const struct arena_fd *file);

/* A DMA_UNMAP has succeeded; the mapping is not among those of the connection any more. */
void exec_guard_unmapped(struct exec *exec, uint32_t index, const struct exec_asked *asked,
			 const struct exec_map *map);

/* Mappings of a connection are there no longer, or nobody knows. */
void exec_guard_forgets(struct exec *exec, const struct exec_connection *connection);

/* The end of a run: nothing may have changed. */
void exec_guard_end(struct exec *exec);

/* ---- exec_door.c ---- */

/* A reply came to DEVICE_GET_REGION_INFO: of region 2 it has the side door. */
void exec_door_came(struct exec *exec, uint32_t index, struct message *message);

/* The end of a connection. */
void exec_door_close(struct exec_connection *connection);

/* DOOR. */
void exec_door(struct exec *exec, const struct program_step *step);

/* ---- exec_file.c ---- */

/* OPEN, CLOSE, TRUNCATE, PUNCH, FILL, CHECK. 0; -errno of ours. */
int exec_file(struct exec *exec, const struct program_step *step);

/* The descriptors of a step, those of them that are there; their number. */
size_t exec_fds(const struct exec *exec, const struct program_step *step, struct exec_passed *out);

#endif
