/* The log as its readers see it: the bytes that arrive in the file, at stderr, and in how many writes. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORD_MAX 4096

/* Each test logs to DIR/log. */
struct fixture {
	char dir[64], path[96], old[96], target[128];
	char *text; /* of the file, NUL-terminated */
	size_t len;
	struct log *log;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	err_init(&err);
	snprintf(f->dir, sizeof(f->dir), "/tmp/sallyport-log-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/log", f->dir);
	snprintf(f->old, sizeof(f->old), "%s/log.1", f->dir);
	snprintf(f->target, sizeof(f->target), "file:%s", f->path);
	f->log = log_open(f->target, &err);
	assert_non_null(f->log);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	log_close(f->log);
	unlink(f->path);
	unlink(f->old);
	rmdir(f->dir);
	free(f->text);
	free(f);
	return 0;
}

static const char *read_path(struct fixture *f, const char *path)
{
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	free(f->text);
	f->text = NULL;
	f->len = 0;
	char part[4096];
	size_t n;
	while ((n = fread(part, 1, sizeof(part), file)) > 0) {
		f->text = realloc(f->text, f->len + n + 1);
		memcpy(f->text + f->len, part, n);
		f->len += n;
	}
	fclose(file);
	if (f->text == NULL)
		f->text = calloc(1, 1);
	f->text[f->len] = '\0';
	return f->text;
}

/* Takes what was logged since the last call and empties the file. */
static const char *logged(struct fixture *f)
{
	read_path(f, f->path);
	assert_int_equal(truncate(f->path, 0), 0);
	return f->text;
}

static void assert_time(const char *text)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";

	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		if (shape[i] == 'd')
			assert_in_range(text[i], '0', '9');
		else
			assert_int_equal(text[i], shape[i]);
	}
}

/* --- a JSON reader just good enough to refuse what no reader would take ------------------------------------------- */

static const char *json_string(const char *p)
{
	assert_int_equal(*p, '"');
	for (p++; *p != '"'; p++) {
		assert_in_range((unsigned char)*p, 0x20, 0x7e);
		if (*p == '\\') {
			assert_int_equal(p[1], 'u');
			for (int i = 2; i < 6; i++)
				assert_non_null(memchr("0123456789abcdef", p[i], 16));
			p += 5;
		}
	}
	return p + 1;
}

static const char *json_value(const char *p)
{
	if (*p == '"')
		return json_string(p);
	if (strncmp(p, "true", 4) == 0)
		return p + 4;
	size_t n = strspn(p, "0123456789.");
	assert_true(n > 0);
	return p + n;
}

/* One object on one line; returns what is behind it. */
static const char *assert_json(const char *p)
{
	assert_int_equal(*p, '{');
	do {
		p = json_string(p + 1);
		assert_int_equal(*p, ':');
		p = json_value(p + 1);
	} while (*p == ',');
	assert_int_equal(p[0], '}');
	assert_int_equal(p[1], '\n');
	return p + 2;
}

/* --- the form ----------------------------------------------------------------------------------------------------- */

static const struct log_field sample[] = {
	{ .key = "id", .kind = FIELD_COUNT, .number = UINT64_MAX },
	{ .key = "peer", .kind = FIELD_TEXT, .text = { "127.0.0.1:4711", 14 } },
	{ .key = "absent", .kind = FIELD_TEXT },
	{ .key = "took", .kind = FIELD_MS, .number = 61007 },
	{ .key = "why", .kind = FIELD_TEXT, .text = { "it \"broke\"", 10 } },
	{ .key = "empty", .kind = FIELD_TEXT, .text = { "", 0 } },
};

static void text_form(void **state)
{
	struct fixture *f = *state;

	log_record(f->log, LEVEL_INFO, "session end", sample, ARRAY_LEN(sample));
	const char *text = logged(f);
	assert_time(text);
	assert_string_equal(text + 24, " info  session end id=18446744073709551615 peer=127.0.0.1:4711 took=61.007"
	                               " why=\"it \\x22broke\\x22\" empty=\"\"\n");
}

static void json_form(void **state)
{
	struct fixture *f = *state;

	log_configure(f->log, LEVEL_INFO, LOG_JSON);
	log_record(f->log, LEVEL_WARN, "session end", sample, ARRAY_LEN(sample));
	const char *text = logged(f);
	assert_string_equal(assert_json(text), "");
	assert_memory_equal(text, "{\"time\":\"", 9);
	assert_time(text + 9);
	assert_string_equal(text + 33, "\",\"level\":\"warn\",\"event\":\"session end\",\"id\":18446744073709551615,"
	                               "\"peer\":\"127.0.0.1:4711\",\"took\":61.007,"
	                               "\"why\":\"it \\u0022broke\\u0022\",\"empty\":\"\"}\n");
}

static void lines_keep_their_quotes(void **state)
{
	struct fixture *f = *state;

	log_line(f->log, LEVEL_ERROR, "option \"%s\"\n%d", "p\\q", 7);
	assert_string_equal(logged(f) + 24, " error option \"p\\x5cq\"\\x0a7\n");
}

static void plain_values_go_unquoted(void **state)
{
	struct fixture *f = *state;
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@[]-,";

	for (int c = 0; c < 256; c++) {
		char byte = (char)c, want[32];
		struct log_field field = { .key = "k", .kind = FIELD_TEXT, .text = { &byte, 1 } };
		bool printable = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
		if (c != 0 && strchr(plain, c) != NULL)
			snprintf(want, sizeof(want), " info  e k=%c\n", c);
		else
			snprintf(want, sizeof(want), printable ? " info  e k=\"%c\"\n" : " info  e k=\"\\x%02x\"\n", (unsigned)c);
		log_record(f->log, LEVEL_INFO, "e", &field, 1);
		assert_string_equal(logged(f) + 24, want);
	}
}

static void any_bytes_make_valid_json(void **state)
{
	struct fixture *f = *state;
	char bytes[256];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	log_configure(f->log, LEVEL_INFO, LOG_JSON);
	struct log_field field = { .key = "k", .kind = FIELD_TEXT, .text = { bytes, sizeof(bytes) } };
	log_record(f->log, LEVEL_INFO, "e", &field, 1);
	assert_string_equal(assert_json(logged(f)), "");
	assert_non_null(strstr(f->text, "\"k\":\"\\u0000\\u0001"));
	assert_non_null(strstr(f->text, "}~\\u007f\\u0080"));
	assert_non_null(strstr(f->text, "\\u00ff\"}\n"));
}

/* --- the bound ---------------------------------------------------------------------------------------------------- */

static void check_bound(struct fixture *f, enum log_format format, char fill, size_t n)
{
	char bytes[RECORD_MAX + 100];

	memset(bytes, fill, sizeof(bytes));
	log_configure(f->log, LEVEL_INFO, format);
	struct log_field fields[] = {
		{ .key = "a", .kind = FIELD_TEXT, .text = { bytes, n } },
		{ .key = "number", .kind = FIELD_COUNT, .number = 1234567 },
		{ .key = "b", .kind = FIELD_TEXT, .text = { "1 2 3", 5 } },
	};
	log_record(f->log, LEVEL_INFO, "event", fields, ARRAY_LEN(fields));
	const char *text = logged(f);
	assert_true(f->len <= RECORD_MAX);
	assert_ptr_equal(strchr(text, '\n'), text + f->len - 1);
	bool whole = strstr(text, "1 2 3\"") != NULL;
	if (format == LOG_JSON) {
		assert_string_equal(assert_json(text), "");
		assert_int_equal(strstr(text, ",\"cut\":true}") == NULL, whole);
	} else {
		assert_int_equal(strstr(text, "...") == NULL, whole);
	}
	assert_true(whole || f->len > RECORD_MAX - 100);
}

static void long_records_are_cut(void **state)
{
	struct fixture *f = *state;

	for (size_t n = RECORD_MAX - 200; n < RECORD_MAX + 100; n++) {
		check_bound(f, LOG_TEXT, 'x', n);
		check_bound(f, LOG_TEXT, ' ', n);
		check_bound(f, LOG_JSON, 'x', n);
	}
	for (size_t n = RECORD_MAX / 6 - 40; n < RECORD_MAX / 6 + 10; n++)
		check_bound(f, LOG_JSON, '\n', n);
	for (size_t n = RECORD_MAX / 4 - 40; n < RECORD_MAX / 4 + 10; n++)
		check_bound(f, LOG_TEXT, '\n', n);
}

static void long_lines_are_cut(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(100001);

	memset(text, 'y', 100000);
	text[100000] = '\0';
	log_line(f->log, LEVEL_INFO, "%s", text);
	logged(f);
	assert_in_range(f->len, RECORD_MAX - 100, RECORD_MAX);
	assert_string_equal(f->text + f->len - 6, "y ...\n");
	log_configure(f->log, LEVEL_INFO, LOG_JSON);
	log_line(f->log, LEVEL_INFO, "%s", text);
	assert_string_equal(assert_json(logged(f)), "");
	assert_non_null(strstr(f->text, "yyy...\",\"cut\":true}\n"));
	free(text);
}

/* --- levels, targets, files --------------------------------------------------------------------------------------- */

static void levels(void **state)
{
	static const char *const lines[] = { " error 0", " warn  1", " info  2", " debug 3" };
	struct fixture *f = *state;

	for (int limit = LEVEL_ERROR; limit <= LEVEL_DEBUG; limit++) {
		log_configure(f->log, (enum log_level)limit, LOG_TEXT);
		for (int level = LEVEL_ERROR; level <= LEVEL_DEBUG; level++) {
			log_line(f->log, (enum log_level)level, "%d", level);
			assert_int_equal(log_enabled(f->log, (enum log_level)level), level <= limit);
			assert_int_equal(strstr(logged(f), lines[level]) != NULL, level <= limit);
		}
	}
}

static void starts_at_info(void **state)
{
	struct fixture *f = *state;

	assert_true(log_enabled(f->log, LEVEL_INFO));
	assert_false(log_enabled(f->log, LEVEL_DEBUG));
}

static void bad_targets(void **state)
{
	static const struct {
		const char *target, *complaint;
	} cases[] = {
		{ "journal", "\"journal\"" },
		{ "", "want stderr, syslog or file:/absolute/path" },
		{ "file:relative", "file:/absolute/path" },
		{ "file:", "file:/absolute/path" },
		{ "file:/nonexistent/dir/log", "/nonexistent/dir/log: No such file or directory" },
		{ "file:/tmp", "/tmp: Is a directory" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err;
		err_init(&err);
		assert_null(log_open(cases[i].target, &err));
		assert_int_equal(err.count, 1);
		assert_non_null(strstr(err.text, cases[i].complaint));
	}
	log_close(NULL);
}

static void file_is_private_and_appended_to(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	struct err err;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0137, 0);
	log_line(f->log, LEVEL_INFO, "one");
	log_close(f->log);
	err_init(&err);
	f->log = log_open(f->target, &err);
	log_line(f->log, LEVEL_INFO, "two");
	logged(f);
	assert_non_null(strstr(f->text, "one\n"));
	assert_non_null(strstr(f->text, "two\n"));
}

static void reopen(const struct fixture *f)
{
	struct err err;

	err_init(&err);
	int fd = log_open_file(f->path, &err);
	assert_true(fd >= 0);
	log_reopen(f->log, fd);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void reopen_follows_the_name(void **state)
{
	struct fixture *f = *state;

	log_line(f->log, LEVEL_INFO, "before");
	assert_int_equal(rename(f->path, f->old), 0);
	log_line(f->log, LEVEL_INFO, "between");
	reopen(f);
	log_line(f->log, LEVEL_INFO, "after");
	assert_non_null(strstr(logged(f), "after\n"));
	assert_null(strstr(f->text, "between"));
	read_path(f, f->old);
	assert_non_null(strstr(f->text, "between\n"));
	assert_null(strstr(f->text, "after"));
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
	struct fixture *f = *state;
	struct err err;

	err_init(&err);
	assert_int_equal(rename(f->path, f->old), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(log_open_file(f->path, &err), -1);
	assert_int_equal(err.count, 1);
	assert_non_null(strstr(err.text, f->path));
	assert_int_equal(rmdir(f->path), 0);
}

static void a_log_of_a_descriptor_is_a_log(void **state)
{
	struct fixture *f = *state;
	struct err err;

	err_init(&err);
	log_close(f->log);
	f->log = log_from(log_open_file(log_path(f->target), &err));
	log_line(f->log, LEVEL_INFO, "passed");
	assert_non_null(strstr(logged(f), "passed\n"));
}

static void only_files_have_a_path(void **state)
{
	(void)state;
	assert_string_equal(log_path("file:/var/log/x"), "/var/log/x");
	assert_null(log_path("file:x"));
	assert_null(log_path("file:/dev/stdout"));
	assert_null(log_path("stderr"));
}

/* A value that ends wherever a record may be full, with its closing quote there, and more behind it. */
static void a_record_ends_at_its_limit(void **state)
{
	struct fixture *f = *state;
	char value[RECORD_MAX];

	memset(value, 'v', sizeof(value));
	value[0] = ' '; /* so that it is quoted */
	for (size_t n = RECORD_MAX - 160; n < RECORD_MAX; n++) {
		const struct log_field fields[] = {
			{ .key = "k", .kind = FIELD_TEXT, .text = { value, n } },
			{ .key = "behind", .kind = FIELD_TEXT, .text = { value, 200 } },
		};
		log_record(f->log, LEVEL_INFO, "full", fields, 2);
	}
	const char *line = read_path(f, f->path);
	for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		assert_in_range(end + 1 - line, 1, RECORD_MAX);
	assert_string_equal(line, "");
}

static void a_record_that_is_lost_leaves_errno_alone(void **state)
{
	struct err err;
	(void)state;

	err_init(&err);
	struct log *log = log_open("file:/dev/full", &err);
	assert_non_null(log);
	errno = EXDEV;
	log_line(log, LEVEL_INFO, "gone");
	log_line(log, LEVEL_DEBUG, "not even tried");
	assert_int_equal(errno, EXDEV);
	log_close(log);
}

static rlim_t set_largest_file(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return before;
}

/* As on a disk that fills up in the middle of a record. */
static void a_record_never_goes_on_in_a_torn_ones_line(void **state)
{
	struct fixture *f = *state;

	(void)signal(SIGXFSZ, SIG_IGN);
	rlim_t before = set_largest_file(10);
	log_line(f->log, LEVEL_INFO, "torn");
	log_line(f->log, LEVEL_INFO, "lost");
	set_largest_file(before);
	log_line(f->log, LEVEL_INFO, "whole");
	const char *text = read_path(f, f->path);
	assert_int_equal(text[10], '\n'); /* "2026-11-22" */
	assert_time(text + 11);
	assert_non_null(strstr(text, " info  whole\n"));
	assert_non_null(strstr(text, " warn  2 log records could not be written\n"));
	assert_null(strstr(text, "torn"));
	assert_null(strstr(text, "lost"));
}

/* Stderr becomes a datagram socket, which shows the boundaries of writes. */
static void stderr_gets_one_write_a_record(void **state)
{
	int pair[2], before = dup(STDERR_FILENO);
	char text[RECORD_MAX + 1];
	struct err err;
	(void)state;

	err_init(&err);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	struct log *log = log_open("stderr", &err);
	log_record(log, LEVEL_INFO, "first", sample, ARRAY_LEN(sample));
	log_close(log);
	setenv("JOURNAL_STREAM", "8:12345", 1);
	log = log_open("stderr", &err);
	log_line(log, LEVEL_WARN, "second");
	log_configure(log, LEVEL_INFO, LOG_JSON);
	log_line(log, LEVEL_WARN, "third");
	log_close(log);
	unsetenv("JOURNAL_STREAM");
	dup2(before, STDERR_FILENO);
	close(before);

	ssize_t n = recv(pair[0], text, RECORD_MAX, 0);
	assert_true(n > 0 && text[n - 1] == '\n');
	assert_time(text);
	n = recv(pair[0], text, RECORD_MAX, 0);
	assert_int_equal(n, 13);
	assert_memory_equal(text, "warn  second\n", 13);
	n = recv(pair[0], text, RECORD_MAX, 0);
	assert_true(n > 9);
	assert_time(text + 9);
	assert_int_equal(recv(pair[0], text, RECORD_MAX, 0), -1);
	close(pair[0]);
	close(pair[1]);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

#define THREADS       4
#define QUEUE_LEAST   (16 << 10)
#define QUEUE_FOR_ALL (8 << 20)
#define PATIENCE      60000
#define RECORDS       2000

static void *log_much(void *log)
{
	for (uint64_t i = 0; i < RECORDS; i++) {
		struct log_field fields[] = {
			{ .key = "n", .kind = FIELD_COUNT, .number = i },
			{ .key = "text", .kind = FIELD_TEXT, .text = { "the quick brown fox", 19 } },
		};
		log_record(log, LEVEL_INFO, "thread", fields, ARRAY_LEN(fields));
	}
	return NULL;
}

static size_t count_whole_lines(const char *text)
{
	size_t lines = 0;

	for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1, lines++) {
		assert_time(text);
		assert_memory_equal(text + 24, " info  thread n=", 16);
		assert_memory_equal(end - 27, " text=\"the quick brown fox\"", 27);
	}
	assert_string_equal(text, "");
	return lines;
}

static void threads_share_a_log_that_rotates(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[THREADS];
	size_t lines = 0;

	assert_int_equal(log_start(f->log, QUEUE_FOR_ALL, PATIENCE), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_much, f->log), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(rename(f->path, f->old), 0);
		reopen(f);
		log_configure(f->log, LEVEL_INFO, LOG_TEXT);
		/* a writer that was about to write when the file changed may still come: read it only at the end */
		char kept[128];
		snprintf(kept, sizeof(kept), "%s.%d", f->old, i);
		assert_int_equal(rename(f->old, kept), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_close(f->log);
	f->log = NULL;
	for (int i = 0; i < 20; i++) {
		char kept[128];
		snprintf(kept, sizeof(kept), "%s.%d", f->old, i);
		lines += count_whole_lines(read_path(f, kept));
		unlink(kept);
	}
	lines += count_whole_lines(read_path(f, f->path));
	assert_int_equal(lines, THREADS * RECORDS);
}

/* --- readers -------------------------------------------------------------------------------------------------------- */

#define MANY 3000 /* records, of which neither a pipe nor the queue hold all */

/* A pipe holds less than the queue, so that the thread waits for its reader however late it began. */
#define PIPE_LEAST (QUEUE_LEAST / 4)

static struct log *open_pipe_log(int ends[2], uint64_t timeout_ms)
{
	char target[64];
	struct err err;

	err_init(&err);
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, PIPE_LEAST) > 0);
	snprintf(target, sizeof(target), "file:/proc/self/fd/%d", ends[1]);
	struct log *log = log_open(target, &err);
	assert_non_null(log);
	assert_int_equal(log_start(log, QUEUE_LEAST, timeout_ms), 0);
	close(ends[1]);
	return log;
}

static void overfill(struct log *log)
{
	for (int i = 0; i < MANY; i++)
		log_line(log, LEVEL_INFO, "record %d, %0100d", i, 0);
}

static void *close_log(void *log)
{
	log_close(log);
	return NULL;
}

/* Nobody waits for the reader. Once it reads, all comes that was not dropped, with lines that count what was. */
static void a_stalled_reader_delays_nobody(void **state)
{
	uint64_t whole = 0, told = 0, here;
	char line[RECORD_MAX + 1];
	pthread_t closer;
	int ends[2];
	(void)state;

	struct log *log = open_pipe_log(ends, PATIENCE);
	overfill(log);
	assert_int_equal(pthread_create(&closer, NULL, close_log, log), 0);
	FILE *pipe = fdopen(ends[0], "r");
	while (fgets(line, sizeof(line), pipe) != NULL) {
		if (sscanf(line + 24, " warn  %" SCNu64 " log records could not be written", &here) == 1)
			told += here;
		else
			whole++;
	}
	fclose(pipe);
	pthread_join(closer, NULL);
	assert_in_range(told, 1, MANY - 1);
	assert_int_equal(whole, MANY - told);
}

/* The end does not wait for ever: what the reader has not taken by then is left to the thread. */
static void the_end_waits_for_a_while(void **state)
{
	static struct log *left; /* so that no leak is seen in it */
	int ends[2];
	(void)state;

	left = open_pipe_log(ends, 1);
	overfill(left);
	log_close(left);
	assert_true(log_enabled(left, LEVEL_INFO)); /* it is there still */
	close(ends[0]);
}

static void a_reader_that_is_gone_is_no_end(void **state)
{
	int ends[2];
	(void)state;

	(void)signal(SIGPIPE, SIG_IGN);
	struct log *log = open_pipe_log(ends, PATIENCE);
	close(ends[0]);
	overfill(log);
	log_close(log);
}

int main(void)
{
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_FILE(text_form),
		WITH_FILE(json_form),
		WITH_FILE(lines_keep_their_quotes),
		WITH_FILE(plain_values_go_unquoted),
		WITH_FILE(any_bytes_make_valid_json),
		WITH_FILE(long_records_are_cut),
		WITH_FILE(long_lines_are_cut),
		WITH_FILE(levels),
		WITH_FILE(starts_at_info),
		cmocka_unit_test(bad_targets),
		WITH_FILE(file_is_private_and_appended_to),
		WITH_FILE(reopen_follows_the_name),
		WITH_FILE(a_file_that_cannot_be_opened_is_named),
		WITH_FILE(a_log_of_a_descriptor_is_a_log),
		cmocka_unit_test(only_files_have_a_path),
		WITH_FILE(a_record_ends_at_its_limit),
		cmocka_unit_test(a_record_that_is_lost_leaves_errno_alone),
		cmocka_unit_test_setup_teardown(a_record_never_goes_on_in_a_torn_ones_line, setup, teardown),
		cmocka_unit_test(stderr_gets_one_write_a_record),
		WITH_FILE(threads_share_a_log_that_rotates),
		cmocka_unit_test(a_stalled_reader_delays_nobody),
		cmocka_unit_test(the_end_waits_for_a_while),
		cmocka_unit_test(a_reader_that_is_gone_is_no_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
