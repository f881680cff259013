/* explain.c owns the words in which a client, and the log, are told why a request was refused.
 * It must never decide anything, nor show a query, a token or a credential. */
#include "session/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN          120 /* bytes of one thing that a stranger sent */
#define NAME_MAX_SHOWN 24
#define CUT(s)         (int)((s).n < SHOWN ? (s).n : SHOWN), (s).n > 0 ? (s).p : ""

struct words {
	char text[640];
	size_t len;
};

printf_like(2, 3) static void say(struct words *w, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(w->text + w->len, sizeof(w->text) - w->len, format, args);
	va_end(args);
	if (n > 0)
		w->len += (size_t)n < sizeof(w->text) - w->len ? (size_t)n : sizeof(w->text) - w->len - 1;
}

/* How the administrator writes an option: in the file, or as a word of the command line. */
static void say_cure(struct words *w, const struct session *s, const char *when, const char *option, struct span value)
{
	bool quick = s->generation->settings->quick;
	say(w, "; %s, add %s%s %.*s", when, quick ? "--" : option, quick ? option : " =", CUT(value));
	if (!quick && s->route != NULL)
		say(w, " to [route %s]", s->route->set->section.name);
}

static struct span value_of(const struct http_head *head, const char *name)
{
	const struct http_field *field = http_field(head, name);
	return field != NULL ? field->value : SPAN("");
}

static void say_fault(struct words *w, const struct session *s, const struct http_head *head)
{
	if (head->fault != NULL)
		say(w, "%s", head->fault);
}

static void say_host(struct words *w, const struct session *s, const struct http_head *head)
{
	struct span host, port;
	if (head->authority.p == NULL || !http_split_authority(head->authority, &host, &port))
		return;
	say(w, "host %.*s", CUT(host));
	say_cure(w, s, "if that is a name of this gateway", "host", host);
}

/* A client that speaks for two names has to open two connections; the gateway can allow nothing. */
static void say_names(struct words *w, const struct session *s, const struct http_head *head)
{
	const char *name = SSL_get_servername(s->client.ssl, TLSEXT_NAMETYPE_host_name);
	say(w, "host %.*s, while TLS asked for %.*s, and their [tls] sections require different client certificates",
	    CUT(head->authority), SHOWN, name != NULL ? name : "no name");
}

static void say_origin(struct words *w, const struct session *s, const struct http_head *head)
{
	struct span origin = value_of(head, "Origin");
	if (http_field_count(head, "Origin") > 1) {
		say(w, "more than one Origin");
		return;
	}
	say(w, "origin %.*s, host %.*s", CUT(origin), CUT(head->authority));
	say_cure(w, s, "to allow it", "origin", origin);
}

static void say_path(struct words *w, const struct session *s, const struct http_head *head)
{
	say(w, "path %.*s", CUT(head->path));
}

static void say_missing(struct words *w, const struct session *s, const struct http_head *head)
{
	say_path(w, s, head);
	if (s->route != NULL)
		say(w, "; there is no such file in %s", s->route->set->root);
	if (s->opening.near != NULL)
		say(w, "; did you mean %s?", s->opening.near->set->path);
}

static void say_token(struct words *w, const struct session *s, const struct http_head *head)
{
	say_path(w, s, head);
	say(w, "; the token is not in %s", s->route->set->token_file);
}

static void say_method(struct words *w, const struct session *s, const struct http_head *head)
{
	say(w, "method %.*s", CUT(head->method));
}

static void say_offered(struct words *w, const struct session *s, const struct http_head *head)
{
	struct http_list cursor = { 0 };
	struct span element;
	while (http_list_next(head, "Sec-WebSocket-Protocol", &cursor, &element)) {
		bool name = element.n <= NAME_MAX_SHOWN; /* some clients put a credential there, which is longer */
		say(w, "%s%.*s", w->len == 0 ? "offered " : ", ",
		    CUT(name ? element : SPAN("(one that is too long for a name)")));
	}
	say(w, "%s; the route takes", w->len == 0 ? "none was offered" : "");
	for (size_t i = 0; i < s->route->set->subprotocol.count; i++)
		say(w, "%s %s", i > 0 ? "," : "", s->route->set->subprotocol.item[i]);
}

/* The key is left when a proxy in front takes Upgrade away, as it does unless it is told not to. */
static void say_upgrade(struct words *w, const struct session *s, const struct http_head *head)
{
	say_path(w, s, head);
	if (upgrade_requested(head))
		say(w, "; Sec-WebSocket-Version is not 13");
	else if (http_field(head, "Sec-WebSocket-Key") != NULL)
		say(w, "; Upgrade is missing beside Sec-WebSocket-Key: a proxy in front removes it");
	else if (s->generation->settings->quick && s->generation->settings->routes_count == 1)
		say(w, "; to serve pages, add --web DIR");
}

/* Proxies put their own Connection in its place. */
static void say_connection(struct words *w, const struct session *s, const struct http_head *head)
{
	say_path(w, s, head);
	say(w, "; Connection is \"%.*s\" and does not name Upgrade: a proxy in front may have dropped it",
	    CUT(value_of(head, "Connection")));
}

typedef void explain_fn(struct words *w, const struct session *s, const struct http_head *head);

static explain_fn *const explain[REASON_COUNT] = {
	[REASON_BAD_REQUEST] = say_fault,
	[REASON_BAD_FIELD] = say_fault,
	[REASON_CONNECTION_DROPPED] = say_connection,
	[REASON_FORBIDDEN_HOST] = say_host,
	[REASON_MISDIRECTED] = say_names,
	[REASON_FORBIDDEN_ORIGIN] = say_origin,
	[REASON_NO_ROUTE] = say_missing,
	[REASON_TOKEN_MISSING] = say_path,
	[REASON_UNKNOWN_TOKEN] = say_token,
	[REASON_BODY] = say_path,
	[REASON_UPGRADE_REQUIRED] = say_upgrade,
	[REASON_METHOD_NOT_ALLOWED] = say_method,
	[REASON_SUBPROTOCOL_REQUIRED] = say_offered,
};

char *explain_refusal(const struct session *s, enum reason reason, const struct http_head *head)
{
	struct words words = { .len = 0 };
	if (explain[reason] != NULL)
		explain[reason](&words, s, head);
	return words.len > 0 ? strdup(words.text) : NULL;
}

size_t refusal_text(char buf[REFUSAL_MAX], enum reason reason, const char *meant, const struct http_stamp *stamp, bool head_only)
{
	const struct reason_row *row = &reason_row[reason];
	char words[512];
	struct http_answer answer;

	http_answer_start(&answer, buf, REFUSAL_MAX, row->http, stamp);
	if (reason == REASON_SERVER_OPTIONS)
		http_answer_text(&answer, "Allow", SPAN("GET, HEAD"));
	int n = meant == NULL ? 0 : snprintf(words, sizeof(words), "%s; did you mean %s?", row->text, meant);
	bool fits = n > 0 && (size_t)n < sizeof(words);
	http_answer_words(&answer, span_of(fits ? words : row->text), false, head_only);
	return answer.len;
}
