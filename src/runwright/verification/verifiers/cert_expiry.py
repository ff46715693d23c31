"""Is a good certificate in place: handshake, chain, name, end date, and the same subject as before?"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from runwright.model.base import Record
from runwright.model.incidents import CertExpiry
from runwright.verification.findings import Evidence, Finding, NoEvidence, failed, passed, unverifiable, weightiest
from runwright.verification.sections import NO_TOOL, Question, Section, Sections
from runwright.verification.text import first_line, visible
from runwright.verification.verifier import Verifier, need

ENDPOINT_PART = r"""
if have openssl; then
  set -- -connect "$endpoint"
  [ -n "$sni" ] && set -- "$@" -servername "$sni"
  [ -n "$ca_file" ] && set -- "$@" -CAfile "$ca_file"
  rw_seen=$(bounded "$patience" openssl s_client "$@" </dev/null 2>&1); rw_code=$?
  printf 'rw-connect %s\n' "$rw_code"; printf '%s\n' "$rw_seen" | sed -n '1,3s/^/rw-said /p'
  printf '%s\n' "$rw_seen" | openssl x509 -noout -subject -issuer -enddate -fingerprint -sha256 2>/dev/null
  printf '%s\n' "$rw_seen" | openssl x509 -noout -checkend "$seconds" >/dev/null 2>&1; printf 'rw-checkend %s\n' "$?"
  [ -n "$name" ] && set -- "$@" -verify_hostname "$name"
  [ -n "$ip" ] && set -- "$@" -verify_ip "$ip"
  rw_seen=$(bounded "$patience" openssl s_client "$@" -verify_return_error </dev/null 2>&1)
  printf 'rw-verify %s\n' "$?"
  printf '%s\n' "$rw_seen" | sed -n 's/^verify error:num=/rw-error /p' | head -n 1
else (exit 111); fi
"""
FILE_PART = r"""
if have openssl; then
  if [ -r "$path" ]; then
    openssl x509 -in "$path" -noout -subject -issuer -enddate -fingerprint -sha256 2>/dev/null
    printf 'rw-connect %s\n' "$?"
    openssl x509 -in "$path" -noout -checkend "$seconds" >/dev/null 2>&1; printf 'rw-checkend %s\n' "$?"
    if [ -n "$ca_file" ]; then
      rw_seen=$(openssl verify -CAfile "$ca_file" -untrusted "$path" "$path" 2>&1); printf 'rw-verify %s\n' "$?"
      printf '%s\n' "$rw_seen" | sed -n 's/^error \([0-9]*\) at.*lookup: */rw-error \1:/p' | head -n 1
    fi
  else printf 'rw-connect 200\n'; fi
else (exit 111); fi; :
"""
"""The exit status of s_client decides, never its printed return code, which can follow an aborted handshake."""

_UNKNOWN_ANCHOR = frozenset({18, 19, 20, 21})
"""X509_V_ERR of chains whose anchor the host does not know (openssl verification errors)."""

_ABSENT = 200


class CertificateFacts(Record):
    """One certificate as it was served or stored."""

    place: str
    found: bool
    said: str = ""
    subject: str = ""
    issuer: str = ""
    not_after: str = ""
    fingerprint: str = ""
    lasts: bool = False
    """Valid for at least the wanted number of days more."""
    verified: bool | None = None
    """Chain and name hold; None where that was not asked."""
    error: int | None = None
    error_text: str = ""

    def line(self) -> str:
        return (
            f"{self.place}: {self.subject or 'no certificate'}, until {self.not_after or '-'}, {self.fingerprint[:23]}"
        )


class CertFacts(Record):
    served: CertificateFacts | None = None
    stored: CertificateFacts | None = None

    @property
    def all(self) -> tuple[CertificateFacts, ...]:
        return tuple(one for one in (self.served, self.stored) if one is not None)


class CertExpiryVerifier(Verifier[CertExpiry, CertFacts]):
    """cert_expiry: `endpoint` or `path`, `server_name`, `ca_file`, `min_days`."""

    incident_type = "cert_expiry"
    facts = CertFacts

    def question(self, subject: CertExpiry, *, baseline: bool = False) -> Question:
        parts = []
        parameters = {
            "ca_file": subject.ca_file or "",
            "seconds": str(int(subject.min_days * 86400)),
            "patience": "2" if baseline else "8",
        }
        if subject.endpoint is not None:
            host, _, port = subject.endpoint.rpartition(":")
            if not host or not port.isdecimal() or host.startswith("-"):
                raise NoEvidence(f"found the endpoint {subject.endpoint!r}; allowed: host:port")
            name, address = subject.server_name or host.strip("[]"), ""
            if subject.server_name is None and _is_address(name):
                name, address = "", name
            parts.append(("endpoint", ENDPOINT_PART))
            parameters |= {"endpoint": subject.endpoint, "name": name, "sni": name, "ip": address}
        if subject.path is not None:
            parts.append(("file", FILE_PART))
            parameters["path"] = subject.path
        return Question(parts, parameters, timeout=25.0)

    def read(self, subject: CertExpiry, sections: Sections) -> CertFacts:
        served = stored = None
        if subject.endpoint is not None:
            served = _read(subject.endpoint, need(sections, "endpoint", f"the endpoint {subject.endpoint}"))
        if subject.path is not None:
            stored = _read(subject.path, need(sections, "file", f"the certificate {subject.path}"))
        return CertFacts(served=served, stored=stored)

    def judge(self, subject: CertExpiry, before: CertFacts | None, looks: Sequence[CertFacts]) -> Finding:
        last = looks[-1]
        evidence = "\n".join(one.line() for one in last.all)
        faults: list[Finding] = []
        for one, was in (
            (last.served, before.served if before else None),
            (last.stored, before.stored if before else None),
        ):
            if one is not None:
                faults += _faults(subject, one, was)
        if last.served and last.stored and last.served.fingerprint != last.stored.fingerprint:
            faults.append(failed(f"{last.served.place} serves another certificate than {last.stored.place} holds."))
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        kinds = [*([Evidence.TLS] if last.served else []), *([Evidence.CERTIFICATE] if last.stored else [])]
        until = ", ".join(f"{one.place} until {one.not_after}" for one in last.all)
        return passed(f"The certificate is good for {subject.min_days:g} days and more: {until}.", evidence, *kinds)


def _faults(subject: CertExpiry, now: CertificateFacts, was: CertificateFacts | None) -> Iterator[Finding]:
    if not now.found:
        yield failed(f"{now.place} shows no certificate: {now.said or 'no answer'}.", settling=True)
        return
    if not now.lasts:
        yield failed(
            f"The certificate of {now.place} ends {now.not_after}; wanted: {subject.min_days:g} days and more."
        )
    if now.verified is False:
        why = now.error_text or "the handshake was aborted"
        if now.error in _UNKNOWN_ANCHOR and subject.ca_file is None:
            # A private authority the host never knew says nothing against the new certificate.
            if was is None or was.error != now.error or was.issuer != now.issuer:
                yield unverifiable(f"Who signed the certificate of {now.place} cannot be checked here: {why}.")
        else:
            yield failed(f"The certificate of {now.place} does not hold: {why}.")
    if was is not None and was.subject and was.subject != now.subject:
        yield failed(f"{now.place} had the certificate of {was.subject} and has one of {now.subject} now.")


def _read(place: str, section: Section) -> CertificateFacts:
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
    return CertificateFacts(
        place=shown,
        found=True,
        subject=_field("subject", text),
        issuer=_field("issuer", text),
        not_after=_field("notAfter", text),
        fingerprint=fingerprint[1],
        lasts=_number("checkend", text) == 0,
        verified=None if verify is None else verify == 0,
        error=int(number) if number.isdecimal() else None,
        error_text=words or number,
    )


def _number(key: str, text: str) -> int | None:
    match = re.search(rf"^rw-{key} (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else None


def _words(key: str, text: str) -> str:
    match = re.search(rf"^rw-{key} (.*)$", text, re.MULTILINE)
    return first_line(match[1]) if match else ""


def _field(key: str, text: str) -> str:
    match = re.search(rf"^{key}=\s*(.*)$", text, re.MULTILINE)
    return visible(match[1].strip())[:300] if match else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
