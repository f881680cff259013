/* The steward's own process, and what it is confined to. */
#pragma once

#include "server/steward_work.h"

/* In a child of the gateway, before any thread: closes all but its ends of the channels, becomes the user, of whose rights and
 * those to low ports it keeps no more than it had, enters a sandbox of its own, reports, and serves until the gateway is gone. */
_Noreturn void steward_process(struct steward_work *work);
