/* The server's half of the opening handshake, RFC 6455 section 4.2. Pure but for SHA-1 and base64 from libcrypto. */
#pragma once

#include "base/str.h"
#include "proto/http.h"
#include "proto/http_answer.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

/* True when the client asks for any upgrade to WebSocket, well-formed or not: the Upgrade list has `websocket`. Such a
 * request is never served a file. */
bool upgrade_requested(const struct http_head *head);

#define UPGRADE_KEY_LEN 24

/* Checks section 4.2.1 item by item. Returns 0 and the key (a span into the head), or the status to refuse with:
 * 405 not GET, 505 not HTTP/1.1, 426 version not 13, 431 more than 64 subprotocols, 400 anything else (Upgrade, Connection,
 * Key: exactly one, canonical base64 of 16 bytes; a Sec-WebSocket-Protocol list that is malformed or has an element twice;
 * malformed Sec-WebSocket-Extensions); then head->fault says which field. */
int upgrade_check(struct http_head *head, struct span *key);

/* Chooses the subprotocol of section 4.2.2 /subprotocol/: the first of the server's list that the client offered
 * (case-sensitive), as a span of that list. An absent span when none fits. */
struct span upgrade_subprotocol(const struct http_head *head, const struct str_list *ours);

/* A SHA-1 to be used over and over, by one thread: looking it up by its name, as each one-shot call does, takes longer than
 * running it. NULL without memory; the caller frees it with EVP_MD_CTX_free(). */
EVP_MD_CTX *upgrade_sha1_new(void) must_check;

/* The 101 response to a checked key. subprotocol is absent or a token. Returns its length; cap of UPGRADE_RESPONSE_MAX always
 * suffices for a subprotocol of up to UPGRADE_SUBPROTOCOL_MAX bytes; 0 if it does not fit, or there is no memory for SHA-1. */
#define UPGRADE_ACCEPT_LEN      28 /* of Sec-WebSocket-Accept */
#define UPGRADE_RESPONSE_MAX    512
#define UPGRADE_SUBPROTOCOL_MAX 256
size_t upgrade_response(char *out, size_t cap, EVP_MD_CTX *sha1, struct span key, struct span subprotocol,
                        const struct http_stamp *stamp);
