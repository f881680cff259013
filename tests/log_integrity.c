/* log_integrity.c owns the proof that one record is one line, whatever bytes it was made of, and that all of them can
 * be read back. It must never use the log's own code to read: it decodes lines as a stranger would.
 *
 *     tests/log_integrity [RECORDS [SEED]]      default 100000, half of them as text, half as JSON
 *
 * A line is printable ASCII, hence valid UTF-8 without control bytes, bidirectional overrides and look-alikes. */
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BATCH      256 /* records between two looks at the file */
#define FIELDS_MAX 6
#define VALUE_MAX  6000
#define LINE_LIMIT 4097
#define CUT_FROM   3900 /* a shorter record has no reason to be cut */

static const char *const keys[FIELDS_MAX] = { "id", "peer", "target", "host", "origin", "code" };

struct record {
	bool is_line; /* by log_line(): the first field's text alone */
	struct log_field fields[FIELDS_MAX];
	size_t count;
	char bytes[FIELDS_MAX][VALUE_MAX];
};

struct reader {
	const char *line, *p, *end;
	bool json, cut;
};

/* --- records by seed ---------------------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* What a client would send to forge a line, break a parser or deceive a reader. */
static const char *const spice[] = {
	"\n",
	"\r\n",
	"\r",
	"\t",
	"\"",
	"\\",
	"\\n",
	"\\x0a",
	"\\u000a",
	"\",\"level\":\"error",
	"\"}\n{\"time\":\"",
	"\x1b[2J",
	"\n2026-11-22T19:18:01.123Z error session end id=1",
	" code=200",
	"=",
	"\x7f",
	"\x80",
	"\xff",
	"\xc3",
	"\xc3\xbc",
	"\xe2\x80\xae",
	"\xe2\x80\xa8",
	"\xc2\x85",
	"\xef\xbb\xbf",
	"\xed\xa0\x80",
	"\xf0\x9f\x98\x80",
	"\xf4\x90\x80\x80",
	"\xc0\x8a",
	"%s%n",
	"...",
	"\"...\"",
	",\"cut\":true}",
	"/vnc.html?token=a",
	"127.0.0.1:80",
	"\b",
	"\v",
	"\f",
	"\x01",
};

static size_t put_spice(uint64_t *rng, char *out, size_t room)
{
	const char *piece = spice[next(rng) % ARRAY_LEN(spice)];
	size_t n = strlen(piece) < room ? strlen(piece) : room;

	memcpy(out, piece, n);
	return n;
}

static size_t put_random(uint64_t *rng, char *out, size_t room)
{
	uint64_t word = next(rng);
	size_t n = room < sizeof(word) ? room : sizeof(word);

	memcpy(out, &word, n);
	return n;
}

static size_t put_plain(uint64_t *rng, char *out, size_t room)
{
	size_t n = put_random(rng, out, room);

	for (size_t i = 0; i < n; i++)
		out[i] = (char)('a' + (unsigned char)out[i] % 26);
	return n;
}

static struct span make_text(uint64_t *rng, char *out)
{
	static size_t (*const kinds[])(uint64_t *, char *, size_t) = { put_plain, put_spice, put_random };
	size_t limit = next(rng) % 64 == 0 ? VALUE_MAX : 48, wanted = next(rng) % limit, n = 0;

	while (n < wanted)
		n += kinds[next(rng) % ARRAY_LEN(kinds)](rng, out + n, wanted - n);
	return (struct span){ out, n };
}

static void make_record(uint64_t *rng, struct record *r)
{
	r->is_line = next(rng) % 8 == 0;
	r->count = r->is_line ? 1 : next(rng) % (FIELDS_MAX + 1);
	for (size_t i = 0; i < r->count; i++) {
		uint64_t kind = r->is_line ? 7 : next(rng) % 8;
		r->fields[i] = (struct log_field){ .key = keys[i],
			                           .kind = kind > 1    ? FIELD_TEXT
			                                   : kind == 1 ? FIELD_MS
			                                               : FIELD_COUNT };
		if (kind > 1)
			r->fields[i].text = make_text(rng, r->bytes[i]);
		else
			r->fields[i].number = next(rng) >> next(rng) % 64;
	}
}

/* The text of log_line() is a C string, of a record's size at most. */
static struct span line_text(struct record *r)
{
	size_t n = r->fields[0].text.n < VALUE_MAX ? r->fields[0].text.n : VALUE_MAX - 1;

	r->bytes[0][n] = '\0';
	return (struct span){ r->bytes[0], strnlen(r->bytes[0], 4095) };
}

static void write_record(struct log *log, struct record *r)
{
	if (r->is_line)
		log_line(log, LEVEL_WARN, "%s", line_text(r).p);
	else
		log_record(log, LEVEL_WARN, "session end", r->fields, r->count);
}

/* --- lines, as a stranger reads them
 * ---------------------------------------------------------------------------------- */

static void fail(const struct reader *r, const char *what)
{
	printf("FAILED  %s, at byte %td of: %.*s\n", what, r->p - r->line, (int)(r->end - r->line), r->line);
	exit(1);
}

static bool at(const struct reader *r, const char *word)
{
	size_t n = strlen(word);
	return (size_t)(r->end - r->p) >= n && memcmp(r->p, word, n) == 0;
}

static void take(struct reader *r, const char *word)
{
	if (!at(r, word))
		fail(r, word);
	r->p += strlen(word);
}

static bool strip(struct reader *r, const char *tail)
{
	size_t n = strlen(tail);

	if ((size_t)(r->end - r->line) < n || memcmp(r->end - n, tail, n) != 0)
		return false;
	r->end -= n;
	return true;
}

static int hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *digit = c != '\0' ? strchr(digits, c) : NULL;

	return digit != NULL ? (int)(digit - digits) : -1;
}

/* One byte of a text, as it is or escaped. */
static int take_byte(struct reader *r)
{
	const char *escape = r->json ? "\\u00" : "\\x";

	if (*r->p != '\\')
		return (unsigned char)*r->p++;
	take(r, escape);
	if (r->end - r->p < 2 || hex(r->p[0]) < 0 || hex(r->p[1]) < 0)
		fail(r, "two hexadecimal digits");
	r->p += 2;
	return hex(r->p[-2]) << 4 | hex(r->p[-1]);
}

/* False when the line was cut within. stop: what ends an unquoted text. */
static bool take_text(struct reader *r, struct span want, bool quoted, const char *stop)
{
	size_t n = 0;

	if (quoted)
		take(r, "\"");
	while (r->p < r->end && (quoted ? *r->p != '"' : !at(r, stop))) {
		if (n == want.n || take_byte(r) != (unsigned char)want.p[n])
			fail(r, "the byte that was logged");
		n++;
	}
	if (r->cut && r->p == r->end)
		return false;
	if (n < want.n)
		fail(r, "more of what was logged");
	if (quoted)
		take(r, "\"");
	return true;
}

static void take_number(struct reader *r, const struct log_field *field)
{
	char want[48];

	if (field->kind == FIELD_MS)
		snprintf(want, sizeof(want), "%" PRIu64 ".%03" PRIu64, field->number / 1000, field->number % 1000);
	else
		snprintf(want, sizeof(want), "%" PRIu64, field->number);
	take(r, want);
}

static void take_head(struct reader *r)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";

	take(r, r->json ? "{\"time\":\"" : "");
	for (const char *f = form; *f != '\0'; f++, r->p++)
		if (r->p == r->end || (*f == 'd' ? *r->p < '0' || *r->p > '9' : *r->p != *f))
			fail(r, "a time");
	take(r, r->json ? "\",\"level\":\"warn\",\"event\":" : " warn  ");
}

static void find_cut(struct reader *r)
{
	bool cut = r->json ? strip(r, ",\"cut\":true}") : strip(r, " ...");
	bool inside = strip(r, "...\"") && r->end - r->line > CUT_FROM;

	r->cut = r->end - r->line > CUT_FROM && (cut || inside);
	if (inside && !r->cut)
		fail(r, "a reason to be cut");
	if (!r->cut)
		r->end = r->line + strlen(r->line);
}

static bool take_fields(struct reader *r, const struct record *record)
{
	for (size_t i = 0; i < record->count; i++) {
		if (r->cut && r->p == r->end)
			return false;
		take(r, r->json ? ",\"" : " ");
		take(r, record->fields[i].key);
		take(r, r->json ? "\":" : "=");
		if (record->fields[i].kind != FIELD_TEXT)
			take_number(r, &record->fields[i]);
		else if (!take_text(r, record->fields[i].text, at(r, "\""), " "))
			return false;
	}
	return true;
}

static void check_line(const char *line, size_t n, bool json, struct record *record)
{
	struct reader r = { .line = line, .p = line, .end = line + n, .json = json };

	if (n >= LINE_LIMIT)
		fail(&r, "a line of bounded length");
	for (; r.p < r.end; r.p++)
		if (*r.p < 0x20 || *r.p > 0x7e)
			fail(&r, "a printable character");
	r.p = line;
	find_cut(&r);
	take_head(&r);
	bool whole = record->is_line ? take_text(&r, line_text(record), json, "\n")
	                             : take_text(&r, SPAN("session end"), json, record->count > 0 ? " id=" : "\n") &&
	                                       take_fields(&r, record);
	if (whole && json && !r.cut)
		take(&r, "}");
	if (whole && r.p != r.end)
		fail(&r, "the end");
}

/* --- batches -------------------------------------------------------------------------------------------------------
 */

struct file {
	int fd;
	char *text;
	size_t size;
};

static struct log *open_log(struct file *file)
{
	char target[64];
	struct err err;

	err_init(&err);
	file->size = (size_t)BATCH * LINE_LIMIT;
	file->text = malloc(file->size + 1);
	file->fd = memfd_create("log_integrity", MFD_CLOEXEC);
	snprintf(target, sizeof(target), "file:/proc/self/fd/%d", file->fd);
	struct log *log = log_open(target, &err);
	if (log == NULL || file->text == NULL) {
		printf("FAILED  %s\n", err.text);
		exit(1);
	}
	return log;
}

/* The file must have exactly one line for each record, in their order. */
static void check_batch(struct file *file, uint64_t rng, size_t count, bool json, struct record *record)
{
	ssize_t got = pread(file->fd, file->text, file->size, 0);
	char *line = file->text, *end = file->text + (got > 0 ? got : 0);

	*end = '\0';
	for (size_t i = 0; i < count; i++) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		make_record(&rng, record);
		if (newline == NULL) {
			printf("FAILED  %zu lines for %zu records\n", i, count);
			exit(1);
		}
		*newline = '\0';
		check_line(line, (size_t)(newline - line), json, record);
		line = newline + 1;
	}
	if (line != end || ftruncate(file->fd, 0) != 0) {
		printf("FAILED  more lines than %zu records\n", count);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	uint64_t records = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t rng = seed, done = 0;
	struct file file;
	struct log *log = open_log(&file);
	struct record *record = malloc(sizeof(*record));

	for (bool json = false; done < records && record != NULL; json = !json) {
		size_t count = records - done < BATCH ? (size_t)(records - done) : BATCH;
		uint64_t before = rng;
		log_configure(log, LEVEL_INFO, json ? LOG_JSON : LOG_TEXT);
		for (size_t i = 0; i < count; i++) {
			make_record(&rng, record);
			write_record(log, record);
		}
		check_batch(&file, before, count, json, record);
		done += count;
	}
	bool failed = record == NULL;
	printf("%s  %" PRIu64 " records were as many lines of printable ASCII, and read back; seed %" PRIu64 "\n",
	       failed ? "FAILED" : "ok    ", done, seed);
	free(record);
	free(file.text);
	log_close(log);
	close(file.fd);
	return failed;
}
