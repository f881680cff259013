/* tokens.c owns what was read of token files, who looks it up, and who waits until it is read anew.
 * It must never follow what a client sent as a path, nor open or read a file with its lock held. */
#include "gate/tokens.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "gate/token_files.h"
#include "net/offload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* After a look at a directory of many files the next one waits a millisecond for so many of them, about ten times as long as the
 * look took: a worker is kept by it. Counted and not measured, so that what a busy machine delays is not old for longer. */
#define MEMBERS_A_MS 20

struct tokens {
	char *path;
	pthread_mutex_t lock;     /* guards what follows */
	unsigned refs;            /* the owner, and the job */
	struct token_files files; /* as they were read */
	struct err report;        /* what was wrong with them, until somebody took it */
	bool settled;             /* whoever finds the same state again need not read it again */
	uint64_t rest_until;      /* of clock_ms(): until then it is as it was */

	struct offload_job job;       /* reads them, as long as somebody waits */
	struct opener *const *opener; /* of the helper threads */
	bool reading;                 /* the job is under way */
	struct list next, served;     /* who waits for the next reading, and for the one under way */
};

struct tokens_wait {
	struct mail mail; /* first */
	struct list_node node;
	struct list *list; /* that it is in; NULL: its mail is posted */
	struct tokens *tokens;
	struct mailbox *mailbox;
	bool cancelled; /* since then */
	tokens_cb *done;
	void *arg;
};

struct tokens *tokens_new(const char *path)
{
	struct tokens *tokens = mem_zalloc(sizeof(*tokens));
	tokens->path = mem_strdup(path);
	tokens->refs = 1;
	list_init(&tokens->next);
	list_init(&tokens->served);
	pthread_mutex_init(&tokens->lock, NULL);
	return tokens;
}

/* With the lock held. */
static void tokens_rest(struct tokens *tokens)
{
	if (tokens->files.members.count >= MEMBERS_A_MS)
		tokens->rest_until = clock_ms() + tokens->files.members.count / MEMBERS_A_MS;
}

void tokens_read(struct tokens *tokens, struct opener *opener)
{
	time_t now = time(NULL);
	struct token_files files;
	struct err report;
	err_init(&report);
	token_files_read(&files, tokens->path, opener, &report);
	pthread_mutex_lock(&tokens->lock);
	if (files.state.hash != tokens->files.state.hash)
		tokens->report = report;
	token_files_clear(&tokens->files);
	tokens->files = files;
	tokens->settled = token_files_are_settled(&files, now);
	tokens_rest(tokens);
	pthread_mutex_unlock(&tokens->lock);
}

void tokens_report(struct tokens *tokens, struct err *report)
{
	pthread_mutex_lock(&tokens->lock);
	*report = tokens->report;
	err_init(&tokens->report);
	pthread_mutex_unlock(&tokens->lock);
}

/* The last who has it frees it: its owner, or the job. */
void tokens_free(struct tokens *tokens)
{
	if (tokens == NULL)
		return;
	pthread_mutex_lock(&tokens->lock);
	unsigned left = --tokens->refs;
	pthread_mutex_unlock(&tokens->lock);
	if (left > 0)
		return;
	token_files_clear(&tokens->files);
	pthread_mutex_destroy(&tokens->lock);
	free(tokens->path);
	free(tokens);
}

/* Who was served is told so, and who waits is served next: what they ask for may have changed after the last reading had begun.
 * False: nobody waits. The mail is posted with the lock held, so that tokens_cancel() finds it either not yet posted, and
 * prevents it, or wholly posted, and the mailbox may go. */
static bool serve_next(struct tokens *tokens)
{
	pthread_mutex_lock(&tokens->lock);
	for (struct list_node *node = list_take(&tokens->served); node != NULL; node = list_take(&tokens->served)) {
		struct tokens_wait *wait = list_entry(node, struct tokens_wait, node);
		wait->list = NULL;
		mailbox_post(wait->mailbox, &wait->mail);
	}
	for (struct list_node *node = list_take(&tokens->next); node != NULL; node = list_take(&tokens->next)) {
		list_append(&tokens->served, node);
		list_entry(node, struct tokens_wait, node)->list = &tokens->served;
	}
	bool any = !list_empty(&tokens->served);
	tokens->reading = any;
	pthread_mutex_unlock(&tokens->lock);
	return any;
}

static void tokens_work(struct offload_job *job, unsigned thread)
{
	struct tokens *tokens = list_entry(job, struct tokens, job);
	while (serve_next(tokens))
		tokens_read(tokens, tokens->opener[thread]);
	tokens_free(tokens);
}

static void wait_over(struct mail *mail, void *owner)
{
	struct tokens_wait *wait = (struct tokens_wait *)mail;
	if (!wait->cancelled)
		wait->done(wait->tokens, wait->arg);
	free(wait);
}

struct tokens_wait *tokens_wait(struct tokens *tokens, const struct request_env *env, tokens_cb *done, void *arg)
{
	struct tokens_wait *wait = malloc(sizeof(*wait));
	if (wait == NULL)
		return NULL;
	*wait = (struct tokens_wait){
		.mail.run = wait_over, .list = &tokens->next, .tokens = tokens, .mailbox = env->mailbox, .done = done, .arg = arg
	};
	pthread_mutex_lock(&tokens->lock);
	if (!tokens->reading) {
		tokens->job = (struct offload_job){ .work = tokens_work, .may_hang = true };
		tokens->opener = env->opener;
		tokens->reading = offload_start(env->offload, &tokens->job, NULL) == 0;
		tokens->refs += tokens->reading;
	}
	bool comes = tokens->reading;
	if (comes)
		list_append(&tokens->next, &wait->node);
	pthread_mutex_unlock(&tokens->lock);
	if (comes)
		return wait;
	free(wait);
	return NULL;
}

void tokens_cancel(struct tokens_wait *wait)
{
	struct tokens *tokens = wait->tokens;
	pthread_mutex_lock(&tokens->lock);
	bool posted = wait->list == NULL;
	if (!posted)
		list_remove(wait->list, &wait->node);
	pthread_mutex_unlock(&tokens->lock);
	if (posted)
		wait->cancelled = true; /* the mail can't be taken back; it frees the wait */
	else
		free(wait);
}

/* With the lock held. */
static bool tokens_are_fresh(struct tokens *tokens)
{
	if (clock_ms() < tokens->rest_until)
		return true;
	if (!tokens->settled || token_files_look(&tokens->files, tokens->path).hash != tokens->files.state.hash)
		return false;
	tokens_rest(tokens);
	return true;
}

/* The name, decoded into out, which has HTTP_TARGET_MAX bytes. Its length; 0: there is none; -1: it is malformed. */
static long token_of(struct span query, char *out)
{
	struct span raw = http_query_param(query, SPAN("token"));
	if (raw.p == NULL || raw.n == 0)
		return 0;
	long n = raw.n <= HTTP_TARGET_MAX ? http_percent_decode(out, raw, true) : -1;
	while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
		n--;
	return n;
}

enum verdict tokens_look_up(struct tokens *tokens, struct request *request, bool as_read)
{
	char name[HTTP_TARGET_MAX + 1], detail[TOKEN_DETAIL_MAX];
	long n = token_of(request->head->query, name);
	if (n <= 0)
		return request_refuse(request, n == 0 ? REASON_TOKEN_MISSING : REASON_UNKNOWN_TOKEN);
	const struct span wanted = { name, (size_t)n };
	pthread_mutex_lock(&tokens->lock);
	bool fresh = as_read || tokens_are_fresh(tokens);
	bool found = fresh && token_files_find(&tokens->files, tokens->path, wanted, &request->target, detail);
	pthread_mutex_unlock(&tokens->lock);
	if (!fresh)
		return VERDICT_WAIT;
	if (found)
		return VERDICT_PASS;
	if (detail[0] == '\0')
		return request_refuse(request, REASON_UNKNOWN_TOKEN);
	request->detail = strdup(detail);
	return request_refuse(request, REASON_TOKENS_UNREADABLE);
}
