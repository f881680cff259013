/* Why TLS failed, in a few words instead of OpenSSL's, and of which option. */
#pragma once

#include <openssl/ssl.h>
#include <stddef.h>

/* Why a handshake or a connection failed: error is OpenSSL's code (the oldest one says where it began), 0 when there is
 * none; ssl adds what the check of the peer's certificate found, and may be NULL. Never empty; cut to fit. */
void tls_reason(const SSL *ssl, unsigned long error, char *out, size_t cap);

struct opener;

/* Where the options of a section stand, for complaints: place() writes FILE:LINE and the section's name; and who opens the files that
 * they name: NULL: everybody by himself. */
struct tls_where {
	void (*place)(const void *section, const char *option, char *out, size_t cap);
	const void *section;
	struct opener *opener;
};

/* The cause of a failed call, from this thread's error queue, which it empties; otherwise when that tells nothing. The
 * text is static, or good until the next call. */
const char *tls_queued_cause(const char *otherwise);
