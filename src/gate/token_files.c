/* token_files.c owns the reading of token files, and what shows that they have changed.
 * It must never abort for want of memory, or read a file without a bound. */
#include "gate/token_files.h"

#include "base/hash.h"
#include "sys/beneath.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTLED_S 2 /* a file that changed later may change once more without another date: file systems count in steps */

/* A directory that is read, or looked at. */
struct place {
	const char *path;
	char member[PATH_MAX];
};

static const char *at(struct place *place, const char *name)
{
	snprintf(place->member, sizeof(place->member), "%s/%s", place->path, name);
	return place->member;
}

/* Of links it is what they lead to that counts; the link itself is part of a name. */
static void look_at(struct token_state *state, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		state->hash = hash_number(state->hash, (uint64_t)errno);
		state->hidden = state->hidden || errno == EACCES;
		return;
	}
	state->hash = hash_file(state->hash, &st);
	state->changed = st.st_ctim.tv_sec > state->changed ? st.st_ctim.tv_sec : state->changed;
}

static struct token_state look_at_path(const char *path)
{
	struct token_state state = { .hash = HASH_START };

	look_at(&state, path);
	return state;
}

static void look_at_members(struct token_state *state, const char *path, const struct str_list *members)
{
	struct place place = { .path = path };

	for (size_t i = 0; i < members->count; i++) {
		state->hash = hash_bytes(state->hash, members->item[i], strlen(members->item[i]) + 1);
		look_at(state, at(&place, members->item[i]));
	}
}

struct token_state token_files_look(const struct token_files *files, const char *path)
{
	struct token_state state = look_at_path(path);

	look_at_members(&state, path, &files->members);
	return state;
}

const char *token_files_words(int error)
{
	switch (error) {
	case EXDEV:
		return "leads out of the directory, so it is not read; replace it by a file, or name it in token_file";
	case EFBIG:
		return "is larger than 1 MiB, so it is not read";
	case E2BIG:
		return "has more than 10000 files, or more than 16 MiB or a million lines in them, so it is not read";
	case ENXIO:
		return "is neither a file nor a directory";
	default:
		return strerror(error);
	}
}

static bool is_passing(int error)
{
	return error == ENOMEM || error == EMFILE || error == ENFILE || error == EIO || error == EAGAIN || error == ESTALE;
}

bool token_files_are_settled(const struct token_files *files, time_t now)
{
	time_t age = now - files->state.changed;

	return !is_passing(files->error) && !files->state.hidden && (age > SETTLED_S || age < -SETTLED_S);
}

/* Returns 0 or an errno. */
static int read_file(struct token_table *table, int fd, const char *path, off_t size, struct err *report)
{
	if (size > TOKEN_FILE_MAX)
		return EFBIG;
	if (table->bytes + (size_t)size > TOKEN_TABLE_MAX || table->count >= TOKEN_LINES_MAX)
		return E2BIG;
	struct token_text *text = token_text_new(path, (size_t)size);
	if (text == NULL)
		return ENOMEM;
	int error = file_read(fd, text->bytes, (size_t)size, &text->len) != 0 ? errno : 0;
	if (error == 0)
		return token_table_add(table, text, report) ? 0 : ENOMEM;
	token_text_free(text);
	return error;
}

/* Returns 0 or an errno. EISDIR: it is nobody's business. */
static int open_and_read(struct token_table *table, struct place *place, const char *name, struct opener *opener,
                         struct err *report)
{
	struct stat st;

	if (stat(at(place, name), &st) == 0 && !S_ISREG(st.st_mode))
		return EISDIR;
	int fd = opener->open_below(opener, place->path, name);
	if (fd < 0)
		return errno;
	int error = fstat(fd, &st) != 0 ? errno : read_file(table, fd, place->member, st.st_size, report);
	close(fd);
	return error;
}

/* A member that can't be read is none, but for causes that are ours or all members': then nobody can know. Returns 0 or such an errno. */
static int read_members(struct token_files *files, const char *path, struct opener *opener, struct err *report)
{
	struct place place = { .path = path };

	for (size_t i = 0; i < files->members.count; i++) {
		int error = open_and_read(&files->table, &place, files->members.item[i], opener, report);
		if (is_passing(error) || error == E2BIG)
			return error;
		if (error != 0 && error != EISDIR)
			err_add(report, "%s: %s", place.member, token_files_words(error));
	}
	return 0;
}

static bool is_candidate(const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c))
			return false;
	return name[0] != '.' && name[0] != '#' && name[strlen(name) - 1] != '~';
}

/* Takes fd over. Returns 0 or an errno. */
static int read_at(struct token_files *files, int fd, const char *path, struct opener *opener, struct err *report)
{
	struct stat st = { .st_mode = 0 };
	int error = fstat(fd, &st) != 0 ? errno : ENXIO;

	if (S_ISDIR(st.st_mode)) {
		if (file_list(fd, is_candidate, TOKEN_MEMBERS_MAX, &files->members) != 0)
			return errno;
		look_at_members(&files->state, path, &files->members);
		return read_members(files, path, opener, report);
	}
	if (S_ISREG(st.st_mode))
		error = read_file(&files->table, fd, path, st.st_size, report);
	close(fd);
	return error;
}

void token_files_read(struct token_files *files, const char *path, struct opener *opener, struct err *report)
{
	*files = (struct token_files){ .state = look_at_path(path) }; /* what is replaced from here on has another state */
	int fd = opener->open(opener, path);

	files->error = fd < 0 ? errno : read_at(files, fd, path, opener, report);
	if (files->error != 0) {
		token_table_clear(&files->table); /* not whole */
		err_add(report, "%s: %s", path, token_files_words(files->error));
	}
	token_table_sort(&files->table);
}

void token_files_clear(struct token_files *files)
{
	str_list_clear(&files->members);
	token_table_clear(&files->table);
}
