/* The part of confinement that is about the network: which TCP ports the settings name, and whether a reload keeps to them. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"
#include "sys/sandbox.h"

struct confine_ports {
	struct sandbox_ports *item;
	size_t count;
	unsigned unbounded; /* of enum sandbox_network: what the settings leave open */
};

struct confine_ports confine_ports_of(const struct settings *settings);
void confine_ports_clear(struct confine_ports *ports);

/* At a reload. -1: it names a port that was not named at the start, and err says which. */
must_check int confine_ports_admit(const struct sandbox *sandbox, const struct settings *settings, struct err *err);
