/* Writes one line for each system call that the sandbox refuses: without it nobody would know why a library fails. */
#pragma once

#include "base/attr.h"
#include "base/log.h"
#include "sys/sandbox.h"

#include <event2/event.h>

struct refused_calls;

/* For the thread of this loop; sandbox is sealed. NULL: out of memory. */
struct refused_calls *refused_calls_new(struct event_base *base, const struct sandbox *sandbox, struct log *log) must_check;
void refused_calls_free(struct refused_calls *calls); /* NULL is allowed */
