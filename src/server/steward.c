/* steward.c owns the gateway's ends of the channels to the steward, and the news of its death.
 * It must never start a second one: who was able to end the first could do so again. */
#include "server/steward.h"

#include "base/file.h"
#include "base/mem.h"
#include "server/steward_work.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TURN_S 1

struct steward {
	pid_t pid;
	struct steward_ends ends;
	int control;          /* that for orders */
	pthread_mutex_t lock; /* an order and its report belong together */
	atomic_bool slow;     /* the last turn did not come in time */
	struct file_channel {
		struct opener opener; /* first */
		int end;
	} * files;
	size_t files_count;
	struct event *event;
	struct log *log;
};

/* room: zero, as what is left over must not tell anything. False: the text does not fit. */
static bool put_text(char *room, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len < size)
		memcpy(room, text, len + 1);
	return len < size;
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

static void names_look_up(void *arg, unsigned thread, const char *host, struct resolved *answer)
{
	const struct steward *steward = arg;
	struct steward_question question = { .host = "" };
	int end = steward->ends.fd[END_NAMES + thread];

	if (!put_text(question.host, sizeof(question.host), host) ||
	    channel_send(end, &question, sizeof(question), NULL, 0) != 0 || channel_receive(end, answer, sizeof(*answer)) != 0 ||
	    answer->count > RESOLVED_MAX)
		*answer = (struct resolved){ .error = EAI_AGAIN }; /* it is gone, or has never heard of what is right */
}

struct resolver *steward_resolver(struct steward *steward)
{
	const struct resolver_options options = { .threads = (unsigned)steward->ends.names,
		                                  .lookup = names_look_up,
		                                  .lookup_arg = steward };
	return resolver_new(&options);
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

static int files_open_below(struct opener *opener, const char *root, const char *path)
{
	int end = ((struct file_channel *)opener)->end;
	struct steward_file order = { .root = "" };
	struct steward_file_answer answer;
	size_t fds = 1;
	int fd = -1;

	if (!put_text(order.root, sizeof(order.root), root) || !put_text(order.path, sizeof(order.path), path))
		answer.error = ENAMETOOLONG;
	else if (channel_send(end, &order, sizeof(order), NULL, 0) != 0 ||
	         channel_receive_fds(end, &answer, sizeof(answer), &fd, &fds) != 0)
		answer.error = errno == EMFILE ? EMFILE : EIO; /* the steward is gone, which the log says */
	if (answer.error == 0)
		return fd;
	errno = answer.error;
	return -1;
}

static int files_open_named(struct opener *opener, const char *path)
{
	return files_open_below(opener, "", path);
}

struct opener *steward_opener(struct steward *steward, size_t thread)
{
	return &steward->files[thread].opener;
}

struct opener *steward_reader(struct steward *steward)
{
	return &steward->files[steward->files_count - 1].opener;
}

/* --- starting ------------------------------------------------------------------------------------------------------- */

static int make_channels(struct steward_ends *ours, struct steward_ends *its, size_t count)
{
	int end[2];

	ours->fd = mem_zalloc(count * sizeof(int));
	its->fd = mem_zalloc(count * sizeof(int));
	for (; ours->count < count; its->count = ++ours->count) {
		if (channel_pair(end) != 0)
			return -1;
		ours->fd[ours->count] = end[0];
		its->fd[its->count] = end[1];
	}
	return 0;
}

static void close_ends(struct steward_ends *ends)
{
	for (size_t i = 0; i < ends->count; i++)
		close(ends->fd[i]);
	free(ends->fd);
}

/* What the steward reports; fd: room for CHANNEL_FDS_MAX, or NULL. */
static int hear(const struct steward *steward, int *fd, size_t *fds, struct err *err)
{
	struct steward_report report; /* not of the heap: a log is opened anew also when there is no memory */
	int result = fd != NULL ? channel_receive_fds(steward->control, &report, sizeof(report), fd, fds)
	                        : channel_receive(steward->control, &report, sizeof(report));

	if (result != 0 && errno == EMFILE)
		return err_add(err, "cannot take what the steward opened: %s", strerror(errno));
	if (result != 0)
		return err_add(err, "the steward, the process that binds addresses, is gone; restart to have another");
	struct span words = { report.words, strnlen(report.words, ERR_TEXT_MAX) }, line;
	while (report.result != 0 && words.n > 0 && span_next(&words, '\n', &line))
		err_add(err, "%.*s", (int)line.n, line.p);
	return report.result;
}

static int start(struct steward *steward, struct steward_work *work, struct err *err)
{
	size_t names = (size_t)work->settings->server->resolver_threads;

	if (make_channels(&steward->ends, &work->ends, END_NAMES + names + steward->files_count) != 0)
		return err_add(err, "cannot make channels to the steward: %s", strerror(errno));
	steward->ends.names = work->ends.names = names;
	steward->control = steward->ends.fd[END_ORDERS];
	work->control = work->ends.fd[END_ORDERS];
	for (size_t i = 0; i < steward->files_count; i++)
		steward->files[i] =
		        (struct file_channel){ { files_open_named, files_open_below }, steward->ends.fd[END_NAMES + names + i] };
	(void)signal(SIGCHLD, SIG_IGN); /* the kernel takes the body away: the channel tells us */
	steward->pid = fork();
	if (steward->pid == 0)
		steward_process(work);
	return steward->pid > 0 ? 0 : err_add(err, "cannot start the steward: %s", strerror(errno));
}

struct steward *steward_start(struct settings *settings, const char *file, size_t files, struct err *err)
{
	struct steward *steward = mem_zalloc(sizeof(*steward));
	struct steward_work work = { .settings = settings, .file = file, .lock = PTHREAD_MUTEX_INITIALIZER };

	steward->files_count = files + 1;
	steward->files = mem_zalloc(steward->files_count * sizeof(*steward->files));
	pthread_mutex_init(&steward->lock, NULL);
	int result = start(steward, &work, err);
	close_ends(&work.ends);
	if (result == 0)
		return steward;
	steward_free(steward);
	return NULL;
}

int steward_join(struct steward *steward, struct err *err)
{
	return hear(steward, NULL, NULL, err);
}

/* --- its end -------------------------------------------------------------------------------------------------------- */

static void steward_on_gone(evutil_socket_t fd, short what, void *arg)
{
	const struct steward *steward = arg;

	log_line(steward->log, LEVEL_ERROR,
	         "the steward, process %ld, is gone: sessions and listeners go on, but no name is looked up, no static file or "
	         "rotated log opened, and no other address can be listened on: restart soon",
	         (long)steward->pid);
}

int steward_watch(struct steward *steward, struct event_base *base, struct log *log, struct err *err)
{
	steward->log = log;
	steward->event = event_new(base, steward->ends.fd[END_LIFE], EV_READ, steward_on_gone, steward);
	if (steward->event != NULL && event_add(steward->event, NULL) == 0)
		return 0;
	return err_add(err, "cannot watch the steward: %s", strerror(errno));
}

void steward_hang_up(struct steward *steward)
{
	for (size_t i = END_ORDERS; steward != NULL && i < steward->ends.count; i++)
		shutdown(steward->ends.fd[i], SHUT_RDWR);
}

void steward_free(struct steward *steward)
{
	if (steward == NULL)
		return;
	if (steward->event != NULL)
		event_free(steward->event);
	close_ends(&steward->ends);
	free(steward->files);
	free(steward);
}

/* --- orders --------------------------------------------------------------------------------------------------------- */

/* A reading hangs if a file does, and must not hold up for long who gives other orders, nor each of them anew. */
static bool take_turn(struct steward *steward)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += atomic_load(&steward->slow) ? 0 : TURN_S;
	bool taken = pthread_mutex_timedlock(&steward->lock, &until) == 0;
	atomic_store(&steward->slow, !taken);
	return taken;
}

static int give_order(struct steward *steward, const struct steward_order *order, int *fd, size_t *fds, struct err *err)
{
	if (!take_turn(steward))
		return err_add(err, "the steward still reads the configuration, and does nothing else meanwhile");
	int result = channel_send(steward->control, order, sizeof(*order), NULL, 0);
	if (result == 0 || errno == EPIPE) /* who is gone does not report, either */
		result = hear(steward, fd, fds, err);
	else
		err_add(err, "cannot give the steward an order: %s", strerror(errno));
	pthread_mutex_unlock(&steward->lock);
	return result;
}

int steward_open_log(struct steward *steward, struct err *err)
{
	const struct steward_order order = { .act = STEWARD_LOG };
	int fd = -1;
	size_t fds = 1;

	if (give_order(steward, &order, &fd, &fds, err) != 0)
		return -1;
	return fds == 1 ? fd : err_add(err, "the steward opened no log file");
}

int steward_bind(struct steward *steward, const struct address *address, const struct resolved *found, bool beside,
                 struct bound *bound, struct err *err)
{
	struct steward_order order = { .act = STEWARD_BIND, .beside = beside, .known = found != NULL };
	int fd[CHANNEL_FDS_MAX];
	size_t fds = ARRAY_LEN(fd);

	if (!put_text(order.text, sizeof(order.text), address->text))
		return err_add(err, "cannot listen on %s: the name is too long", address->text);
	if (found != NULL)
		order.found = *found;
	if (give_order(steward, &order, fd, &fds, err) != 0)
		return -1;
	if (fds == 0)
		return err_add(err, "cannot listen on %s: the steward opened no socket", address->text);
	*bound = (struct bound){ .fd = mem_resize(NULL, fds, sizeof(int)), .count = fds };
	memcpy(bound->fd, fd, fds * sizeof(int));
	return 0;
}

/* Its death is in the log, and then nothing is in force there; a socket file that was not removed is stale at the next start. */
static void tell(struct steward *steward, const struct steward_order *order)
{
	struct err ignored;

	err_init(&ignored);
	(void)!give_order(steward, order, NULL, NULL, &ignored);
}

void steward_unbind(struct steward *steward, const char *text)
{
	struct steward_order order = { .act = STEWARD_UNBIND };

	if (put_text(order.text, sizeof(order.text), text))
		tell(steward, &order);
}

int steward_read(struct steward *steward, struct err *err)
{
	return give_order(steward, &(struct steward_order){ .act = STEWARD_READ }, NULL, NULL, err);
}

void steward_take(struct steward *steward)
{
	tell(steward, &(struct steward_order){ .act = STEWARD_TAKE });
}

void steward_drop(struct steward *steward)
{
	tell(steward, &(struct steward_order){ .act = STEWARD_DROP });
}
