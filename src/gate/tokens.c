/* tokens.c owns the reading of token files, and when they are read anew.
 * It must never follow what a client sent as a path, abort for want of memory, or read a file without a bound. */
#include "gate/tokens.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "gate/token_table.h"
#include "proto/http.h"
#include "sys/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define SETTLED_S  2 /* a file that changed later may change once more without another date: file systems count in steps */

/* After a look at a directory of many files the next one waits a millisecond for so many of them, about ten times as long as the
 * look took: a worker is kept by it. Counted and not measured, so that what a busy machine delays is not old for longer. */
#define MEMBERS_A_MS 20

/* What there is at the path now. */
struct state {
	uint64_t hash;    /* of all that shows a change */
	time_t changed;   /* the last time that one did */
	int fd;           /* -1: it can't be opened, or is neither file nor directory, and error says why */
	int error;
	bool is_directory;
	off_t size;
	struct dirent **member; /* of a directory */
	int members;
};

struct tokens {
	char *path, *real; /* names of it */
	pthread_mutex_t lock; /* guards what follows */
	uint64_t hash;        /* of the state that was read; 0: none was */
	uint64_t rest_until;  /* of clock_ms(): until then it is as it was */
	bool settled;         /* whoever finds the same state again need not read it again */
	int error;            /* why it can't be read; 0: table is what was read */
	struct token_table table;
};

/* --- the state of things ---------------------------------------------------------------------------------------------- */

static int is_candidate(const struct dirent *entry)
{
	const char *name = entry->d_name;

	return name[0] != '.' && name[0] != '#' && name[strlen(name) - 1] != '~';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void state_add(struct state *state, const struct stat *st)
{
	state->hash = hash_file(state->hash, st);
	if (st->st_mtim.tv_sec > state->changed)
		state->changed = st->st_mtim.tv_sec;
	if (st->st_ctim.tv_sec > state->changed)
		state->changed = st->st_ctim.tv_sec;
}

/* Of links it is what they lead to that counts; the link itself is part of the name. */
static void state_add_members(struct state *state)
{
	state->members = scandirat(state->fd, ".", &state->member, is_candidate, by_name);
	if (state->members < 0)
		state->error = errno;
	for (int i = 0; i < state->members; i++) {
		const char *name = state->member[i]->d_name;
		struct stat st;
		state->hash = hash_bytes(state->hash, name, strlen(name) + 1);
		if (fstatat(state->fd, name, &st, 0) == 0)
			state_add(state, &st);
	}
}

static int state_open(struct state *state, const char *path)
{
	struct stat st;

	state->fd = open(path, OPEN_FLAGS);
	if (state->fd < 0 || fstat(state->fd, &st) != 0)
		return errno;
	state_add(state, &st);
	state->size = st.st_size;
	state->is_directory = S_ISDIR(st.st_mode);
	if (state->is_directory)
		state_add_members(state);
	return state->error != 0 || state->is_directory || S_ISREG(st.st_mode) ? state->error : EINVAL;
}

static void state_look(struct state *state, const char *path)
{
	*state = (struct state){ .hash = HASH_START, .fd = -1 };
	state->error = state_open(state, path);
	if (state->error != 0)
		state->hash = hash_bytes(state->hash, &state->error, sizeof(state->error));
}

static void state_clear(struct state *state)
{
	for (int i = 0; i < state->members; i++)
		free(state->member[i]);
	free(state->member);
	if (state->fd >= 0)
		close(state->fd);
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static const char *words_of(int error)
{
	switch (error) {
	case EXDEV:
		return "leads out of the directory, so it is not read; replace it by a file, or name it in token_file";
	case EFBIG:
		return "is larger than 1 MiB, so it is not read";
	case EINVAL:
		return "is neither a file nor a directory";
	default:
		return strerror(error);
	}
}

/* It says nothing about the file, and may be over at the next try. */
static bool is_transient_error(int error)
{
	return error == ENOMEM || error == EMFILE || error == ENFILE || error == EIO || error == EAGAIN || error == ESTALE;
}

/* Returns 0 or an errno. */
static int read_file(struct token_table *table, int fd, const char *path, off_t size, struct err *report)
{
	if (size > TOKEN_FILE_MAX)
		return EFBIG;
	struct token_text *text = token_text_new(path, (size_t)size);
	if (text == NULL)
		return ENOMEM;
	int error = file_read(fd, text->bytes, (size_t)size, &text->len) != 0 ? errno : 0;
	if (error == 0)
		return token_table_add(table, text, report) ? 0 : ENOMEM;
	token_text_free(text);
	return error;
}

/* A member that can't be read is none, but for causes that are ours: then nobody can know. Returns 0 or such an errno. */
static int read_member(struct token_table *table, const struct beneath *directory, const char *name, struct err *report)
{
	char path[PATH_MAX];
	struct stat st;
	int fd = beneath_open(directory, name), error = fd < 0 ? errno : 0;

	snprintf(path, sizeof(path), "%s/%s", directory->name[0], name);
	if (fd >= 0) {
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			error = read_file(table, fd, path, st.st_size, report);
		close(fd);
	} else if (error == ENXIO || (fstatat(directory->fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode))) {
		return 0; /* a socket, or a directory that is nobody's business */
	}
	if (is_transient_error(error))
		return error;
	if (error != 0)
		err_add(report, "%s: %s", path, words_of(error));
	return 0;
}

static int read_members(struct tokens *tokens, const struct state *state, struct err *report)
{
	const struct beneath directory = { state->fd, { tokens->path, tokens->real } };
	int error = 0;

	for (int i = 0; i < state->members && error == 0; i++)
		error = read_member(&tokens->table, &directory, state->member[i]->d_name, report);
	return error;
}

static int read_all(struct tokens *tokens, const struct state *state, struct err *report)
{
	if (state->error != 0)
		return state->error;
	if (state->is_directory)
		return read_members(tokens, state, report);
	return read_file(&tokens->table, state->fd, tokens->path, state->size, report);
}

static void read_anew(struct tokens *tokens, const struct state *state, struct err *report)
{
	token_table_clear(&tokens->table);
	tokens->error = read_all(tokens, state, report);
	if (tokens->error != 0)
		err_add(report, "%s: %s", tokens->path, words_of(tokens->error));
	token_table_sort(&tokens->table);
	tokens->settled = !is_transient_error(tokens->error) && time(NULL) - state->changed > SETTLED_S;
}

/* With the lock held. */
static void tokens_refresh(struct tokens *tokens, struct err *report)
{
	struct err told_before;
	struct state state;

	if (clock_ms() < tokens->rest_until)
		return;
	err_init(&told_before);
	state_look(&state, tokens->path);
	bool same = state.hash == tokens->hash;
	if (!same || !tokens->settled)
		read_anew(tokens, &state, same ? &told_before : report);
	tokens->hash = state.hash;
	if (state.members >= MEMBERS_A_MS)
		tokens->rest_until = clock_ms() + (uint64_t)state.members / MEMBERS_A_MS;
	state_clear(&state);
}

/* --- looking up ------------------------------------------------------------------------------------------------------- */

struct tokens *tokens_new(const char *path)
{
	struct tokens *tokens = mem_zalloc(sizeof(*tokens));

	tokens->path = mem_strdup(path);
	tokens->real = beneath_real_name(path);
	pthread_mutex_init(&tokens->lock, NULL);
	return tokens;
}

void tokens_free(struct tokens *tokens)
{
	if (tokens == NULL)
		return;
	token_table_clear(&tokens->table);
	pthread_mutex_destroy(&tokens->lock);
	free(tokens->real);
	free(tokens->path);
	free(tokens);
}

void tokens_check(struct tokens *tokens, struct err *report)
{
	pthread_mutex_lock(&tokens->lock);
	tokens_refresh(tokens, report);
	pthread_mutex_unlock(&tokens->lock);
}

/* With the lock held, and after a refresh. */
static enum token_result tokens_find(const struct tokens *tokens, struct span name, struct token_answer *answer)
{
	char why[TOKEN_WHY_MAX];
	const struct token_line *line = token_table_find(&tokens->table, name);

	if (tokens->error != 0) {
		snprintf(answer->detail, sizeof(answer->detail), "%s: %s", tokens->path, words_of(tokens->error));
		return TOKEN_UNREADABLE;
	}
	if (line == NULL)
		return TOKEN_UNKNOWN;
	if (token_line_target(line, &answer->target, why))
		return TOKEN_FOUND;
	snprintf(answer->detail, sizeof(answer->detail), "%s:%u: %s", line->text->path, line->number, why);
	return TOKEN_UNREADABLE;
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

enum token_result tokens_look_up(struct tokens *tokens, struct span query, struct token_answer *answer)
{
	char name[HTTP_TARGET_MAX + 1];
	long n = token_of(query, name);

	err_init(&answer->report);
	answer->detail[0] = '\0';
	if (n <= 0)
		return n == 0 ? TOKEN_MISSING : TOKEN_UNKNOWN;
	pthread_mutex_lock(&tokens->lock);
	tokens_refresh(tokens, &answer->report);
	enum token_result result = tokens_find(tokens, (struct span){ name, (size_t)n }, answer);
	pthread_mutex_unlock(&tokens->lock);
	return result;
}
