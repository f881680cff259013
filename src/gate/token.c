/* token.c owns the look-up of a token in files of targets, read anew each time.
 * It must never follow what a client sent as a path, abort for want of memory, or read a file without a bound. */
#include "gate/token.h"

#include "proto/http.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_FILE_MAX (1 << 20)
#define TARGET_MAX 512 /* a longer target is none: names end at 255 bytes, UNIX paths at 108 */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* --- one line ----------------------------------------------------------------------------------------------------- */

/* websockify splits a value at its last colon and so takes IPv6 without brackets: ::1:5900. */
static bool is_bare_in6(struct span value, size_t *host_len)
{
	const char *colon = memrchr(value.p, ':', value.n);
	char host[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (colon == NULL || (size_t)(colon - value.p) >= sizeof(host))
		return false;
	*host_len = (size_t)(colon - value.p);
	memcpy(host, value.p, *host_len);
	host[*host_len] = '\0';
	return inet_pton(AF_INET6, host, &in6) == 1;
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

	if (value.n == 0 || value.n > TARGET_MAX - 4 || memchr(value.p, '\0', value.n) != NULL)
		return false;
	if (span_starts(value, unix_socket)) {
		append(out, &len, SPAN("unix:"));
		append(out, &len, span_trim(span_skip(value, unix_socket.n)));
	} else if (is_bare_in6(value, &host_len)) {
		append(out, &len, SPAN("["));
		append(out, &len, (struct span){ value.p, host_len });
		append(out, &len, SPAN("]"));
		append(out, &len, span_skip(value, host_len));
	} else {
		append(out, &len, value);
	}
	return true;
}

/* The line's value if the line is for this name. */
static bool line_matches(struct span line, struct span name, struct span *value)
{
	if (line.n < name.n + 2 || line.p[0] == '#' || memcmp(line.p, name.p, name.n) != 0 || line.p[name.n] != ':')
		return false;
	for (size_t i = 0; i + 1 < line.n; i++) { /* the first colon before a blank has to be this one */
		if (line.p[i] == ':' && (line.p[i + 1] == ' ' || line.p[i + 1] == '\t')) {
			*value = span_trim(span_skip(line, i + 1));
			return i == name.n;
		}
	}
	return false;
}

/* Only what the format is for: a route's TLS settings can't be known for a target that comes from a file. */
static bool parse_target(struct span value, struct address *target)
{
	char text[TARGET_MAX];
	struct err why;

	err_init(&why);
	if (!target_text(value, text) || address_parse_target(target, text, &why) != 0)
		return false;
	if ((target->kind == ADDRESS_TCP || target->kind == ADDRESS_UNIX) && !target->tls)
		return true;
	address_clear(target);
	return false;
}

/* The last faultless line for the name wins. */
static enum token_result search_text(struct span text, struct span name, struct address *target)
{
	enum token_result result = TOKEN_UNKNOWN;
	struct span value;

	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
		struct span line = { text.p, n > 0 && text.p[n - 1] == '\r' ? n - 1 : n };
		struct address found;
		if (line_matches(line, name, &value) && parse_target(value, &found)) {
			if (result == TOKEN_FOUND)
				address_clear(target);
			*target = found;
			result = TOKEN_FOUND;
		}
		text = span_skip(text, end != NULL ? n + 1 : n);
	}
	return result;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Reads to the end or to cap bytes. Returns the length, or -1. */
static ssize_t read_whole(int fd, char *text, size_t cap)
{
	size_t len = 0;
	ssize_t n = 0;

	while (len < cap && (n = read(fd, text + len, cap - len)) != 0) {
		if (n < 0 && errno != EINTR)
			return -1;
		len += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)len;
}

static enum token_result search_file(int fd, off_t size, struct span name, struct address *target)
{
	if (size > TOKEN_FILE_MAX) {
		errno = EFBIG;
		return TOKEN_UNREADABLE;
	}
	char *text = malloc((size_t)size + 1);
	if (text == NULL)
		return TOKEN_UNREADABLE;
	enum token_result result = TOKEN_UNREADABLE;
	ssize_t len = read_whole(fd, text, (size_t)size);
	if (len >= 0)
		result = search_text((struct span){ text, (size_t)len }, name, target);
	free(text);
	return result;
}

static enum token_result search_member(int dir, const char *file, struct span name, struct address *target)
{
	struct stat st;
	int fd = openat(dir, file, OPEN_FLAGS | O_NOFOLLOW);

	if (fd < 0) /* ELOOP: a link; ENXIO: a socket; ENOENT: gone since the directory was read */
		return errno == ELOOP || errno == ENXIO || errno == ENOENT ? TOKEN_UNKNOWN : TOKEN_UNREADABLE;
	enum token_result result = TOKEN_UNKNOWN;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		result = search_file(fd, st.st_size, name, target);
	int why = errno;
	close(fd);
	errno = why;
	return result;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* A file that can't be read hides no other; it is told only when the token was in none. */
static enum token_result search_directory(int dir, const char *path, struct span name, struct address *target)
{
	enum token_result result = TOKEN_UNKNOWN;
	struct dirent **files;
	int count = scandir(path, &files, NULL, by_name), why = 0;

	if (count < 0)
		return TOKEN_UNREADABLE;
	for (int i = 0; i < count; i++) {
		if (result != TOKEN_FOUND) {
			enum token_result one = search_member(dir, files[i]->d_name, name, target);
			if (one == TOKEN_UNREADABLE)
				why = errno;
			if (one != TOKEN_UNKNOWN)
				result = one;
		}
		free(files[i]);
	}
	free(files);
	errno = why;
	return result;
}

static enum token_result search_path(const char *path, struct span name, struct address *target)
{
	enum token_result result = TOKEN_UNREADABLE;
	struct stat st;
	int fd = open(path, OPEN_FLAGS);

	if (fd < 0)
		return TOKEN_UNREADABLE;
	if (fstat(fd, &st) == 0) {
		errno = EINVAL;
		if (S_ISREG(st.st_mode))
			result = search_file(fd, st.st_size, name, target);
		else if (S_ISDIR(st.st_mode))
			result = search_directory(fd, path, name, target);
	}
	int why = errno;
	close(fd);
	errno = why;
	return result;
}

enum token_result token_lookup(const char *path, struct span query, struct address *target)
{
	char name[HTTP_TARGET_MAX + 1];
	struct span raw = http_query_param(query, SPAN("token"));

	if (raw.p == NULL || raw.n > HTTP_TARGET_MAX)
		return TOKEN_UNKNOWN;
	long n = http_percent_decode(name, raw, true);
	while (n > 0 && (name[n - 1] == '\n' || name[n - 1] == '\r'))
		n--;
	if (n <= 0)
		return TOKEN_UNKNOWN;
	return search_path(path, (struct span){ name, (size_t)n }, target);
}
