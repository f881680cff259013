/* fuzz_str.c owns the readers of words: numbers, sizes, durations, lists, and the escaping of untrusted bytes.
 * It must never multiply in 64 bits, for that is where the readers have to notice that something does not fit. */
#include "check.h"

__extension__ typedef unsigned __int128 wide;

struct unit {
	const char *name;
	uint64_t factor;
};

/* The value, or -1 for what is none; 30 digits are more than enough to be too many. */
static bool naive_value(const char *text, const struct unit *units, size_t count, wide *value)
{
	size_t digits = strspn(text, "0123456789"), zeros = strspn(text, "0");

	*value = 0;
	if (digits == 0 || digits - zeros > 25)
		return false;
	for (size_t i = 0; i < digits; i++)
		*value = *value * 10 + (wide)(unsigned char)(text[i] - '0');
	for (size_t i = 0; i < count; i++)
		if (strcmp(text + digits, units[i].name) == 0) {
			*value *= units[i].factor;
			return *value <= UINT64_MAX;
		}
	return false;
}

static void check_values(const char *text)
{
	static const struct unit none[] = { { "", 1 } };
	static const struct unit sizes[] = { { "", 1 }, { "k", 1024 }, { "m", 1048576 }, { "g", 1073741824 } };
	static const struct unit times[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	uint64_t got = 0;
	wide want;

	bool fine = naive_value(text, none, 1, &want);
	CHECK((str_to_number(text, 0, UINT64_MAX, &got) == 0) == fine && (!fine || got == want));
	CHECK((str_to_number(text, 3, 65535, &got) == 0) == (fine && want >= 3 && want <= 65535));
	fine = naive_value(text, sizes, ARRAY_LEN(sizes), &want);
	CHECK((str_to_size(text, &got) == 0) == fine && (!fine || got == want));
	fine = naive_value(text, times, ARRAY_LEN(times), &want) || (naive_value(text, none, 1, &want) && want == 0);
	CHECK((str_to_duration(text, &got) == 0) == fine && (!fine || got == want));
}

/* Items are as many as separators and one, none if there is nothing at all, and lie in the text one after another. */
static void check_items(struct span text)
{
	struct span rest = text, item;
	size_t items = 0, separators = 0;
	const char *at = text.p;

	for (size_t i = 0; i < text.n; i++)
		separators += text.p[i] == ',';
	while (span_next(&rest, ',', &item)) {
		items++;
		CHECK(memchr(item.n > 0 ? item.p : "", ',', item.n) == NULL);
		CHECK(span_eq(span_trim(item), item));
		CHECK(item.n == 0 || (item.p >= at && lies_within(item, text.p, text.n)));
		if (item.n > 0)
			at = item.p + item.n;
	}
	CHECK(items == (text.n == 0 ? 0 : separators + 1));
}

static int from_hex(const char *digits)
{
	char text[3] = { digits[0], digits[1], '\0' };

	return (int)strtol(text, NULL, 16);
}

/* What was escaped reads back as a beginning of the bytes, and only an end that does not fit is missing. */
static void check_escape(struct span bytes, size_t cap)
{
	char *out = malloc(cap);
	size_t len = str_escape(out, cap, bytes), done = 0;

	CHECK(len < cap && out[len] == '\0' && strlen(out) == len);
	for (size_t i = 0; i < len; done++) {
		CHECK(out[i] >= 0x20 && out[i] < 0x7f && out[i] != '"' && done < bytes.n);
		int byte = out[i] == '\\' ? from_hex(out + i + 2) : out[i];
		CHECK(out[i] != '\\' || (len - i >= 4 && out[i + 1] == 'x'));
		CHECK(byte == (unsigned char)bytes.p[done]);
		i += out[i] == '\\' ? 4 : 1;
	}
	CHECK(done == bytes.n || cap - len <= 4);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const words[] = { "address", "target", "origin", "low_water", "high_water", "tls" };

	if (size < 1)
		return 0;
	char *text = exact_string(data + 1, size - 1);
	char *bytes = exact_copy(data + 1, size - 1);
	check_values(text);
	check_items((struct span){ bytes, size - 1 });
	check_escape((struct span){ bytes, size - 1 }, (size_t)data[0] + 1);
	const char *nearest = str_nearest(text, words, ARRAY_LEN(words));
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		CHECK(strcmp(text, words[i]) != 0 || nearest == words[i]);
	free(text);
	free(bytes);
	return 0;
}
