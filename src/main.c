/* main.c owns the command line of sallyport: from argv to settings, and from there to the server.
 * It must never do work of its own: what an option means is told by the settings, what happens then by the server. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "cli/quick.h"
#include "config/generation.h"
#include "config/places.h"
#include "config/settings.h"
#include "server/confine.h"
#include "server/server.h"
#include "server/steward.h"
#include "sys/beneath.h"
#include "sys/library_memory.h"
#include "sys/process.h"

#include <event2/event.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "(unversioned)"
#endif

#define EXIT_USAGE 2
#define WORDS_MAX  64 /* of an option that may be repeated */

/* What was asked for. */
struct invocation {
	int action;       /* of enum action */
	const char *file; /* -c; NULL: the quick form */
	const char *origins[WORDS_MAX], *hosts[WORDS_MAX];
	struct quick_form form;
};

/* The codes of options: an action, a word of its own, or the place in struct quick_form of the word that follows. */
enum action { RUN, CHECK = 't', HELP = 'h', DEFAULTS = 'D', SHOW_VERSION = 'V' };
enum { FILE_OPTION = 'c', ORIGIN = 'o', HOST = 'H', QUICK = 256 };
#define QUICK_OPTION(name, field) name, required_argument, NULL, QUICK + (int)offsetof(struct quick_form, field)

static const struct option options[] = {
	{ "config", required_argument, NULL, FILE_OPTION },
	{ "test", no_argument, NULL, CHECK },
	{ "help", no_argument, NULL, HELP },
	{ "defaults", no_argument, NULL, DEFAULTS },
	{ "version", no_argument, NULL, SHOW_VERSION },
	{ "origin", required_argument, NULL, ORIGIN },
	{ "host", required_argument, NULL, HOST },
	{ QUICK_OPTION("web", web) },
	{ QUICK_OPTION("cert", cert) },
	{ QUICK_OPTION("key", key) },
	{ QUICK_OPTION("tls", tls) },
	{ QUICK_OPTION("subprotocol", subprotocol) },
	{ QUICK_OPTION("token-file", token_file) },
	{ QUICK_OPTION("workers", workers) },
	{ QUICK_OPTION("log-level", log_level) },
	{ QUICK_OPTION("user", user) },
	{ QUICK_OPTION("sandbox", sandbox) },
	{ NULL, 0, NULL, 0 },
};

static const char help_text[] =
        "usage: sallyport [OPTIONS] [ADDR:]PORT TARGET   one listener, one target, no configuration file\n"
        "       sallyport [-t] -c FILE                   run a configuration, or only check it\n"
        "\n"
        "TARGET is HOST:PORT, [V6]:PORT, unix:/path, unix:@name, tls:HOST:PORT or echo:\n"
        "\n"
        "      --web DIR           also serve the files of DIR, for example noVNC\n"
        "      --cert FILE         certificate chain (PEM); TLS is on then\n"
        "      --key FILE          its private key, if it is not in the same file\n"
        "      --tls MODE          off, on, or auto: TLS and plain on one port\n"
        "      --origin ORIGIN     pages of this origin may connect too; repeatable, * for any\n"
        "      --host NAME         answer to this host name too, besides IP addresses, localhost and the\n"
        "                          machine's own names; repeatable, * for any\n"
        "      --subprotocol LIST  subprotocols to agree to, such as mqtt; default binary\n"
        "      --token-file FILE   instead of TARGET: ?token=NAME is looked up there\n"
        "      --workers N         worker threads; default one per CPU\n"
        "      --log-level LEVEL   error, warn, info or debug\n"
        "      --user USER         if started as root: user to switch to; default sallyport or nobody\n"
        "      --sandbox MODE      on, or off: do not restrict system calls and files\n"
        "\n"
        "  -c, --config FILE       read FILE, and conf.d/*.conf beside it; see sallyport.conf(5)\n"
        "  -t, --test              check the configuration as a start would, and exit\n"
        "      --defaults          print every option with its default, as a configuration file\n"
        "      --version           print the versions of sallyport and its libraries\n"
        "  -h, --help              print this\n";

/* Says on one line what is wrong with the command line. Returns the exit status. */
static printf_like(1, 2) int usage(const char *format, ...)
{
	va_list args;

	fputs("sallyport: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; try --help\n", stderr);
	return EXIT_USAGE;
}

/* Another word of an option that may be repeated. */
static int take_word(const char *option, const char **words, size_t *count)
{
	if (*count == WORDS_MAX)
		return usage("%s is given more than %d times; write a configuration file", option, WORDS_MAX);
	words[(*count)++] = optarg;
	return 0;
}

static int take_option(struct invocation *r, int code, const char *word)
{
	if (code == ':')
		return usage("%s needs a value", word);
	if (code == '?')
		return usage("unknown option %s", word);
	if (code == ORIGIN)
		return take_word("--origin", r->origins, &r->form.origins_count);
	if (code == HOST)
		return take_word("--host", r->hosts, &r->form.hosts_count);
	if (code == FILE_OPTION)
		r->file = optarg;
	else if (code >= QUICK)
		*(const char **)(void *)((char *)&r->form + (code - QUICK)) = optarg;
	else
		r->action = code;
	return 0;
}

/* What is left when the options are taken: nothing with a file, else [ADDR:]PORT and perhaps TARGET. */
static int take_words(struct invocation *r, char **word, int count)
{
	static const struct quick_form empty;
	struct quick_form *form = &r->form;

	if (r->file != NULL && (count > 0 || memcmp(form, &empty, sizeof(empty)) != 0))
		return usage("with -c only --test may be given; put everything else in the file");
	if (r->file != NULL)
		return 0;
	if (count == 0)
		return usage("nothing to do: give [ADDR:]PORT TARGET, or -c FILE");
	if (count > 2)
		return usage("unexpected argument \"%s\"", word[2]);
	form->listen = word[0];
	form->target = count == 2 ? word[1] : NULL;
	form->origins = r->origins;
	form->hosts = r->hosts;
	if (form->key != NULL && form->cert == NULL)
		return usage("--key needs --cert FILE");
	if (form->target != NULL && form->token_file != NULL)
		return usage("give either TARGET or --token-file");
	if (form->target == NULL && form->token_file == NULL && form->web == NULL)
		return usage("missing TARGET for listener %s", form->listen);
	return 0;
}

static int take(struct invocation *r, int argc, char **argv)
{
	int code, status = 0;

	opterr = 0; /* complaints are ours, all in one form */
	while (status == 0 && (code = getopt_long(argc, argv, ":c:th", options, NULL)) != -1)
		status = take_option(r, code, argv[optind - 1]);
	if (status != 0 || (r->action != RUN && r->action != CHECK))
		return status;
	return take_words(r, argv + optind, argc - optind);
}

/* Every complaint on a line of its own. */
static void print_complaints(const struct err *err, const char *prefix)
{
	unsigned shown = 0;

	for (const char *line = err->text; *line != '\0'; shown++) {
		int n = (int)strcspn(line, "\n");
		fprintf(stderr, "%s%.*s\n", prefix, n, line);
		line += n + (line[n] == '\n');
	}
	if (shown < err->count)
		fprintf(stderr, "%sand %u more\n", prefix, err->count - shown);
}

static int run(const struct invocation *r)
{
	struct err err, warnings;
	struct steward *steward = NULL;

	err_init(&err);
	err_init(&warnings);
	struct settings *settings = r->file != NULL ? settings_read(r->file, NULL, &err) : quick_settings(&r->form, &err);
	if (settings != NULL && r->action == RUN && (steward = server_start_steward(settings, r->file, &err)) == NULL) {
		settings_free(settings);
		settings = NULL;
	}
	struct generation *first = settings != NULL ? generation_build(settings, NULL, &err, &warnings) : NULL;
	bool fine = first != NULL;
	if (fine && r->action == CHECK) {
		places_warn(settings, &warnings);
		fine = confine_check(settings, &err, &warnings) == 0;
		if (fine)
			routes_check_gates(&first->routes, &beneath_opener, &warnings);
	}
	print_complaints(&warnings, "warning: ");
	if (fine && r->action == RUN)
		return server_run(first, steward, r->file);
	if (fine)
		printf("%s: configuration is fine\n", r->file != NULL ? r->file : "command line");
	else
		print_complaints(&err, "");
	generation_unref(first);
	steward_free(steward);
	return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct invocation request = { .file = NULL };

	if (process_prepare() != 0) {
		perror("sallyport: /dev/null, in the place of a standard descriptor that is closed");
		return EXIT_FAILURE;
	}
	library_memory_for_openssl();
	int status = take(&request, argc, argv);
	if (status != 0)
		return status;
	if (request.action == RUN || request.action == CHECK)
		return run(&request);
	if (request.action == HELP)
		fputs(help_text, stdout);
	else if (request.action == SHOW_VERSION)
		printf("sallyport %s\nlibevent %s\n%s\n", PACKAGE_VERSION, event_get_version(), OpenSSL_version(OPENSSL_VERSION));
	else
		settings_print_defaults(stdout);
	bool written = fflush(stdout) == 0 && !ferror(stdout); /* what failed before is not what is flushed now */
	return written ? EXIT_SUCCESS : EXIT_FAILURE;
}
