/* announce.c owns the lines of the log about a start and an end.
 * It must never write a line for each of any number of things. */
#include "server/announce.h"

#include <stdio.h>
#include <string.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "(unversioned)"
#endif

void announce_start(struct log *log, size_t workers)
{
	const struct log_field fields[] = {
		log_text("version", PACKAGE_VERSION),
		log_count("workers", workers),
	};
	log_record(log, LEVEL_INFO, "started", fields, ARRAY_LEN(fields));
}

void announce_routes(struct log *log, const struct settings *settings)
{
	for (size_t i = 0; i < settings->routes_count && i < ANNOUNCE_ROUTES; i++) {
		const struct route_settings *route = settings->routes[i];
		const struct log_field fields[] = {
			log_text("route", route->section.name),
			log_text("path", route->path),
			log_text("target", route->target.text),
			log_text("token_file", route->token_file[0] != '\0' ? route->token_file : NULL),
			log_text("root", route->root[0] != '\0' ? route->root : NULL),
		};
		log_record(log, LEVEL_INFO, "route", fields, ARRAY_LEN(fields));
	}
	if (settings->routes_count > ANNOUNCE_ROUTES)
		log_line(log, LEVEL_INFO, "and %zu more routes", settings->routes_count - ANNOUNCE_ROUTES);
}

void announce_stop(struct log *log, enum log_level level, const char *event, uint64_t sessions, uint64_t timeout_ms)
{
	const struct log_field fields[] = {
		log_count("sessions", sessions),
		log_ms("timeout", timeout_ms),
		log_text("hint", "a second signal stops at once"),
	};
	log_record(log, level, event, fields, timeout_ms > 0 ? 3 : 1);
}

void announce_quick(const struct settings *settings, const char *address)
{
	if (!settings->quick)
		return;
	const struct route_settings *route = settings->routes[0];
	bool any = strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0 || address[0] == '*';
	const char *port = strrchr(address, ':');
	fprintf(stderr, "sallyport: %s leads to %s; open %s://%s%s/ (Ctrl-C ends it)\n", address,
	        route->target.text != NULL ? route->target.text : "what the token names",
	        settings->listens[0]->tls == TLS_MODE_OFF ? "http" : "https", any ? "localhost" : address,
	        any && port != NULL ? port : "");
}
