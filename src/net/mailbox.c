/* mailbox.c owns the queue between threads and the wake-up of its reader.
 * It must never run a mail while it holds the lock, nor touch one after its run(). */
#include "net/mailbox.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
	pthread_mutex_t lock; /* guards head, tail and, for mailbox_free's sake, the writes to fd */
	struct mail *head, **tail;
	int fd; /* eventfd: readable while the queue has not been taken since it became non-empty */
	struct event event;
	void *owner;
};

/* Runs all that is in the queue by now. False: nothing was. */
static bool mailbox_run(struct mailbox *box)
{
	pthread_mutex_lock(&box->lock);
	struct mail *mail = box->head;
	box->head = NULL;
	box->tail = &box->head;
	pthread_mutex_unlock(&box->lock);
	bool any = mail != NULL;
	while (mail != NULL) {
		struct mail *next = mail->next;
		mail->run(mail, box->owner);
		mail = next;
	}
	return any;
}

static void mailbox_on_wake(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t ignored;

	/* First the signal, then the queue: a mail that comes in between wakes us once too often, never too seldom. */
	(void)!eventfd_read(fd, &ignored);
	(void)mailbox_run(arg);
}

struct mailbox *mailbox_new(struct event_base *base, void *owner)
{
	struct mailbox *box = calloc(1, sizeof(*box));

	if (box == NULL)
		return NULL;
	box->owner = owner;
	box->tail = &box->head;
	box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (box->fd < 0 || event_assign(&box->event, base, box->fd, EV_READ | EV_PERSIST, mailbox_on_wake, box) != 0 ||
	    event_add(&box->event, NULL) != 0) {
		if (box->fd >= 0)
			close(box->fd);
		free(box);
		return NULL;
	}
	pthread_mutex_init(&box->lock, NULL);
	return box;
}

void mailbox_post(struct mailbox *box, struct mail *mail)
{
	mail->next = NULL;
	pthread_mutex_lock(&box->lock);
	/* Woken under the lock: the owner may run this mail and free the box as soon as it can take the lock, and a
	 * write after that would go to whatever has the descriptor's number by then. */
	if (box->head == NULL)
		(void)!eventfd_write(box->fd, 1);
	*box->tail = mail;
	box->tail = &mail->next;
	pthread_mutex_unlock(&box->lock);
}

void mailbox_free(struct mailbox *box)
{
	while (mailbox_run(box))
		continue;
	event_del(&box->event);
	close(box->fd);
	pthread_mutex_destroy(&box->lock);
	free(box);
}
