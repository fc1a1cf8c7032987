/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vuc.c - the exported face of the harness: vuc.h on top of the modules below it.
 *
 * Nothing is decided here. Modules know nothing of vuc.h; the structures and numbers that cross the
 * border exist on both sides, and the assertions prove that they are the same, so that
 * handles and tables pass through by a cast.
 */
#include "vuc.h"

#include "client.h"
#include "client_note.h"
#include "envelope.h"
#include "memory.h"
#include "message.h"
#include "model.h"
#include "oracle.h"
#include "probe.h"
#include "proc.h"
#include "schema.h"
#include "stream.h"
#include "target.h"
#include "text.h"
#include "vuc_same.h"

SAME_FIELD(vuc_command, schema_command, name);
SAME_FIELD(vuc_command, schema_command, number);
SAME_FIELD(vuc_command, schema_command, direction);
SAME_FIELD(vuc_command, schema_command, request_size);
SAME_FIELD(vuc_command, schema_command, reply_size);
SAME_FIELD(vuc_command, schema_command, request_fds);
SAME_FIELD(vuc_command, schema_command, reply_fds);
SAME_SIZE(vuc_command, schema_command);

SAME_FIELD(vuc_field, schema_field, name);
SAME_FIELD(vuc_field, schema_field, constants);
SAME_FIELD(vuc_field, schema_field, command);
SAME_FIELD(vuc_field, schema_field, in_reply);
SAME_FIELD(vuc_field, schema_field, offset);
SAME_FIELD(vuc_field, schema_field, width);
SAME_FIELD(vuc_field, schema_field, role);
SAME_SIZE(vuc_field, schema_field);

SAME_FIELD(vuc_constant, schema_constant, set);
SAME_FIELD(vuc_constant, schema_constant, name);
SAME_FIELD(vuc_constant, schema_constant, value);
SAME_SIZE(vuc_constant, schema_constant);

SAME_FIELD(vuc_part, client_part, end);
SAME_FIELD(vuc_part, client_part, nfds);
SAME_SIZE(vuc_part, client_part);

SAME_FIELD(vuc_send, client_send, bytes);
SAME_FIELD(vuc_send, client_send, size);
SAME_FIELD(vuc_send, client_send, fds);
SAME_FIELD(vuc_send, client_send, nfds);
SAME_FIELD(vuc_send, client_send, parts);
SAME_FIELD(vuc_send, client_send, nparts);
SAME_FIELD(vuc_send, client_send, channel);
SAME_FIELD(vuc_send, client_send, flags);
SAME_FIELD(vuc_send, client_send, timeout_ms);
SAME_SIZE(vuc_send, client_send);

SAME_FIELD(vuc_violation, envelope_violation, code);
SAME_FIELD(vuc_violation, envelope_violation, requirement);
SAME_FIELD(vuc_violation, envelope_violation, text);
SAME_SIZE(vuc_violation, envelope_violation);

SAME_FIELD(vuc_finding, model_finding, code);
SAME_FIELD(vuc_finding, model_finding, requirement);
SAME_FIELD(vuc_finding, model_finding, text);
SAME_FIELD(vuc_finding, model_finding, id);
SAME_FIELD(vuc_finding, model_finding, command);
SAME_SIZE(vuc_finding, model_finding);

SAME_FIELD(vuc_target_state, target_state, phase);
SAME_FIELD(vuc_target_state, target_state, status);
SAME_FIELD(vuc_target_state, target_state, pid);
SAME_FIELD(vuc_target_state, target_state, sanitizer);
SAME_SIZE(vuc_target_state, target_state);

SAME_FIELD(vuc_start, target_start, argv);
SAME_FIELD(vuc_start, target_start, env);
SAME_FIELD(vuc_start, target_start, socket_path);
SAME_FIELD(vuc_start, target_start, log_path);
SAME_FIELD(vuc_start, target_start, fds);
SAME_FIELD(vuc_start, target_start, nfds);
SAME_FIELD(vuc_start, target_start, limit_nofile);
SAME_SIZE(vuc_start, target_start);

SAME_FIELD(vuc_resources, proc_resources, fds);
SAME_FIELD(vuc_resources, proc_resources, vmas);
SAME_FIELD(vuc_resources, proc_resources, threads);
SAME_FIELD(vuc_resources, proc_resources, rss_anon_kib);
SAME_FIELD(vuc_resources, proc_resources, rss_file_kib);
SAME_FIELD(vuc_resources, proc_resources, rss_shmem_kib);
SAME_FIELD(vuc_resources, proc_resources, page_tables_kib);
SAME_FIELD(vuc_resources, proc_resources, cpu_ms);
SAME_SIZE(vuc_resources, proc_resources);

/* A message has more behind what is exported. */
SAME_FIELD(vuc_message, message, id);
SAME_FIELD(vuc_message, message, command);
SAME_FIELD(vuc_message, message, msg_size);
SAME_FIELD(vuc_message, message, flags);
SAME_FIELD(vuc_message, message, error);
SAME_FIELD(vuc_message, message, body);
SAME_FIELD(vuc_message, message, fds);
SAME_FIELD(vuc_message, message, nfds);
SAME_FIELD(vuc_message, message, channel);

SAME_NUMBER(VUC_ROLE_VALUE, SCHEMA_VALUE);
SAME_NUMBER(VUC_ROLE_ARGSZ, SCHEMA_ARGSZ);
SAME_NUMBER(VUC_ROLE_FLAGS, SCHEMA_FLAGS);
SAME_NUMBER(VUC_ROLE_INDEX, SCHEMA_INDEX);
SAME_NUMBER(VUC_ROLE_COUNT, SCHEMA_COUNT);
SAME_NUMBER(VUC_ROLE_START, SCHEMA_START);
SAME_NUMBER(VUC_ROLE_LENGTH, SCHEMA_LENGTH);
SAME_NUMBER(VUC_ROLE_OFFSET, SCHEMA_OFFSET);
SAME_NUMBER(VUC_ROLE_IOVA, SCHEMA_IOVA);
SAME_NUMBER(VUC_ROLE_SIZE, SCHEMA_SIZE);
SAME_NUMBER(VUC_ROLE_RESERVED, SCHEMA_RESERVED);
SAME_NUMBER(VUC_ROLE_DATA, SCHEMA_DATA);
SAME_NUMBER(VUC_TO_SERVER, SCHEMA_TO_SERVER);
SAME_NUMBER(VUC_TO_CLIENT, SCHEMA_TO_CLIENT);
SAME_NUMBER(VUC_NESTED, SCHEMA_NESTED);
SAME_NUMBER(VUC_EXTENSION, SCHEMA_EXTENSION);
SAME_NUMBER(VUC_MAX_FDS, STREAM_MAX_FDS);
SAME_NUMBER(VUC_MAIN, CLIENT_MAIN);
SAME_NUMBER(VUC_TWIN, CLIENT_TWIN);
SAME_NUMBER(VUC_SEND_PACED, CLIENT_SEND_PACED);
SAME_NUMBER(VUC_SEND_MAYBE, CLIENT_SEND_MAYBE);
SAME_NUMBER(VUC_TARGET_RUNNING, TARGET_RUNNING);
SAME_NUMBER(VUC_TARGET_EXITED, TARGET_EXITED);
SAME_NUMBER(VUC_TARGET_KILLED, TARGET_KILLED);
SAME_NUMBER(VUC_TARGET_GONE, TARGET_GONE);
SAME_NUMBER(VUC_TARGET_UNKNOWN, TARGET_UNKNOWN);
SAME_NUMBER(VUC_ORACLE_LEASE, ORACLE_LEASE);
SAME_NUMBER(VUC_ORACLE_SEAL, ORACLE_SEAL);
SAME_NUMBER(VUC_ORACLE_PIPE, ORACLE_PIPE);

_Static_assert(VUC_PROGRAM_SIZE >= TEXT_SIZE + CLIENT_NOTE_COMMENT, "room for a program");

uint32_t vuc_abi_version(void)
{
	return VUC_ABI_VERSION;
}

size_t vuc_commands(const struct vuc_command **out)
{
	const struct schema_command *rows;
	size_t count = schema_commands(&rows);

	*out = (const struct vuc_command *)rows;
	return count;
}

size_t vuc_fields(const struct vuc_field **out)
{
	const struct schema_field *rows;
	size_t count = schema_fields(&rows);

	*out = (const struct vuc_field *)rows;
	return count;
}

size_t vuc_constants(const struct vuc_constant **out)
{
	const struct schema_constant *rows;
	size_t count = schema_constants(&rows);

	*out = (const struct vuc_constant *)rows;
	return count;
}

int vuc_client_connect(const char *path, int timeout_ms, struct vuc_client **out)
{
	return client_connect(path, timeout_ms, (struct client **)out);
}

int vuc_client_adopt(int fd, struct vuc_client **out)
{
	return client_adopt(fd, (struct client **)out);
}

void vuc_client_free(struct vuc_client *client)
{
	client_free((struct client *)client);
}

int vuc_client_adopt_twin(struct vuc_client *client, int fd)
{
	return client_adopt_twin((struct client *)client, fd);
}

int vuc_client_fd(const struct vuc_client *client, uint32_t channel)
{
	return client_fd((const struct client *)client, channel);
}

void vuc_client_set_max_fds(struct vuc_client *client, uint32_t max_msg_fds)
{
	client_set_max_fds((struct client *)client, max_msg_fds);
}

void vuc_client_set_page_requests(struct vuc_client *client, uint32_t pages)
{
	client_set_page_requests((struct client *)client, pages);
}

void vuc_client_set_poc(struct vuc_client *client)
{
	client_set_poc((struct client *)client);
}

int vuc_client_unread(const struct vuc_client *client)
{
	return client_unread((const struct client *)client);
}

int vuc_client_send(struct vuc_client *client, const struct vuc_send *what)
{
	return client_send((struct client *)client, (const struct client_send *)what);
}

int vuc_client_recv(struct vuc_client *client, uint32_t channel, int timeout_ms,
		    struct vuc_message **out)
{
	return client_recv((struct client *)client, channel, timeout_ms, (struct message **)out);
}

int vuc_client_recv_reply(struct vuc_client *client, uint16_t id, uint16_t command,
			  int timeout_ms, struct vuc_message **out)
{
	return client_recv_reply((struct client *)client, id, command, timeout_ms,
				 (struct message **)out);
}

int vuc_client_recv_request(struct vuc_client *client, int timeout_ms, struct vuc_message **out)
{
	return client_recv_request((struct client *)client, timeout_ms, (struct message **)out);
}

int vuc_message_take_fd(struct vuc_message *message, uint32_t index)
{
	return message_take_fd((struct message *)message, index);
}

void vuc_message_free(struct vuc_message *message)
{
	message_free((struct message *)message);
}

uint32_t vuc_client_violation(const struct vuc_client *client, uint32_t index,
			      struct vuc_violation *out)
{
	return envelope_violations(client_envelope((const struct client *)client), index,
				   (struct envelope_violation *)out);
}

uint32_t vuc_client_outstanding(const struct vuc_client *client)
{
	return envelope_outstanding(client_envelope((const struct client *)client));
}

int vuc_client_shutdown(struct vuc_client *client)
{
	return client_shutdown((struct client *)client);
}

int vuc_client_judged(struct vuc_client *client, const char *const *strict)
{
	return client_judged((struct client *)client, strict);
}

void vuc_client_unjudged(struct vuc_client *client)
{
	client_unjudged((struct client *)client);
}

int vuc_client_recorded(struct vuc_client *client)
{
	return client_recorded((struct client *)client);
}

int vuc_client_program(struct vuc_client *client, char *text, size_t size)
{
	return client_program((struct client *)client, text, size);
}

uint32_t vuc_client_finding(const struct vuc_client *client, uint32_t index,
			    struct vuc_finding *out)
{
	return client_findings((const struct client *)client, index, (struct model_finding *)out);
}

int vuc_target_start(const struct vuc_start *what, struct vuc_target **out)
{
	return target_start((const struct target_start *)what, (struct target **)out);
}

int vuc_target_attach(const char *path, struct vuc_target **out)
{
	return target_attach(path, (struct target **)out);
}

int vuc_target_wait_ready(struct vuc_target *target, int timeout_ms)
{
	return target_wait_ready((struct target *)target, timeout_ms);
}

int vuc_target_wait_exit(struct vuc_target *target, int timeout_ms)
{
	return target_wait_exit((struct target *)target, timeout_ms);
}

int vuc_target_state(struct vuc_target *target, struct vuc_target_state *out)
{
	return target_state((struct target *)target, (struct target_state *)out);
}

int vuc_target_signal(struct vuc_target *target, int signo)
{
	return target_signal((struct target *)target, signo);
}

int vuc_target_stop(struct vuc_target *target, int timeout_ms, struct vuc_target_state *out)
{
	return target_stop((struct target *)target, timeout_ms, (struct target_state *)out);
}

void vuc_target_free(struct vuc_target *target)
{
	target_free((struct target *)target);
}

int vuc_target_stacks(struct vuc_target *target, char *text, size_t size)
{
	return target_stacks((struct target *)target, text, size);
}

int vuc_target_resources(struct vuc_target *target, struct vuc_resources *out)
{
	return target_resources((struct target *)target, (struct proc_resources *)out);
}

int vuc_oracle_selftest(char *why, size_t size)
{
	return oracle_selftest(why, size);
}

int vuc_memory_create(uint64_t size, struct vuc_memory **out)
{
	return memory_create(size, (struct memory **)out);
}

void vuc_memory_free(struct vuc_memory *memory)
{
	memory_free((struct memory *)memory);
}

int vuc_memory_fd(struct vuc_memory *memory)
{
	return memory_fd((struct memory *)memory);
}

int vuc_memory_held(struct vuc_memory *memory)
{
	return memory_held((struct memory *)memory);
}

int vuc_memory_mapped(struct vuc_memory *memory)
{
	return memory_mapped((struct memory *)memory);
}

void vuc_memory_close_fd(struct vuc_memory *memory)
{
	memory_close_fd((struct memory *)memory);
}

int vuc_memory_read(struct vuc_memory *memory, uint64_t offset, void *data, size_t size)
{
	return memory_read((struct memory *)memory, offset, data, size);
}

int vuc_memory_write(struct vuc_memory *memory, uint64_t offset, const void *data, size_t size)
{
	return memory_write((struct memory *)memory, offset, data, size);
}

int vuc_memory_fill(struct vuc_memory *memory, uint32_t seed)
{
	return memory_fill((struct memory *)memory, seed);
}

int64_t vuc_memory_differs(struct vuc_memory *memory, uint32_t seed)
{
	return memory_differs((struct memory *)memory, seed);
}

int vuc_memory_truncate(struct vuc_memory *memory, uint64_t size)
{
	return memory_truncate((struct memory *)memory, size);
}

int vuc_probe_create(struct vuc_probe **out)
{
	return probe_create((struct probe **)out);
}

void vuc_probe_free(struct vuc_probe *probe)
{
	probe_free((struct probe *)probe);
}

int vuc_probe_fd(struct vuc_probe *probe)
{
	return probe_fd((struct probe *)probe);
}

void vuc_probe_close_fd(struct vuc_probe *probe)
{
	probe_close_fd((struct probe *)probe);
}

int vuc_probe_released(struct vuc_probe *probe, int timeout_ms)
{
	return probe_released((struct probe *)probe, timeout_ms);
}

int64_t vuc_probe_bytes(struct vuc_probe *probe)
{
	return probe_bytes((struct probe *)probe);
}
