/* What the gateway and its steward say to each other, and what the steward does. Both are the same binary, so what they say are
 * the structs themselves. What the gateway says is a stranger's word to the steward: it may have been taken over. */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "config/settings.h"
#include "net/bind.h"
#include "net/resolved.h"
#include "sys/channel.h"

#include <limits.h>
#include <pthread.h>
#include <stdint.h>

/* The ends of one side, ascending. On that of life nothing is said: it ends with the other side. The last are for a thread each:
 * `names` for those of the resolver, the others for those that open files. */
enum { END_LIFE, END_ORDERS, END_NAMES };
struct steward_ends {
	int *fd;
	size_t count, names;
};

#define STEWARD_TEXT_MAX 512

/* On the one channel for orders. BIND: the address of that text; UNBIND: the socket file that was made for it goes; LOG: the log file;
 * READ: the configuration once more, what it names counts beside what is in force; TAKE: what was read last is in force; DROP: it
 * counts no more, nor does it once another READ begins. */
enum steward_act { STEWARD_BIND = 1, STEWARD_READ = 2, STEWARD_TAKE = 3, STEWARD_UNBIND = 4, STEWARD_LOG = 5, STEWARD_DROP = 6 };
struct steward_order {
	uint32_t act;    /* of enum steward_act */
	uint32_t beside; /* BIND: as in struct bind_options */
	uint32_t known;  /* BIND: found says what the name leads to; 0: it is looked up */
	char text[STEWARD_TEXT_MAX];
	struct resolved found;
};

/* After a BIND with the sockets, at least one, and after a LOG with the file. The first report, unasked, says that the steward is at work. */
struct steward_report {
	int32_t result; /* 0, or -1 with complaints */
	char words[ERR_TEXT_MAX];
};

/* On a channel of a resolver's thread; the answer is a struct resolved. */
struct steward_question {
	char host[STEWARD_TEXT_MAX];
};

/* On a channel for files: the regular file at that path below a web root that the configuration names. With an empty root: the file
 * or directory of that name, which is the configuration's own or named by it. The answer brings the descriptor, or the error: EISDIR:
 * a directory below a web root; ENXIO: what is there is special (base/file.h). */
struct steward_file {
	char root[PATH_MAX], path[PATH_MAX];
};
struct steward_file_answer {
	int32_t error;
};

_Static_assert(CHANNEL_FDS_MAX >= RESOLVED_MAX, "the sockets of a name fit in one report");

/* --- the steward ---------------------------------------------------------------------------------------------------- */

struct steward_work {
	const char *file;          /* of the configuration; NULL: none to read again */
	struct settings *settings; /* in force */
	struct settings *next;     /* read last, and may be in force soon; NULL: none */
	char *log;                 /* of the start: the path, or NULL */
	struct bound *made;        /* the socket files, for who binds */
	size_t made_count;
	struct steward_ends ends;
	int control;          /* that for orders */
	pthread_mutex_t lock; /* guards settings while they change */
};

/* In a child of the gateway, before any thread (steward_process.c): closes all but its ends, becomes the user, of whose rights
 * and those to low ports it keeps no more than it had, enters a sandbox of its own, reports, and serves until the gateway is gone. */
_Noreturn void steward_process(struct steward_work *work);

/* Obeys orders until the other end is closed. */
void steward_obey(struct steward_work *work);

/* Opens files until the other end is closed. Any thread. */
void steward_open(struct steward_work *work, int end);

/* Answers questions until the other end is closed. */
void steward_answer(int end);

/* Sends a report, which brings nothing. -1: nobody is there. */
must_check int steward_report(const struct steward_work *work, int result, const struct err *err);
