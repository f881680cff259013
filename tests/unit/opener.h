/* An opener that opens by itself, where there is no steward. */
#pragma once

#include "base/file.h"
#include "sys/beneath.h"

static int open_here(struct opener *opener, const struct beneath *beneath, const char *path)
{
	(void)opener;
	return beneath_open(beneath, path);
}

static struct opener opener = { .open_below = open_here };
