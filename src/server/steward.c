/* steward.c owns the gateway's ends of the channels to the steward, and the news of its death.
 * It must never start a second one: who was able to end the first could do so again. */
#include "server/steward.h"

#include "base/file.h"
#include "base/mem.h"
#include "server/steward_process.h"
#include "server/steward_talk.h"

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

struct file_channel {
	struct opener opener; /* first */
	int end;
};

struct steward {
	pid_t pid;
	int life; /* nothing is said there: it ends with the steward */
	int control;
	pthread_mutex_t lock; /* an order and its report belong together */
	atomic_bool slow;     /* the last turn did not come in time */
	struct file_channel *files;
	size_t files_count;
	int *names; /* a channel for each thread of the resolver */
	size_t names_count;
	struct event *event;
	struct log *log;
};

/* --- names ---------------------------------------------------------------------------------------------------------- */

/* -1: the steward is gone, or has never heard of what is right. */
static int names_ask(int end, const char *host, struct resolved *answer)
{
	struct steward_question question = { .host = "" };

	if (strlen(host) >= sizeof(question.host))
		return -1;
	memcpy(question.host, host, strlen(host));
	if (channel_send(end, &question, sizeof(question), NULL, 0) != 0)
		return -1;
	return channel_receive(end, answer, sizeof(*answer)) != 0 || answer->count > RESOLVED_MAX ? -1 : 0;
}

static void names_look_up(void *arg, unsigned thread, const char *host, struct resolved *answer)
{
	const struct steward *steward = arg;

	if (names_ask(steward->names[thread], host, answer) != 0)
		*answer = (struct resolved){ .error = EAI_AGAIN };
}

void steward_serve_names(struct steward *steward, struct resolver_options *options)
{
	options->threads = (unsigned)steward->names_count;
	options->lookup = names_look_up;
	options->lookup_arg = steward;
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

static int files_ask(int end, const char *root, const char *path, int *fd, size_t *fds)
{
	struct steward_file order = { .root = "" }; /* zero: what is left over must not tell anything */
	struct steward_file_answer answer;
	size_t root_len = strlen(root), path_len = strlen(path);

	if (root_len >= sizeof(order.root) || path_len >= sizeof(order.path))
		return ENAMETOOLONG;
	memcpy(order.root, root, root_len + 1);
	memcpy(order.path, path, path_len + 1);
	if (channel_send(end, &order, sizeof(order), NULL, 0) != 0 ||
	    channel_receive_fds(end, &answer, sizeof(answer), fd, fds) != 0)
		return errno == EMFILE ? EMFILE : EIO; /* the steward is gone, which the log says */
	return answer.error;
}

static int files_open_below(struct opener *opener, const char *root, const char *path)
{
	int fd = -1;
	size_t fds = 1;
	int error = files_ask(((struct file_channel *)opener)->end, root, path, &fd, &fds);

	if (error == 0)
		return fd;
	errno = error;
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

static int make_channel(int *ours, int *its)
{
	int end[2];

	if (channel_pair(end) != 0)
		return -1;
	*ours = end[0];
	*its = end[1];
	return 0;
}

/* Ours in the steward, its own in work. */
static int make_channels(struct steward *steward, struct steward_work *work, size_t names, size_t files)
{
	steward->names = mem_zalloc(names * sizeof(int));
	steward->files = mem_zalloc(files * sizeof(*steward->files));
	work->names = mem_zalloc(names * sizeof(int));
	work->files = mem_zalloc(files * sizeof(int));
	if (make_channel(&steward->control, &work->control) != 0 || make_channel(&steward->life, &work->life) != 0)
		return -1;
	for (size_t *i = &steward->names_count; *i < names; work->names_count = ++*i)
		if (make_channel(&steward->names[*i], &work->names[*i]) != 0)
			return -1;
	for (size_t *i = &steward->files_count; *i < files; work->files_count = ++*i) {
		if (make_channel(&steward->files[*i].end, &work->files[*i]) != 0)
			return -1;
		steward->files[*i].opener = (struct opener){ files_open_named, files_open_below };
	}
	return 0;
}

static void work_clear(struct steward_work *work)
{
	if (work->control >= 0)
		close(work->control);
	if (work->life >= 0)
		close(work->life);
	for (size_t i = 0; i < work->names_count; i++)
		close(work->names[i]);
	for (size_t i = 0; i < work->files_count; i++)
		close(work->files[i]);
	free(work->names);
	free(work->files);
}

static void take_words(const char *words, struct err *err)
{
	struct span rest = { words, strnlen(words, ERR_TEXT_MAX) }, line;

	while (rest.n > 0 && span_next(&rest, '\n', &line))
		err_add(err, "%.*s", (int)line.n, line.p);
}

/* What the steward reports; fd: room for CHANNEL_FDS_MAX, or NULL. */
static int hear(const struct steward *steward, int *fd, size_t *fds, struct err *err)
{
	struct steward_report report; /* not of the heap: a log is opened anew also when there is no memory */
	int result = fd != NULL ? channel_receive_fds(steward->control, &report, sizeof(report), fd, fds)
	                        : channel_receive(steward->control, &report, sizeof(report));

	if (result != 0 && errno == EMFILE)
		err_add(err, "cannot take what the steward opened: %s", strerror(errno));
	else if (result != 0)
		err_add(err, "the steward, the process that binds addresses, is gone; restart to have another");
	else if ((result = report.result) != 0)
		take_words(report.words, err);
	return result;
}

static int start(struct steward *steward, struct steward_work *work, size_t files, struct err *err)
{
	if (make_channels(steward, work, (size_t)work->settings->server->resolver_threads, files + 1) != 0)
		return err_add(err, "cannot make channels to the steward: %s", strerror(errno));
	(void)signal(SIGCHLD, SIG_IGN); /* the kernel takes the body away: the channel tells us */
	steward->pid = fork();
	if (steward->pid == 0)
		steward_process(work);
	return steward->pid > 0 ? 0 : err_add(err, "cannot start the steward: %s", strerror(errno));
}

struct steward *steward_start(struct settings *settings, const char *file, size_t files, struct err *err)
{
	struct steward *steward = mem_zalloc(sizeof(*steward));
	struct steward_work work = {
		.settings = settings, .file = file, .control = -1, .life = -1, .lock = PTHREAD_MUTEX_INITIALIZER
	};

	steward->control = steward->life = -1;
	pthread_mutex_init(&steward->lock, NULL);
	int result = start(steward, &work, files, err);
	work_clear(&work);
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
	struct steward *steward = arg;
	(void)fd;
	(void)what;

	log_line(steward->log, LEVEL_ERROR,
	         "the steward, process %ld, is gone: sessions and listeners go on, but no name is looked up, no static file or "
	         "rotated log opened, and no other address can be listened on: restart soon",
	         (long)steward->pid);
	event_del(steward->event);
}

int steward_watch(struct steward *steward, struct event_base *base, struct log *log, struct err *err)
{
	steward->log = log;
	steward->event = event_new(base, steward->life, EV_READ | EV_PERSIST, steward_on_gone, steward);
	if (steward->event != NULL && event_add(steward->event, NULL) == 0)
		return 0;
	return err_add(err, "cannot watch the steward: %s", strerror(errno));
}

void steward_hang_up(struct steward *steward)
{
	if (steward == NULL)
		return;
	shutdown(steward->control, SHUT_RDWR);
	for (size_t i = 0; i < steward->names_count; i++)
		shutdown(steward->names[i], SHUT_RDWR);
	for (size_t i = 0; i < steward->files_count; i++)
		shutdown(steward->files[i].end, SHUT_RDWR);
}

void steward_free(struct steward *steward)
{
	if (steward == NULL)
		return;
	if (steward->event != NULL)
		event_free(steward->event);
	if (steward->control >= 0)
		close(steward->control);
	if (steward->life >= 0)
		close(steward->life);
	for (size_t i = 0; i < steward->names_count; i++)
		close(steward->names[i]);
	free(steward->names);
	for (size_t i = 0; i < steward->files_count; i++)
		close(steward->files[i].end);
	free(steward->files);
	free(steward);
}

/* --- orders --------------------------------------------------------------------------------------------------------- */

static int set_text(struct steward_order *order, const char *text)
{
	size_t len = strlen(text);

	if (len >= sizeof(order->text))
		return -1;
	memcpy(order->text, text, len);
	return 0;
}

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

	if (set_text(&order, address->text) != 0)
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

void steward_unbind(struct steward *steward, const char *text)
{
	struct steward_order order = { .act = STEWARD_UNBIND };
	struct err ignored; /* what was not removed is stale at the next start */

	err_init(&ignored);
	if (set_text(&order, text) == 0)
		(void)!give_order(steward, &order, NULL, NULL, &ignored);
}

int steward_read(struct steward *steward, struct err *err)
{
	const struct steward_order order = { .act = STEWARD_READ };

	return give_order(steward, &order, NULL, NULL, err);
}

/* Its death is in the log, and then nothing is in force there. */
static void tell(struct steward *steward, enum steward_act act)
{
	const struct steward_order order = { .act = act };
	struct err ignored;

	err_init(&ignored);
	(void)!give_order(steward, &order, NULL, NULL, &ignored);
}

void steward_take(struct steward *steward)
{
	tell(steward, STEWARD_TAKE);
}

void steward_drop(struct steward *steward)
{
	tell(steward, STEWARD_DROP);
}
