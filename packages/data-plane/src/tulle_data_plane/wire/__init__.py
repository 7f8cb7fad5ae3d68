"""What goes over the wire, without the wire: bytes in, messages out, and back.

This package is sans-I/O (https://sans-io.readthedocs.io): it imports no trio, socket, ssl or asyncio, waits for
nothing and knows no time. The shell reads bytes from a socket, asks a codec here what they mean, and writes what a
codec here gives it. So every rule can be tested with a string, and none depends on how the bytes were cut into packets.

**One vocabulary for every version of HTTP.** The shell is written against the words in `messages`, not against a codec:

=================  ======================================================================================
`RequestHead`      method, path, authority, version, end-to-end fields, how the body is framed, connection wishes
`ResponseHead`     status, version, end-to-end fields, how the body is framed, connection wishes
`bytes`            one piece of a body, as it arrived; a message has any number of them
`Headers`          the trailers, once the body has ended (None when there were none)
`ProtocolError`    the peer broke a rule: `reason` is a slug from `errors.REASONS`, `detail` is for the log
=================  ======================================================================================

HTTP/1.1 (`http1`) fills it from text and HTTP/2 (RFC 9113; to come, `http2`) from frames: `:method` is `method`,
`:path` is `path`, `:authority` is `authority`, `version` is "2", a body with content-length is `LENGTH`, one without
is `CHUNKED` ("of unknown length, but its end is marked", which is what END_STREAM does). `UNTIL_CLOSE` exists in HTTP/1
only. What belongs to one connection and not to the message (Connection, Keep-Alive, Transfer-Encoding, TE, Upgrade) is
never in `headers`: it became attributes when it came in, and the encoder of the outgoing version writes its own.

**Strict.** What two parsers could read in two ways is refused, never repaired and passed on: request smuggling
(RFC 9112 section 11.2) needs a proxy that is generous. Which status a refusal becomes is decided in `errors.py` of the
data plane, not here.
"""
