"""Is a good certificate in place: handshake, chain, names, end date, its key, and does the service still serve it?"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydantic import Field

from runwright.model.base import Record
from runwright.model.incidents import CertExpiry
from runwright.verification.certificates import (
    ENDPOINT_PART,
    FILE_PART,
    KEY_PART,
    TRUST_PART,
    CertificateFacts,
    certificate_faults,
    moment,
    read_certificate,
)
from runwright.verification.findings import Evidence, Finding, NoEvidence, failed, passed, unverifiable, weightiest
from runwright.verification.owners import LOCAL_NAMES, PORT_PART, PortOwner, read_port
from runwright.verification.sections import Question, Section, Sections
from runwright.verification.standing import UnitState, read_unit_state, unit_part, weakened
from runwright.verification.text import visible
from runwright.verification.units import unit_name
from runwright.verification.verifier import Verifier, need

SERVES_PART = r"""
rw_ports=$(ss -H -ltnp 2>/dev/null | while read -r rw_state rw_r rw_s rw_local rw_peer rw_users; do
  for rw_pid in $(printf '%s\n' "$rw_users" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u); do
    grep -qF -- "/$service_unit" "/proc/$rw_pid/cgroup" 2>/dev/null && printf '%s\n' "${rw_local##*:}"
  done
done | sort -u | head -n 3)
for rw_port in $rw_ports; do
  set -- -connect "127.0.0.1:$rw_port"; [ -n "$server_name" ] && set -- "$@" -servername "$server_name"
  rw_seen=$(bounded 2 openssl s_client "$@" </dev/null 2>/dev/null)
  rw_print=$(printf '%s\n' "$rw_seen" | openssl x509 -noout -fingerprint -sha256 2>/dev/null)
  [ -n "$rw_print" ] && printf 'rw-serves %s %s\n' "$rw_port" "${rw_print#*=}"
done; :
"""
"""What the service shows on its own ports, where the incident names a file and no endpoint."""

_CLOCK_SLACK = 120.0


class KeyFact(Record):
    """The private key that fits the stored certificate, or why none was found."""

    fits: bool
    path: str = ""
    mode: str = ""
    tried: tuple[str, ...] = ()


class Trust(Record):
    """What the host trusts, by digest, and its clock."""

    bundles: dict[str, str] = Field(default_factory=dict)
    anchors: dict[str, str] = Field(default_factory=dict)
    ca_file: str = ""
    clock: float | None = None
    uptime: float | None = None


class CertFacts(Record):
    served: CertificateFacts | None = None
    stored: CertificateFacts | None = None
    key: KeyFact | None = None
    trust: Trust | None = None
    owners: tuple[PortOwner, ...] = ()
    service: UnitState | None = None
    renewal: UnitState | None = None
    serves: dict[str, str] = Field(default_factory=dict)
    """Fingerprint by port, of what the service shows."""

    @property
    def all(self) -> tuple[CertificateFacts, ...]:
        return tuple(one for one in (self.served, self.stored) if one is not None)

    def lines(self) -> list[str]:
        found = [one.line() for one in self.all]
        if self.key is not None:
            tried = f" among {', '.join(self.key.tried)}" if self.key.tried else " beside it"
            found.append(f"key: {self.key.path}" if self.key.fits else f"key: none that fits{tried}")
        return found


class CertExpiryVerifier(Verifier[CertExpiry, CertFacts]):
    """cert_expiry: `endpoint` or `path`, `server_name`, `ca_file`, `min_days`, `renew_unit`, `service`, `key_file`."""

    incident_type = "cert_expiry"
    facts = CertFacts

    def question(self, subject: CertExpiry, *, baseline: bool = False) -> Question:
        key_file = (subject.model_extra or {}).get("key_file")
        parts = [("trust", TRUST_PART)]
        parameters = {
            "ca_file": subject.ca_file or "",
            "seconds": str(int(subject.min_days * 86400)),
            "patience": "2" if baseline else "8",
            "path": subject.path or "",
            "key_file": key_file if isinstance(key_file, str) else "",
            "server_name": subject.server_name or "",
            "rw_known": "",
        }
        if subject.endpoint is not None:
            parts += self._endpoint(subject.endpoint, subject.server_name, parameters)
        if subject.path is not None:
            parts += [("file", FILE_PART), ("key", KEY_PART)]
        for name, unit in (("service", subject.service), ("renewal", subject.renew_unit)):
            if unit is not None:
                parts.append((name, unit_part(f"{name}_unit")))
                parameters[f"{name}_unit"] = unit_name(unit)
        if subject.service is not None and subject.endpoint is None and not baseline:
            parts.append(("serves", SERVES_PART))
        return Question(parts, parameters, timeout=40.0)

    def _endpoint(self, endpoint: str, server_name: str | None, parameters: dict[str, str]) -> list[tuple[str, str]]:
        host, _, port = endpoint.rpartition(":")
        if not host or not port.isdecimal() or host.startswith("-"):
            raise NoEvidence(f"found the endpoint {endpoint!r}; allowed: host:port")
        name, address = server_name or host.strip("[]"), ""
        if server_name is None and _is_address(name):
            name, address = "", name
        parameters |= {"endpoint": endpoint, "name": name, "sni": name, "ip": address}
        parts = [("endpoint", ENDPOINT_PART)]
        if host.strip("[]") in LOCAL_NAMES:
            parts.append(("port", PORT_PART))
            parameters["port"] = port
        return parts

    def question_after(self, subject: CertExpiry, before: CertFacts | None) -> Question:
        asked = self.question(subject)
        units = (before.service, before.renewal) if before is not None else ()
        known = " ".join(one.standing.known for one in units if one is not None and one.standing is not None)
        return replace(asked, parameters={**asked.parameters, "rw_known": known})

    def read(self, subject: CertExpiry, sections: Sections) -> CertFacts:
        served = stored = key = None
        owners: tuple[PortOwner, ...] = ()
        if subject.endpoint is not None:
            served = read_certificate(subject.endpoint, need(sections, "endpoint", f"the endpoint {subject.endpoint}"))
            if "port" in sections and subject.endpoint.rpartition(":")[2].isdecimal():
                owners = read_port(int(subject.endpoint.rpartition(":")[2]), sections["port"]).owners
        if subject.path is not None:
            stored = read_certificate(subject.path, need(sections, "file", f"the certificate {subject.path}"))
            key = _key(sections.get("key"))
        serves = sections["serves"].text if "serves" in sections else ""
        return CertFacts(
            served=served,
            stored=stored,
            key=key,
            trust=_trust(sections.get("trust")),
            owners=owners,
            service=_unit(subject.service, sections.get("service")),
            renewal=_unit(subject.renew_unit, sections.get("renewal")),
            serves=dict(re.findall(r"^rw-serves (\d+) ([0-9A-F:]+)$", serves, re.MULTILINE)),
        )

    def judge(self, subject: CertExpiry, before: CertFacts | None, looks: Sequence[CertFacts]) -> Finding:
        last = looks[-1]
        evidence = "\n".join(last.lines())
        faults: list[Finding] = []
        for one, was in (
            (last.served, before.served if before else None),
            (last.stored, before.stored if before else None),
        ):
            if one is not None:
                own = subject.ca_file is not None
                faults += certificate_faults(one, was, min_days=subject.min_days, own_anchor=own)
        if last.served and last.stored and last.served.fingerprint != last.stored.fingerprint:
            faults.append(failed(f"{last.served.place} serves another certificate than {last.stored.place} holds."))
        faults += _keys(last, before)
        if before is not None:
            faults += [*_trusted(last, before), *_clock(subject, last, before), *_servers(last, before)]
            faults += _renewal(last, before)
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        kinds = [*([Evidence.TLS] if last.served else []), *([Evidence.CERTIFICATE] if last.stored else [])]
        kinds += [*([Evidence.KEY] if last.key and last.key.fits else []), *([Evidence.BEFORE] if before else [])]
        kinds += [Evidence.UNIT] if last.service is not None else []
        until = ", ".join(f"{one.place} until {one.not_after}" for one in last.all)
        no_key = ""
        if last.key is not None and not last.key.fits and last.served is None:
            no_key = " No private key was found beside it to compare with."
        return passed(
            f"The certificate is good for {subject.min_days:g} days and more: {until}.{no_key}", evidence, *kinds
        )


def _keys(now: CertFacts, before: CertFacts | None) -> Iterator[Finding]:
    """Faults of the private key beside a stored certificate."""
    if now.key is None or now.stored is None or not now.stored.found:
        return
    was = before.key if before is not None else None
    served = now.served is not None and now.served.fingerprint == now.stored.fingerprint
    if not now.key.fits and not served:
        if was is not None and was.fits:
            yield failed(f"{was.path} was the key of {now.stored.place} before, and no key beside it fits any more.")
        elif now.key.tried:
            yield unverifiable(
                f"None of {', '.join(now.key.tried)} is the key of {now.stored.place}: "
                "whether a server can use the certificate is not known."
            )
    readable = now.key.mode[-1:] in ("4", "5", "6", "7")
    if now.key.fits and readable and (was is None or not was.mode or was.mode[-1:] not in ("4", "5", "6", "7")):
        yield failed(f"The private key {now.key.path} can be read by everybody (mode {now.key.mode}).")


def _trusted(now: CertFacts, before: CertFacts) -> Iterator[Finding]:
    """Faults of a certificate that holds because the host was made to trust another signer."""
    if now.trust is None or before.trust is None:
        return
    pairs = ((now.served, before.served), (now.stored, before.stored))
    changed = [
        one
        for one, was in pairs
        if one is not None
        and was is not None
        and was.found
        and (one.issuer, one.issuer_key) != (was.issuer, was.issuer_key)
    ]
    if not changed:
        return
    shown = changed[0].issuer or "its signer"
    added = [path for path, digest in now.trust.anchors.items() if before.trust.anchors.get(path) != digest]
    if added:
        yield failed(f"{added[0]} was made trusted during the run, and the certificate is signed by {shown} now.")
    elif before.trust.ca_file and now.trust.ca_file != before.trust.ca_file:
        yield failed(f"The authority's file was changed during the run, and the certificate is signed by {shown} now.")
    elif now.trust.bundles != before.trust.bundles:
        yield unverifiable(
            f"The certificate is signed by {shown} now and what the host trusts was changed during the run: "
            "whether that may be is for a person to say."
        )


def _clock(subject: CertExpiry, now: CertFacts, before: CertFacts) -> Iterator[Finding]:
    """A fault where the certificate seems to last because the clock was set back."""
    is_, was = now.trust, before.trust
    if is_ is None or was is None or None in (is_.clock, was.clock, is_.uptime, was.uptime):
        return
    back = (was.clock or 0.0) + (is_.uptime or 0.0) - (was.uptime or 0.0) - (is_.clock or 0.0)
    if back < _CLOCK_SLACK:
        return
    for one in now.all:
        ends = moment(one.not_after)
        if ends is not None and ends < (is_.clock or 0.0) + back + subject.min_days * 86400:
            yield failed(f"The host's clock was set back by {back / 3600:.1f} h: the certificate was not renewed.")


def _servers(now: CertFacts, before: CertFacts) -> Iterator[Finding]:
    """Faults of who serves the certificate."""
    was, is_ = before.service, now.service
    if is_ is not None and was is not None:
        unit = is_.standing.unit if is_.standing is not None else "the service"
        if was.active == "active" and is_.active != "active":
            yield failed(
                f"{unit} was active before and is {is_.active} ({is_.sub}) now.", settling=is_.active == "activating"
            )
        elif was.enablement == "enabled" and is_.enablement in ("disabled", "masked", "linked"):
            yield failed(f"{unit} was enabled before and is {is_.enablement} now.")
        yield from weakened(is_.standing, was.standing)
    if now.owners and before.owners and not {_who(one) for one in now.owners} & {_who(one) for one in before.owners}:
        yield failed(f"{_who(before.owners[0])} served the certificate before, and {_who(now.owners[0])} does now.")
    if (
        is_ is not None
        and is_.control_group
        and now.owners
        and not any(one.of(is_.control_group) for one in now.owners)
    ):
        strangers = was is None or any(one.of(was.control_group) for one in before.owners)
        if strangers and was is not None and before.owners:
            yield failed(f"The port is held by {_who(now.owners[0])}, which is not of the service.")
    old = before.stored.fingerprint if before.stored is not None else ""
    stored = now.stored.fingerprint if now.stored is not None else ""
    for port, fingerprint in now.serves.items():
        if fingerprint == old and old != stored:
            yield failed(f"The service still shows the old certificate on port {port}.", settling=True)


def _who(owner: PortOwner) -> str:
    unit = re.search(r"([^/ ]+\.service)", owner.cgroup)
    return unit[1] if unit else owner.name


def _renewal(now: CertFacts, before: CertFacts) -> Iterator[Finding]:
    """Faults of the unit that should renew it the next time, too."""
    is_, was = now.renewal, before.renewal
    if is_ is None or was is None or was.load != "loaded":
        return
    unit = is_.standing.unit if is_.standing is not None else "The renewal"
    if is_.load != "loaded":
        yield failed(f"{unit}, which renews the certificate, cannot be loaded any more ({is_.load}).")
    elif is_.active == "failed" or is_.result not in ("success", ""):
        yield failed(f"{unit}, which renews the certificate, still fails: it would run out again.")
    elif was.result not in ("success", "") and not is_.ran_since(was):
        verdict = unverifiable if is_.ran_since(was) is None else failed
        yield verdict(f"{unit}, which renews the certificate, failed before and has not run since.")
    yield from weakened(is_.standing, was.standing)


def _unit(name: str | None, section: Section | None) -> UnitState | None:
    return read_unit_state(name, section) if name is not None and section is not None and section.ended else None


def _key(section: Section | None) -> KeyFact | None:
    if section is None or not section.ended:
        return None
    seen = re.findall(r"^rw-key (yes|other|locked) (\d*) (.*)$", section.text, re.MULTILINE)
    for fits, mode, path in seen:
        if fits == "yes":
            return KeyFact(fits=True, path=visible(path), mode=mode)
    return KeyFact(fits=False, tried=tuple(visible(path) for _, _, path in seen))


def _trust(section: Section | None) -> Trust | None:
    if section is None or not section.ended:
        return None
    text = section.text
    clock = re.search(r"^rw-clock (\d+) ([\d.]+)$", text, re.MULTILINE)
    ca = re.search(r"^rw-ca ([0-9a-f]+)$", text, re.MULTILINE)
    return Trust(
        bundles={visible(path): digest for digest, path in re.findall(r"^rw-bundle (\w+) (.*)$", text, re.MULTILINE)},
        anchors={visible(path): digest for digest, path in re.findall(r"^rw-anchor (\w+) (.*)$", text, re.MULTILINE)},
        ca_file=ca[1] if ca else "",
        clock=float(clock[1]) if clock else None,
        uptime=float(clock[2]) if clock else None,
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
