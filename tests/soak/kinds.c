/* kinds.c owns the table of the kinds of session.
 * It must never act on it. */
#include "kinds.h"

#include "ops.h"

#include <stdio.h>
#include <string.h>

#define ROW(...) { __VA_ARGS__, .steps_count = 0 }

static struct kind table[] = {
	/* the usual ends */
	ROW("client Close", "client_closed", 20, "plain", "/tcp", "upgrade 101 echo 200 close 1000 eof 0"),
	ROW("client Close, UNIX", "client_closed", 10, "plain", "/unix", "upgrade 101 echo 4000 close 1001 eof 0"),
	ROW("client Close at once", "client_closed", 4, "plain", "/tcp", "upgrade 101 close 3000 eof 0"),
	ROW("client Close and gone", "client_closed", 4, "plain", "/tcp", "upgrade 101 echo 10 bye 1000 drop 0"),
	ROW("much data", "client_closed", 1, "plain", "/tcp", "upgrade 101 echo 60000 echo 60000 close 1000 eof 0"),
	ROW("echo:", "client_closed", 6, "plain", "/echo", "upgrade 101 echo 300 ping 20 close 1000 eof 0"),
	ROW("token", "client_closed", 4, "plain", "/token?token=one", "upgrade 101 echo 300 close 1000 eof 0"),
	ROW("pings", "client_closed", 4, "plain", "/tcp", "upgrade 101 ping 0 ping 125 echo 1 close 1000 eof 0"),
	ROW("backend FIN", "backend_closed", 10, "plain", "/fin", "upgrade 101 send 20 closed 1000 bye 1000 eof 0"),
	ROW("backend FIN, no Close back", "backend_closed", 2, "plain", "/fin", "upgrade 101 send 20 closed 1000 fin 0 eof 0"),
	ROW("backend RST", "backend_reset", 5, "plain", "/rst", "upgrade 101 send 20 closed 1011 bye 1011 eof 0"),
	/* clients that just go */
	ROW("client FIN", "client_gone", 5, "plain", "/tcp", "upgrade 101 echo 200 fin 0 eof 0"),
	ROW("client RST", "client_reset", 5, "plain", "/tcp", "upgrade 101 echo 200 reset 0"),
	ROW("client RST behind data", "client_reset|client_gone", 2, "plain", "/tcp", "upgrade 101 send 5000 reset 0"),
	ROW("came for nothing", "http_done", 3, "plain", "/", "drop 0"),
	ROW("came to reset", "client_reset|http_done", 2, "plain", "/", "reset 0"),
	ROW("gone in the head", "client_gone", 3, "plain", "/tcp", "part 60 fin 0 eof 0"),
	ROW("reset in the head", "client_reset|client_gone", 3, "plain", "/tcp", "part 60 reset 0"),
	/* who breaks the protocol */
	ROW("frame without mask", "protocol_error", 3, "plain", "/tcp", "upgrade 101 unmasked 5 closed 1002 bye 1002 eof 0"),
	ROW("unmasked, no Close back", "protocol_error", 2, "plain", "/tcp", "upgrade 101 unmasked 5 closed 1002 fin 0 eof 0"),
	ROW("text that is none", "bad_utf8", 3, "plain", "/tcp", "upgrade 101 text 255 closed 1007 bye 1007 eof 0"),
	ROW("text where none goes", "message_refused", 2, "plain", "/unix", "upgrade 101 text 65 closed 1003 bye 1003 eof 0"),
	ROW("message over its limit", "message_too_big", 3, "plain", "/small", "upgrade 101 declare 5000 closed 1009 bye 1009 eof 0"),
	ROW("bad head", "bad_request", 3, "plain", "/tcp", "spaced 400 eof 0"),
	ROW("long head", "head_too_large", 2, "plain", "/tcp", "long 431 eof 0"),
	ROW("POST", "method_not_allowed", 2, "plain", "/", "post 405 eof 0"),
	ROW("no such path", "no_route", 3, "plain", "/nowhere", "upgrade 404 eof 0"),
	ROW("no such token", "unknown_token", 2, "plain", "/token?token=two", "upgrade 403 eof 0"),
	ROW("another's page", "forbidden_origin", 2, "plain", "/tcp", "foreign 403 eof 0"),
	ROW("no upgrade", "upgrade_required", 2, "plain", "/tcp", "get 426 eof 0"),
	/* targets that are not there */
	ROW("refused", "backend_refused", 4, "plain", "/refused", "upgrade 502 eof 0"),
	ROW("refused, to a page", "backend_refused", 3, "plain", "/refused", "page 101 closed 1014 bye 1014 eof 0"),
	ROW("refused, UNIX", "backend_refused", 2, "plain", "/gone", "upgrade 502 eof 0"),
	/* time */
	ROW("half a head for ever", "request_timeout", 2, "hasty", "/tcp", "part 60 answer 408 eof 0"),
	ROW("silence", "http_done", 1, "hasty", "/tcp", "eof 0"),
	ROW("idle", "idle", 2, "plain", "/idle", "upgrade 101 closed 1001 bye 1001 eof 0"),
	ROW("lifetime", "lifetime", 2, "plain", "/brief", "upgrade 101 echo 20 closed 1001 bye 1001 eof 0"),
	/* TLS */
	ROW("TLS, client Close", "client_closed", 6, "tls", "/tcp", "tls 0 upgrade 101 echo 400 close 1000 eof 0"),
	ROW("TLS, backend FIN", "backend_closed", 3, "tls", "/fin", "tls 0 upgrade 101 send 20 closed 1000 bye 1000 eof 0"),
	ROW("TLS, close_notify", "client_gone", 1, "tls", "/tcp", "tls 0 upgrade 101 echo 400 notify 0 fin 0 eof 0"),
	ROW("TLS, cut", "client_gone", 1, "tls", "/tcp", "tls 0 upgrade 101 echo 400 fin 0 eof 0"),
	ROW("TLS, RST", "client_reset", 1, "tls", "/tcp", "tls 0 upgrade 101 echo 400 reset 0"),
	ROW("TLS, protocol error", "protocol_error", 1, "tls", "/tcp", "tls 0 upgrade 101 unmasked 5 closed 1002 bye 1002 eof 0"),
	ROW("no TLS at all", "tls_failed", 2, "tls", "/", "noise 40 eof 0"),
	ROW("half a ClientHello", "tls_abandoned", 1, "tls", "/", "hello 30 fin 0 eof 0"),
	ROW("half a ClientHello, RST", "tls_abandoned", 1, "tls", "/", "hello 30 reset 0"),
	/* files */
	ROW("files", "http_done", 5, "plain", "/files/index.html", "get 200 get 200 fin 0 eof 0"),
	ROW("large file", "http_done", 1, "plain", "/files/large.bin", "get 200 fin 0 eof 0"),
	ROW("file, RST", "http_done|client_reset", 2, "plain", "/files/index.html", "get 200 reset 0"),
	ROW("TLS, file", "http_done", 1, "tls", "/files/index.html", "tls 0 get 200 notify 0 fin 0 eof 0"),
	/* only by name */
	ROW("visit", "client_closed", 0, "plain", "/tcp", "upgrade 101 close 1000 eof 0"),
	ROW("held", "", 0, "plain", "/tcp", "upgrade 101 echo 64 hold 0"),
	ROW("held, TLS", "", 0, "tls", "/tcp", "tls 0 upgrade 101 echo 64 hold 0"),
};

static void script_read(struct kind *kind)
{
	const char *at = kind->script;
	char word[16];
	unsigned n;
	int used;

	while (sscanf(at, " %15s %u%n", word, &n, &used) == 2) {
		struct step *step = &kind->steps[kind->steps_count++];

		*step = (struct step){ .op = op_find(word), .n = n };
		if (step->op == NULL || kind->steps_count == STEPS_MAX)
			usage_error("%s: \"%s\" is no step, or one too many", kind->name, word);
		at += used;
	}
}

struct kind *kinds_read(size_t *count)
{
	*count = sizeof(table) / sizeof(*table);
	for (size_t i = 0; i < *count; i++)
		script_read(&table[i]);
	return table;
}
