"""The webhook's TLS server context. Owns how a certificate gets into it, also while it serves.

The context stays the same object: connections that exist keep the certificate they began with, and each new
handshake takes the one loaded last. The private key goes through anonymous memory and never touches a disk.
"""

from __future__ import annotations

import os
import ssl

from .certificates import Leaf


def server_context(leaf: Leaf) -> ssl.SSLContext:
    """A TLS 1.3 server context that serves `leaf`. API servers are authenticated by nobody here: they only ask."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    load_leaf(context, leaf)
    return context


def load_leaf(context: ssl.SSLContext, leaf: Leaf) -> None:
    """Makes new handshakes use `leaf`. Blocks for well under a millisecond; call it in the loop's own thread,
    so that no handshake begins between certificate and key.
    """
    # ssl reads certificates from files only; this one is a memfd, gone when closed (memfd_create(2))
    descriptor = os.memfd_create("tulle-webhook-leaf")
    try:
        os.write(descriptor, leaf.pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
