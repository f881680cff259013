"""Sections of the gateway's configuration that many tests have alike.

Owns how they are written; what their options do is the gateway's.
"""


def section(head, **options):
    return f"[{head}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())


def listen(name, address="127.0.0.1:0", **options):
    return section(f"listen {name}", address=address, **options)


def listeners(certificate, **options):
    """The listeners `plain` and `tls`, each with these options besides, and the certificate: whatever has `cert` and `key`."""
    return (listen("plain", **options) + listen("tls", tls="on", **options)
            + section("tls default", certificate=certificate.cert, key=certificate.key))
