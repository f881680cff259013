/* tls_reason.c owns the words for what goes wrong with TLS, in files and between peers.
 * It must never leave an error in OpenSSL's queue that it has told, nor tell nothing at all. */
#include "net/tls_reason.h"

#include "base/attr.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int lib;
	int reason;
	const char *words;
} causes[] = {
	{ ERR_LIB_PEM, PEM_R_NO_START_LINE, "contains no PEM block of the expected type" },
	{ ERR_LIB_PEM, PEM_R_BAD_BASE64_DECODE, "damaged PEM block" },
	{ ERR_LIB_PEM, PEM_R_BAD_END_LINE, "damaged PEM block" },
	{ ERR_LIB_PEM, PEM_R_SHORT_HEADER, "damaged PEM block" },
	{ ERR_LIB_X509, X509_R_NO_CERTIFICATE_OR_CRL_FOUND, "contains no PEM block of the expected type" },
	{ ERR_LIB_SSL, SSL_R_EE_KEY_TOO_SMALL, "the certificate's key is too short to be secure" },
	{ ERR_LIB_SSL, SSL_R_CA_KEY_TOO_SMALL, "a key in the chain is too short to be secure" },
	{ ERR_LIB_SSL, SSL_R_CA_MD_TOO_WEAK, "a signature in the chain is too weak" },
	{ ERR_LIB_SSL, SSL_R_NO_CIPHER_MATCH, "no such cipher suite" },
	{ ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING, "peer ended the connection without close_notify" },
	{ ERR_LIB_SSL, SSL_R_HTTP_REQUEST, "peer speaks plain HTTP instead of TLS" },
	{ ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, "peer does not speak TLS" },
	{ ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL, "peer's TLS version is not allowed" },
	{ ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, "no cipher suite in common" },
	{ ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL, "no application protocol (ALPN) in common" },
	{ ERR_LIB_SSL, SSL_R_NO_SUITABLE_KEY_SHARE, "no key exchange group in common" },
	{ ERR_LIB_SSL, SSL_R_WRONG_CURVE, "curve of the client's certificate is not among groups, as TLS 1.2 wants it" },
	{ ERR_LIB_SSL, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "client sent no certificate" },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "peer found no parameters in common" },
	{ ERR_LIB_SSL, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "peer does not allow our TLS version" },
	{ ERR_LIB_SSL, SSL_R_TLSV1_ALERT_UNKNOWN_CA, "peer does not trust our certificate" },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "peer refused our certificate" },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "peer refused our certificate" },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "peer found our certificate expired" },
	{ ERR_LIB_SSL, SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "peer requires a client certificate" },
};

static const char *cause_words(unsigned long error)
{
	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (ERR_GET_LIB(error) == causes[i].lib && ERR_GET_REASON(error) == causes[i].reason)
			return causes[i].words;
	if (ERR_SYSTEM_ERROR(error))
		return strerror(ERR_GET_REASON(error));
	return ERR_reason_error_string(error);
}

/* The oldest entry is where it began; later ones only say who called whom. Empties the queue. */
const char *tls_queued_cause(const char *otherwise)
{
	unsigned long error = ERR_get_error();
	const char *words = error != 0 ? cause_words(error) : NULL;

	ERR_clear_error();
	return words != NULL ? words : otherwise;
}

void tls_reason(const SSL *ssl, unsigned long error, char *out, size_t cap)
{
	long verify = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;
	bool notified = ssl != NULL && (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
	bool unverified = ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED;
	const char *words = error != 0 ? cause_words(error) : NULL;

	if (unverified && verify != X509_V_OK)
		snprintf(out, cap, "peer's certificate: %s", X509_verify_cert_error_string(verify));
	else
		snprintf(out, cap, "%s", words != NULL ? words : notified ? "peer ended TLS" : "connection lost");
}
