/* fuzz_upgrade.c owns what must hold for the answer to any request for an upgrade.
 * It must never let a response through that it did not put together a second time, from libcrypto's one-shot calls. */
#include "check.h"
#include "proto/upgrade.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#define HEAD_LIMIT 8192

static struct str_list ours(void)
{
	static char words[][8] = { "binary", "base64", "chat", "CHAT" };
	static char *items[ARRAY_LEN(words)];

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		items[i] = words[i];
	return (struct str_list){ items, ARRAY_LEN(words) };
}

/* Sixteen bytes, written in the one way there is. */
static bool key_is_canonical(struct span key)
{
	unsigned char text[UPGRADE_KEY_LEN + 1], raw[UPGRADE_KEY_LEN];

	if (key.n != UPGRADE_KEY_LEN || EVP_DecodeBlock(raw, (const unsigned char *)key.p, UPGRADE_KEY_LEN) != 18)
		return false;
	return EVP_EncodeBlock(text, raw, 16) == UPGRADE_KEY_LEN && memcmp(text, key.p, UPGRADE_KEY_LEN) == 0;
}

static int expected_response(char *out, size_t cap, struct span key, struct span subprotocol)
{
	unsigned char text[128], digest[SHA_DIGEST_LENGTH], accept[UPGRADE_ACCEPT_LEN + 1];
	int n = snprintf((char *)text, sizeof(text), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)key.n, key.p);

	SHA1(text, (size_t)n, digest);
	EVP_EncodeBlock(accept, digest, sizeof(digest));
	n = snprintf(out, cap, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	             "Sec-WebSocket-Accept: %s\r\n", (char *)accept);
	if (subprotocol.p != NULL)
		n += snprintf(out + n, cap - (size_t)n, "Sec-WebSocket-Protocol: %.*s\r\n", (int)subprotocol.n, subprotocol.p);
	return n + snprintf(out + n, cap - (size_t)n, "Connection: Upgrade\r\n\r\n");
}

static const struct http_stamp stamp = { .now = 0 };

static void check_response(const struct http_head *head, struct span key, EVP_MD_CTX *sha1)
{
	struct str_list list = ours();
	struct span chosen = upgrade_subprotocol(head, &list);
	char want[UPGRADE_RESPONSE_MAX], *got = malloc(UPGRADE_RESPONSE_MAX);
	size_t len = upgrade_response(got, UPGRADE_RESPONSE_MAX, sha1, key, chosen, &stamp);

	CHECK(chosen.p == NULL || http_list_has(head, "Sec-WebSocket-Protocol", chosen));
	CHECK(len > 0 && len == (size_t)expected_response(want, sizeof(want), key, chosen));
	CHECK(memcmp(got, want, len) == 0);
	free(got);
	char *tight = malloc(len - 1);
	CHECK(upgrade_response(tight, len - 1, sha1, key, chosen, &stamp) == 0);
	free(tight);
}

static void check_passed(const struct http_head *head, struct span key)
{
	const struct http_field *version = http_field(head, "sec-websocket-version");
	EVP_MD_CTX *sha1 = upgrade_sha1_new();

	CHECK(sha1 != NULL);
	CHECK(upgrade_requested(head) && head->minor == 1 && span_eq(head->method, SPAN("GET")));
	CHECK(http_list_has(head, "connection", SPAN("upgrade")));
	CHECK(version != NULL && span_eq(version->value, SPAN("13")));
	CHECK(http_field_count(head, "Sec-WebSocket-Version") == 1);
	CHECK(http_field_count(head, "Sec-WebSocket-Key") == 1 && key_is_canonical(key));
	check_response(head, key, sha1);
	EVP_MD_CTX_free(sha1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head;
	size_t scanned = 0;
	struct span key;
	int len = http_head_length((const char *)data, size, HEAD_LIMIT, &scanned);

	if (len <= 0)
		return 0;
	char *copy = exact_copy(data, (size_t)len);
	if (http_parse_head(&head, copy, (size_t)len) == 0) {
		int status = upgrade_check(&head, &key);
		CHECK(status == 0 || status == 400 || status == 405 || status == 426 || status == 431 || status == 505);
		if (status == 0)
			check_passed(&head, key);
	}
	free(copy);
	return 0;
}
