/* The names of this machine: what an address in a browser may say when it means us, and nobody else can hold. */
#pragma once

#include "base/str.h"

#include <stdbool.h>

struct opener;

#define OWN_NAMES_FILE "/etc/hosts"

/* Appends the names as the machine knows them, without asking anybody: its host name, the first label of it, that label
 * under .local (RFC 6762), and what OWN_NAMES_FILE has in one line with one of them, if it can be opened; opener
 * NULL: by itself. */
void own_names_list(struct str_list *names, struct opener *opener);

/* Is the host one of these names, an IP address, or localhost or a name below it (RFC 6761)? None of them can be made to
 * point here by a stranger. host has no port, no brackets and no final dot. */
bool own_names_has(const struct str_list *names, struct span host);
