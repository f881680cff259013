/* fuzz_origin.c owns what must hold between any Origin, any authority and any list of origins.
 * It must never take over the gate's reading of an origin: what passes is judged by its text alone. */
#include "check.h"
#include "gate/origin.h"

#include <strings.h>

/* Without a list only the host of the request itself passes. IPv6 can be written in more than one way. */
static void check_own(struct span origin, struct span authority, bool tls)
{
	static const struct str_list nobody = { NULL, 0 };

	if (!origin_allowed(origin, authority, tls, &nobody))
		return;
	CHECK(!tls || origin_allowed(origin, authority, false, &nobody)); /* TLS only makes it stricter */
	size_t scheme = strncasecmp(origin.p, "https://", 8) == 0 ? 8 : 7;
	CHECK(scheme == 8 || (!tls && strncasecmp(origin.p, "http://", 7) == 0));
	struct span host = span_skip(origin, scheme);
	size_t n = 0;
	while (n < host.n && host.p[n] != ':')
		n++;
	CHECK(authority.n >= (host.p[0] == '[' ? 1 : n));
	CHECK(host.p[0] == '[' ? authority.p[0] == '[' : strncasecmp(host.p, authority.p, n) == 0);
	CHECK(host.p[0] == '[' || authority.n == n || authority.p[n] == ':');
}

static void check_list(struct span origin, struct span authority, bool tls, const struct str_list *list)
{
	struct str_list wider = { NULL, 0 }, itself = { NULL, 0 };
	bool allowed = origin_allowed(origin, authority, tls, list);

	for (size_t i = 0; i < list->count; i++)
		str_list_add(&wider, span_of(list->item[i]));
	str_list_add(&wider, SPAN("https://one.more.example"));
	CHECK(!allowed || origin_allowed(origin, authority, tls, &wider));
	str_list_add(&wider, SPAN("*"));
	CHECK(origin_allowed(origin, authority, tls, &wider));

	str_list_add(&itself, origin);
	bool sound = strlen(itself.item[0]) == origin.n && origin_entry_valid(itself.item[0]);
	CHECK(!sound || origin_allowed(origin, authority, tls, &itself) || span_eq(origin, SPAN("*")));
	str_list_clear(&wider);
	str_list_clear(&itself);
}

/* A byte for TLS; then lines: the origin, the authority, the entries of a list. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str_list list = { NULL, 0 };

	if (size < 1)
		return 0;
	struct span rest = input_span(data + 1, size - 1);
	struct span first = take_input_line(&rest), second = take_input_line(&rest);
	struct span origin = { exact_copy(first.p, first.n), first.n };
	struct span authority = { exact_copy(second.p, second.n), second.n };
	while (rest.n > 0 && list.count < 16)
		str_list_add(&list, take_input_line(&rest));
	check_own(origin, authority, data[0] & 1);
	check_list(origin, authority, data[0] & 1, &list);
	CHECK(origin_allowed((struct span){ NULL, 0 }, authority, true, &list));
	str_list_clear(&list);
	free((void *)(uintptr_t)origin.p);
	free((void *)(uintptr_t)authority.p);
	return 0;
}
