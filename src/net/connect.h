/* The system calls that take a socket to one address. None of them waits: net/dial does, and says which address is next. */
#pragma once

#include "base/attr.h"

#include <sys/socket.h>

/* A socket for connections to this family: non-blocking, close-on-exec, without delay (TCP_NODELAY). receive_buffer: SO_RCVBUF of a
 * TCP socket; 0: the kernel decides. -1 and errno on failure. */
must_check int connect_socket(sa_family_t family, int receive_buffer);

/* 0: it is connected. EINPROGRESS, EALREADY or EINTR: it will be writable once connect_result() can tell. Else the errno of the
 * failure. */
must_check int connect_start(int fd, const struct sockaddr_storage *to, socklen_t len);
must_check int connect_result(int fd, const struct sockaddr_storage *to, socklen_t len);
