/* fuzz_addr.c owns what must hold for any text that is read as a listen address or a target.
 * It must never resolve, bind or connect: an address is text and numbers here. */
#include "check.h"
#include "net/addr.h"

typedef int parse_fn(struct address *address, const char *text, struct err *err);

static bool same_text(const char *a, const char *b)
{
	return (a == NULL && b == NULL) || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The canonical form means the same and is its own canonical form. */
static void check_canonical(const struct address *address, parse_fn *parse)
{
	struct address again;
	struct err err;

	err_init(&err);
	CHECK(parse(&again, address->text, &err) == 0);
	CHECK(same_text(again.text, address->text) && same_text(again.host, address->host));
	CHECK(same_text(again.name, address->name));
	CHECK(again.kind == address->kind && again.tls == address->tls && again.port == address->port);
	address_clear(&again);
}

static void check_unix(const struct address *address)
{
	struct sockaddr_un sa;
	char text[ADDR_TEXT_MAX], escaped[1024];
	socklen_t len = address_unix_sockaddr(address, &sa);

	CHECK(len <= sizeof(sa) && sa.sun_family == AF_UNIX);
	CHECK((sa.sun_path[0] == '\0') == (address->name[0] == '@'));
	addr_format((const struct sockaddr *)(const void *)&sa, len, text);
	size_t n = str_escape(escaped, sizeof(escaped), span_of(address->name));
	CHECK(strncmp(text, "unix:", 5) == 0);
	CHECK(n >= ADDR_TEXT_MAX - 10 || strcmp(text + 5, escaped) == 0);
}

static void check(const char *text, parse_fn *parse, bool listens)
{
	struct address address;
	struct err err;

	err_init(&err);
	if (parse(&address, text, &err) != 0) {
		CHECK(err.count == 1 && address.text == NULL && address.host == NULL && address.name == NULL);
		return;
	}
	CHECK(err.count == 0 && address.text != NULL);
	CHECK((address.name != NULL) == (address.kind == ADDRESS_UNIX || address.kind == ADDRESS_FD));
	CHECK(address.host == NULL || address.kind == ADDRESS_TCP);
	if (listens)
		CHECK(!address.tls && address.kind != ADDRESS_ECHO);
	else if (address.kind == ADDRESS_TCP)
		CHECK(address.host != NULL && address.port != 0);
	if (address.kind == ADDRESS_UNIX)
		check_unix(&address);
	check_canonical(&address, parse);
	address_clear(&address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = exact_string(data, size);

	check(text, address_parse_listen, true);
	check(text, address_parse_target, false);
	free(text);
	return 0;
}
