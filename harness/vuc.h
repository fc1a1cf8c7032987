/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vuc.h - the C interface of libvuc.so, the harness of the vfio-user conformance suite.
 *
 * Six parts, used in this order: the schema (what each message looks like), the client (one
 * connection to a server), the target (the process that serves it), the oracles (evidence
 * outside the messages), what the envelope checker and the model found, and floods. Python mirrors
 * this file in vuc/_abi.py; a test compares the two field by field.
 *
 * Conventions. Functions return 0 or a count on success and a negative errno on failure; errno
 * is not used. Times are milliseconds and relative; a timeout of 0 asks once without waiting.
 * Handles are freed by their own function, which accepts NULL; a handle is used by one thread at a
 * time. A descriptor that is passed in stays the caller's; one that is handed out is said to be
 * the caller's or the handle's. All protocol fields are in host byte order. Sizes are bytes.
 */
#ifndef VUC_H
#define VUC_H

#include <stddef.h>
#include <stdint.h>

#define VUC_ABI_VERSION 1
#define VUC_EXPORT __attribute__((visibility("default")))

/* The VUC_ABI_VERSION that the library was built with; refuse to run with another one. */
VUC_EXPORT uint32_t vuc_abi_version(void);

/* ---- schema: every message and field of the protocol, one row each ---- */

/* What a field means; encoder, printer and the grid of wrong shapes go by it. */
enum vuc_role {
	VUC_ROLE_VALUE = 0,	/* a plain number */
	VUC_ROLE_ARGSZ = 1,	/* largest reply payload; DMA_MAP, SET_IRQS: own size */
	VUC_ROLE_FLAGS = 2,	/* bits named by `constants` */
	VUC_ROLE_INDEX = 3,	/* a region, interrupt or feature index */
	VUC_ROLE_COUNT = 4,	/* a number of things, from a START field on or behind the fields */
	VUC_ROLE_START = 5,	/* first of COUNT things */
	VUC_ROLE_LENGTH = 6,	/* number of data bytes to transfer, or that follow */
	VUC_ROLE_OFFSET = 7,	/* byte offset in a region or file */
	VUC_ROLE_IOVA = 8,	/* guest address */
	VUC_ROLE_SIZE = 9,	/* size of an address range */
	VUC_ROLE_RESERVED = 10,	/* zero in well-formed messages */
	VUC_ROLE_DATA = 11,	/* variable tail; width 0, at most one per message, always last */
};

/*
 * Structures that stand inside a tail (capabilities, sparse areas, payloads of DEVICE_FEATURE and
 * so on) have rows under pseudo-commands from this number on, named after the structure. Their
 * fields are request fields with offsets from the start of the structure, request_size is its
 * size, the rest is 0. They never appear in a header: leave them out when going over all commands.
 */
#define VUC_NESTED 0x10000

/*
 * Commands from this number on are those of the vIOMMU extension, which a server that did not
 * negotiate it does not know: leave them out when going over the commands of the specification.
 */
#define VUC_EXTENSION 100

enum vuc_direction {
	VUC_TO_SERVER = 0,
	VUC_TO_CLIENT = 1,
};

struct vuc_command {
	const char *name;	/* as in the specification, without prefix: "DMA_MAP" */
	uint32_t number;
	uint32_t direction;	/* enum vuc_direction of the request */
	uint32_t request_size;	/* fixed part of the request payload */
	uint32_t reply_size;	/* fixed part of the reply payload */
	uint32_t request_fds;	/* most descriptors that a well-formed request carries */
	uint32_t reply_fds;	/* most descriptors that a well-formed reply carries */
};

struct vuc_field {
	const char *name;
	const char *constants;	/* name of the set of constants that it takes, or NULL */
	uint32_t command;	/* number; 0 = the message header */
	uint32_t in_reply;	/* 0 = field of the request, 1 = of the reply */
	uint32_t offset;	/* from the end of the header; of the header: from its start */
	uint32_t width;		/* 1, 2, 4 or 8; 0 = the variable tail */
	uint32_t role;		/* enum vuc_role */
};

struct vuc_constant {
	const char *set;	/* "DMA_MAP_FLAGS" */
	const char *name;	/* "READ" */
	uint64_t value;
};

/* Each returns the number of rows and points `out` at a table, which is the library's. */
VUC_EXPORT size_t vuc_commands(const struct vuc_command **out);
VUC_EXPORT size_t vuc_fields(const struct vuc_field **out);
VUC_EXPORT size_t vuc_constants(const struct vuc_constant **out);

/* ---- client: one connection, with an optional twin socket ---- */

#define VUC_MAX_FDS 253		/* SCM_MAX_FD of the kernel: most descriptors of one sendmsg */

enum vuc_channel {
	VUC_MAIN = 0,
	VUC_TWIN = 1,
};

/* One piece of a message that is sent by a sendmsg of its own. */
struct vuc_part {
	uint32_t end;		/* the piece ends before this byte of the message */
	uint32_t nfds;		/* it carries the next nfds descriptors */
};

enum vuc_send_flags {
	/* Between two pieces wait until the server has read the former (bounded by the timeout), so
	 * that it really meets the fragments one by one. */
	VUC_SEND_PACED = 1,
	/* A reply may come or not (malformed header, connection that may be closed): the envelope
	 * checker accepts both. Without it a command without No_reply must be answered. */
	VUC_SEND_MAYBE = 2,
};

struct vuc_message {
	uint16_t id;
	uint16_t command;
	uint32_t msg_size;	/* header included */
	uint32_t flags;
	uint32_t error;
	const uint8_t *body;	/* msg_size - 16 bytes, owned by the message */
	const int32_t *fds;	/* owned by the message; -1 where taken */
	uint32_t nfds;
	uint32_t channel;	/* enum vuc_channel it came by */
};

struct vuc_client;

/*
 * Connect to a listening socket, waiting while its backlog is full. -ETIMEDOUT, -ENOENT,
 * -ECONNREFUSED, -ENAMETOOLONG as the kernel says. vuc_client_adopt takes over a connected socket,
 * on success only: the descriptor is the client's from then on.
 */
VUC_EXPORT int vuc_client_connect(const char *path, int timeout_ms, struct vuc_client **out);
VUC_EXPORT int vuc_client_adopt(int fd, struct vuc_client **out);
VUC_EXPORT void vuc_client_free(struct vuc_client *client);

/* Take over `fd` as the twin socket of the connection (server-to-client commands). -EBUSY twice. */
VUC_EXPORT int vuc_client_adopt_twin(struct vuc_client *client, int fd);

/* The socket of a channel, still the client's; -ENOTCONN without it. For poll(), shutdown(). */
VUC_EXPORT int vuc_client_fd(const struct vuc_client *client, uint32_t channel);

/*
 * What this side announces as max_msg_fds, to be told before VERSION is sent: most descriptors that
 * a message may carry from then on; 1 until then (FD-PASS-006).
 */
VUC_EXPORT void vuc_client_set_max_fds(struct vuc_client *client, uint32_t max_msg_fds);

/*
 * How many pages the negotiation lets the server ask for at a time (page_requests of the vIOMMU
 * extension). 0, as until then: a PAGE_REQUEST is no command that a server may send.
 */
VUC_EXPORT void vuc_client_set_page_requests(struct vuc_client *client, uint32_t pages);

/*
 * The poc dialect of that extension is spoken: the server may ask for pages by its command, 100.
 */
VUC_EXPORT void vuc_client_set_poc(struct vuc_client *client);

/*
 * 0 when the server has read all that was sent on the main channel. What is left is measured in
 * memory of the kernel, of which a byte that is sent alone takes several hundred.
 */
VUC_EXPORT int vuc_client_unread(const struct vuc_client *client);

/*
 * Send `size` bytes and `nfds` descriptors, in the given pieces; nparts 0 = one piece with all
 * descriptors on its first byte. The bytes are sent as they are, however wrong. All whole
 * messages in the bytes, which begin with a header, are entered with the envelope checker; with
 * VUC_SEND_MAYBE also a last header with a wrong msg_size or with a body that is not all there.
 * While it waits it takes in what the server sends, so that neither waits for the other. Returns 0;
 * -EPIPE when the server has closed (ECONNRESET and EOF are the same event; what it sent before can
 * still be received); -ETIMEDOUT when it does not read; -EINVAL for no bytes, parts that do not add
 * up, or one with more than VUC_MAX_FDS descriptors; -ENOTCONN without that channel.
 */
struct vuc_send {
	const void *bytes;
	size_t size;
	const int32_t *fds;
	size_t nfds;
	const struct vuc_part *parts;
	size_t nparts;
	uint32_t channel;
	uint32_t flags;
	int32_t timeout_ms;
};
VUC_EXPORT int vuc_client_send(struct vuc_client *client, const struct vuc_send *what);

/*
 * Receive the next message of a channel, whatever it is. Returns 1 and a message to be freed by
 * vuc_message_free; 0 when the server has closed (cleanly or not) with nothing left to read;
 * -ETIMEDOUT; -EPROTO when framing is lost (msg_size below the header or beyond 64 MiB, EOF inside
 * a message); -ENOBUFS when other messages of 128 MiB are kept; -EMFILE when this process could not
 * take in the descriptors.
 */
VUC_EXPORT int vuc_client_recv(struct vuc_client *client, uint32_t channel, int timeout_ms,
			       struct vuc_message **out);

/*
 * The same for the reply to (id, command), or for the next command that the server sends, on any
 * channel. Other messages that come meanwhile are kept, in order, for the calls that ask for them.
 * The end of the main channel ends replies; the end of the twin, if there is one, commands.
 */
VUC_EXPORT int vuc_client_recv_reply(struct vuc_client *client, uint16_t id, uint16_t command,
				     int timeout_ms, struct vuc_message **out);
VUC_EXPORT int vuc_client_recv_request(struct vuc_client *client, int timeout_ms,
				       struct vuc_message **out);

/* Take descriptor `index` out of the message: the caller's from then on. -ENOENT without it. */
VUC_EXPORT int vuc_message_take_fd(struct vuc_message *message, uint32_t index);

/* Free the message and close the descriptors that were not taken. */
VUC_EXPORT void vuc_message_free(struct vuc_message *message);

/*
 * The envelope checker judges every message that the client receives: framing, type, echo of id
 * and command, exactly one reply, flags, header-only errors, errno range, number of descriptors.
 */
struct vuc_violation {
	char code[48];		/* "envelope.error-with-payload" */
	char requirement[24];	/* "HDR-ERR-005" */
	char text[200];		/* what came and what was allowed */
};

/* Number of violations so far; fills *out with number `index` if it is one of the first 64. */
VUC_EXPORT uint32_t vuc_client_violation(const struct vuc_client *client, uint32_t index,
					 struct vuc_violation *out);

/* Number of commands that still wait for their reply (those sent with VUC_SEND_MAYBE excluded). */
VUC_EXPORT uint32_t vuc_client_outstanding(const struct vuc_client *client);

/* Say on the main socket that nothing more comes, and keep receiving. -ENOTCONN. */
VUC_EXPORT int vuc_client_shutdown(struct vuc_client *client);

/*
 * From now on, which has to be before anything was sent, a model of the protocol judges every
 * exchange of the connection: which outcomes the specification allows in the state that those
 * before have left, and what the reply holds. `strict` names the ambiguities that it reads strictly
 * ("D1"), NULL behind the last. -EBUSY when it does already; -EINVAL for an unknown name.
 */
VUC_EXPORT int vuc_client_judged(struct vuc_client *client, const char *const *strict);

/* Messages go over the sockets that the client does not see: the model judges no more. */
VUC_EXPORT void vuc_client_unjudged(struct vuc_client *client);

/*
 * From now on, which has to be before anything was sent, what goes over the connection is written
 * down as a program (corpus/README.md). -EBUSY when it is already.
 */
VUC_EXPORT int vuc_client_recorded(struct vuc_client *client);

/*
 * The text of the program, to be asked for when nothing more is sent, with a NUL; a comment at its
 * end says what it had no room for. The length without the NUL, 0 when nothing was written down;
 * -ENOSPC, never with VUC_PROGRAM_SIZE.
 */
#define VUC_PROGRAM_SIZE 0x100000
VUC_EXPORT int vuc_client_program(struct vuc_client *client, char *text, size_t size);

struct vuc_finding {
	char code[48];		/* "reply.unexpected-success": as a failed case would say */
	char requirement[24];	/* "DMA-MAP-005" */
	char text[240];		/* what was allowed and what came */
	uint16_t id;		/* of the message */
	uint16_t command;
};

/* Number of findings so far; fills *out with number `index` if it is one of the first 64. */
VUC_EXPORT uint32_t vuc_client_finding(const struct vuc_client *client, uint32_t index,
				       struct vuc_finding *out);

/* ---- target: the process under test ---- */

struct vuc_target;

enum vuc_target_phase {
	VUC_TARGET_RUNNING = 0,
	VUC_TARGET_EXITED = 1,	/* status = exit code */
	VUC_TARGET_KILLED = 2,	/* status = signal */
	VUC_TARGET_GONE = 3,	/* not our child: it is dead and nobody can tell how */
	VUC_TARGET_UNKNOWN = 4,	/* attached to a descriptor: there is no process to look at */
};

struct vuc_target_state {
	uint32_t phase;
	int32_t status;
	int32_t pid;		/* of the process that listens, 0 if unknown */
	uint32_t sanitizer;	/* 1 when its log holds a sanitizer report */
};

struct vuc_start {
	const char *const *argv;	/* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *env;		/* NULL-terminated "NAME=value" additions; may be NULL */
	const char *socket_path;	/* where it will listen; NULL if it is handed descriptors */
	const char *log_path;		/* stdout and stderr go here, appended */
	const int32_t *fds;		/* descriptors that it inherits under the same numbers */
	size_t nfds;
	int64_t limit_nofile;		/* RLIMIT_NOFILE, -1 = leave */
};

/*
 * Start the server in a process group of its own, with SIGKILL as its parent-death signal. The
 * call returns once the program has been executed (-ENOENT, -EACCES when it can not be).
 */
VUC_EXPORT int vuc_target_start(const struct vuc_start *what, struct vuc_target **out);

/* Attach to a server that listens on `path` already. It is not stopped when the target is freed. */
VUC_EXPORT int vuc_target_attach(const char *path, struct vuc_target **out);

/*
 * Wait, without connecting and without sleeping, until somebody listens on the socket path.
 * 0; -ETIMEDOUT; -ESRCH when the process has ended before.
 */
VUC_EXPORT int vuc_target_wait_ready(struct vuc_target *target, int timeout_ms);

/* Wait until the process has ended: 0 or -ETIMEDOUT. */
VUC_EXPORT int vuc_target_wait_exit(struct vuc_target *target, int timeout_ms);
VUC_EXPORT int vuc_target_state(struct vuc_target *target, struct vuc_target_state *out);
VUC_EXPORT int vuc_target_signal(struct vuc_target *target, int signo);

/* SIGTERM, then SIGKILL to the process group after the timeout; fills `out` with how it ended. */
VUC_EXPORT int vuc_target_stop(struct vuc_target *target, int timeout_ms,
			       struct vuc_target_state *out);

/* Stop at once if it is still running, reap, remove the socket file that it left behind, free. */
VUC_EXPORT void vuc_target_free(struct vuc_target *target);

/*
 * Where the threads of the process are: user stacks where gdb or eu-stack is there, else kernel
 * stacks and wait channels. Returns the length of the text, cut to size - 1 and NUL-terminated.
 */
VUC_EXPORT int vuc_target_stacks(struct vuc_target *target, char *text, size_t size);

struct vuc_resources {
	int64_t fds;
	int64_t vmas;
	int64_t threads;
	int64_t rss_anon_kib;
	int64_t rss_file_kib;
	int64_t rss_shmem_kib;
	int64_t page_tables_kib;
	int64_t cpu_ms;		/* user and system time so far */
};

/* What the process holds now, from /proc. -ESRCH, -EACCES; -ENOTSUP without a process. */
VUC_EXPORT int vuc_target_resources(struct vuc_target *target, struct vuc_resources *out);

/* ---- oracles: what the server holds, told by the kernel to the client ---- */

enum vuc_oracle {
	VUC_ORACLE_LEASE = 1,
	VUC_ORACLE_SEAL = 2,
	VUC_ORACLE_PIPE = 4,
};

/*
 * Try each oracle on a helper process that holds and releases a descriptor and a mapping on
 * command. Returns the mask of oracles that told the truth on this kernel; `why` says what the
 * others did.
 */
VUC_EXPORT int vuc_oracle_selftest(char *why, size_t size);

/*
 * Guest memory with an oracle: a memfd of `size` bytes of which one description is passed (`fd`)
 * and another kept. Ask vuc_memory_held only for memory with exactly one live mapping on one
 * connection, after a reply, and after vuc_memory_close_fd: F_SETLEASE answers EAGAIN while any
 * process has a descriptor or a mapping of it (DMA-UNMAP-005). vuc_memory_mapped is the second
 * opinion by F_ADD_SEALS (EBUSY while a shared mapping is left); a seal can not be taken back, so
 * it ends the use of the memory. Contents are read and written by pread and pwrite, never through
 * a mapping.
 */
struct vuc_memory;
VUC_EXPORT int vuc_memory_create(uint64_t size, struct vuc_memory **out);
VUC_EXPORT void vuc_memory_free(struct vuc_memory *memory);
VUC_EXPORT int vuc_memory_fd(struct vuc_memory *memory);	/* to pass; still the memory's */
VUC_EXPORT void vuc_memory_close_fd(struct vuc_memory *memory);	/* our copy of what was passed */
VUC_EXPORT int vuc_memory_held(struct vuc_memory *memory);	/* 1, 0, -errno */
VUC_EXPORT int vuc_memory_mapped(struct vuc_memory *memory);	/* 1, 0, -errno */
VUC_EXPORT int vuc_memory_read(struct vuc_memory *memory, uint64_t offset, void *data, size_t size);
VUC_EXPORT int vuc_memory_write(struct vuc_memory *memory, uint64_t offset, const void *data,
				size_t size);
/* Fill with the pattern byte i = (seed + i * 0x9d) & 0xff; count the bytes that differ from it. */
VUC_EXPORT int vuc_memory_fill(struct vuc_memory *memory, uint32_t seed);
VUC_EXPORT int64_t vuc_memory_differs(struct vuc_memory *memory, uint32_t seed);
VUC_EXPORT int vuc_memory_truncate(struct vuc_memory *memory, uint64_t size);

/*
 * A pipe whose write end is passed where the server has no use for it (FD-PASS-003..007): the
 * read end hangs up when the last copy is closed.
 */
struct vuc_probe;
VUC_EXPORT int vuc_probe_create(struct vuc_probe **out);
VUC_EXPORT void vuc_probe_free(struct vuc_probe *probe);
VUC_EXPORT int vuc_probe_fd(struct vuc_probe *probe);		/* to pass; still the probe's */
VUC_EXPORT void vuc_probe_close_fd(struct vuc_probe *probe);	/* our copy of what was passed */
/* 1 when nobody holds the write end any more, 0 when somebody does after the timeout. */
VUC_EXPORT int vuc_probe_released(struct vuc_probe *probe, int timeout_ms);
/* Number of bytes that came through the pipe (an interrupt signalled into it writes 8). */
VUC_EXPORT int64_t vuc_probe_bytes(struct vuc_probe *probe);

/* ---- floods: one message very many times, and an honest client beside it ---- */

#define VUC_FLOOD_ERRORS 8	/* different errnos that are told apart */
#define VUC_FLOOD_BUCKETS 160	/* of a histogram: four for each power of two of nanoseconds */

enum vuc_flood_flags {
	/* Replies are not read; the run ends with -EAGAIN when nothing more fits. */
	VUC_FLOOD_UNREAD = 1,
	/* The run ends with -ECANCELED behind the first reply that is an error. */
	VUC_FLOOD_STOP = 2,
};

/* A field of the message: base + step * i, i its number, or that scattered, modulo period. */
struct vuc_flood_stride {
	uint32_t offset;	/* from the start of the message */
	uint32_t width;		/* 1, 2, 4 or 8 */
	uint64_t base;
	uint64_t step;
	uint64_t period;	/* 0 = none */
	uint32_t scatter;	/* 1: neighbours are far apart, none comes twice in 2^k = period */
	uint32_t reserved;
};

struct vuc_flood_spec {
	const void *message;	/* the template, header included; its id is the number */
	uint32_t size;
	uint32_t window;	/* most messages without a reply, 1 to 32768 */
	uint64_t first;		/* the number of the first message */
	uint64_t count;
	const struct vuc_flood_stride *strides;	/* at most 4 */
	uint32_t nstrides;
	uint32_t flags;		/* enum vuc_flood_flags */
	const int32_t *fds;	/* are passed in turns; a multiple of `each` */
	uint32_t nfds;
	uint32_t each;		/* descriptors of one message, at most VUC_MAX_FDS */
	uint64_t memfd_size;	/* above 0: a new memfd of this size with each message instead */
	int32_t timeout_ms;	/* silence after which the server is given up */
	uint32_t reserved;
};

struct vuc_flood_error {
	uint64_t count;
	uint32_t error;
	uint32_t reserved;
};

struct vuc_flood_result {
	uint64_t sent;		/* messages of this run */
	uint64_t succeeded;	/* replies of this and of former runs */
	uint64_t refused;
	uint64_t first_refused;	/* number of that message; ~0 = none */
	uint64_t commands;	/* of the server; they are not answered */
	uint64_t bytes;		/* that were received */
	uint64_t elapsed_ns;
	struct vuc_flood_error errors[VUC_FLOOD_ERRORS];
	uint64_t latency[VUC_FLOOD_BUCKETS];	/* of the replies, from the sendmsg on */
	uint64_t waiting;	/* messages of all runs without a reply so far */
};

/*
 * A flood over a connected and negotiated socket, which stays the caller's and which nobody else
 * may use meanwhile. A run sends `count` messages and takes all replies; it ends by its counts and
 * not by time, so that the caller measures at known numbers. What it leaves behind, a half-sent
 * message or unread replies, belongs to the next run. Returns 0; -EPIPE when the server has closed;
 * -ETIMEDOUT when it neither read nor replied for the timeout; as the flags say; -EPROTO when
 * framing is lost; -EINVAL. *out has what happened, however it ended.
 */
struct vuc_flood;
VUC_EXPORT int vuc_flood_open(int fd, struct vuc_flood **out);
VUC_EXPORT void vuc_flood_free(struct vuc_flood *flood);
VUC_EXPORT int vuc_flood_run(struct vuc_flood *flood, const struct vuc_flood_spec *spec,
			     struct vuc_flood_result *out);

/* Read at most `bytes` of what is due, `chunk` by one read: a slow reader. As vuc_flood_run. */
VUC_EXPORT int vuc_flood_read(struct vuc_flood *flood, uint64_t bytes, uint32_t chunk,
			      int32_t timeout_ms, struct vuc_flood_result *out);

/* Processor time in ns of a small message over a socket and back, here and now. -errno. */
VUC_EXPORT int64_t vuc_flood_calibrate(uint32_t rounds);

enum vuc_steady_flags {
	VUC_STEADY_TIMED = 1,	/* how long its reply takes is counted */
	VUC_STEADY_AGAIN = 2,	/* is sent again until the reply is as expected */
};

struct vuc_steady_step {
	const void *message;	/* header included; the id is filled in */
	const void *expected;	/* what the reply has at `offset` of its payload; NULL = anything */
	uint32_t size;
	uint32_t expected_size;
	uint32_t offset;
	uint32_t flags;		/* enum vuc_steady_flags */
	int32_t fd;		/* that goes with the message, the caller's; -1 = none */
	uint32_t reserved;
};

struct vuc_steady_result {
	uint64_t rounds;	/* that went well */
	uint64_t timed;		/* replies in the histogram */
	uint64_t longest_ns;
	uint64_t latency[VUC_FLOOD_BUCKETS];
	int32_t error;		/* 0; -ETIMEDOUT, -EPIPE, -EPROTO; -EBADMSG: not as expected; a
				 * positive errno of a refusal */
	uint32_t step;		/* the last one; after an error the one that met it */
};

/*
 * An honest client in a thread of its own over such a socket: the same steps, at most 16, over and
 * over, until one goes wrong or vuc_steady_stop, which waits for so many rounds, frees it and fills
 * *out. The steps are copied. `timeout_ms` is for a reply, and for a step that is sent again.
 * -EINVAL, -ENOMEM, -EAGAIN.
 */
struct vuc_steady;
VUC_EXPORT int vuc_steady_start(int fd, const struct vuc_steady_step *steps, uint32_t nsteps,
				int32_t timeout_ms, struct vuc_steady **out);
VUC_EXPORT void vuc_steady_stop(struct vuc_steady *steady, uint64_t rounds,
				struct vuc_steady_result *out);

#endif
