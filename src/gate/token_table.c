/* token_table.c owns what the text of a token file means.
 * It must never open a file, abort for want of memory, or let a token's name into a message. */
#include "gate/token_table.h"

#include "proto/ip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGET_MAX 512 /* a longer target is none: names end at 255 bytes, UNIX paths at 108 */

/* websockify splits a value at its last colon and so takes IPv6 without brackets: ::1:5900, fe80::1%eth0:5900. */
static bool is_bare_in6(struct span value, size_t *host_len)
{
	const char *colon = memrchr(value.p, ':', value.n);
	uint8_t address[IP_ADDRESS_MAX];
	struct span zone;

	if (colon == NULL)
		return false;
	*host_len = (size_t)(colon - value.p);
	return ip_read_zoned((struct span){ value.p, *host_len }, address, &zone);
}

static void append(char *out, size_t *len, struct span text)
{
	memcpy(out + *len, text.p, text.n);
	*len += text.n;
	out[*len] = '\0';
}

/* Rewrites websockify's forms into those of address_parse_target. out has TARGET_MAX bytes. */
static bool target_text(struct span value, char *out)
{
	static const struct span unix_socket = { "unix_socket:", 12 };
	size_t host_len, len = 0;

	if (value.n > TARGET_MAX - 12 || memchr(value.p, '\0', value.n) != NULL)
		return false;
	out[0] = '\0';
	if (span_starts(value, unix_socket)) {
		append(out, &len, SPAN("unix:"));
		append(out, &len, span_trim(span_skip(value, unix_socket.n)));
	} else if (is_bare_in6(value, &host_len)) {
		append(out, &len, SPAN("["));
		append(out, &len, (struct span){ value.p, host_len });
		append(out, &len, SPAN("]"));
		append(out, &len, span_skip(value, host_len));
	} else {
		if (span_starts(value, SPAN(":")))
			append(out, &len, SPAN("localhost"));
		append(out, &len, value);
	}
	return true;
}

static bool refuse(char why[static TOKEN_WHY_MAX], const char *text)
{
	snprintf(why, TOKEN_WHY_MAX, "%s", text);
	return false;
}

/* Only what the format is for: a route's TLS settings can't be known for a target that comes from a file. The complaint
 * about an address begins with the address, which may have a part of the name in it. */
bool token_line_target(const struct token_line *line, struct address *target, char why[static TOKEN_WHY_MAX])
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

/* Of a line that does not say where its name ends, what most likely is the name, so that whoever has it is known. */
static struct span guess_name(struct span line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] != ':' && line.p[n] != '=' && !is_blank(line.p[n]))
		n++;
	return (struct span){ line.p, n };
}

static void split_line(struct token_line *line, struct span text)
{
	line->name = guess_name(text);
	line->value = (struct span){ NULL, 0 };
	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] == ':' && is_blank(text.p[i + 1])) {
			line->name = (struct span){ text.p, i };
			line->value = trim(span_skip(text, i + 1));
			return;
		}
	}
}

static bool has_room(struct token_table *table)
{
	size_t room = table->room > 0 ? 2 * table->room : 64;

	if (table->count < table->room)
		return true;
	struct token_line *lines = reallocarray(table->lines, room, sizeof(*lines));
	if (lines == NULL)
		return false;
	table->lines = lines;
	table->room = room;
	return true;
}

static bool add_line(struct token_table *table, const struct token_text *text, unsigned number, struct span bytes,
                     struct err *report)
{
	struct token_line line = { .text = text, .number = number };
	struct address target;
	char why[TOKEN_WHY_MAX];

	if (!has_room(table))
		return false;
	split_line(&line, bytes);
	line.good = token_line_target(&line, &target, why);
	if (line.good)
		address_clear(&target);
	else
		err_add(report, "%s:%u: %s", text->path, number, why);
	table->lines[table->count++] = line;
	return true;
}

struct token_text *token_text_new(const char *path, size_t len)
{
	struct token_text *text = malloc(sizeof(*text) + len);

	if (text == NULL)
		return NULL;
	*text = (struct token_text){ .path = strdup(path), .len = len };
	if (text->path != NULL)
		return text;
	free(text);
	return NULL;
}

void token_text_free(struct token_text *text)
{
	free(text->path);
	free(text);
}

bool token_table_add(struct token_table *table, struct token_text *text, struct err *report)
{
	struct span rest = { text->bytes, text->len };

	text->rank = table->files++;
	table->bytes += text->len;
	text->next = table->texts;
	table->texts = text;
	for (unsigned number = 1; rest.n > 0; number++) {
		const char *end = memchr(rest.p, '\n', rest.n);
		size_t n = end != NULL ? (size_t)(end - rest.p) : rest.n;
		struct span line = trim((struct span){ rest.p, n });
		if (line.n > 0 && line.p[0] != '#' && !add_line(table, text, number, line, report))
			return false;
		rest = span_skip(rest, end != NULL ? n + 1 : n);
	}
	return true;
}

static int compare_names(struct span a, struct span b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

/* The line of a name that counts comes first. */
static int compare_lines(const void *left, const void *right)
{
	const struct token_line *a = left, *b = right;
	int order = compare_names(a->name, b->name);

	if (order != 0)
		return order;
	if (a->good != b->good)
		return a->good ? -1 : 1;
	if (a->text != b->text)
		return a->text->rank < b->text->rank ? -1 : 1;
	return a->number > b->number ? -1 : a->number < b->number;
}

void token_table_sort(struct token_table *table)
{
	if (table->count > 0)
		qsort(table->lines, table->count, sizeof(*table->lines), compare_lines);
}

void token_table_clear(struct token_table *table)
{
	while (table->texts != NULL) {
		struct token_text *next = table->texts->next;
		token_text_free(table->texts);
		table->texts = next;
	}
	free(table->lines);
	*table = (struct token_table){ .texts = NULL };
}

const struct token_line *token_table_find(const struct token_table *table, struct span name)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_names(table->lines[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table->count && span_eq(table->lines[low].name, name) ? &table->lines[low] : NULL;
}
