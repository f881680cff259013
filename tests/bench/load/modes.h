/* What sessions do: up, down, echo, handshake, idle. */
#pragma once

#include "conn.h"

const struct mode *mode_find(const char *name);    /* NULL: there is none of that name */
/* The time is up: ends this session as its mode wants it, now or when what it has begun is complete. */
void mode_stop(struct load *load, struct conn *conn);
