/* offload.c owns the helper threads and the jobs that wait for one.
 * It must never call anything of a job's with its lock held, nor touch a job that has no owner once it runs. */
#include "net/offload.h"

#include "base/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct offload {
	unsigned count; /* of threads */
	unsigned hanging_max;
	size_t queue_max;
	pthread_mutex_t lock; /* guards what follows, and what the offload has in each job */
	pthread_cond_t wake;  /* there is a job, or nothing to do any more */
	unsigned numbered;    /* threads that have their number */
	unsigned hanging;     /* jobs that run and may hang */
	bool closing;
	struct list queue;
	pthread_t thread[];
};

static void job_arrived(struct mail *mail, void *owner)
{
	struct offload_job *job = (struct offload_job *)mail;

	if (job->cancelled)
		job->drop(job);
	else
		job->done(job);
}

/* With the lock held, as all from here to the threads. */
static struct offload_job *job_next(struct offload *offload)
{
	bool full = offload->hanging >= offload->hanging_max;

	list_each (&offload->queue, node, after) {
		struct offload_job *job = list_entry(node, struct offload_job, in_queue);
		if (job->may_hang && full)
			continue;
		list_remove(&offload->queue, node);
		return job;
	}
	return NULL;
}

static void job_work(struct offload *offload, struct offload_job *job, unsigned thread)
{
	bool may_hang = job->may_hang, owned = job->owner != NULL;

	offload->hanging += may_hang;
	pthread_mutex_unlock(&offload->lock);
	job->work(job, thread);
	pthread_mutex_lock(&offload->lock);
	offload->hanging -= may_hang;
	if (owned && !job->cancelled) {
		/* With the lock held, so that offload_cancel() finds a job either not yet posted, and prevents it, or wholly posted,
		 * and the mailbox may go. */
		mailbox_post(job->owner, &job->mail);
	} else if (owned) {
		pthread_mutex_unlock(&offload->lock);
		job->drop(job);
		pthread_mutex_lock(&offload->lock);
	}
}

static void *thread_main(void *arg)
{
	struct offload *offload = arg;

	pthread_mutex_lock(&offload->lock);
	unsigned number = offload->numbered++;
	while (!offload->closing) {
		struct offload_job *job = job_next(offload);
		if (job != NULL)
			job_work(offload, job, number);
		else
			pthread_cond_wait(&offload->wake, &offload->lock);
	}
	pthread_mutex_unlock(&offload->lock);
	return NULL;
}

struct offload *offload_new(unsigned threads, unsigned reserved, size_t queue_max)
{
	struct offload *offload = calloc(1, sizeof(*offload) + threads * sizeof(offload->thread[0]));
	sigset_t before;
	int error = 0;

	if (offload == NULL)
		return NULL;
	offload->hanging_max = threads - reserved;
	offload->queue_max = queue_max;
	pthread_mutex_init(&offload->lock, NULL);
	pthread_cond_init(&offload->wake, NULL);
	list_init(&offload->queue);
	signals_block(&before); /* signals belong to the main thread */
	while (offload->count < threads && error == 0) {
		error = pthread_create(&offload->thread[offload->count], NULL, thread_main, offload);
		offload->count += error == 0;
	}
	signals_restore(&before);
	if (error == 0)
		return offload;
	offload_free(offload);
	errno = error;
	return NULL;
}

static void begin_no_other(struct offload *offload)
{
	pthread_mutex_lock(&offload->lock);
	offload->closing = true;
	pthread_cond_broadcast(&offload->wake);
	pthread_mutex_unlock(&offload->lock);
}

int offload_end(struct offload *offload, unsigned seconds)
{
	struct timespec until;

	if (offload == NULL)
		return 0;
	begin_no_other(offload);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	for (; offload->count > 0; offload->count--)
		if (pthread_timedjoin_np(offload->thread[offload->count - 1], NULL, &until) != 0)
			return -1;
	return 0;
}

void offload_free(struct offload *offload)
{
	if (offload == NULL)
		return;
	begin_no_other(offload);
	for (unsigned i = 0; i < offload->count; i++)
		pthread_join(offload->thread[i], NULL);
	pthread_cond_destroy(&offload->wake);
	pthread_mutex_destroy(&offload->lock);
	free(offload);
}

int offload_start(struct offload *offload, struct offload_job *job, struct mailbox *owner)
{
	pthread_mutex_lock(&offload->lock);
	bool room = offload->queue.count < offload->queue_max;
	if (room) {
		job->mail.run = job_arrived;
		job->offload = offload;
		job->owner = owner;
		job->cancelled = false;
		list_append(&offload->queue, &job->in_queue);
		pthread_cond_signal(&offload->wake);
	}
	pthread_mutex_unlock(&offload->lock);
	return room ? 0 : -1;
}

void offload_cancel(struct offload_job *job)
{
	struct offload *offload = job->offload;

	pthread_mutex_lock(&offload->lock);
	bool waits = job->in_queue.next != NULL;
	if (waits)
		list_remove(&offload->queue, &job->in_queue);
	job->cancelled = true;
	pthread_mutex_unlock(&offload->lock);
	if (waits)
		job->drop(job);
}
