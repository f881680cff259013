/* The list of system calls that the sandbox leaves, as a filter for an architecture.
 *
 * What a call is given can be judged only where it stands in registers. Behind a pointer no filter can look, so these are
 * allowed whatever they are given: on i386, ppc64el and s390x the calls of sockets, which socketcall(2) carries there, and on
 * s390x mmap(2). */
#pragma once

#include "base/attr.h"
#include "sys/sandbox.h"

#include <stdint.h>

/* Adds the list to a filter of libseccomp's (a scmp_filter_ctx) that is for this architecture (SCMP_ARCH_...) alone; the
 * filter's default action is for all calls that the list does not name. Returns how many calls are allowed, or a negative
 * errno. */
must_check int sandbox_list_calls(void *filter, uint32_t architecture, const struct sandbox *sandbox);
