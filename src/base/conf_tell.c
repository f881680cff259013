/* conf_tell.c owns what the rows of the options tell of a configuration as a whole: what is missing or has no effect, which
 * files it names, its defaults, and what a reload cannot change. It must never change a value. */
#include "base/conf_internal.h"
#include "base/mem.h"

#include <string.h>

#define LEADS_MAX 256

size_t conf_leads(const void *section, int what)
{
	const struct conf_section *s = section;
	size_t given = 0;
	for (size_t i = 0; i < s->kind->options_count; i++) {
		const struct conf_option *option = &s->kind->options[i];
		if (option->leads != 0 && (what == 0 || option->leads == what) && conf_given(s, (const char *)s + option->offset))
			given++;
	}
	return given;
}

/* "a = X, b = Y, or c = Z"; without examples "a, b and c"; "" if no option leads anywhere. */
static const char *list_leads(const struct conf_kind *kind, bool examples, char out[LEADS_MAX])
{
	size_t left = 0, len = 0;
	out[0] = '\0';
	for (size_t i = 0; i < kind->options_count; i++)
		left += kind->options[i].leads != 0;
	for (size_t i = 0; i < kind->options_count && len < LEADS_MAX; i++) {
		const struct conf_option *option = &kind->options[i];
		if (option->leads == 0)
			continue;
		const char *then = --left > 1 ? ", " : left == 0 ? "" : examples ? ", or " : " and ";
		len += (size_t)snprintf(out + len, LEADS_MAX - len, "%s%s%s%s", option->name, examples ? " = " : "",
		                        examples ? option->example : "", then);
	}
	return out;
}

static void section_check(const struct conf_section *section, struct err *err)
{
	char list[LEADS_MAX];
	size_t leads = conf_leads(section, 0);
	for (size_t i = 0; i < section->kind->options_count; i++) {
		const struct conf_option *option = &section->kind->options[i];
		const void *field = (const char *)section + option->offset;
		bool given = conf_given(section, field);
		const char *why = option->needs != NULL && given ? option->needs(section) : NULL;
		if (why != NULL)
			conf_complain_option(section, field, err, "has no effect %s", why);
		if (option->example != NULL && option->leads == 0 && !given)
			conf_complain(section, err, "has no %s; write, for example, %s = %s", option->name, option->name,
			              option->example);
	}
	if (leads == 0 && list_leads(section->kind, true, list)[0] != '\0')
		conf_complain(section, err, "leads nowhere; write %s", list);
	if (leads > 1)
		conf_complain(section, err, "has more than one of %s; write a %s for each",
		              list_leads(section->kind, false, list), section->kind->name);
}

void conf_check(const struct conf *conf, struct err *err)
{
	for (size_t i = 0; i < conf->kinds_count; i++)
		for (size_t k = 0; k < conf->sections[i].count; k++)
			section_check(conf->sections[i].item[k], err);
}

static void add_file(struct conf_file **files, size_t *count, struct conf_file file)
{
	if (file.path[0] == '\0')
		return;
	*files = mem_resize(*files, *count + 1, sizeof(**files));
	(*files)[(*count)++] = file;
}

static void add_section_files(struct conf_file **files, size_t *count, const struct conf_section *section)
{
	for (size_t i = 0; i < section->kind->options_count; i++) {
		const struct conf_option *option = &section->kind->options[i];
		const void *field = (const char *)section + option->offset;
		const char *path;
		for (size_t k = 0; option->file != 0 && (path = option->type->file(field, k)) != NULL; k++)
			add_file(files, count, (struct conf_file){ option->file, section, field, option->name, path });
	}
}

size_t conf_list_files(const struct conf *conf, struct conf_file **files)
{
	size_t count = 0;

	*files = NULL;
	for (size_t i = 0; i < conf->files.count; i++)
		add_file(files, &count, (struct conf_file){ .path = conf->files.item[i] });
	for (size_t i = 0; i < conf->kinds_count; i++)
		for (size_t k = 0; k < conf->sections[i].count; k++)
			add_section_files(files, &count, conf->sections[i].item[k]);
	return count;
}

static void option_print(const struct conf_option *option, const char *commented, FILE *out)
{
	char words[CONF_BOUNDS_MAX];
	const char *bounds = conf_bounds(option, words), *quote = strpbrk(option->def, ";#\"") != NULL ? "\"" : "";

	fprintf(out, "\n# %s%s%s: %s%s\n", option->type->name, bounds[0] != '\0' ? " " : "", bounds, option->help,
	        option->restart ? " (changed by a restart only)" : "");
	fprintf(out, "%s%s =%s%s%s%s\n", commented, option->name, option->def[0] != '\0' ? " " : "", quote, option->def, quote);
}

void conf_print_defaults(const struct conf_kind *const *kinds, size_t count, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct conf_kind *kind = kinds[i];
		const char *commented = kind->repeatable ? ";" : "";
		fprintf(out, "\n# %s\n%s[%s%s]\n", kind->help, commented, kind->name, kind->repeatable ? " NAME" : "");
		for (size_t k = 0; k < kind->options_count; k++)
			option_print(&kind->options[k], commented, out);
	}
}

void conf_restart_differences(const struct conf *old, const struct conf *new, void (*changed)(void *arg, const char *what),
                              void *arg)
{
	char what[256];

	for (size_t i = 0; i < new->kinds_count; i++) {
		const struct conf_kind *kind = new->kinds[i];
		for (size_t k = 0; k < new->sections[i].count; k++) {
			const struct conf_section *section = new->sections[i].item[k];
			const struct conf_section *before = conf_section_find(&old->sections[i], span_of(section->name));
			for (size_t o = 0; before != NULL && o < kind->options_count; o++) {
				if (!kind->options[o].restart || strcmp(before->values[o].text, section->values[o].text) == 0)
					continue;
				snprintf(what, sizeof(what), "[%s%s%s] %s", kind->name, section->name[0] != '\0' ? " " : "",
				         section->name, kind->options[o].name);
				changed(arg, what);
			}
		}
	}
}
