/* Which host names mean this machine: nothing that a stranger's name server could answer for. */
#include "sys/own_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void addresses_and_localhost_are_own(void **state)
{
	static const struct {
		const char *host;
		bool own;
	} cases[] = {
		{ "127.0.0.1", true },
		{ "192.0.2.7", true },
		{ "::1", true },
		{ "2001:db8::1", true },
		{ "::ffff:192.0.2.7", true },
		{ "localhost", true },
		{ "LocalHost", true },
		{ "desk.localhost", true },
		{ "gate", true },
		{ "GATE", true },
		{ "", false },
		{ "1.2.3.4.example", false },
		{ "192.0.2.7.", false },
		{ "1.2.3", false },
		{ "256.1.1.1", false },
		{ "evil-localhost", false },
		{ "localhost.example", false },
		{ "evil.gate", false },
		{ "gate.example", false },
		{ "own", false },
		{ "*", false },
		{ "a-name-that-is-longer-than-any-address-could-be-as-text.example", false },
	};
	struct str_list names = { NULL, 0 };

	(void)state;
	str_list_add(&names, SPAN("gate"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (own_names_has(&names, span_of(cases[i].host)) != cases[i].own)
			fail_msg("%s", cases[i].host);
	str_list_clear(&names);
}

static void the_host_name_is_own_and_its_local_one(void **state)
{
	struct str_list names = { NULL, 0 };
	char full[256] = "", local[300];

	(void)state;
	assert_int_equal(gethostname(full, sizeof(full) - 1), 0);
	own_names_list(&names, NULL);
	assert_true(own_names_has(&names, span_of(full)));
	strcpy(local, full);
	local[strcspn(full, ".")] = '\0';
	assert_true(own_names_has(&names, span_of(local)));
	strcat(local, ".local");
	assert_true(own_names_has(&names, span_of(local)));
	assert_false(own_names_has(&names, SPAN("evil.example")));
	str_list_clear(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_and_localhost_are_own),
		cmocka_unit_test(the_host_name_is_own_and_its_local_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
