/* The part of the sandbox that Landlock does; sandbox.c alone asks for it. */
#pragma once

#include "sys/sandbox.h"

/* Leaves the calling thread, and those it starts, the paths and the ports. Returns the version of the interface that is in
 * force now, 0 if the kernel has none, -1 with a complaint. */
must_check int sandbox_landlock(const struct sandbox_options *options, struct err *err);

/* What of enum sandbox_network this kernel can bound, without what is left unbounded. */
unsigned sandbox_network_bounds(unsigned unbounded);
