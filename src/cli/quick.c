/* quick.c owns what the words of the quick form stand for: sections and options of a configuration.
 * It must never judge a word: the settings do. */
#include "cli/quick.h"

#include "base/conf.h"
#include "config/reach.h"

#define SECTION "quick"

struct word {
	const char *kind, *section, *option, *value;
};

/* What was not given leaves no section. */
static void quick_set(struct conf *conf, struct word word, struct err *err)
{
	if (word.value != NULL)
		conf_set(conf, word.kind, word.section, word.option, word.value, err);
}

/* A page whose name was made to point here would otherwise pass for one of ours. */
static void quick_set_hosts(struct conf *conf, const char *route, const struct quick_form *form, struct err *err)
{
	quick_set(conf, (struct word){ "route", route, "host", REACH_HOST_OWN }, err);
	for (size_t i = 0; i < form->hosts_count; i++)
		quick_set(conf, (struct word){ "route", route, "host", form->hosts[i] }, err);
}

struct settings *quick_settings(const struct quick_form *form, struct err *err)
{
	const char *tls = form->cert != NULL || form->key != NULL ? "on" : NULL;
	const struct word words[] = {
		{ "server", "", "workers", form->workers },
		{ "server", "", "log_level", form->log_level },
		{ "server", "", "user", form->user },
		{ "server", "", "sandbox", form->sandbox },
		{ "listen", SECTION, "address", form->listen },
		{ "listen", SECTION, "tls", form->tls != NULL ? form->tls : tls },
		{ "tls", SECTION, "certificate", form->cert },
		{ "tls", SECTION, "key", form->key },
		{ "route", SECTION, "target", form->target },
		{ "route", SECTION, "token_file", form->token_file },
		{ "route", SECTION, "subprotocol", form->subprotocol },
	};
	struct conf *conf = settings_blank();
	unsigned errors = err->count;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		quick_set(conf, words[i], err);
	for (size_t i = 0; i < form->origins_count; i++)
		quick_set(conf, (struct word){ "route", SECTION, "origin", form->origins[i] }, err);
	if (form->target != NULL || form->token_file != NULL)
		quick_set_hosts(conf, SECTION, form, err);
	quick_set(conf, (struct word){ "route", "web", "root", form->web }, err);
	if (form->web != NULL)
		quick_set_hosts(conf, "web", form, err);
	return settings_of(conf, "command line", true, errors, err);
}
