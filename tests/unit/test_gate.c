/* The chain of gates that a route has by its options: who is asked, in which order, and what the request knows afterwards. */
#include "gate/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define FOREIGN "Origin: http://elsewhere.example\r\n"

/* A route's options, and what became of the last request. */
struct fixture {
	char path[64];
	char *binary[1];
	struct str_list origin, subprotocol;
	bool require;
	char *token_file;
	char text[1024];
	struct http_head head;
	struct request request;
};

static int setup(void **state)
{
	static char binary[] = "binary";
	struct fixture *f = calloc(1, sizeof(*f));
	strcpy(f->path, "/tmp/test_gate.XXXXXX");
	int fd = mkstemp(f->path);
	assert_true(fd >= 0 && write(fd, "alice: 127.0.0.1:5901\n", 22) == 22);
	close(fd);
	f->binary[0] = binary;
	f->subprotocol = (struct str_list){ f->binary, 1 };
	f->token_file = f->path;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	unlink(f->path);
	free(f);
	return 0;
}

static enum reason ask(struct fixture *f, const char *query, const char *fields, bool penalised)
{
	char *no_file = (char[]){ "" };
	const struct gate_options options = {
		.origin = &f->origin,
		.subprotocol = &f->subprotocol,
		.require_subprotocol = &f->require,
		.token_file = f->token_file != NULL ? &f->token_file : &no_file,
	};
	struct gates gates;
	int n = snprintf(f->text, sizeof(f->text), "GET /%s HTTP/1.1\r\nHost: here.example\r\n%s\r\n", query, fields);
	assert_int_equal(http_parse_head(&f->head, f->text, (size_t)n), 0);
	f->request = (struct request){ .head = &f->head, .penalised = penalised };
	gates_build(&gates, &options);
	enum reason reason = gates_judge(&gates, &f->request);
	gates_clear(&gates);
	address_clear(&f->request.target);
	return reason;
}

static void who_may_pass_is_known_by_key_and_subprotocol(void **state)
{
	struct fixture *f = *state;
	f->token_file = NULL;
	assert_int_equal(ask(f, "", OK "Sec-WebSocket-Protocol: mqtt, binary\r\n", false), REASON_NONE);
	assert_true(span_eq(f->request.key, SPAN("dGhlIHNhbXBsZSBub25jZQ==")));
	assert_true(span_eq(f->request.subprotocol, SPAN("binary")));
	assert_false(f->request.browser);
}

static void without_a_token_file_nobody_needs_a_token(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ask(f, "", OK, false), REASON_TOKEN_MISSING);
	assert_int_equal(ask(f, "?token=alice", OK, false), REASON_NONE);
	f->token_file = NULL;
	assert_int_equal(ask(f, "", OK, true), REASON_NONE);
}

/* A foreign page is told of nothing else, what is no handshake gets nowhere near a token, and guessing comes last. */
static void the_first_gate_that_refuses_says_why(void **state)
{
	struct fixture *f = *state;
	f->require = true;
	assert_int_equal(ask(f, "?token=x", FOREIGN "Upgrade: websocket\r\n", false), REASON_FORBIDDEN_ORIGIN);
	assert_true(f->request.browser);
	assert_null(f->request.key.p);
	assert_int_equal(ask(f, "?token=x", "Upgrade: websocket\r\n", false), REASON_CONNECTION_DROPPED);
	assert_int_equal(ask(f, "?token=x", OK, false), REASON_SUBPROTOCOL_REQUIRED);
	assert_int_equal(ask(f, "?token=x", OK "Sec-WebSocket-Protocol: binary\r\n", true), REASON_SOURCE_PENALTY);
	assert_int_equal(ask(f, "?token=x", OK "Sec-WebSocket-Protocol: binary\r\n", false), REASON_UNKNOWN_TOKEN);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(who_may_pass_is_known_by_key_and_subprotocol),
		CASE(without_a_token_file_nobody_needs_a_token),
		CASE(the_first_gate_that_refuses_says_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
