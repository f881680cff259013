/* The words of a script, each with a number: what is sent, and what is awaited. */
#pragma once

#include "client.h"

enum look { WAIT, DONE, GONE }; /* GONE: the session is over, and maybe another's already */

struct op {
	const char *name;
	void (*begin)(struct client *client, unsigned n); /* puts what it sends into client->out; NULL: nothing */
	enum look (*look)(struct client *client,
	                  unsigned n); /* called when all is sent, and at each news; NULL: done */
};

const struct op *op_find(const char *name);
void op_pong(struct client *client); /* puts the answer to the last ping into client->out */
