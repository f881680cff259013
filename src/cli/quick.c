/* quick.c owns what the words of the quick form stand for: sections and options of a configuration.
 * It must never judge a word: the settings do. */
#include "cli/quick.h"

#include "base/conf.h"

#define SECTION "quick"

/* What was not given leaves no section. */
static void quick_set(struct conf *conf, struct conf_setting set, struct err *err)
{
	if (set.value != NULL)
		conf_set(conf, &set, err);
}

/* A page whose name was made to point here would otherwise pass for one of ours. */
static void quick_set_hosts(struct conf *conf, const char *route, const struct quick_form *form, struct err *err)
{
	quick_set(conf, (struct conf_setting){ "route", route, "host", REACH_HOST_OWN, "--host" }, err);
	for (size_t i = 0; i < form->hosts_count; i++)
		quick_set(conf, (struct conf_setting){ "route", route, "host", form->hosts[i], "--host" }, err);
}

struct settings *quick_settings(const struct quick_form *form, struct err *err)
{
	const char *tls = form->cert != NULL || form->key != NULL ? "on" : NULL;
	const struct conf_setting words[] = {
		{ "server", "", "workers", form->workers, "--workers" },
		{ "server", "", "log_level", form->log_level, "--log-level" },
		{ "server", "", "user", form->user, "--user" },
		{ "server", "", "sandbox", form->sandbox, "--sandbox" },
		{ "listen", SECTION, "address", form->listen, "[ADDR:]PORT" },
		{ "listen", SECTION, "tls", form->tls != NULL ? form->tls : tls, "--tls" },
		{ "tls", SECTION, "certificate", form->cert, "--cert" },
		{ "tls", SECTION, "key", form->key, "--key" },
		{ "route", SECTION, "target", form->target, "TARGET" },
		{ "route", SECTION, "token_file", form->token_file, "--token-file" },
		{ "route", SECTION, "subprotocol", form->subprotocol, "--subprotocol" },
	};
	struct conf *conf = conf_new(option_kinds, OPTION_KINDS);
	unsigned errors = err->count;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		quick_set(conf, words[i], err);
	for (size_t i = 0; i < form->origins_count; i++)
		quick_set(conf, (struct conf_setting){ "route", SECTION, "origin", form->origins[i], "--origin" }, err);
	if (form->target != NULL || form->token_file != NULL)
		quick_set_hosts(conf, SECTION, form, err);
	quick_set(conf, (struct conf_setting){ "route", "web", "root", form->web, "--web" }, err);
	if (form->web != NULL)
		quick_set_hosts(conf, "web", form, err);
	return settings_of(conf, "command line", true, errors, err);
}
