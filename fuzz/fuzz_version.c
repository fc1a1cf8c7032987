/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_version.c - the body of a VERSION request is the input.
 *
 * Whatever becomes of it, the server then serves another client, on the device that the first one
 * had. A reply without error has version data that are text with one NUL at its end.
 */
#include <string.h>

#include "driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void version_serve_another(uint32_t connection)
{
	const struct wire_device_info info = { .argsz = sizeof(info) };

	driver_connect(connection);
	driver_negotiate(connection, false);
	if (!driver_ask(connection, WIRE_DEVICE_GET_INFO, &info, sizeof(info)))
		driver_finding("another client is not served");
}

/* What is said to a client that was accepted. */
static void version_judge(const struct message *reply)
{
	const struct wire_version *version = (const void *)reply->body;
	size_t size = reply->msg_size - sizeof(struct wire_header);
	const char *text = (const char *)(version + 1);

	if (size > sizeof(*version) &&
	    strnlen(text, size - sizeof(*version)) != size - sizeof(*version) - 1)
		driver_finding("version data do not end with their only NUL");
}

static void version_run(const uint8_t *data, size_t size)
{
	const struct wire_device_info info = { .argsz = sizeof(info) };

	driver_begin();
	driver_connect(0);
	if (driver_ask(0, WIRE_VERSION, data, size)) {
		version_judge(driver_last(0));
		if (!driver_ask(0, WIRE_DEVICE_GET_INFO, &info, sizeof(info)))
			driver_finding("a client that was accepted is not served");
	}
	version_serve_another(1);
	version_serve_another(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	do
		version_run(data, size);
	while (driver_end());
	return 0;
}
