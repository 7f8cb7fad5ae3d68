"""The grammar of HTTP/1.1 heads as regular expressions, each with the section it comes from.

Owns syntax only; what fields mean is in `facts`.

Every repetition is possessive (`++`, `*+`, Python 3.11): it never gives back what it has taken, so a match is one pass
over the bytes and no input can make it slow. That is sound here because what follows a repetition can never begin
with a byte that the repetition accepts.
"""

from __future__ import annotations

import re
from typing import Final

# RFC 9110 section 5.6.2: token = 1*tchar. Methods, field names, connection options.
TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"

# RFC 9110 section 5.5: field-content = VCHAR / obs-text / SP / HTAB. No CR, LF or NUL, which section 5.5 says to refuse
# or replace, and no other control character either. No obs-fold (RFC 9112 section 5.2: a server may refuse it).
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"

# RFC 9112 section 3.2: every form of the target is made of visible ASCII. "#" begins a fragment, which no form has;
# some servers cut it off and some do not, so it is refused.
TARGET: Final = rb"[!\"$-~]++"

# RFC 9112 section 3: request-line = method SP request-target SP HTTP-version; single spaces, no others.
# Section 2.2: a server should ignore one empty line before it (some old clients send it after a body).
REQUEST_LINE: Final = re.compile(rb"(?:\r\n)?(" + TOKEN + rb") (" + TARGET + rb") HTTP/1\.([01])\r\n")

# RFC 9112 section 4: status-line = HTTP-version SP status-code SP [reason-phrase]. The second SP is sometimes missing
# where there is no reason: nothing else that could mean, so it is let through.
STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: " + VALUE + rb")?\r\n")

# RFC 9112 section 5: field-line = field-name ":" OWS field-value OWS. No space before the colon (section 5.1: refuse).
FIELD_LINE: Final = TOKEN + rb":" + VALUE + rb"\r\n"
FIELD_LINES: Final = re.compile(rb"(?:" + FIELD_LINE + rb")*+")
FIELD_SECTION: Final = re.compile(FIELD_LINES.pattern + rb"\r\n")

# RFC 9112 section 2.2: a recipient may accept a bare LF as the end of a line. We do not: others do not either, and
# where two disagree about lines, one sees a field that the other does not.
BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")

# RFC 9110 section 7.2 and RFC 3986 section 3.2: uri-host [":" port]; a name, an IPv4 address, or an IPv6 address in
# brackets; lower-cased by the caller. No userinfo (RFC 9110 section 4.2.4). RFC 3986 also has "," and "%41" in names:
# the first is what two Host fields become when they are joined, the second a host that some decode and some do not; no
# name in DNS has either, so both are refused.
_PORT: Final = rb"(?:[0-9]{0,4}|[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"  # up to 65535
AUTHORITY: Final = re.compile(rb"(?:[a-z0-9\-._~!$&'()*+;=]*+|\[[0-9a-f:.]++\])(?::" + _PORT + rb")?")

# RFC 9110 section 7.6.1: connection-option = token
OPTION: Final = re.compile(TOKEN)

# RFC 9110 section 7.8: Upgrade = #protocol, protocol = name ["/" version]; lower-cased by the caller.
_PROTOCOL: Final = TOKEN + rb"(?:/" + TOKEN + rb")?"
UPGRADE: Final = re.compile(_PROTOCOL + rb"(?:[ \t]*,[ \t]*" + _PROTOCOL + rb")*")
