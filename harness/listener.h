/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.h - which process listens on a socket path, told by /proc without connecting.
 *
 * Connecting would be the simple way to ask, but some servers serve a single connection and exit
 * when it closes. /proc/net/unix lists the listening sockets of this network namespace with the
 * path that they were bound to; /proc/PID/fd says who holds them.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <sys/types.h>

/*
 * Who listens on the socket file `path`. Only processes of `session` count, or all that may be
 * looked at when it is 0. The path need not be spelled as the server spelled it: a listening
 * socket with the same last component counts when its holder sees the same file under its name.
 *
 * Returns the pid (the lowest, if several share the socket); 0 when somebody listens on exactly
 * this path and session is 0, but no process that may be looked at holds it; -ENOENT when nobody
 * listens; -ENOMEM; another -errno when /proc can not be read.
 */
pid_t listener_find(const char *path, pid_t session);

#endif
