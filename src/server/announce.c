/* announce.c owns the lines of the log about a start and an end.
 * It must never write a line for each of any number of things. */
#include "server/announce.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "(unversioned)"
#endif

/* An empty text is left out. */
static struct log_field text_field(const char *key, const char *text)
{
	struct span span = span_of(text);
	return (struct log_field){ .key = key, .kind = FIELD_TEXT, .text = span.n > 0 ? span : (struct span){ NULL, 0 } };
}

static void announce_route(struct log *log, const struct route_settings *route)
{
	const struct log_field fields[] = {
		text_field("route", route->section.name), text_field("path", route->path),
		text_field("target", route->target.text), text_field("token_file", route->token_file),
		text_field("root", route->root),
	};
	log_record(log, LEVEL_INFO, "route", fields, ARRAY_LEN(fields));
}

void announce_start(struct log *log, size_t workers)
{
	const struct log_field fields[] = {
		text_field("version", PACKAGE_VERSION),
		{ .key = "workers", .kind = FIELD_COUNT, .number = workers },
	};
	log_record(log, LEVEL_INFO, "started", fields, ARRAY_LEN(fields));
}

void announce_routes(struct log *log, const struct settings *settings)
{
	for (size_t i = 0; i < settings->routes_count && i < ANNOUNCE_ROUTES; i++)
		announce_route(log, settings->routes[i]);
	if (settings->routes_count > ANNOUNCE_ROUTES)
		log_line(log, LEVEL_INFO, "and %zu more routes", settings->routes_count - ANNOUNCE_ROUTES);
}

void announce_stop(struct log *log, enum log_level level, const char *event, uint64_t sessions, uint64_t timeout_ms)
{
	const struct log_field fields[] = {
		{ .key = "sessions", .kind = FIELD_COUNT, .number = sessions },
		{ .key = "timeout", .kind = FIELD_MS, .number = timeout_ms },
		text_field("hint", "a second signal stops at once"),
	};
	log_record(log, level, event, fields, timeout_ms > 0 ? 3 : 1);
}
