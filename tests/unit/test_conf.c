/* The option-table engine on tables of its own: every rule of conf.h, as seen in values and complaints. */
#include "base/conf.h"
#include "base/conf_row.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

struct house {
	struct conf_section section;
	bool lights;
	uint64_t doors, delay, cellar;
	char *owner, *policy;
	struct str_list pets;
};

struct room {
	struct conf_section section;
	char *colour;
	struct str_list guests;
};

#define ROW(owner, name, type, def, more) CONF_ROW(owner, name, type, def, "help on " #name, more)

/* clang-format off: a row is a line */
static const struct conf_option house_options[] = {
	ROW(house, lights, flag, "on", PLAIN)
	ROW(house, doors, number, "2", RESTART)
	ROW(house, delay, duration, "10s", PLAIN)
	ROW(house, cellar, size, "64k", PLAIN)
	ROW(house, owner, text, "", RESTART)
	ROW(house, policy, text, "self; none # 'x'", PLAIN)
	ROW(house, pets, texts, "cat, dog", RESTART)
};
static const struct conf_option room_options[] = {
	ROW(room, colour, text, "white", PLAIN)
	ROW(room, guests, texts, "", PLAIN)
};
/* clang-format on */
static const struct conf_kind house_kind = { "house",       false,
	                                     "The house.",  sizeof(struct house),
	                                     house_options, ARRAY_LEN(house_options) };
static const struct conf_kind room_kind = { "room", true, "A room.", sizeof(struct room), room_options, ARRAY_LEN(room_options) };
static const struct conf_kind *const kinds[] = { &house_kind, &room_kind };

/* What one text was read to. */
struct reading {
	struct conf *conf;
	struct err err;
};

static struct reading *read_more(struct reading *r, const char *name, const char *text)
{
	conf_read_text(r->conf, name, span_of(text), &r->err);
	return r;
}

static struct reading *read_text(const char *text)
{
	struct reading *r = mem_zalloc(sizeof(*r));

	r->conf = conf_new(kinds, ARRAY_LEN(kinds));
	err_init(&r->err);
	return read_more(r, "f", text);
}

static void done(struct reading *r)
{
	conf_free(r->conf);
	free(r);
}

static const struct house *house(const struct reading *r)
{
	return conf_sections(r->conf, "house")->item[0];
}

static const struct room *room(const struct reading *r, size_t i)
{
	assert_true(i < conf_sections(r->conf, "room")->count);
	return conf_sections(r->conf, "room")->item[i];
}

static void expect(const char *text, const char *complaints)
{
	struct reading *r = read_text(text);

	assert_string_equal(r->err.text, complaints);
	assert_int_equal(r->err.count > 0, complaints[0] != '\0');
	done(r);
}

static void expect_fine(struct reading *r)
{
	assert_string_equal(r->err.text, "");
	assert_int_equal(r->err.count, 0);
}

static void expect_list(const struct str_list *list, const char *joined)
{
	char all[256] = "";

	for (size_t i = 0; i < list->count; i++) {
		strcat(all, i > 0 ? "|" : "");
		strcat(all, list->item[i]);
	}
	assert_string_equal(all, joined);
}

/* --- values ----------------------------------------------------------------------------------------------------- */

static void defaults_hold_without_a_file(void **state)
{
	(void)state;
	struct reading *r = read_text("");

	expect_fine(r);
	assert_true(house(r)->lights);
	assert_int_equal(house(r)->doors, 2);
	assert_int_equal(house(r)->delay, 10000);
	assert_int_equal(house(r)->cellar, 65536);
	assert_string_equal(house(r)->owner, "");
	expect_list(&house(r)->pets, "cat|dog");
	assert_int_equal(conf_sections(r->conf, "room")->count, 0);
	assert_false(conf_given(house(r), &house(r)->doors));
	done(r);
}

static void values_are_typed(void **state)
{
	(void)state;
	struct reading *r = read_text("\xef\xbb\xbf; a comment\r\n[house]\r\nlights=off\r\ndoors =  7\t\r\n\r\ndelay=1500ms\r\n"
	                              "  # another\ncellar = 2m\nowner = J. Doe; not a comment ; but this is\n[room red one]\n");

	assert_string_equal(r->err.text, "f:10: [room red one]: a name has at most 40 letters, digits, '.', '-' and '_'");
	assert_false(house(r)->lights);
	assert_int_equal(house(r)->doors, 7);
	assert_int_equal(house(r)->delay, 1500);
	assert_int_equal(house(r)->cellar, 2097152);
	assert_string_equal(house(r)->owner, "J. Doe; not a comment");
	assert_true(conf_given(house(r), &house(r)->doors));
	assert_false(conf_given(house(r), &house(r)->pets));
	done(r);
}

static void sections_keep_their_order_and_place(void **state)
{
	(void)state;
	struct reading *r = read_text("[room b]\ncolour = blue\n[room a] ; comment\n\n[ room  c ]\ncolour =\n");

	expect_fine(r);
	assert_string_equal(room(r, 0)->section.name, "b");
	assert_string_equal(room(r, 0)->colour, "blue");
	assert_string_equal(room(r, 1)->section.name, "a");
	assert_string_equal(room(r, 1)->colour, "white");
	assert_int_equal(room(r, 1)->section.line, 3);
	assert_string_equal(room(r, 2)->section.name, "c");
	assert_string_equal(room(r, 2)->colour, "");
	done(r);
}

static void lists_replace_the_default_then_grow(void **state)
{
	(void)state;
	struct reading *r = read_text("[house]\npets = cow, pig\npets = hen\n[room a]\nguests = \"a, b; c\"\nguests = d\n");
	expect_fine(r);
	expect_list(&house(r)->pets, "cow|pig|hen");
	expect_list(&room(r, 0)->guests, "a, b; c|d");
	done(r);

	r = read_text("[house]\npets =\n");
	expect_fine(r);
	assert_int_equal(house(r)->pets.count, 0);
	done(r);
	expect("[house]\npets = cow,,pig\n", "f:2: [house] pets: there is an empty item in \"cow,,pig\"");
}

static void quotes_keep_everything(void **state)
{
	(void)state;
	struct reading *r = read_text("[house]\npolicy = \"a ;b; # 'c' \" ; comment\nowner = the \"boss\"\n");

	expect_fine(r);
	assert_true(conf_given(house(r), &house(r)->policy));
	assert_string_equal(house(r)->policy, "a ;b; # 'c' ");
	assert_string_equal(house(r)->owner, "the \"boss\"");
	done(r);
	expect("[house]\npolicy = \"a\nowner = b\n", "f:2: the closing '\"' is missing");
	expect("[house]\npolicy = \"\n", "f:2: the closing '\"' is missing");
	expect("[house]\npolicy = \"a\" b\n", "f:2: there is text after the closing '\"'");
	expect("[house]\npolicy = \"a\";b\n", "f:2: there is text after the closing '\"'");
}

/* --- complaints ------------------------------------------------------------------------------------------------- */

static void bad_values_name_place_option_and_cure(void **state)
{
	(void)state;
	expect("[house]\nlights = maybe\ndoors = -1\ndelay = 10\ncellar = 1t\n",
	       "f:2: [house] lights: \"maybe\" is none of: no, yes, off, on, false, true\n"
	       "f:3: [house] doors: \"-1\" is not a number from 0 to 2147483647\n"
	       "f:4: [house] delay: \"10\" is not a duration; write a number followed by ms, s, m, h or d: 30s\n"
	       "f:5: [house] cellar: \"1t\" is not a size; write a number of bytes, or one followed by k, m or g: 64k");
	expect("[house]\ndoors = 2147483648\ndelay =\n",
	       "f:2: [house] doors: \"2147483648\" is not a number from 0 to 2147483647\n"
	       "f:3: [house] delay: \"\" is not a duration; write a number followed by ms, s, m, h or d: 30s");
}

static void unknown_words_get_a_suggestion(void **state)
{
	(void)state;
	expect("[house]\ndoor = 1\nxyzzy = 1\ncolour = red\n[room a]\nlights = on\n",
	       "f:2: [house] unknown option \"door\"; did you mean \"doors\"?\n"
	       "f:3: [house] unknown option \"xyzzy\"\n"
	       "f:4: [house] unknown option \"colour\"; it belongs to [room NAME]\n"
	       "f:6: [room a] unknown option \"lights\"; it belongs to [house]");
	expect("[hause]\ndoors = x\n[garden]\nrain = 1\n",
	       "f:1: unknown section [hause]; did you mean \"house\"?\nf:3: unknown section [garden]");
}

static void sections_are_checked(void **state)
{
	(void)state;
	expect("[room]\n", "f:1: [room] needs a name: [room NAME]");
	expect("[house big]\n", "f:1: [house] takes no name");
	expect("[room a]\n[room b]\n[room a]\ncolour = red\n", "f:3: [room a] is there already, in f:1");
	expect("[house\n", "f:1: ']' is missing");
	expect("[house] doors = 1\n", "f:1: there is text after ']'; write each option on a line of its own");
	expect("[]\n", "f:1: unknown section []");
	expect("doors = 1\nlights = on\n[house]\ndoors = 1\n", "f:1: option \"doors\" is before the first [section]");
}

static void a_scalar_is_given_once(void **state)
{
	(void)state;
	struct reading *r = read_text("[house]\ndoors = 1\ndoors = 2\n[house]\ndoors = 3\n");
	assert_string_equal(r->err.text, "f:3: [house] doors: given already, in f:2\nf:5: [house] doors: given already, in f:2");
	done(r);

	r = read_text("[house]\ndoors = 1\npets = cow\n");
	read_more(r, "g", "\n\n[house]\ndoors = 1\npets = hen\n");
	assert_string_equal(r->err.text, "g:4: [house] doors: given already, in f:2");
	expect_list(&house(r)->pets, "cow|hen");
	done(r);
}

static void cf_ini_syntax(void **state)
{
	static const char form[] = "expected \"option = value\", a [section], or a comment";
	char want[256];

	(void)state;
	snprintf(want, sizeof(want), "f:2: %s\nf:4: %s\nf:5: %s", form, form, form);
	expect("[house]\ndoors\ndoors: 3\n= 4\ndelay", want);
	snprintf(want, sizeof(want), "f:2: %s", form);
	expect("[house]\nmy doors = 3\n", want);
	expect("[house]\nowner = me # him\n",
	       "f:2: '#' begins a comment only at the start of a line; use ';', or put the value in double quotes");
	expect("[house]\nowner = me#him\ndoors = 3;4\n", "f:3: [house] doors: \"3;4\" is not a number from 0 to 2147483647");
	expect("[house]\ndoors = 3 ;4\nowner = ;nobody\n", "");
	expect("[house]\nowner = a\x01z\n", "f:2: there is a control byte (0x01) in the line");
	expect("[house]\ndoors = 3\rdelay = 1s\n", "f:2: there is a control byte (0x0d) in the line");
	expect("[house]\n   \n\t\n; x\n  ; y\n#z\n;[nonsense\n", "");
}

/* --- indented lines --------------------------------------------------------------------------------------------- */

static void indented_lines_go_on_with_a_text(void **state)
{
	(void)state;
	struct reading *r = read_text("[house]\nowner = the lady ; who pays\n\tof   the\n\n# of this one\n  ; too\n  house;"
	                              " her dog ;and so on\r\n  = [x]: y\ndoors = 3\n[room a]\ncolour =\n red\n");
	expect_fine(r);
	assert_string_equal(house(r)->owner, "the lady of   the house; her dog = [x]: y");
	assert_int_equal(house(r)->doors, 3);
	assert_string_equal(room(r, 0)->colour, "red");
	done(r);

	r = read_text("[house]\nowner = ; nobody yet\n  \"a ;b  \n  c #d\" ; the rest\npolicy = \"\n x\"");
	expect_fine(r);
	assert_string_equal(house(r)->owner, "a ;b c #d");
	assert_string_equal(house(r)->policy, " x");
	done(r);
}

static void indented_lines_go_on_with_a_list(void **state)
{
	(void)state;
	struct reading *r = read_text("[house]\npets = cow, pig\n  hen, ; lays eggs\n  \"fish, fresh\"\npets = owl\n"
	                              "[room a]\nguests = ; by name\n  ann\n\n  bob\n[room b]\nguests =\n  eve\n");
	expect_fine(r);
	expect_list(&house(r)->pets, "cow|pig|hen|fish, fresh|owl");
	expect_list(&room(r, 0)->guests, "ann|bob");
	expect_list(&room(r, 1)->guests, "eve");
	done(r);

	r = read_text("[house]\npets =\n  cat\n  dog\n"); /* the default in other words */
	assert_false(conf_given(house(r), &house(r)->pets));
	done(r);
	expect("[house]\npets = cat,\n  dog,\n", "f:2: [house] pets: there is an empty item in \"dog,\"");
}

static void a_long_value_has_no_end(void **state)
{
	enum { LINES = 2000 };
	char *text = mem_zalloc(32 + LINES * 192), *end = text + sprintf(text, "[house]\nowner = x\n");

	(void)state;
	for (int i = 0; i < LINES; i++)
		end += sprintf(end, "  %0188d\n", i);
	struct reading *r = read_text(text);
	expect_fine(r);
	assert_int_equal(strlen(house(r)->owner), 1 + LINES * 189);
	assert_string_equal(house(r)->owner + LINES * 189 - 4, "01999");
	done(r);
	free(text);
}

static void what_only_looks_indented_is_refused(void **state)
{
	static const char nothing[] = "the line is indented, and there is no option above that it could continue";
	static const char new[] = "the line is indented, so it would continue the option above; begin it in the first column";
	char want[512];

	(void)state;
	snprintf(want, sizeof(want), "f:1: %s\nf:3: %s\nf:4: %s", nothing, nothing, nothing);
	expect(" [house]\n[house]\n  doors = 1\n  owner = me\n", want);
	snprintf(want, sizeof(want), "f:3: %s\nf:4: %s", new, new);
	expect("[house]\nowner = me\n  delay = 1s\n\t[room a]\n", want);
	expect("[house]\nowner = me\n  delay is = 1s\n  doors\n  [garden]\n  [::1]:80\n", "");

	/* Below what is complained about nothing is, and nothing is taken for more of what stands above that. */
	struct reading *r = read_text("[house]\nowner = me\ndoor = 1\n  2\n= 1\n  doors = 3\nlights\n  off\n[room a]\n");
	assert_string_equal(r->err.text, "f:3: [house] unknown option \"door\"; did you mean \"doors\"?\n"
	                                 "f:5: expected \"option = value\", a [section], or a comment\n"
	                                 "f:7: expected \"option = value\", a [section], or a comment");
	assert_string_equal(house(r)->owner, "me");
	assert_int_equal(house(r)->doors, 2);
	done(r);
}

static void a_complaint_names_the_line_where_the_option_begins(void **state)
{
	(void)state;
	expect("[house]\ndoors = 1\n  2\nowner = \"a\n  b\n\nlights = on\n  ; dark\n  off",
	       "f:2: [house] doors: \"1 2\" is not a number from 0 to 2147483647\n"
	       "f:4: the closing '\"' is missing\n"
	       "f:7: [house] lights: \"on off\" is none of: no, yes, off, on, false, true");
	expect("[house]\nowner = \"a\" ; b\n  c\npolicy = \"a\"\n  ; c\n", "f:2: there is text after the closing '\"'");
	expect("[house]\nowner = a\n  b # c\n",
	       "f:2: '#' begins a comment only at the start of a line; use ';', or put the value in double quotes");
}

static char *line_of(const char *start, size_t length)
{
	char *text = mem_printf("[house]\n%s%*s\nlights = off\n", start, (int)(length - strlen(start)), "");

	memset(text + 8 + strlen(start), 'x', length - strlen(start));
	return text;
}

static void cf_long_line(void **state)
{
	(void)state;
	char *text = line_of("owner = ", CONF_LINE_MAX);
	struct reading *r = read_text(text);
	expect_fine(r);
	assert_int_equal(strlen(house(r)->owner), CONF_LINE_MAX - 8);
	assert_false(house(r)->lights);
	done(r);
	free(text);

	text = line_of("owner = ", CONF_LINE_MAX + 1);
	expect(text, "f:2: the line has 199 bytes; 198 are allowed. Continue a value on indented lines below");
	free(text);

	/* The rest of a line that is too long must never be taken for a line of its own. */
	text = line_of("owner = ", 1000);
	memcpy(text + 8 + 199, "\tdoors = 9 ", 11);
	r = read_text(text);
	assert_int_equal(r->err.count, 1);
	assert_int_equal(house(r)->doors, 2);
	assert_false(house(r)->lights);
	done(r);
	free(text);

	text = line_of("; ", 1000);
	expect(text, "");
	free(text);
}

static void cf_long_name(void **state)
{
	(void)state;
	struct reading *r = read_text("[room n234567890123456789012345678901234567890]\ncolour = red\n");
	expect_fine(r);
	assert_string_equal(room(r, 0)->section.name, "n234567890123456789012345678901234567890");
	assert_string_equal(room(r, 0)->colour, "red");
	done(r);
	expect("[room n2345678901234567890123456789012345678901]\ncolour = 1\n",
	       "f:1: [room n2345678901234567890123456789012345678901]: a name has at most 40 letters, digits, '.', '-' "
	       "and '_'");
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static void files_are_read_or_named(void **state)
{
	char directory[] = "/tmp/test_conf.XXXXXX";
	char path[64], want[256];
	struct err err;
	struct conf *conf = conf_new(kinds, ARRAY_LEN(kinds));

	(void)state;
	err_init(&err);
	assert_non_null(mkdtemp(directory));
	conf_read_file(conf, directory, NULL, &err);
	snprintf(want, sizeof(want), "%s: cannot be read: Is a directory", directory);
	assert_string_equal(err.text, want);

	snprintf(path, sizeof(path), "%s/a.conf", directory);
	err_init(&err);
	conf_read_file(conf, path, NULL, &err);
	snprintf(want, sizeof(want), "%s: cannot be read: No such file or directory", path);
	assert_string_equal(err.text, want);

	FILE *file = fopen(path, "w");
	fwrite("[house]\ndoors = 5\nowner = a\0b", 1, 29, file); /* a NUL byte, and no newline at the end */
	fclose(file);
	err_init(&err);
	conf_read_file(conf, path, NULL, &err);
	snprintf(want, sizeof(want), "%s:3: there is a control byte (0x00) in the line", path);
	assert_string_equal(err.text, want);
	const struct house *h = conf_sections(conf, "house")->item[0];
	assert_int_equal(h->doors, 5);

	file = fopen(path, "w");
	for (int i = 0; i < CONF_FILE_MAX; i++)
		fputc('\n', file);
	fclose(file);
	err_init(&err);
	conf_read_file(conf, path, NULL, &err);
	assert_int_equal(err.count, 0);
	assert_int_equal(truncate(path, CONF_FILE_MAX + 1), 0);
	err_init(&err);
	conf_read_file(conf, path, NULL, &err);
	snprintf(want, sizeof(want), "%s: cannot be read: File too large", path);
	assert_string_equal(err.text, want);
	conf_free(conf);
	unlink(path);
	rmdir(directory);
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

static void set(struct reading *r, const char *kind, const char *name, const char *option, const char *value)
{
	conf_set(r->conf, &(struct conf_setting){ kind, name, option, value, "--it" }, &r->err);
}

static void set_opens_and_replaces(void **state)
{
	(void)state;
	struct reading *r = read_text("");

	set(r, "room", "quick", "colour", "red");
	set(r, "room", "quick", "colour", "blue");
	set(r, "room", "quick", "guests", "a,b");
	set(r, "room", "quick", "guests", "c");
	assert_int_equal(r->err.count, 0);
	set(r, "house", "", "doors", "many");
	assert_string_equal(r->err.text, "command line: --it: \"many\" is not a number from 0 to 2147483647");
	assert_int_equal(conf_sections(r->conf, "room")->count, 1);
	assert_string_equal(room(r, 0)->colour, "blue");
	expect_list(&room(r, 0)->guests, "a|b|c");
	done(r);
}

static void complaints_have_a_place(void **state)
{
	char place[32];

	(void)state;
	struct reading *r = read_text("[room a]\n\ncolour = red\n");
	assert_int_equal(conf_complain(room(r, 0), &r->err, "is %s", "odd"), -1);
	assert_int_equal(conf_complain_option(room(r, 0), &room(r, 0)->colour, &r->err, "is not %d", 7), -1);
	assert_int_equal(conf_complain_option(room(r, 0), &room(r, 0)->guests, &r->err, "are few"), -1);
	assert_int_equal(conf_complain_option(house(r), &house(r)->doors, &r->err, "stuck"), -1);
	assert_string_equal(r->err.text, "f:1: [room a] is odd\nf:1: [room a] guests: are few\nf:3: [room a] colour: is not 7\n"
	                                 "[house] doors: stuck");
	conf_place(room(r, 0), &room(r, 0)->colour, place, sizeof(place));
	assert_string_equal(place, "f:3: [room a]");
	done(r);
}

static void complaints_are_sorted_by_line(void **state)
{
	struct err err;

	(void)state;
	err_init(&err);
	err_add(&err, "a:10: x");
	err_add(&err, "b:2: y");
	err_add(&err, "a: whole");
	err_add(&err, "a:9: z: 3:4: w");
	err_add(&err, "b:1: v");
	err_add(&err, "a:10: u");
	assert_string_equal(err.text, "a:9: z: 3:4: w\na:10: x\na:10: u\nb:1: v\nb:2: y\na: whole");
	assert_int_equal(err.count, 6);
}

/* No name of a file can forge one that stands beside it, or speak to a terminal. */
static void a_complaint_is_one_line(void **state)
{
	struct err err;

	(void)state;
	err_init(&err);
	err_add(&err, "%s: is odd", "/tmp/a\nb:1: forged\t\x1b[2J\x7f");
	err_add(&err, "ünïcode");
	assert_string_equal(err.text, "/tmp/a?b:1: forged??[2J?: is odd\nünïcode");
	assert_int_equal(err.count, 2);
}

/* The printed defaults, with what is commented out taken in, are the defaults again. */
static void defaults_round_trip(void **state)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	conf_print_defaults(kinds, ARRAY_LEN(kinds), out);
	fclose(out);
	assert_non_null(strstr(text, "\n# number: help on doors (changed by a restart only)\ndoors = 2\n"));
	assert_non_null(strstr(text, "\n;[room NAME]\n"));
	for (char *at = text; (at = strstr(at, "\n;")) != NULL; at++)
		memmove(at + 1, at + 2, strlen(at + 2) + 1);

	struct reading *r = read_text(text), *none = read_text("[room NAME]\n");
	expect_fine(r);
	assert_false(conf_given(house(r), &house(r)->policy));
	assert_string_equal(house(r)->policy, "self; none # 'x'");
	assert_string_equal(house(r)->owner, "");
	assert_int_equal(house(r)->doors, house(none)->doors);
	assert_int_equal(house(r)->delay, house(none)->delay);
	expect_list(&house(r)->pets, "cat|dog");
	assert_string_equal(room(r, 0)->colour, "white");
	assert_int_equal(room(r, 0)->guests.count, 0);
	done(r);
	done(none);
	free(text);
}

static void note(void *arg, const char *what)
{
	strcat(arg, what);
	strcat(arg, ";");
}

static void restart_options_are_told(void **state)
{
	char all[256] = "";

	(void)state;
	struct reading *a = read_text("[house]\ndoors = 3\nowner = x\nlights = on\n");
	struct reading *b = read_text("[house]\nowner = x\nlights = off\npets = cat, dog, hen\n[room a]\n");
	struct reading *c = read_text("[house]\nowner = x\npets = cat\npets = dog, hen\n");
	conf_restart_differences(a->conf, b->conf, note, all);
	assert_string_equal(all, "[house] doors;[house] pets;");
	all[0] = '\0';
	conf_restart_differences(b->conf, c->conf, note, all);
	assert_string_equal(all, "");
	done(a);
	done(b);
	done(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_hold_without_a_file),
		cmocka_unit_test(values_are_typed),
		cmocka_unit_test(sections_keep_their_order_and_place),
		cmocka_unit_test(lists_replace_the_default_then_grow),
		cmocka_unit_test(quotes_keep_everything),
		cmocka_unit_test(bad_values_name_place_option_and_cure),
		cmocka_unit_test(unknown_words_get_a_suggestion),
		cmocka_unit_test(sections_are_checked),
		cmocka_unit_test(a_scalar_is_given_once),
		cmocka_unit_test(cf_ini_syntax),
		cmocka_unit_test(indented_lines_go_on_with_a_text),
		cmocka_unit_test(indented_lines_go_on_with_a_list),
		cmocka_unit_test(a_long_value_has_no_end),
		cmocka_unit_test(what_only_looks_indented_is_refused),
		cmocka_unit_test(a_complaint_names_the_line_where_the_option_begins),
		cmocka_unit_test(cf_long_line),
		cmocka_unit_test(cf_long_name),
		cmocka_unit_test(files_are_read_or_named),
		cmocka_unit_test(set_opens_and_replaces),
		cmocka_unit_test(complaints_have_a_place),
		cmocka_unit_test(complaints_are_sorted_by_line),
		cmocka_unit_test(a_complaint_is_one_line),
		cmocka_unit_test(defaults_round_trip),
		cmocka_unit_test(restart_options_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
