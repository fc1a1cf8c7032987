/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.h - named deliberate violations, one rule each, to show that the cases can fail.
 *
 * In the ordinary build fault_on() is constant false and nothing of this is left in the program.
 * The build with -DVUC_FAULTS knows which were selected (--fault=NAME), usually one. A fault
 * changes what the server does in at most three lines, at the place that its rule is written.
 */
#ifndef FAULT_H
#define FAULT_H

#include <stdbool.h>
#include <stddef.h>

/* FAULT(name, sentence) */
#define FAULT_LIST(FAULT) \
	/* the stream */ \
	FAULT(one_message_per_read, "what is behind the first message of a read is dropped") \
	FAULT(body_must_come_whole, "a message whose rest has not come yet ends the session") \
	FAULT(rest_is_awaited, "the rest of a message is read with a call that blocks") \
	FAULT(msg_size_is_trusted, "memory is taken for any msg_size") \
	FAULT(short_msg_size_is_taken, "a msg_size below the header's is taken for the header's") \
	FAULT(unknown_body_is_not_skipped, \
	      "the body of an unknown command is read as further messages") \
	FAULT(end_inside_a_message_crashes, \
	      "the end of the stream inside a message fails an assertion") \
	FAULT(replies_pile_up, "commands are read on while nobody takes their replies") \
	/* headers */ \
	FAULT(id_is_a_byte, "the lower byte of the id comes back") \
	FAULT(id_of_the_first_in_the_queue, \
	      "a reply that is queued behind others has the id of the first") \
	FAULT(error_bit_is_forgotten, "an error reply has the errno and not the Error bit") \
	FAULT(errno_is_negative, "the error field holds a negative errno") \
	FAULT(error_reply_with_body, "error replies are padded to the size of the request") \
	FAULT(errors_are_sent_twice, "the handler and the dispatcher both answer a failure") \
	FAULT(no_reply_error_is_sent, "a command with No_reply that fails is answered") \
	FAULT(no_reply_success_is_sent, "a command with No_reply that succeeds is answered") \
	FAULT(type_is_ignored, "a message of an undefined type is executed as a command") \
	FAULT(replies_are_answered, "a reply to nothing is answered with an error") \
	FAULT(unknown_command_ends_the_session, "an unknown command closes the connection") \
	/* descriptors */ \
	FAULT(refused_fds_stay_open, "the descriptors of a refused command are not closed") \
	FAULT(surplus_fds_stay_open, "descriptors that a command has no use for are not closed") \
	FAULT(surplus_fds_crash, "more descriptors than announced overrun an array") \
	FAULT(lost_fds_go_unnoticed, \
	      "MSG_CTRUNC is not looked at, so a mapping may lack its descriptor") \
	FAULT(reply_fds_without_limit, "max_msg_fds of the client is not looked at") \
	/* VERSION and its limits */ \
	FAULT(phase_is_ignored, "commands are executed before VERSION, and VERSION a second time") \
	FAULT(major_is_ignored, "any major version is agreed to") \
	FAULT(minor_is_the_newest, "the reply has our minor version, whatever was proposed") \
	FAULT(capability_not_proposed, "write_multiple is announced though it was not offered") \
	FAULT(json_ends_at_its_first_nul, \
	      "what stands behind a NUL in the version data is ignored") \
	FAULT(deep_json_crashes, "deeply nested version data exhausts the stack of the parser") \
	FAULT(failed_negotiation_ends_the_server, \
	      "the server exits when the version data is refused") \
	FAULT(limits_outlive_the_client, \
	      "a client's small max_data_xfer_size holds for those after it") \
	FAULT(maps_without_limit, "max_dma_maps is announced and not enforced") \
	FAULT(access_without_limit, "max_data_xfer_size is announced and not enforced") \
	/* DMA */ \
	FAULT(overlap_is_einval, "an overlapping DMA_MAP is refused with EINVAL, not EEXIST") \
	FAULT(identical_map_is_taken, "a DMA_MAP of a range that is mapped already succeeds") \
	FAULT(map_of_nothing_is_taken, "a DMA_MAP of size 0 succeeds and takes a page") \
	FAULT(map_may_wrap, "a DMA_MAP past the end of the address space is cut there") \
	FAULT(map_flags_are_ignored, "undefined flags of DMA_MAP are ignored") \
	FAULT(map_fd_is_never_closed, "the descriptor of a DMA_MAP stays open for ever") \
	FAULT(unmap_keeps_backing, "DMA_UNMAP replies and leaves the file mapped in the process") \
	FAULT(unmap_of_a_part_takes_all, "DMA_UNMAP of a part of a mapping takes all of it") \
	FAULT(unmap_of_nothing_succeeds, "DMA_UNMAP of a range that is not mapped succeeds") \
	FAULT(dma_against_the_rights, "DMA looks at what is mapped and not at the flags of it") \
	FAULT(unmap_waits_for_the_client, \
	      "DMA_UNMAP waits for the replies to DMA messages of its range") \
	FAULT(truncation_kills, "a file that is cut short under a mapping ends the server") \
	FAULT(dma_reply_of_any_size, "what a DMA reply claims to have moved is not compared") \
	FAULT(any_dma_reply_will_do, \
	      "a DMA reply ends the first request that waits, whatever its id") \
	FAULT(twin_is_not_used, "DMA messages go by the main socket though there is a twin") \
	FAULT(twin_for_everybody, "the twin socket is set up for clients that did not ask") \
	FAULT(dma_messages_without_limit, "DMA messages ignore the client's max_data_xfer_size") \
	/* DMA under a moving address space */ \
	FAULT(hazards_are_not_published, "memory is looked up and used without a word to anybody") \
	FAULT(lookup_yields, \
	      "others have many turns between looking memory up and using it") \
	FAULT(unmap_does_not_scan, "DMA_UNMAP replies without a look at who uses the range") \
	FAULT(unmap_waits_for_all_dma, "DMA_UNMAP waits for the references of any range") \
	FAULT(unmap_aborts_all_dma, "DMA_UNMAP aborts operations of any range") \
	FAULT(unmap_spares_messages, "DMA messages for a range go on after its DMA_UNMAP") \
	FAULT(unmap_without_reply_waits_for_nobody, \
	      "DMA_UNMAP with No_reply does not hold the next command up") \
	FAULT(waiting_unmap_stops_all, "a DMA_UNMAP that waits holds up the other connections") \
	FAULT(drain_is_abort, "an operation that may drain is aborted") \
	FAULT(aborted_slot_moves_on, "an operation that is to be aborted goes on to its end") \
	FAULT(aborted_chunk_is_not_counted, "an aborted operation forgets its last chunk") \
	FAULT(abort_signals_nothing, "an aborted operation raises no interrupt") \
	FAULT(drain_limit_is_success, \
	      "a DMA_UNMAP that waited too long succeeds and the connection stays") \
	FAULT(retired_operation_is_in_use, "a completed operation keeps its memory to its report") \
	FAULT(fault_forgets_what_moved, "DMA that faults reports no bytes") \
	FAULT(each_map_has_a_window, "mappings of one file share no window") \
	FAULT(files_are_not_told_apart, "a file is taken for another one of its file system") \
	FAULT(open_mode_is_ignored, "a file may be written that was opened for reading") \
	FAULT(seals_are_ignored, \
	      "files are mapped without a look at their seals: to be written, or not to be read") \
	FAULT(file_end_is_ignored, "a range may lie behind the end of its file") \
	FAULT(large_leaf_is_a_page, "all pages of a large mapping lead to the first") \
	FAULT(write_implies_read, "memory that may be written may be read") \
	FAULT(misses_are_remembered, "an operation is told what its slot has missed before") \
	FAULT(holes_are_faults, "DMA to a page that its file has not got fails") \
	FAULT(file_goes_with_its_window, "memory that is unmapped is taken out of its file") \
	FAULT(torn_copy_counts_whole, "a copy that a missing page cuts short counts as done") \
	FAULT(burst_skips_faults, "a burst goes on behind an iteration that faults") \
	FAULT(interrupt_comes_first, "the interrupt of an operation comes before its last bytes") \
	/* regions */ \
	FAULT(info_argsz_is_ignored, "GET_INFO answers more than argsz allows") \
	FAULT(region_argsz_is_echoed, \
	      "GET_REGION_INFO repeats argsz instead of telling what is needed") \
	FAULT(capabilities_beyond_argsz, \
	      "the capabilities of a region are sent though argsz has no room") \
	FAULT(region_fd_needs_capabilities, \
	      "the descriptor of a region comes only with its capabilities") \
	FAULT(region_fd_is_leaked, \
	      "each GET_REGION_INFO leaves a duplicate of the descriptor open") \
	FAULT(wrong_region_fd, "BAR4 hands out the memory of BAR2") \
	FAULT(access_end_wraps, "the end of a region access is computed with wrap-around") \
	FAULT(region_end_is_off_by_one, "an access may reach one byte past the end of the region") \
	FAULT(write_count_is_trusted, "count bytes are written, however many have come") \
	FAULT(wide_write_is_cut, "a write of more than four bytes stores four") \
	FAULT(write_to_rom_is_dropped, "a write to a read-only region succeeds and does nothing") \
	FAULT(multi_goes_on, "the writes of a WRITE_MULTI behind a failed one are done as well") \
	FAULT(io_fds_without_limit, \
	      "sub-regions name descriptors that max_msg_fds keeps out of the reply") \
	/* interrupts */ \
	FAULT(irq_range_wraps, "start + count of SET_IRQS is added in 32 bits") \
	FAULT(irq_refused_halfway, "SET_IRQS with too few descriptors assigns those it has") \
	FAULT(bools_are_ignored, "DATA_BOOL acts on all vectors, whatever its bytes say") \
	FAULT(assigning_does_not_replace, "a vector keeps its first eventfd when it gets another") \
	FAULT(disable_keeps_eventfds, "disabling an index leaves its eventfds assigned") \
	FAULT(types_share_vectors, "an interrupt of any type goes to the eventfd of MSI-X") \
	FAULT(signalling_blocks, "an eventfd is written without a look at whether it is full") \
	/* migration and the log of writes */ \
	FAULT(bad_state_is_loaded, "the checksums of a migrated state are not looked at") \
	FAULT(error_can_be_left, "a change of state leads out of ERROR without a reset") \
	FAULT(report_keeps_bits, "a report of written pages does not clear what it reports") \
	FAULT(writes_are_not_logged, "the log of written pages has none that DMA wrote") \
	FAULT(reads_are_logged, "the log of written pages has those that DMA read") \
	FAULT(stop_does_not_wait, "the device is said to be stopped while DMA goes on") \
	FAULT(pre_copy_stops, "the device is stopped from PRE_COPY on") \
	FAULT(stop_drops_operations, "an operation that STOP finds is aborted") \
	FAULT(given_up_message_counts, "the chunk of a message that STOP gave up counts as done") \
	FAULT(operations_are_not_saved, "the state that is saved has no operation in it") \
	FAULT(save_is_an_event, "saving the state of a stopped device changes it") \
	FAULT(map_is_refused_while_stopped, "DMA_MAP is refused after STOP") \
	/* reset and the end of a client */ \
	FAULT(reset_forgets_registers, "DEVICE_RESET leaves the registers and the buffer of BAR0") \
	FAULT(reset_does_not_wait, "DEVICE_RESET replies while DMA goes on") \
	FAULT(reset_drops_mappings, "DEVICE_RESET unmaps what the client mapped") \
	FAULT(reset_signals, "the operations that DEVICE_RESET aborts raise their interrupts") \
	FAULT(reset_drops_eventfds, "DEVICE_RESET closes the eventfds") \
	FAULT(mappings_outlive_the_client, "the mappings of a client stay when it leaves") \
	FAULT(eventfds_outlive_the_client, "the eventfds of a client stay open when it leaves") \
	FAULT(server_polls_busily, "the loop polls and never waits") \
	FAULT(sigterm_waits_for_the_client, "SIGTERM is ignored while a client is connected")

/*
 * Those of limits: what a server does with many of something, which no case about one of it can
 * notice. `make limits` has to, against its baseline (tests/flood_faults.toml); --fault=floods
 * lists them.
 */
#define FAULT_FLOOD_LIST(FAULT) \
	FAULT(overlap_is_searched, "each DMA_MAP looks at all mappings, one after the other") \
	FAULT(unmap_returns_no_quota, "mappings that are gone count for the limit") \
	FAULT(nodes_are_not_returned, "nodes of the table are not used again") \
	FAULT(map_forgets_a_record, "each DMA_MAP leaves a small piece of memory behind") \
	FAULT(log_is_taken_eagerly, "the log of writes takes all of its memory at its start") \
	FAULT(log_lines_without_limit, "lines of log are not limited in their rate") \
	FAULT(full_is_einval, "what is beyond the limit is refused with EINVAL") \
	FAULT(half_of_the_maps_is_enough, "half of the mappings that are announced can be had") \
	FAULT(queue_grows_by_its_history, \
	      "the queue of replies grows though it has only to be moved to its beginning") \
	FAULT(queue_keeps_its_room, "memory of the queue of replies stays when they are sent") \
	FAULT(command_costs_a_sweep, "each command goes over a table that it has no use for") \
	FAULT(client_forgets_a_page, "each client leaves a page of memory behind") \
	FAULT(refusals_forget_a_record, "each refused command leaves a piece of memory behind") \
	FAULT(refused_clients_stay, "the socket of a client that is not served stays open") \
	FAULT(half_messages_keep_their_fds, \
	      "descriptors of a message that never came whole stay open") \
	FAULT(half_messages_may_stay, "the rest of a message may be awaited without end") \
	FAULT(windows_without_limit, "neither windows nor their address space are limited") \
	FAULT(unmap_fails_in_secret, "DMA_UNMAP in a large table succeeds and takes nothing out") \
	FAULT(range_costs_its_length, "a range is looked at page by page") \
	FAULT(no_memory_is_fatal, \
	      "the server ends when there is no memory for the table, or a text") \
	FAULT(state_is_kept_as_it_comes, "migration data are kept, whatever they are") \
	FAULT(reset_takes_its_time, "a reset takes 150 ms") \
	FAULT(report_costs_its_bits, "a report of written pages takes its time for each bit") \
	/* the extension */ \
	FAULT(pasids_without_limit, "max_pasids is announced and not enforced") \
	FAULT(ended_spaces_count, "spaces that have ended count for max_pasids") \
	FAULT(credit_is_the_capacity, "page requests ignore what was negotiated and allocated") \
	FAULT(retries_without_limit, "a page is asked for again as often as it is missing") \
	FAULT(given_up_messages_are_forgotten, \
	      "messages to the client are not counted when nobody waits for their reply") \
	FAULT(markers_pile_up, "each end of a space has a marker, also if nobody reads them") \
	FAULT(main_waits_for_the_twin, "no command is executed while the twin socket is full") \
	FAULT(backing_is_never_in_use, "a backing window is removed under its mappings")

/*
 * What the experiment that the poc dialect is from does, for the cases where that is spoken
 * (tests/poc_faults.toml).
 */
#define FAULT_POC_LIST(FAULT) \
	FAULT(poc_wrong_completion_ends_it, \
	      "a completion of something else ends the operation that waits") \
	FAULT(poc_request_is_never_retired, \
	      "neither a reset nor the end of the client ends the request that is outstanding") \
	FAULT(poc_error_reply_is_final, "an error reply to a request is the end of all requests") \
	FAULT(poc_equal_map_keeps_its_descriptor, \
	      "the descriptor with which a range is mapped again stays open") \
	FAULT(poc_bitmap_crashes, \
	      "DMA_UNMAP of a space with the bit for a bitmap fails an assertion")

/* What only shows in some orders of events: for fuzz/explore.c, which has no cases. */
#define FAULT_ORDER_LIST(FAULT) \
	/* references and translations */ \
	FAULT(replace_does_not_wait, "REPLACE replies while the old mapping is in use") \
	FAULT(translation_outlives_its_mapping, \
	      "an operation that gave memory back uses its old translation") \
	FAULT(reference_ends_at_the_look_up, \
	      "memory that is written counts as in use while it is looked up") \
	FAULT(source_is_let_go_early, "a source counts as in use while it is looked up") \
	FAULT(reply_comes_before_the_drain, "an operation that drains does not hold DMA_UNMAP up") \
	FAULT(range_waits_for_its_first, "a range is complete when its first mapping is unused") \
	FAULT(thread_is_not_told_of_a_stop, \
	      "an operation that a thread is at does not learn of STOP") \
	/* page requests */ \
	FAULT(page_is_awaited_with_references, "an operation keeps its memory while it waits") \
	FAULT(miss_is_final, "a page that comes between a miss and its request is not looked up") \
	FAULT(miss_is_cached, "what was missed is missed once more before it is looked up") \
	FAULT(response_is_for_the_first_prgi, \
	      "any response is for the group with the least index") \
	FAULT(late_response_is_taken, "a response to a group that has expired succeeds") \
	FAULT(time_out_returns_credit, "the credit of a group is there when it expires") \
	FAULT(credit_is_lost_at_a_reset, "the groups that a reset retires keep their credit") \
	FAULT(cookies_begin_anew, "the first cookie behind a reset or a stop is 1") \
	FAULT(old_cookies_are_forgotten, "a response from before a stop counts as unexpected") \
	FAULT(stop_keeps_groups, "STOP does not retire groups") \
	/* the end of a PASID, and of a client */ \
	FAULT(marker_follows_the_reply, "the stop marker comes behind the reply to ALL") \
	FAULT(all_spares_groups, "ALL does not retire the groups of its space") \
	FAULT(all_spares_who_has_no_credit, \
	      "an operation that waits for credit survives the end of its space") \
	FAULT(who_has_left_is_awaited, "the operations of a client that has left are not aborted") \
	/* messages */ \
	FAULT(aborted_operation_takes_replies, \
	      "a late reply is given to the operation that its slot has now") \
	FAULT(twin_follows_the_reply, "what goes by the twin socket waits for the next round") \
	FAULT(round_drops_a_piece, "what has come of a message is dropped by a round of the loop")

enum fault {
#define FAULT_ENUM(name, sentence) FAULT_##name,
	FAULT_LIST(FAULT_ENUM)
	FAULT_FLOODS,			/* the first of its list */
	FAULT_BEFORE_FLOODS = FAULT_FLOODS - 1,
	FAULT_FLOOD_LIST(FAULT_ENUM)
	FAULT_POC,			/* the first of its list */
	FAULT_BEFORE_POC = FAULT_POC - 1,
	FAULT_POC_LIST(FAULT_ENUM)
	FAULT_ORDER,			/* the first of its list */
	FAULT_BEFORE_ORDER = FAULT_ORDER - 1,
	FAULT_ORDER_LIST(FAULT_ENUM)
#undef FAULT_ENUM
	FAULT_COUNT
};

#ifdef VUC_FAULTS

/* Whether the fault was selected. */
bool fault_on(enum fault fault);

/* Selects the fault of that name, too: 0, or -ENOENT. */
int fault_select(const char *name);

/* One line "name: sentence" for each fault of one of the first two lists to standard output. */
void fault_print(bool floods);

/* The name and the sentence of one of FAULT_ORDER_LIST, from 0 on; false: there are no more. */
bool fault_order(unsigned int number, const char **name, const char **sentence);

/* Takes memory that nobody gives back. */
void fault_forget(size_t size);

#else
#define fault_on(fault) ((void)(fault), false)
#define fault_forget(size) ((void)(size))
#endif

#endif
