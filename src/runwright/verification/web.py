"""One HTTP request made by the host itself, with whatever tool it has: curl, python3 or wget."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from runwright.verification.findings import NoEvidence
from runwright.verification.sections import NO_TOOL, Section
from runwright.verification.text import first_line

HTTP_PART = r"""
if have curl; then
  set -- -sS --noproxy '*' --max-time "$http_timeout" -w '\nrw-status %{http_code}\n'
  [ "$http_insecure" = 1 ] && set -- "$@" -k
  if [ "$http_method" = HEAD ]; then set -- "$@" --head; else set -- "$@" -X "$http_method"; fi
  [ "$http_body" = 1 ] || set -- "$@" -o /dev/null
  curl "$@" --url "$http_url" 2>&1
elif have python3; then
  python3 -c '
import os, socket, ssl, sys, urllib.error, urllib.request
env = os.environ
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *a, **k): return None
context = ssl._create_unverified_context() if env["http_insecure"] == "1" else ssl.create_default_context()
handlers = Stay, urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
opener = urllib.request.build_opener(*handlers)
try:
    request = urllib.request.Request(env["http_url"], method=env["http_method"])
    answer = opener.open(request, timeout=float(env["http_timeout"]))
except urllib.error.HTTPError as error:
    answer = error
except (OSError, urllib.error.URLError) as error:
    print(error); sys.exit(28 if "timed out" in str(error) else 7)
except ValueError as error:
    print(error); sys.exit(3)
if env["http_body"] == "1":
    sys.stdout.flush(); sys.stdout.buffer.write(answer.read()); sys.stdout.flush()
print("\nrw-status %d" % answer.status)
'
elif have wget && [ "$http_method" = GET ]; then
  set -- -T "${http_timeout%.*}"
  [ "$http_insecure" = 1 ] && set -- "$@" --no-check-certificate
  rw_head=$(wget -S "$@" -O /dev/null "$http_url" 2>&1); rw_code=$?
  if [ "$http_body" = 1 ] && [ $rw_code = 0 ]; then wget -q "$@" -O - "$http_url" 2>/dev/null; fi
  rw_status=$(printf '%s\n' "$rw_head" | sed -n 's/^ *HTTP\/[0-9.]* \([0-9][0-9]*\).*/\1/p' | head -n 1)
  if [ -z "$rw_status" ] && [ $rw_code = 0 ]; then rw_status=200; fi
  if [ -n "$rw_status" ]; then printf '\nrw-status %s\n' "$rw_status"; else
    printf '%s\n' "$rw_head"; case $rw_code in 1|4|5) false;; *) (exit "$rw_code");; esac; fi
else (exit 111); fi
"""
"""Reads http_url, http_method, http_timeout (seconds), http_body and http_insecure (1 or 0). No redirects, no proxy."""

_STATUS = re.compile(r"\nrw-status (\d{3})\s*\Z")

_NO_ANSWER = {
    1: "it did not answer",
    6: "its name could not be resolved",
    7: "the connection was refused or the host cannot be reached",
    8: "it did not speak HTTP",
    28: "it did not answer in time",
    35: "the TLS handshake failed",
    52: "it answered nothing",
    55: "the connection broke",
    56: "the connection broke",
    60: "its certificate is not trusted",
}


@dataclass(frozen=True)
class HttpLook:
    """An answer, or why there was none although the host asked."""

    status: int | None
    body: str
    error: str = ""


def http_parameters(
    url: str, *, method: str = "GET", timeout: float = 5.0, body: bool = False, insecure: bool = False
) -> dict[str, str]:
    """Parameters of HTTP_PART. Raises NoEvidence where the address is not one of http or https."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        usable = False
    if not usable:
        raise NoEvidence(f"found the address {url!r}, which is no http or https URL")
    return {
        "http_url": url,
        "http_method": method,
        "http_timeout": f"{max(1.0, timeout):g}",
        "http_body": "1" if body else "0",
        "http_insecure": "1" if insecure else "0",
    }


def read_http(section: Section) -> HttpLook:
    """Pure. Raises NoEvidence where the host could not ask."""
    if section.status == NO_TOOL:
        raise NoEvidence("the host has none of curl, python3 and wget to ask with")
    match = _STATUS.search(section.text)
    if match and match[1] != "000":
        return HttpLook(status=int(match[1]), body=section.text[: match.start()])
    said = first_line(_STATUS.sub("", section.text))
    if section.status in _NO_ANSWER:
        reason = _NO_ANSWER[section.status]
        return HttpLook(status=None, body="", error=f"{reason}{' (' + said + ')' if said else ''}")
    raise NoEvidence(f"the request ended with status {section.status}{': ' + said if said else ''}")
