"""One certificate as it is served or stored: what the host's openssl tells of it, and how it differs from before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from runwright.model.base import Record
from runwright.verification.findings import Finding, NoEvidence, failed, unverifiable
from runwright.verification.sections import NO_TOOL, Section
from runwright.verification.text import first_line, visible

_DESCRIBE = r"""
rw_describe() {
  printf '%s\n' "$1" | openssl x509 -noout -subject -issuer -enddate -fingerprint -sha256 -startdate 2>/dev/null
  printf '%s\n' "$1" | openssl x509 -noout -text 2>/dev/null | sed -n 's/^    \( *\)/rw-text /p'
  printf '%s\n' "$1" | openssl x509 -noout -checkend "$seconds" >/dev/null 2>&1; printf 'rw-checkend %s\n' "$?"
  printf '%s\n' "$1" | awk '/-----BEGIN CERTIFICATE-----/ { n++; c = "openssl x509 -noout -checkend 0 -subject 2>&1" }
    n > 1 && n < 8 { print | c } /-----END CERTIFICATE-----/ { if (n > 1) close(c) }' | sed 's/^/rw-chain /'
  printf 'rw-now %s\n' "$(date +%s)"
}
"""

ENDPOINT_PART = rf"""
if have openssl; then
  {_DESCRIBE}
  set -- -connect "$endpoint"
  [ -n "$sni" ] && set -- "$@" -servername "$sni"
  [ -n "$ca_file" ] && set -- "$@" -CAfile "$ca_file"
  rw_seen=$(bounded "$patience" openssl s_client "$@" -showcerts </dev/null 2>&1); rw_code=$?
  printf 'rw-connect %s\n' "$rw_code"; printf '%s\n' "$rw_seen" | sed -n '1,3s/^/rw-said /p'
  rw_describe "$rw_seen"
  [ -n "$name" ] && set -- "$@" -verify_hostname "$name"
  [ -n "$ip" ] && set -- "$@" -verify_ip "$ip"
  rw_seen=$(bounded "$patience" openssl s_client "$@" -verify_return_error </dev/null 2>&1)
  printf 'rw-verify %s\n' "$?"
  printf '%s\n' "$rw_seen" | sed -n 's/^verify error:num=/rw-error /p' | head -n 1
else (exit 111); fi
"""
FILE_PART = rf"""
if have openssl; then
  {_DESCRIBE}
  if [ -r "$path" ]; then
    rw_pem=$(cat -- "$path"); printf '%s\n' "$rw_pem" | openssl x509 -noout >/dev/null 2>&1
    printf 'rw-connect %s\n' "$?"
    rw_describe "$rw_pem"
    set -- -untrusted "$path"
    [ -n "$ca_file" ] && set -- "$@" -CAfile "$ca_file"
    [ -n "$server_name" ] && set -- "$@" -verify_hostname "$server_name"
    rw_seen=$(openssl verify "$@" "$path" 2>&1); printf 'rw-verify %s\n' "$?"
    printf '%s\n' "$rw_seen" | sed -n 's/^error \([0-9]*\) at.*lookup: */rw-error \1:/p' | head -n 1
  else printf 'rw-connect 200\n'; fi
else (exit 111); fi; :
"""
"""The exit status of s_client decides, never its printed return code, which can follow an aborted handshake."""

KEY_PART = r"""
if have openssl && [ -r "$path" ]; then
  rw_pub=$(openssl x509 -in "$path" -noout -pubkey 2>/dev/null)
  rw_dir=$(dirname -- "$path"); rw_stem=$(basename -- "$path"); rw_stem=${rw_stem%.*}; rw_tried=0
  for rw_key in "$key_file" "$path" "$rw_dir/$rw_stem.key" "$rw_dir"/*key*.pem "$rw_dir"/*.key "$rw_dir"/private/* \
    "$rw_dir/../private/$rw_stem"* "$rw_dir"/../private/*key* "/etc/pki/tls/private/$rw_stem.key"; do
    [ -f "$rw_key" ] && [ "$rw_tried" -lt 12 ] && grep -q 'PRIVATE KEY' -- "$rw_key" 2>/dev/null || continue
    rw_tried=$((rw_tried + 1))
    rw_has=$(bounded 3 openssl pkey -in "$rw_key" -pubout -passin pass: 2>/dev/null </dev/null)
    rw_fits=other; [ -z "$rw_has" ] && rw_fits=locked; [ -n "$rw_pub" ] && [ "$rw_has" = "$rw_pub" ] && rw_fits=yes
    printf 'rw-key %s %s %s\n' "$rw_fits" "$(stat -L -c %a -- "$rw_key")" "$rw_key"
    [ "$rw_fits" = yes ] && break
  done
fi; :
"""
"""Which private key on the host fits the stored certificate."""

TRUST_PART = r"""
for rw_file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  [ -f "$rw_file" ] && printf 'rw-bundle %s %s\n' "$(sha256sum <"$rw_file" | cut -c1-64)" "$rw_file"
done
for rw_file in /usr/local/share/ca-certificates/* /etc/pki/ca-trust/source/anchors/* \
  /etc/ca-certificates/trust-source/anchors/*; do
  [ -f "$rw_file" ] && printf 'rw-anchor %s %s\n' "$(sha256sum <"$rw_file" | cut -c1-64)" "$rw_file"
done
[ -n "$ca_file" ] && [ "$ca_file" != "$path" ] && [ -f "$ca_file" ] &&
  printf 'rw-ca %s\n' "$(sha256sum <"$ca_file" | cut -c1-64)"
read -r rw_up rw_idle </proc/uptime; printf 'rw-clock %s %s\n' "$(date +%s)" "$rw_up"
:
"""
"""What the host trusts, and its clock."""

_UNKNOWN_ANCHOR = frozenset({18, 19, 20, 21})
"""X509_V_ERR of chains whose anchor the host does not know (openssl verification errors)."""

_ABSENT = 200
_WEAK = re.compile(r"md5|md4|sha1", re.IGNORECASE)


class CertificateFacts(Record):
    """One certificate as it was served or stored."""

    place: str
    found: bool
    said: str = ""
    subject: str = ""
    issuer: str = ""
    not_before: str = ""
    not_after: str = ""
    fingerprint: str = ""
    lasts: bool = False
    """Valid for at least the wanted number of days more."""
    verified: bool | None = None
    """Chain and name hold; None where that was not asked."""
    error: int | None = None
    error_text: str = ""
    names: tuple[str, ...] = ()
    """DNS names and addresses of the extension."""
    issuer_key: str = ""
    """The authority key identifier."""
    algorithm: str = ""
    bits: int | None = None
    signed: str = ""
    expired_in_chain: str = ""
    """Subject of a further certificate of the chain that has expired."""
    now: int | None = None
    """The host's clock, seconds since 1970."""

    def line(self) -> str:
        names = f" for {', '.join(self.names[:5])}" if self.names else ""
        return (
            f"{self.place}: {self.subject or 'no certificate'}{names}, until {self.not_after or '-'}, "
            f"{self.fingerprint[:23]}"
        )


def moment(text: str) -> float | None:
    """`Dec 22 21:41:58 2026 GMT` as seconds since 1970; None for another form."""
    try:
        return datetime.strptime(" ".join(text.split()), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def read_certificate(place: str, section: Section) -> CertificateFacts:
    """Pure. Raises NoEvidence where the host has no openssl."""
    if section.status == NO_TOOL:
        raise NoEvidence("the host has no openssl to look with")
    text, shown = section.text, visible(place)
    connect = _number("connect", text)
    fingerprint = re.search(r"^sha256 Fingerprint=([0-9A-F:]+)$", text, re.MULTILINE | re.IGNORECASE)
    if fingerprint is None:
        said = "it cannot be read" if connect == _ABSENT else _words("said", text)
        return CertificateFacts(place=shown, found=False, said=said)
    error = _words("error", text)
    number, _, words = error.partition(":")
    verify = _number("verify", text)
    bits = re.search(r"^rw-text Public-Key: \((\d+) bit", text, re.MULTILINE)
    return CertificateFacts(
        place=shown,
        found=True,
        subject=_field("subject", text),
        issuer=_field("issuer", text),
        not_before=_field("notBefore", text),
        not_after=_field("notAfter", text),
        fingerprint=fingerprint[1],
        lasts=_number("checkend", text) == 0,
        verified=None if verify is None else verify == 0,
        error=int(number) if number.isdecimal() else None,
        error_text=words or number,
        names=_names(text),
        issuer_key=_after("X509v3 Authority Key Identifier", text).removeprefix("keyid:"),
        algorithm=_text("Public Key Algorithm", text),
        bits=int(bits[1]) if bits else None,
        signed=_text("Signature Algorithm", text),
        expired_in_chain=_expired(text),
        now=_number("now", text),
    )


def _names(text: str) -> tuple[str, ...]:
    listed = _after("X509v3 Subject Alternative Name", text)
    parts = (part.strip() for part in listed.split(","))
    names = (part.partition(":")[2] for part in parts if part.startswith(("DNS:", "IP Address:")))
    return tuple(sorted({visible(name).lower() for name in names if name}))


def _after(heading: str, text: str) -> str:
    """The line below a heading of the text form."""
    match = re.search(rf"^rw-text {heading}:[^\n]*\nrw-text ([^\n]*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _text(key: str, text: str) -> str:
    match = re.search(rf"^rw-text {key}: (.*)$", text, re.MULTILINE)
    return visible(match[1].strip()) if match else ""


def _expired(text: str) -> str:
    """openssl prints the subject of a certificate before or after what it says of its end."""
    lines = [line.removeprefix("rw-chain ") for line in text.splitlines() if line.startswith("rw-chain ")]
    for number, line in enumerate(lines):
        if line.startswith("Certificate will expire"):
            near = [one for one in lines[max(number - 1, 0) : number + 2] if one.startswith("subject=")]
            return visible(near[0].removeprefix("subject=").strip())[:200] if near else "another certificate"
    return ""


def _number(key: str, text: str) -> int | None:
    match = re.search(rf"^rw-{key} (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


def _words(key: str, text: str) -> str:
    match = re.search(rf"^rw-{key} (.*)$", text, re.MULTILINE)
    return first_line(match[1]) if match else ""


def _field(key: str, text: str) -> str:
    match = re.search(rf"^{key}=\s*(.*)$", text, re.MULTILINE)
    return visible(match[1].strip())[:300] if match else ""


def certificate_faults(
    now: CertificateFacts, was: CertificateFacts | None, *, min_days: float, own_anchor: bool
) -> Iterator[Finding]:
    """Faults of one certificate, by itself and against what was there before.

    Args:
        own_anchor: the incident names the authority's file, so that a chain that does not end there is a fault.
    """
    if not now.found:
        yield failed(f"{now.place} shows no certificate: {now.said or 'no answer'}.", settling=True)
        return
    if not now.lasts:
        yield failed(f"The certificate of {now.place} ends {now.not_after}; wanted: {min_days:g} days and more.")
    begins = moment(now.not_before)
    if begins is not None and now.now is not None and begins > now.now + 60:
        yield failed(f"The certificate of {now.place} is not valid before {now.not_before}.")
    if now.expired_in_chain:
        yield failed(f"The chain of {now.place} holds an expired certificate: {now.expired_in_chain}.")
    yield from _chain(now, was, own_anchor)
    if was is not None and was.found:
        yield from _compared(now, was)


def _chain(now: CertificateFacts, was: CertificateFacts | None, own_anchor: bool) -> Iterator[Finding]:
    if now.verified is not False:
        return
    why = now.error_text or "the handshake was aborted"
    if now.error not in _UNKNOWN_ANCHOR or own_anchor:
        yield failed(f"The certificate of {now.place} does not hold: {why}.")
    elif was is not None and (was.verified or was.error == _EXPIRED):
        yield failed(f"The host knew who signed the certificate of {now.place} before, and does not now: {why}.")
    elif was is None or was.error != now.error or was.issuer != now.issuer:
        # A private authority the host never knew says nothing against the new certificate.
        yield unverifiable(f"Who signed the certificate of {now.place} cannot be checked here: {why}.")
    elif was.issuer_key and now.issuer_key and was.issuer_key != now.issuer_key and now.issuer != now.subject:
        yield unverifiable(
            f"The certificate of {now.place} was signed by another key of {now.issuer} than before, "
            "and that cannot be checked here."
        )


_EXPIRED = 10


def _compared(now: CertificateFacts, was: CertificateFacts) -> Iterator[Finding]:
    lost = [name for name in was.names if not _covered(name, now.names)]
    if was.names and lost:
        yield failed(f"The certificate of {now.place} was for {lost[0]} too and is not any more.")
    elif was.subject and was.subject != now.subject and not (was.names and now.names):
        yield failed(f"{now.place} had the certificate of {was.subject} and has one of {now.subject} now.")
    if now.issuer == now.subject and was.issuer != was.subject:
        yield failed(f"The certificate of {now.place} was signed by {was.issuer} and is signed by itself now.")
    least = 2048 if "rsa" in now.algorithm.lower() else 224
    if was.bits and now.bits and now.bits < least and now.bits < was.bits:
        yield failed(f"The key of {now.place} had {was.bits} bits and has {now.bits} now.")
    if _WEAK.search(now.signed) and not _WEAK.search(was.signed):
        yield failed(f"The certificate of {now.place} is signed with {now.signed} now.")


def _covered(name: str, names: tuple[str, ...]) -> bool:
    return name in names or f"*.{name.partition('.')[2]}" in names
