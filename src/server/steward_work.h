/* What the steward does for the gateway. The other end of each channel is a stranger: a gateway may have been taken over. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"
#include "net/bind.h"

#include <pthread.h>

struct steward_work {
	const char *file;          /* of the configuration; NULL: none to read again */
	struct settings *settings; /* in force */
	struct settings *next;     /* read last, and may be in force soon; NULL: none */
	char *log;                 /* of the start: the path, or NULL */
	struct bound *made;        /* the socket files, for who binds */
	size_t made_count;
	int control, life; /* its ends of the channels, open and ascending */
	int *names, *files;
	size_t names_count, files_count;
	pthread_mutex_t lock; /* guards settings while they change */
};

/* Obeys orders (server/steward_talk.h) until the other end is closed. */
void steward_obey(struct steward_work *work);

/* Opens files until the other end is closed. Any thread. */
void steward_open(struct steward_work *work, int end);

/* Answers questions until the other end is closed. */
void steward_answer(int end);

/* Sends a report, which brings nothing. -1: nobody is there. */
must_check int steward_report(const struct steward_work *work, int result, const struct err *err);
