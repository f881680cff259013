"""TLS records that no TLS library sends: Python's ssl makes the handshake, and then records are sealed here, with its keys.

Owns the key schedules of TLS 1.2 and 1.3 (RFC 5246 section 5, RFC 8446 section 7.1) as far as a client needs them to send; for
AES-GCM it asks libcrypto. It knows nothing of the gateway.
"""

import ctypes
import ctypes.util
import hashlib
import hmac
import ssl
import struct

from wsclient import Connection

HANDSHAKE, DATA = 22, 23
GCM_SET_IVLEN, GCM_GET_TAG = 0x9, 0x10
CLIENT_HELLO, KEY_UPDATE = b"\x01", b"\x18\x00\x00\x01\x00"

libcrypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
for name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_256_gcm"):
    getattr(libcrypto, name).restype = ctypes.c_void_p


def seal(key, nonce, text, additional):
    """AES-GCM: ciphertext and tag."""
    context = ctypes.c_void_p(libcrypto.EVP_CIPHER_CTX_new())
    cipher = ctypes.c_void_p(libcrypto.EVP_aes_128_gcm() if len(key) == 16 else libcrypto.EVP_aes_256_gcm())
    out, tag, n = ctypes.create_string_buffer(len(text) + 16), ctypes.create_string_buffer(16), ctypes.c_int()
    libcrypto.EVP_EncryptInit_ex(context, cipher, None, key, nonce)
    libcrypto.EVP_EncryptUpdate(context, None, ctypes.byref(n), additional, len(additional))
    libcrypto.EVP_EncryptUpdate(context, out, ctypes.byref(n), text, len(text))
    libcrypto.EVP_EncryptFinal_ex(context, None, ctypes.byref(n))
    libcrypto.EVP_CIPHER_CTX_ctrl(context, GCM_GET_TAG, 16, tag)
    libcrypto.EVP_CIPHER_CTX_free(context)
    return out.raw[:len(text)] + tag.raw


def prf(secret, label, seed, size):
    """TLS 1.2 with SHA-256."""
    seed, block, out = label + seed, label + seed, b""
    while len(out) < size:
        block = hmac.digest(secret, block, hashlib.sha256)
        out += hmac.digest(secret, block + seed, hashlib.sha256)
    return out[:size]


def expand(secret, label, size, digest):
    """HKDF-Expand-Label without a context, of one block."""
    label = b"tls13 " + label
    return hmac.digest(secret, struct.pack("!HB", size, len(label)) + label + b"\0\1", digest)[:size]


class Sealer12:
    def __init__(self, master, client_random, server_random):
        block = prf(master, b"key expansion", server_random + client_random, 40)
        self.key, self.salt, self.sequence = block[:16], block[32:36], 1 # 0 was the Finished

    def record(self, kind, text):
        explicit = struct.pack("!Q", self.sequence)
        self.sequence += 1
        sealed = seal(self.key, self.salt + explicit, text, explicit + struct.pack("!BHH", kind, 0x303, len(text)))
        return struct.pack("!BHH", kind, 0x303, 8 + len(sealed)) + explicit + sealed


class Sealer13:
    def __init__(self, secret, key_size, digest):
        self.key_size, self.digest = key_size, digest
        self._use(secret)

    def _use(self, secret):
        self.secret, self.sequence = secret, 0
        self.key, self.iv = expand(secret, b"key", self.key_size, self.digest), expand(secret, b"iv", 12, self.digest)

    def record(self, kind, text):
        nonce = bytes(a ^ b for a, b in zip(self.iv, struct.pack("!IQ", 0, self.sequence)))
        self.sequence += 1
        header = struct.pack("!BHH", 23, 0x303, len(text) + 17)
        return header + seal(self.key, nonce, text + bytes([kind]), header)

    def key_update(self):
        record = self.record(HANDSHAKE, KEY_UPDATE)
        self._use(expand(self.secret, b"traffic upd", len(self.secret), self.digest))
        return record


class RawTls(Connection):
    """Send with seal_data() and what self.sealer makes, by way of sock: the TLS engine is only for reading from then on."""

    def __init__(self, address, certificate, version, directory):
        context = ssl.create_default_context(cafile=certificate.cert)
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ECDHE+AESGCM:!AES256")
        context.keylog_filename = str(directory / "keys")
        self.heard = bytearray()
        super().__init__(address, tls=context)
        self.sealer = self._sealer(context.keylog_filename)

    def _feed(self):
        data = self.sock.recv(1 << 16)
        self.heard += data
        self.incoming.write(data) if data else self.incoming.write_eof()

    def _sealer(self, path):
        with open(path, encoding="ascii") as file:
            secrets = {line.split()[0]: [bytes.fromhex(word) for word in line.split()[1:]] for line in file if line[0] != "#"}
        if self.ssl.version() == "TLSv1.2":
            client_random, master = secrets["CLIENT_RANDOM"]
            return Sealer12(master, client_random, bytes(self.heard[11:43]))
        strong = "AES_256" in self.ssl.cipher()[0]
        return Sealer13(secrets["CLIENT_TRAFFIC_SECRET_0"][1], 32 if strong else 16, hashlib.sha384 if strong else hashlib.sha256)

    def seal_data(self, data):
        return self.sealer.record(DATA, data)

    def send_sealed(self, records):
        """Whether all of it was taken."""
        try:
            self.sock.sendall(records)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True
