/* upgrade.c owns the server's half of the opening handshake, from a parsed head to the bytes of the 101.
 * It must never judge who asks, nor for what: origin, path and subprotocol policy belong to its callers. */
#include "proto/upgrade.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#define SUBPROTOCOLS_MAX 64 /* bounds the work of looking for repeats */

enum { BAD_REQUEST = 400, NOT_ALLOWED = 405, UPGRADE_REQUIRED = 426, FIELDS_TOO_LARGE = 431, VERSION_UNKNOWN = 505 };

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* section 1.3 */

bool upgrade_requested(const struct http_head *head)
{
	return http_list_has(head, "Upgrade", SPAN("websocket"));
}

/* Sixteen bytes are 21 characters and two bits; in canonical form the other four bits of the 22nd are zero. */
static bool key_valid(struct span key)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	return key.n == UPGRADE_KEY_LEN && span_made_of((struct span){ key.p, 21 }, base64) &&
	       span_made_of((struct span){ key.p + 21, 1 }, "AQgw") && span_eq(span_skip(key, 22), SPAN("=="));
}

/* The status to refuse with, or 0. */
static int check_subprotocols(const struct http_head *head)
{
	struct span seen[SUBPROTOCOLS_MAX], element;
	struct http_list cursor = { 0 };
	size_t count = 0;

	while (http_list_next(head, "Sec-WebSocket-Protocol", &cursor, &element)) {
		if (!http_is_token(element))
			return BAD_REQUEST;
		if (count == SUBPROTOCOLS_MAX)
			return FIELDS_TOO_LARGE; /* a browser sends as many as a page likes */
		for (size_t i = 0; i < count; i++)
			if (span_eq(seen[i], element))
				return BAD_REQUEST;
		seen[count++] = element;
	}
	return count > 0 || http_field(head, "Sec-WebSocket-Protocol") == NULL ? 0 : BAD_REQUEST;
}

/* extension-param's value (RFC 6455 section 9.1): a token, as it is or quoted. */
static bool extension_value_valid(struct span value)
{
	bool quoted = value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"';
	if (!quoted)
		return http_is_token(value);
	for (size_t i = 1; i < value.n - 1; i++) {
		if (value.p[i] == '\\')
			i++; /* the next one stands for itself; if that is the closing quote, it is no token either */
		if (!http_is_token((struct span){ value.p + i, 1 }))
			return false;
	}
	return value.n > 2;
}

/* None is ever agreed to, but what breaks the grammar is an error all the same. A quoted value is a token, so that no comma or
 * semicolon of a well-formed list stands within quotes. */
static bool extensions_valid(const struct http_head *head)
{
	struct http_list cursor = { 0 };
	struct span extension, param, value;
	size_t count = 0;

	for (; http_list_next(head, "Sec-WebSocket-Extensions", &cursor, &extension); count++) {
		if (!span_next(&extension, ';', &param) || !http_is_token(param))
			return false;
		while (span_next(&extension, ';', &param)) {
			struct span name = span_split(param, '=', &value);
			if (!http_is_token(span_trim(name)) || (value.p != NULL && !extension_value_valid(span_trim(value))))
				return false;
		}
	}
	return count > 0 || http_field(head, "Sec-WebSocket-Extensions") == NULL;
}

/* The only field of that name, NULL when there are none or several. */
static const struct http_field *sole_field(const struct http_head *head, const char *name)
{
	return http_field_count(head, name) == 1 ? http_field(head, name) : NULL;
}

static int bad_field(struct http_head *head, const char *name)
{
	head->fault = name;
	return BAD_REQUEST;
}

int upgrade_check(struct http_head *head, struct span *key)
{
	const struct http_field *version_field = sole_field(head, "Sec-WebSocket-Version");
	const struct http_field *key_field = sole_field(head, "Sec-WebSocket-Key");

	if (!span_eq(head->method, SPAN("GET")))
		return NOT_ALLOWED;
	if (head->minor != 1)
		return VERSION_UNKNOWN;
	if (!upgrade_requested(head))
		return bad_field(head, "Upgrade");
	if (!http_list_has(head, "Connection", SPAN("Upgrade")))
		return bad_field(head, "Connection: Upgrade is missing");
	if (version_field == NULL || !span_eq(version_field->value, SPAN("13")))
		return UPGRADE_REQUIRED; /* before the key: what a key looks like depends on the version */
	if (key_field == NULL || !key_valid(key_field->value))
		return bad_field(head, "Sec-WebSocket-Key");
	if (!extensions_valid(head))
		return bad_field(head, "Sec-WebSocket-Extensions");
	*key = key_field->value;
	int status = check_subprotocols(head);
	return status == BAD_REQUEST ? bad_field(head, "Sec-WebSocket-Protocol") : status;
}

struct span upgrade_subprotocol(const struct http_head *head, const struct str_list *ours)
{
	struct span offered;

	for (size_t i = 0; i < ours->count; i++) {
		struct http_list cursor = { 0 };
		while (http_list_next(head, "Sec-WebSocket-Protocol", &cursor, &offered))
			if (span_eq(offered, span_of(ours->item[i])))
				return span_of(ours->item[i]);
	}
	return (struct span){ NULL, 0 };
}

EVP_MD_CTX *upgrade_sha1_new(void)
{
	EVP_MD_CTX *sha1 = EVP_MD_CTX_new();

	if (sha1 != NULL && EVP_DigestInit_ex(sha1, EVP_sha1(), NULL) == 1)
		return sha1;
	EVP_MD_CTX_free(sha1);
	return NULL;
}

size_t upgrade_response(char *out, size_t cap, EVP_MD_CTX *sha1, struct span key, struct span subprotocol,
                        const struct http_stamp *stamp)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char accept[UPGRADE_ACCEPT_LEN + 1];
	unsigned len = 0;
	struct http_answer response;

	assert(key.n == UPGRADE_KEY_LEN);
	if (EVP_DigestInit_ex(sha1, NULL, NULL) != 1 || EVP_DigestUpdate(sha1, key.p, key.n) != 1 ||
	    EVP_DigestUpdate(sha1, guid, sizeof(guid) - 1) != 1 || EVP_DigestFinal_ex(sha1, digest, &len) != 1 ||
	    EVP_EncodeBlock((unsigned char *)accept, digest, (int)len) != UPGRADE_ACCEPT_LEN)
		return 0;
	http_answer_start(&response, out, cap, 101, stamp);
	http_answer_text(&response, "Upgrade", SPAN("websocket"));
	http_answer_text(&response, "Sec-WebSocket-Accept", (struct span){ accept, UPGRADE_ACCEPT_LEN });
	if (subprotocol.p != NULL)
		http_answer_text(&response, "Sec-WebSocket-Protocol", subprotocol);
	http_answer_end(&response, true);
	return response.overflow ? 0 : response.len;
}
