/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sample_link.h - a client of a server that is somewhere else, for explore's scenarios; see
 * sample.c.
 *
 * There is one connection at a time. What the server sends is taken by explore_take() of
 * explore_peer.h; replies to what is asked here are kept apart from those to the scenario's
 * commands by their ids. What goes wrong is a violation.
 */
#ifndef SAMPLE_LINK_H
#define SAMPLE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLE_BROKEN 2		/* exit code: nothing is said of the server */
#define SAMPLE_LONG_MS 5000	/* a server that owes something for so long hangs */

/* A register that is read. */
struct sample_register {
	uint32_t region;
	uint32_t offset;
	uint32_t width;
	void *value;		/* of `width` bytes, where it goes */
};

/*
 * A new client that has agreed on the extension, of a device that was reset. The VERSION reply has
 * come: nothing of the client before does anything any more.
 */
void sample_connect(const char *path, bool twin);
void sample_hang_up(void);

/* Bytes for a socket, 1 is the twin. */
void sample_send(uint32_t channel, const void *bytes, size_t size, int fd);

/* Waits until something has come that explore_take() gives, or for so long. Whether it has. */
bool sample_wait(int ms);

/* Registers, while no command of the scenario waits for its reply. */
void sample_read(const struct sample_register *registers, uint32_t count);
void sample_write(uint32_t region, uint32_t offset, uint32_t value);

/* STATE of a slot as the side door has it; a code for it there, and whether that was taken. */
uint32_t sample_door_state(uint32_t slot);
void sample_door_store(uint32_t slot, uint32_t code);
bool sample_door_is_empty(uint32_t slot);

#endif
