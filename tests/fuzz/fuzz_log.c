/* fuzz_log.c owns the promise that a record is one line of printable ASCII, and JSON where JSON was asked for.
 * It must never be kind to a record because its bytes were unusual: a log is read by programs that are not. */
#include "check.h"
#include "base/log.h"

#include <sys/mman.h>
#include <unistd.h>

#define FIELDS_MAX     12
#define LINE_MAX_BYTES 4097

struct out {
	int fd;
	struct log *log;
	char line[8192];
};

static void open_out(struct out *out)
{
	char target[64];
	struct err err;

	err_init(&err);
	out->fd = memfd_create("fuzz_log", MFD_CLOEXEC);
	snprintf(target, sizeof(target), "file:/proc/self/fd/%d", out->fd);
	out->log = log_open(target, &err);
	CHECK(out->log != NULL);
}

/* Takes what was written. It must be one line. */
static void take_line(struct out *out)
{
	ssize_t n = pread(out->fd, out->line, sizeof(out->line) - 1, 0);

	CHECK(n > 1 && n <= LINE_MAX_BYTES && ftruncate(out->fd, 0) == 0);
	out->line[n] = '\0';
	for (ssize_t i = 0; i < n - 1; i++)
		CHECK(out->line[i] >= 0x20 && out->line[i] < 0x7f);
	CHECK(out->line[n - 1] == '\n');
}

static const char *json_string(const char *at)
{
	CHECK(*at++ == '"');
	for (; *at != '"'; at++) {
		CHECK(*at != '\n');
		if (*at != '\\')
			continue;
		CHECK(at[1] == 'u' && at[2] == '0' && at[3] == '0' && strspn(at + 4, "0123456789abcdef") >= 2);
		at += 5;
	}
	return at + 1;
}

static const char *json_value(const char *at)
{
	if (*at == '"')
		return json_string(at);
	if (strncmp(at, "true", 4) == 0)
		return at + 4;
	size_t digits = strspn(at, "0123456789");
	CHECK(digits > 0);
	at += digits;
	if (*at != '.')
		return at;
	digits = strspn(at + 1, "0123456789");
	CHECK(digits == 3);
	return at + 1 + digits;
}

static void check_json(const char *at)
{
	CHECK(*at == '{');
	do {
		at = json_string(at + 1);
		CHECK(*at == ':');
		at = json_value(at + 1);
	} while (*at == ',');
	CHECK(strcmp(at, "}\n") == 0);
}

/* Outside of quotes a text has words, and `key=` in front of all that is no part of time, level and event. */
static void check_text(const char *line, const struct log_field *fields, size_t count)
{
	size_t quotes = 0;

	for (const char *at = line; *at != '\0'; at++)
		quotes += *at == '"';
	CHECK(quotes % 2 == 0);
	for (size_t i = 0; i < count; i++)
		if (fields[i].kind == FIELD_TEXT && fields[i].text.n == 0)
			CHECK(strstr(line, "=\"\"") != NULL || strlen(line) > 3900);
}

/* Lines of input become fields: the first byte chooses the kind. */
static size_t make_fields(struct log_field *fields, struct span rest)
{
	static const char *const keys[] = { "peer", "path", "origin", "id" };
	size_t count = 0;

	for (; rest.n > 0 && count < FIELDS_MAX; count++) {
		struct span line = take_input_line(&rest), text = span_skip(line, 1);
		struct log_field *f = &fields[count];
		*f = (struct log_field){ .key = keys[count % ARRAY_LEN(keys)], .kind = FIELD_TEXT, .text = text };
		if (line.n > 0 && line.p[0] >= '0' && line.p[0] <= '1')
			f->kind = line.p[0] == '0' ? FIELD_COUNT : FIELD_MS;
		memcpy(&f->number, text.p, text.n < 8 ? text.n : 8);
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct out out = { .fd = -1 };
	struct log_field fields[FIELDS_MAX];

	if (out.fd < 0)
		open_out(&out);
	char *bytes = exact_copy(data, size), *event = exact_string(data, size < 5000 ? size : 5000);
	size_t count = make_fields(fields, (struct span){ bytes, size });
	log_configure(out.log, LEVEL_INFO, LOG_JSON);
	log_record(out.log, LEVEL_WARN, "session end", fields, count);
	take_line(&out);
	check_json(out.line);
	log_line(out.log, LEVEL_INFO, "%s", event);
	take_line(&out);
	check_json(out.line);
	log_configure(out.log, LEVEL_INFO, LOG_TEXT);
	log_record(out.log, LEVEL_WARN, "session end", fields, count);
	take_line(&out);
	check_text(out.line, fields, count);
	log_line(out.log, LEVEL_INFO, "%s", event);
	take_line(&out);
	free(bytes);
	free(event);
	return 0;
}
