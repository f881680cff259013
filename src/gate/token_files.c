/* token_files.c owns the reading of token files, what their lines mean, and what shows that they have changed.
 * It must never abort for want of memory, read a file without a bound, or let a token's name into a message. */
#include "gate/token_files.h"

#include "base/hash.h"
#include "proto/ip.h"
#include "sys/beneath.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTLED_S  2   /* a file that changed later may change once more without another date: file systems count in steps */
#define TARGET_MAX 512 /* a longer target is none: names end at 255 bytes, UNIX paths at 108 */
#define WHY_MAX    160

/* A file's contents. */
struct token_text {
	struct token_text *next;
	unsigned rank;    /* among the table's files */
	const char *path; /* behind the bytes */
	size_t len;
	char bytes[];
};

struct token_line {
	struct span name, value; /* value absent: there is no colon with a blank behind it */
	const struct token_text *text;
	unsigned number;
	bool good;
};

/* --- lines -------------------------------------------------------------------------------------------------------------- */

/* websockify splits a value at its last colon and so takes IPv6 without brackets: ::1:5900, fe80::1%eth0:5900. */
static bool is_bare_in6(struct span value, int *host_len)
{
	const char *colon = memrchr(value.p, ':', value.n);
	uint8_t address[IP_ADDRESS_MAX];
	struct span zone;
	*host_len = (int)(colon - value.p);
	return ip_read_zoned((struct span){ value.p, (size_t)*host_len }, address, &zone);
}

/* Rewrites websockify's forms into those of address_parse_target. The value has a colon. out has TARGET_MAX bytes. */
static bool target_text(struct span value, char *out)
{
	static const struct span unix_socket = { "unix_socket:", 12 };
	int host_len, len = (int)value.n;
	if (value.n > TARGET_MAX - 12 || memchr(value.p, '\0', value.n) != NULL)
		return false;
	if (span_starts(value, unix_socket)) {
		struct span path = span_trim(span_skip(value, unix_socket.n));
		snprintf(out, TARGET_MAX, "unix:%.*s", (int)path.n, path.p);
	} else if (is_bare_in6(value, &host_len)) {
		snprintf(out, TARGET_MAX, "[%.*s]%.*s", host_len, value.p, len - host_len, value.p + host_len);
	} else {
		snprintf(out, TARGET_MAX, "%s%.*s", value.p[0] == ':' ? "localhost" : "", len, value.p);
	}
	return true;
}

static bool refuse(char why[static WHY_MAX], const char *text)
{
	snprintf(why, WHY_MAX, "%s", text);
	return false;
}

/* Where the line leads; false: why says what is wrong. Only what the format is for: a route's TLS settings can't be known for a
 * target that comes from a file. The complaint about an address begins with it, and it may have a part of the name in it. */
static bool line_target(const struct token_line *line, struct address *target, char why[static WHY_MAX])
{
	char text[TARGET_MAX];
	struct err err;
	err_init(&err);
	if (line->value.p == NULL)
		return refuse(why, "no colon with a blank after it: a line is NAME: HOST:PORT");
	if (memchr(line->value.p, ':', line->value.n) == NULL)
		return refuse(why, "the target has no port: a line is NAME: HOST:PORT");
	if (!target_text(line->value, text))
		return refuse(why, "the target is too long, or has a NUL byte in it");
	if (address_parse_target(target, text, &err) != 0)
		return refuse(why, err.len > strlen(text) + 4 ? err.text + strlen(text) + 4 : "the target is malformed");
	if ((target->kind == ADDRESS_TCP || target->kind == ADDRESS_UNIX) && !target->tls)
		return true;
	address_clear(target);
	return refuse(why, "a token leads to HOST:PORT or unix:/path, and without TLS");
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct span trim(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* A line that does not say where its name ends gets what most likely is the name, so that whoever has it is known. */
static void split_line(struct token_line *line, struct span text)
{
	size_t n = 0;
	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] == ':' && is_blank(text.p[i + 1])) {
			line->name = (struct span){ text.p, i };
			line->value = trim(span_skip(text, i + 1));
			return;
		}
	}
	while (n < text.n && text.p[n] != ':' && text.p[n] != '=' && !is_blank(text.p[n]))
		n++;
	line->name = (struct span){ text.p, n };
}

static bool add_line(struct token_table *table, const struct token_text *text, unsigned number, struct span bytes,
                     struct err *report)
{
	struct token_line line = { .text = text, .number = number };
	struct address target;
	char why[WHY_MAX];
	if (table->count == table->room) {
		size_t room = table->room > 0 ? 2 * table->room : 64;
		struct token_line *lines = reallocarray(table->lines, room, sizeof(*lines));
		if (lines == NULL)
			return false;
		table->lines = lines;
		table->room = room;
	}
	split_line(&line, bytes);
	line.good = line_target(&line, &target, why);
	if (line.good)
		address_clear(&target);
	else
		err_add(report, "%s:%u: %s", text->path, number, why);
	table->lines[table->count++] = line;
	return true;
}

/* Takes text over, and reports faulty lines as "PATH:LINE: what is wrong", without the names, which are secrets. False without
 * memory. */
static bool add_text(struct token_table *table, struct token_text *text, struct err *report)
{
	struct span rest = { text->bytes, text->len }, line;
	text->rank = table->files++;
	table->bytes += text->len;
	text->next = table->texts;
	table->texts = text;
	for (unsigned number = 1; span_next(&rest, '\n', &line); number++) {
		line = trim(line);
		if (line.n > 0 && line.p[0] != '#' && !add_line(table, text, number, line, report))
			return false;
	}
	return true;
}

static int compare_names(const void *left, const void *right)
{
	struct span a = ((const struct token_line *)left)->name, b = ((const struct token_line *)right)->name;
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

/* The line of a name that counts comes first. */
static int compare_lines(const void *left, const void *right)
{
	const struct token_line *a = left, *b = right;
	int order = compare_names(a, b);
	if (order != 0)
		return order;
	if (a->good != b->good)
		return a->good ? -1 : 1;
	if (a->text != b->text)
		return a->text->rank < b->text->rank ? -1 : 1;
	return a->number > b->number ? -1 : a->number < b->number;
}

/* Only lines that count are left. */
static void table_sort(struct token_table *table)
{
	size_t names = 0;
	if (table->count > 0)
		qsort(table->lines, table->count, sizeof(*table->lines), compare_lines);
	for (size_t i = 0; i < table->count; i++)
		if (names == 0 || compare_names(&table->lines[names - 1], &table->lines[i]) != 0)
			table->lines[names++] = table->lines[i];
	table->count = names;
}

static void table_clear(struct token_table *table)
{
	while (table->texts != NULL) {
		struct token_text *text = table->texts;
		table->texts = text->next;
		free(text);
	}
	free(table->lines);
	*table = (struct token_table){ .texts = NULL };
}

/* --- files -------------------------------------------------------------------------------------------------------------- */

static const char *at(char member[static PATH_MAX], const char *path, const char *name)
{
	snprintf(member, PATH_MAX, "%s/%s", path, name);
	return member;
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

static void look_at_members(struct token_state *state, const char *path, const struct str_list *members)
{
	char member[PATH_MAX];
	for (size_t i = 0; i < members->count; i++) {
		state->hash = hash_bytes(state->hash, members->item[i], strlen(members->item[i]) + 1);
		look_at(state, at(member, path, members->item[i]));
	}
}

struct token_state token_files_look(const struct token_files *files, const char *path)
{
	struct token_state state = { .hash = HASH_START };
	look_at(&state, path);
	look_at_members(&state, path, &files->members);
	return state;
}

static const char *words_of(int error)
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
	size_t path_size = strlen(path) + 1;
	struct token_text *text = malloc(sizeof(*text) + (size_t)size + path_size);
	if (text == NULL)
		return ENOMEM;
	*text = (struct token_text){ .path = memcpy(text->bytes + size, path, path_size) };
	if (file_read(fd, text->bytes, (size_t)size, &text->len) == 0)
		return add_text(table, text, report) ? 0 : ENOMEM;
	int error = errno;
	free(text);
	return error;
}

/* Returns 0 or an errno. EISDIR: it is nobody's business. */
static int read_member(struct token_table *table, const char *path, const char *name, struct opener *opener, struct err *report)
{
	char member[PATH_MAX];
	struct stat st;
	if (stat(at(member, path, name), &st) == 0 && !S_ISREG(st.st_mode))
		return EISDIR;
	int fd = opener->open_below(opener, path, name);
	if (fd < 0)
		return errno;
	int error = fstat(fd, &st) != 0 ? errno : read_file(table, fd, member, st.st_size, report);
	close(fd);
	return error;
}

static bool is_candidate(const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c))
			return false;
	return name[0] != '.' && name[0] != '#' && name[strlen(name) - 1] != '~';
}

/* Takes fd over. A member that can't be read is none, but for causes that are ours or all members': then nobody can know. Returns
 * 0 or such an errno. */
static int read_directory(struct token_files *files, int fd, const char *path, struct opener *opener, struct err *report)
{
	if (file_list(fd, is_candidate, TOKEN_MEMBERS_MAX, &files->members) != 0)
		return errno;
	look_at_members(&files->state, path, &files->members);
	for (size_t i = 0; i < files->members.count; i++) {
		int error = read_member(&files->table, path, files->members.item[i], opener, report);
		if (is_passing(error) || error == E2BIG)
			return error;
		if (error != 0 && error != EISDIR)
			err_add(report, "%s/%s: %s", path, files->members.item[i], words_of(error));
	}
	return 0;
}

void token_files_read(struct token_files *files, const char *path, struct opener *opener, struct err *report)
{
	struct stat st = { .st_mode = 0 };
	*files = (struct token_files){ .error = ENXIO };
	files->state = token_files_look(files, path); /* what is replaced from here on has another state */
	int fd = opener->open(opener, path);
	if (fd < 0 || fstat(fd, &st) != 0)
		files->error = errno;
	else if (S_ISDIR(st.st_mode))
		files->error = read_directory(files, fd, path, opener, report);
	else if (S_ISREG(st.st_mode))
		files->error = read_file(&files->table, fd, path, st.st_size, report);
	if (fd >= 0 && !S_ISDIR(st.st_mode))
		close(fd);
	if (files->error != 0) {
		table_clear(&files->table); /* not whole */
		err_add(report, "%s: %s", path, words_of(files->error));
	}
	table_sort(&files->table);
}

void token_files_clear(struct token_files *files)
{
	str_list_clear(&files->members);
	table_clear(&files->table);
}

bool token_files_find(const struct token_files *files, const char *path, struct span name, struct address *target,
                      char detail[static TOKEN_DETAIL_MAX])
{
	const struct token_table *table = &files->table;
	const struct token_line wanted = { .name = name }, *line = NULL;
	char why[WHY_MAX];
	detail[0] = '\0';
	if (files->error != 0)
		snprintf(detail, TOKEN_DETAIL_MAX, "%s: %s", path, words_of(files->error));
	else if (table->count > 0)
		line = bsearch(&wanted, table->lines, table->count, sizeof(wanted), compare_names);
	if (line == NULL)
		return false;
	if (line_target(line, target, why))
		return true;
	snprintf(detail, TOKEN_DETAIL_MAX, "%s:%u: %s", line->text->path, line->number, why);
	return false;
}
