/* steward_work.c owns what the steward does, order by order.
 * It must never believe what it is told: it binds what its own reading of the configuration names, and nothing else. */
#include "server/steward_work.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/places.h"
#include "net/bind.h"
#include "net/tls_context.h"
#include "sys/beneath.h"
#include "sys/channel.h"
#include "sys/own_names.h"
#include "sys/privs.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LACK_MS 50

/* --- orders --------------------------------------------------------------------------------------------------------- */

static const struct listen_settings *find_address(const struct settings *settings, const char *text,
                                                  const struct address **address)
{
	for (size_t i = 0; settings != NULL && i < settings->listens_count; i++) {
		const struct address_list *list = &settings->listens[i]->address;
		for (size_t k = 0; k < list->count; k++) {
			*address = &list->item[k];
			if ((*address)->kind != ADDRESS_FD && strcmp((*address)->text, text) == 0)
				return settings->listens[i];
		}
	}
	return NULL;
}

/* The socket file of an address's text; otherwise what is no path. */
static const char *path_of(const char *text)
{
	return strncmp(text, "unix:", 5) == 0 ? text + 5 : "";
}

static bool is_of_port(const struct sockaddr_storage *sa, socklen_t len, uint16_t port)
{
	if (sa->ss_family == AF_INET)
		return len == sizeof(struct sockaddr_in) && ((const struct sockaddr_in *)sa)->sin_port == htons(port);
	return sa->ss_family == AF_INET6 && len == sizeof(struct sockaddr_in6) &&
	       ((const struct sockaddr_in6 *)sa)->sin6_port == htons(port);
}

/* Where a name leads is left to who looked it up, but for the port; a number leads nowhere else. */
static bool is_plausible(const struct resolved *found, const struct address *address)
{
	struct resolved number;

	if (address->host == NULL || resolved_at_once(address->host, 0, &number) || found->count > RESOLVED_MAX)
		return false;
	for (size_t i = 0; i < found->count; i++)
		if (!is_of_port(&found->addr[i].sa, found->addr[i].len, address->port))
			return false;
	return true;
}

static int bind_for(const struct steward_work *work, const struct steward_order *order, struct bound *bound, struct err *err)
{
	const struct address *address;
	const struct listen_settings *set = find_address(work->next, order->text, &address);

	if (set == NULL)
		set = find_address(work->settings, order->text, &address);
	if (set == NULL || (order->known && !is_plausible(&order->found, address)))
		return err_add(err, "cannot listen on %s: %s: the configuration does not name it", order->text, strerror(EACCES));
	bool owned = set->unix_user[0] != '\0' || set->unix_group[0] != '\0';
	struct bind_owner owner = { 0 };
	const struct bind_options options = { .backlog = (int)set->backlog,
		                              .unix_mode = set->unix_mode,
		                              .owner = owned ? &owner : NULL,
		                              .beside = order->beside != 0,
		                              .found = order->known ? &order->found : NULL };
	if (owned && privs_find_owner(set->unix_user, set->unix_group, &owner.user, &owner.group, err) != 0)
		return -1;
	privs_raise(path_of(order->text));
	int result = bind_open(bound, address, &options, err);
	privs_lower();
	return result;
}

static struct bound *find_made(const struct steward_work *work, const char *path)
{
	for (size_t i = 0; i < work->made_count; i++)
		if (strcmp(work->made[i].path, path) == 0)
			return &work->made[i];
	return NULL;
}

static int unbind(struct steward_work *work, const char *text, struct err *err)
{
	struct bound *made = find_made(work, path_of(text));

	if (made == NULL)
		return err_add(err, "the steward made no %s", text);
	privs_raise(made->path);
	bind_close(made);
	privs_lower();
	*made = work->made[--work->made_count];
	return 0;
}

static int open_log(const struct steward_work *work, struct bound *opened, struct err *err)
{
	if (work->log == NULL)
		return err_add(err, "the log is no file");
	privs_raise(work->log);
	int fd = log_open_file(work->log, err);
	privs_lower();
	if (fd < 0)
		return -1;
	*opened = (struct bound){ .fd = mem_resize(NULL, 1, sizeof(fd)), .count = 1 };
	opened->fd[0] = fd;
	return 0;
}

/* After it was passed on. A file that stands in the place of one that we made before has taken it. */
static void let_go(struct steward_work *work, struct bound *bound, bool passed)
{
	if (bound->path == NULL || !passed) {
		bind_close(bound);
		return;
	}
	struct bound *made = find_made(work, bound->path);
	if (made == NULL) {
		work->made = mem_resize(work->made, work->made_count + 1, sizeof(*work->made));
		made = &work->made[work->made_count++];
	} else {
		free(made->path);
	}
	bind_release(bound);
	*made = *bound;
}

/* With the right to read what is closed to the user. */
static int open_as_root(struct opener *opener, const char *path)
{
	privs_raise(path);
	int fd = file_opener.open(&file_opener, path);
	privs_lower();
	return fd;
}

/* Takes over what may be in force soon. NULL: nothing. */
static void put_next(struct steward_work *work, struct settings *next)
{
	pthread_mutex_lock(&work->lock);
	settings_free(work->next);
	work->next = next;
	pthread_mutex_unlock(&work->lock);
}

static int read_again(struct steward_work *work, struct err *err)
{
	struct opener reader = { .open = open_as_root };

	put_next(work, NULL);
	struct settings *next = work->file != NULL ? settings_read(work->file, &reader, err) : NULL;
	if (next == NULL)
		return -1;
	privs_raise(work->file);
	int result = places_check_roots(next, err);
	privs_lower();
	if (result == 0)
		put_next(work, next);
	else
		settings_free(next);
	return result;
}

static void take(struct steward_work *work)
{
	pthread_mutex_lock(&work->lock);
	if (work->next != NULL) {
		settings_free(work->settings);
		work->settings = work->next;
		work->next = NULL;
	}
	pthread_mutex_unlock(&work->lock);
}

static int obey(struct steward_work *work, const struct steward_order *order, struct bound *bound, struct err *err)
{
	bool whole = memchr(order->text, '\0', sizeof(order->text)) != NULL;

	switch (whole ? order->act : 0) {
	case STEWARD_BIND:
		return bind_for(work, order, bound, err);
	case STEWARD_UNBIND:
		return unbind(work, order->text, err);
	case STEWARD_LOG:
		return open_log(work, bound, err);
	case STEWARD_READ:
		return read_again(work, err);
	case STEWARD_TAKE:
		take(work);
		return 0;
	case STEWARD_DROP:
		put_next(work, NULL);
		return 0;
	default:
		return err_add(err, "the steward does not do that");
	}
}

/* Waits while there is no memory or buffer for it, which passes. -1: the gateway is gone. */
static int insist(int end, const void *message, size_t size)
{
	int sent;

	while ((sent = channel_send(end, message, size, NULL, 0)) != 0 && errno != EPIPE && errno != ECONNRESET)
		(void)poll(NULL, 0, LACK_MS);
	return sent;
}

int steward_report(const struct steward_work *work, int result, const struct err *err)
{
	struct steward_report report = { .result = result }; /* zero: what is left over must not tell anything */

	memcpy(report.words, err->text, err->len);
	return insist(work->control, &report, sizeof(report));
}

/* -1: the gateway is gone. */
static int obey_one(struct steward_work *work, const struct steward_order *order)
{
	static const struct steward_report success = { .result = 0 };
	struct bound bound = { .fd = NULL };
	struct err err;

	err_init(&err);
	int result = order != NULL ? obey(work, order, &bound, &err) : err_add(&err, "the steward does not understand");
	if (bound.count == 0)
		return steward_report(work, result, &err);
	bool passed = channel_send(work->control, &success, sizeof(success), bound.fd, bound.count) == 0;
	if (!passed)
		err_add(&err, "the steward cannot pass on what it opened: %s", strerror(errno));
	let_go(work, &bound, passed);
	return passed ? 0 : steward_report(work, -1, &err);
}

void steward_obey(struct steward_work *work)
{
	struct steward_order order;
	int sent = 0;

	while (sent == 0) {
		bool whole = channel_receive(work->control, &order, sizeof(order)) == 0;
		if (!whole && errno != EBADMSG)
			return;
		sent = obey_one(work, whole ? &order : NULL);
	}
}

/* --- files ---------------------------------------------------------------------------------------------------------- */

/* What is in force names it, or what may be soon. */
static bool is_named(struct steward_work *work, unsigned kinds, const char *path)
{
	bool found = false;

	pthread_mutex_lock(&work->lock);
	for (unsigned kind = 0; kind < FILE_KINDS && !found; kind++)
		found = (kinds & 1u << kind) != 0 && (settings_name_file(work->settings, kind, path) ||
		                                      (work->next != NULL && settings_name_file(work->next, kind, path)));
	pthread_mutex_unlock(&work->lock);
	return found;
}

/* The configuration's own: whatever is there by now. */
static bool is_configuration(const struct steward_work *work, const char *path)
{
	if (work->file == NULL)
		return false;
	char *directory = settings_directory(work->file);
	size_t n = strlen(directory);
	bool found = strcmp(path, work->file) == 0 || strcmp(path, directory) == 0 ||
	             (strncmp(path, directory, n) == 0 && path[n] == '/' && settings_is_file_name(path + n + 1));

	free(directory);
	return found;
}

/* The system's names and authorities, which everybody may read. */
static bool is_systems(const char *path)
{
	const char *directory = tls_system_directory();
	size_t n = strlen(directory);

	return strcmp(path, OWN_NAMES_FILE) == 0 || strcmp(path, tls_system_file()) == 0 || strcmp(path, directory) == 0 ||
	       (strncmp(path, directory, n) == 0 && path[n] == '/' && strchr(path + n + 1, '/') == NULL);
}

/* Returns 0 or the errno, as open_file(). */
static int open_named(struct steward_work *work, const char *path, int *fd)
{
	static const unsigned closed = 1u << FILE_CERTIFICATE | 1u << FILE_KEY | 1u << FILE_AUTHORITIES;

	if (is_configuration(work, path) || is_named(work, closed, path))
		*fd = open_as_root(NULL, path);
	else if (is_systems(path) || is_named(work, 1u << FILE_TOKENS, path))
		*fd = file_opener.open(&file_opener, path);
	else
		return EACCES;
	return *fd < 0 ? errno : 0;
}

static int open_file(struct steward_work *work, const struct steward_file *order, int *fd)
{
	if (memchr(order->root, '\0', PATH_MAX) == NULL || memchr(order->path, '\0', PATH_MAX) == NULL)
		return EACCES;
	if (order->root[0] == '\0')
		return open_named(work, order->path, fd);
	if (!is_named(work, 1u << FILE_ROOT | 1u << FILE_TOKENS, order->root))
		return EACCES;
	*fd = beneath_open_in(order->root, order->path);
	return *fd < 0 ? errno : 0;
}

/* -1: the gateway is gone. */
static int answer_with(int end, int error, const int *fd)
{
	struct steward_file_answer answer = { error };

	if (error == 0) {
		if (channel_send(end, &answer, sizeof(answer), fd, 1) == 0)
			return 0;
		answer.error = errno;
	}
	return insist(end, &answer, sizeof(answer));
}

void steward_open(struct steward_work *work, int end)
{
	struct steward_file order;
	int result;

	while ((result = channel_receive(end, &order, sizeof(order))) == 0 || errno == EBADMSG) {
		int fd = -1;
		int sent = answer_with(end, result == 0 ? open_file(work, &order, &fd) : EINVAL, &fd);
		if (fd >= 0)
			close(fd);
		if (sent != 0)
			return;
	}
}

/* --- questions ------------------------------------------------------------------------------------------------------ */

void steward_answer(int end)
{
	struct steward_question question;
	struct resolved answer;
	int result;

	while ((result = channel_receive(end, &question, sizeof(question))) == 0 || errno == EBADMSG) {
		memset(&answer, 0, sizeof(answer)); /* what is left over must not tell anything */
		answer.error = EAI_FAIL;
		if (result == 0 && memchr(question.host, '\0', sizeof(question.host)) != NULL)
			resolved_by_system(question.host, 0, AI_ADDRCONFIG, &answer);
		if (insist(end, &answer, sizeof(answer)) != 0)
			return;
	}
}
