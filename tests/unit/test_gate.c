/* The chain of gates that a route has by its options: who is asked, in which order, and what the request knows afterwards. */
#include "gate/gate.h"

#include "sys/beneath.h"

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
	struct opener *opener = &beneath_opener;
	const struct request_env env = { .opener = &opener };
	f->request = (struct request){ .head = &f->head, .penalised = penalised, .env = &env };
	gates_build(&gates, &options);
	enum verdict verdict = gates_start(&gates, &f->request);
	gates_clear(&gates);
	address_clear(&f->request.target);
	return verdict == VERDICT_PASS ? REASON_NONE : f->request.reason;
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

/* --- a gate that waits ------------------------------------------------------------------------------------------------ */

static char asked[16]; /* who was, in order */

static enum verdict first_start(const struct gate *gate, struct request *request)
{
	(void)gate, (void)request;
	strcat(asked, "1");
	return VERDICT_PASS;
}

static enum verdict second_start(const struct gate *gate, struct request *request)
{
	(void)gate;
	strcat(asked, "2");
	return request_wait(request, REASON_BACKEND_TIMEOUT);
}

static void second_cancel(const struct gate *gate, struct request *request)
{
	(void)gate, (void)request;
	strcat(asked, "c");
}

static enum verdict third_start(const struct gate *gate, struct request *request)
{
	(void)gate;
	strcat(asked, "3");
	return request_refuse(request, REASON_FORBIDDEN_ORIGIN);
}

static const struct gate_ops first_ops = { .start = first_start }, second_ops = { .start = second_start, .cancel = second_cancel },
                             third_ops = { .start = third_start };
static const struct gates chain = { .item = { { .ops = &first_ops }, { .ops = &second_ops }, { .ops = &third_ops } }, .count = 3 };

static void the_chain_goes_on_behind_the_gate_that_waited(void **state)
{
	struct request request = { .tls = false };
	(void)state;
	asked[0] = '\0';
	assert_int_equal(gates_start(&chain, &request), VERDICT_WAIT);
	assert_int_equal(request.reason, REASON_BACKEND_TIMEOUT);
	assert_string_equal(asked, "12");
	assert_int_equal(gates_go_on(&chain, &request, VERDICT_PASS), VERDICT_REFUSE);
	assert_int_equal(request.reason, REASON_FORBIDDEN_ORIGIN);
	gates_cancel(&chain, &request);
	assert_string_equal(asked, "123");
}

static void a_gate_that_refuses_after_all_ends_the_chain(void **state)
{
	struct request request = { .tls = false };
	(void)state;
	asked[0] = '\0';
	assert_int_equal(gates_start(&chain, &request), VERDICT_WAIT);
	assert_int_equal(gates_go_on(&chain, &request, request_refuse(&request, REASON_UNKNOWN_TOKEN)), VERDICT_REFUSE);
	assert_int_equal(request.reason, REASON_UNKNOWN_TOKEN);
	assert_string_equal(asked, "12");
}

static void only_a_gate_that_waits_is_cancelled(void **state)
{
	struct request request = { .tls = false };
	(void)state;
	asked[0] = '\0';
	gates_cancel(&chain, &request);
	assert_int_equal(gates_start(&chain, &request), VERDICT_WAIT);
	gates_cancel(&chain, &request);
	gates_cancel(&chain, &request);
	assert_string_equal(asked, "12c");
}

/* A session that ends while it waits takes nothing. */
static void what_was_not_taken_is_freed(void **state)
{
	struct request request = { .tls = false };
	(void)state;
	assert_int_equal(gates_start(&chain, &request), VERDICT_WAIT);
	request.detail = strdup("the file hangs");
	gates_cancel(&chain, &request);
	assert_null(request.detail);
}

/* Every span of it, also those of its absolute form, and none of what it was copied from. */
static void who_waits_has_a_head_of_its_own(void **state)
{
	static const char *const targets[] = { "/desk?token=alice", "http://here.example", "*" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		char text[256], same[256];
		struct http_head head, before;
		int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: here.example\r\nOrigin:\r\nX: y\r\n\r\n",
		                 i == 2 ? "OPTIONS" : "GET", targets[i]);
		memcpy(same, text, sizeof(same));
		assert_int_equal(http_parse_head(&head, text, (size_t)n), 0);
		assert_int_equal(http_parse_head(&before, same, (size_t)n), 0);
		struct request request = { .head = &head };
		assert_int_equal(request_own(&request), sizeof(head) + (size_t)n);
		memset(text, 'x', sizeof(text));
		memset(&head, 'x', sizeof(head));
		const struct http_head *own = request.head;
		assert_ptr_not_equal(own, &head);
		assert_true(span_eq(own->text, before.text) && span_eq(own->method, before.method) && span_eq(own->target, before.target) &&
		            span_eq(own->authority, before.authority) && span_eq(own->path, before.path) && span_eq(own->query, before.query));
		assert_ptr_equal(own->query.p == NULL, before.query.p == NULL);
		assert_int_equal(own->fields_count, 3);
		for (size_t k = 0; k < 3; k++)
			assert_true(span_eq(own->fields[k].name, before.fields[k].name) && span_eq(own->fields[k].value, before.fields[k].value));
		assert_int_equal(request_disown(&request), sizeof(head) + (size_t)n);
		assert_null(request.head);
		assert_int_equal(request_disown(&request), 0);
	}
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(who_may_pass_is_known_by_key_and_subprotocol),
		CASE(without_a_token_file_nobody_needs_a_token),
		CASE(the_first_gate_that_refuses_says_why),
		cmocka_unit_test(the_chain_goes_on_behind_the_gate_that_waited),
		cmocka_unit_test(a_gate_that_refuses_after_all_ends_the_chain),
		cmocka_unit_test(only_a_gate_that_waits_is_cancelled),
		cmocka_unit_test(what_was_not_taken_is_freed),
		cmocka_unit_test(who_waits_has_a_head_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
