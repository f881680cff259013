/* A queue into a thread that sleeps in an event loop. Any thread may post; the owner's loop runs each mail once, in order. Waking
 * costs one eventfd write for a burst, not one a mail: only the post that finds the queue empty wakes the owner. */
#pragma once

#include "base/attr.h"

struct event_base;
struct mailbox;

/* Embedded at the start of what is sent. The sender owns a mail until it is posted, the receiver from then on: run() is
 * called on the owner's thread and must dispose of it. */
struct mail {
	struct mail *next; /* the mailbox's */
	void (*run)(struct mail *mail, void *owner);
};

/* owner is handed to every run(). NULL on failure, with errno. */
struct mailbox *mailbox_new(struct event_base *base, void *owner) must_check;

void mailbox_post(struct mailbox *box, struct mail *mail); /* from any thread; cannot fail */

/* On the owner's thread, when no other thread can post any more: runs what is still queued, then frees the box. */
void mailbox_free(struct mailbox *box);
