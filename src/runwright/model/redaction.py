"""Secrets out of text, and invisible characters made visible. Pure.

Named patterns and known values only: entropy guessing flags plain prose. Every pattern is linear in the text:
bounded repeats, and no nested ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from runwright.model.base import OpenRecord, Record

_VALUE = r"(?:\"[^\"\n]{1,400}\"|'[^'\n]{1,400}'|[^\s\"'&;,]{1,400})"
_NAMES = (
    r"(?:pass(?:word|wd|phrase)|passwort|secret|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|"
    r"auth[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|token|credentials?|pwd)"
)


@dataclass(frozen=True)
class SecretPattern:
    """A named kind of secret. The group `secret`, if the pattern has it, is what is masked; else the whole match."""

    kind: str
    pattern: re.Pattern[str]


def _compiled(kind: str, text: str, flags: int = 0) -> SecretPattern:
    return SecretPattern(kind, re.compile(text, flags))


PATTERNS: tuple[SecretPattern, ...] = (
    _compiled(
        "private_key",
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[\s\S]){0,20000}"
        r"(?:-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----|\Z)?",
    ),
    _compiled("aws_access_key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _compiled("github_token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b"),
    _compiled("gitlab_token", r"\bgl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,255}"),
    _compiled("slack_token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    _compiled("slack_webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_+-]{20,200}"),
    _compiled("google_api_key", r"\bAIza[A-Za-z0-9_-]{35}"),
    _compiled("stripe_key", r"\b[rsp]k_(?:live|test)_[A-Za-z0-9]{16,250}"),
    _compiled("openai_key", r"\bsk-(?:proj-|svcacct-|admin-|ant-)?[A-Za-z0-9_-]{20,250}"),
    _compiled("npm_token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _compiled("jwt", r"\beyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{2,4000}\.[A-Za-z0-9_-]{2,2000}"),
    _compiled(
        "authorization_header",
        r"\b(?:proxy-)?authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
        r"(?P<secret>(?:(?:basic|bearer|digest|token|negotiate|apikey)[ \t]{1,4})?[^\s\"'][^\r\n\"']{0,2000})",
        re.IGNORECASE,
    ),
    _compiled("bearer_token", r"\bbearer[ \t]{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{16,2000})", re.IGNORECASE),
    _compiled(
        "header_secret",
        r"\b(?:x-api-key|x-auth-token|x-amz-security-token|set-cookie|cookie)[\"']?[ \t]{0,4}:[ \t]{0,4}"
        r"(?P<secret>[^\s][^\r\n\"']{0,2000})",
        re.IGNORECASE,
    ),
    _compiled(
        "connection_string",
        r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s:/?#@\"']{0,200}:(?P<secret>[^\s/?#\"']{1,400})@(?=[A-Za-z0-9\[_.-])",
    ),
    _compiled(
        "url_signature", r"[?&](?:sig|signature|x-amz-signature|sas)=(?P<secret>[A-Za-z0-9%+/=_-]{16,500})", re.I
    ),
    _compiled(
        "secret_option",
        r"(?<![\w-])--?[A-Za-z0-9-]{0,40}(?:password|passphrase|secret|token|api-key)(?:[ \t]{1,4}|=)"
        rf"(?P<secret>{_VALUE})",
        re.IGNORECASE,
    ),
    _compiled(
        "basic_auth_option", r"\bcurl\b[^\n]{0,400}?[ \t](?:-u|--user)[ \t]{0,4}(?P<secret>[^\s:]{1,200}:[^\s]{1,200})"
    ),
    _compiled("mysql_password_option", r"\bmysql(?:dump|admin)?\b[^\n]{0,400}?[ \t]-p(?P<secret>[^\s]{1,200})"),
    _compiled(
        "assigned_secret",
        rf"(?<![A-Za-z0-9_./-])[A-Za-z0-9_.-]{{0,120}}?{_NAMES}[A-Za-z0-9_]{{0,20}}[\"']?"
        r"[ \t]{0,4}(?:=>|:=|=|:)[ \t]{0,4}"
        rf"(?P<secret>{_VALUE})",
        re.IGNORECASE,
    ),
    _compiled("shadow_hash", r"\$(?:1|2[aby]|5|6|7|y|gy|argon2(?:i|d|id))\$[A-Za-z0-9./=,$+-]{20,300}"),
    _compiled("age_key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
)
"""Every kind of secret that is known by its shape, in one table."""

_NOT_SECRET = re.compile(
    r"[\"']?(?:yes|no|true|false|none|null|required|on|off|\*+|x+|<[^>]{0,40}>|\$\{?\w{1,60}\}?)[\"']?\Z", re.I
)
"""Values after `password:` that say something about one rather than being one."""


class Found(OpenRecord):
    """A secret that was masked. Offsets count characters of the text as given, end exclusive."""

    kind: str
    start: int
    end: int


class Redacted(OpenRecord):
    """What `runwright redact` prints: the text with every secret masked, and where they were."""

    text: str
    found: tuple[Found, ...] = ()


class _Span(Record):
    kind: str
    start: int
    end: int


def _known_spans(text: str, known: Iterable[str]) -> list[_Span]:
    spans = []
    for value in sorted({value for value in known if len(value) >= 4}, key=len, reverse=True):
        start = text.find(value)
        while start >= 0:
            spans.append(_Span(kind="known_value", start=start, end=start + len(value)))
            start = text.find(value, start + len(value))
    return spans


def _pattern_spans(text: str) -> list[_Span]:
    spans = []
    for entry in PATTERNS:
        group = "secret" if "secret" in entry.pattern.groupindex else 0
        for match in entry.pattern.finditer(text):
            if entry.kind in ("assigned_secret", "secret_option") and _NOT_SECRET.match(match[group]):
                continue
            spans.append(_Span(kind=entry.kind, start=match.start(group), end=match.end(group)))
    return spans


_UNSEEN = re.compile(
    r"\x1b\[[0-?]{0,40}[ -/]{0,4}[@-~]"
    r"|\x1b\][^\x07\x1b\n]{0,500}(?:\x07|\x1b\\)"
    r"|[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""What a terminal does not show: colours, titles, zero-width and direction marks."""


def _seen_spans(text: str, known: Iterable[str]) -> list[_Span]:
    """Secrets of the text as a terminal shows it, by their places in the text as given.

    A coloured `password` is one too, and what reads the text later may have dropped the colours.
    """
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for match in _UNSEEN.finditer(text):
        pieces.append(text[at : match.start()])
        places.extend(range(at, match.start()))
        at = match.end()
    if at == 0:
        return []
    shown = "".join((*pieces, text[at:]))
    places.extend(range(at, len(text)))
    found = [span for span in _known_spans(shown, known) + _pattern_spans(shown) if span.start < span.end]
    return [_Span(kind=span.kind, start=places[span.start], end=places[span.end - 1] + 1) for span in found]


def redact(text: str, known: Iterable[str] = ()) -> Redacted:
    """Mask every secret of a known shape, and every known value of four characters or more.

    A mask is `[redacted:<kind>]`; line breaks inside a secret stay, so line numbers keep their meaning.
    Where two kinds overlap, their union is masked under the one that begins first.
    """
    known = tuple(known)
    found = _known_spans(text, known) + _pattern_spans(text) + _seen_spans(text, known)
    spans = sorted(found, key=lambda span: (span.start, -span.end))
    merged: list[_Span] = []
    for span in spans:
        if span.start >= span.end:
            continue
        if merged and span.start < merged[-1].end:
            if span.end > merged[-1].end:
                merged[-1] = merged[-1].model_copy(update={"end": span.end})
            continue
        merged.append(span)
    pieces, at = [], 0
    for span in merged:
        pieces += [text[at : span.start], f"[redacted:{span.kind}]", "\n" * text.count("\n", span.start, span.end)]
        at = span.end
    pieces.append(text[at:])
    return Redacted(
        text="".join(pieces),
        found=tuple(Found(kind=span.kind, start=span.start, end=span.end) for span in merged),
    )


_PLAIN = frozenset("\n\t")


def _is_hidden(char: str) -> bool:
    if char in _PLAIN:
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or char in "\u115f\u1160\u3164\uffa0"


def visible(text: str) -> str:
    """Control, bidi, zero-width and other invisible characters as `<U+202E>`; line feed and tab stay."""
    return "".join(f"<U+{ord(char):04X}>" if _is_hidden(char) else char for char in text)
