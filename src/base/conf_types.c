/* conf_types.c owns how the text of an option becomes a value, for the types that every program needs.
 * It must never know which option it reads, nor where that stands: conf.c puts place and name before a complaint. */
#include "base/conf_types.h"

#include "base/mem.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int text_parse(const char *text, void *field, struct err *err)
{
	*(char **)field = mem_strdup(text);
	return 0;
}

static void text_clear(void *field)
{
	free(*(char **)field);
	*(char **)field = NULL;
}

/* Where a text may be a word or a file, the file is file:/PATH. */
static const char *text_file(const void *field, size_t i)
{
	const char *text = *(const char *const *)field;

	return i > 0 ? NULL : strncmp(text, "file:/", 6) == 0 ? text + 5 : "";
}

static const char *path_file(const void *field, size_t i)
{
	return i > 0 ? NULL : *(const char *const *)field;
}

static int texts_parse(const char *text, void *field, struct err *err)
{
	str_list_add(field, span_of(text));
	return 0;
}

static void texts_clear(void *field)
{
	str_list_clear(field);
}

static const char *paths_file(const void *field, size_t i)
{
	const struct str_list *list = field;

	return i < list->count ? list->item[i] : NULL;
}

static int flag_parse(const char *text, void *field, struct err *err)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true" };
	int word;

	if (conf_choose(text, words, ARRAY_LEN(words), &word, err) != 0)
		return -1;
	*(bool *)field = word % 2 == 1;
	return 0;
}

static int number_parse(const char *text, void *field, struct err *err)
{
	if (str_to_number(text, 0, INT_MAX, field) == 0)
		return 0;
	return err_add(err, "\"%s\" is not a number from 0 to %d", text, INT_MAX);
}

static void number_print(uint64_t value, char *out, size_t cap)
{
	snprintf(out, cap, "%llu", (unsigned long long)value);
}

static int size_parse(const char *text, void *field, struct err *err)
{
	if (str_to_size(text, field) == 0)
		return 0;
	return err_add(err, "\"%s\" is not a size; write a number of bytes, or one followed by k, m or g: 64k", text);
}

static int duration_parse(const char *text, void *field, struct err *err)
{
	if (str_to_duration(text, field) == 0)
		return 0;
	return err_add(err, "\"%s\" is not a duration; write a number followed by ms, s, m, h or d: 30s", text);
}

const struct conf_type conf_text = { "text", false, text_parse, text_clear, NULL, text_file };
const struct conf_type conf_texts = { "list", true, texts_parse, texts_clear, NULL, NULL };
const struct conf_type conf_path = { "path", false, text_parse, text_clear, NULL, path_file };
const struct conf_type conf_paths = { "paths", true, texts_parse, texts_clear, NULL, paths_file };
const struct conf_type conf_flag = { "flag", false, flag_parse, NULL, NULL, NULL };
const struct conf_type conf_number = { "number", false, number_parse, NULL, number_print, NULL };
const struct conf_type conf_size = { "size", false, size_parse, NULL, str_from_size, NULL };
const struct conf_type conf_rate = { "number/s", false, number_parse, NULL, number_print, NULL };
const struct conf_type conf_size_rate = { "size/s", false, size_parse, NULL, str_from_size, NULL };
const struct conf_type conf_duration = { "duration", false, duration_parse, NULL, str_from_duration, NULL };

int conf_choose(const char *text, const char *const *words, size_t count, int *field, struct err *err)
{
	char all[256] = "";

	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0) {
			*field = (int)i;
			return 0;
		}
		size_t len = strlen(all);
		snprintf(all + len, sizeof(all) - len, "%s%s", len > 0 ? ", " : "", words[i]);
	}
	return err_add(err, "\"%s\" is none of: %s", text, all);
}
