"""Commands that only read, and with which options: the list behind `read_only`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

from runwright.runbooks.shell_words import Word

Judge = Callable[[Sequence[Word]], str | None]
"""From the arguments to the reason why they are not known to only read; None where they are."""


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FREE = _listed(
    """
    : true false exit return break continue shift pwd echo read sleep
    cat head wc cut tr comm cmp diff grep egrep fgrep basename dirname realpath readlink
    ls stat du df id whoami groups getent uname uptime nproc arch free ps pgrep pidof mountpoint findmnt lsblk
    seq expr cksum sum md5sum sha1sum sha256sum sha512sum who which type netstat
    """
)
"""Whatever their arguments."""

_PLACES = ("", "/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/")
_OWN_CARE = frozenset({"test", "[", "printf", "kill", "command", "set", "cd", "wait"})
"""Commands whose judges look themselves at what could be taken for an option."""
_SAFE_DEVICES = frozenset({"/dev/null", "/dev/stdin", "/dev/fd/0"})
_DEVICE = re.compile(
    r"/dev(/.*)?|/proc/(kmsg|sysrq-trigger|kcore)|/proc/.*/(root|cwd|fd|map_files|mem)(/.*)?", re.DOTALL
)
_LOOKING = frozenset({"test", "[", "ls", "stat", "df", "findmnt", "lsblk", "echo", "printf", "find"})
"""Commands that open no device that they name."""
_SETS = re.compile(r"[a-z][a-z0-9_]*|_")

_FIND = _listed(
    """
    -name -iname -path -ipath -wholename -regex -type -maxdepth -mindepth -mtime -mmin -atime -amin -ctime -cmin -newer
    -newermt -size -user -group -uid -gid -perm -links -inum -lname -samefile -empty -readable -writable -executable
    -nouser -nogroup -print -print0 -printf -ls -quit -prune -o -a -or -and -not ! ( ) -xdev -mount -depth -daystart
    -true -false -L -H -P -follow -regextype -xtype
    """
)
_SYSTEMCTL = _listed(
    """
    is-active is-failed is-enabled is-system-running status show cat get-default list-units list-unit-files list-timers
    list-sockets list-jobs list-dependencies
    """
)
_SYSTEMCTL_OPTIONS = re.compile(
    r"-q|--quiet|--no-pager|--no-legend|--plain|--all|-a|-l|--full|--value|--failed|-n|--lines(=\d+)?"
    r"|-p\w*|--property(=[\w,]+)?|-t|--type(=[\w,]+)?|--state(=[\w,-]+)?|--"
)
_JOURNAL_OPTIONS = re.compile(
    r"-[qeabkrx]+|-[unptSUoNbg]|-[un][\w@.-]+|-o\w+|-p\w+|-b-?\d*|--no-pager|--quiet|--all|--reverse|--dmesg|--boot(=.*)?"
    r"|--(unit|lines|since|until|priority|output|identifier|grep)(=.*)?"
)
_OPENSSL = re.compile(
    r"-(in|noout|checkend|enddate|startdate|dates|subject|issuer|serial|fingerprint|hash|text|ext|inform|nameopt"
    r"|sha1|sha256|sha512|modulus|pubkey|purpose|email|issuer_hash|subject_hash)"
)
_AWK_WRITES = re.compile(r"system|getline|close|fflush|[@`]|(?<!\|)\|(?!\|)|\|&")
_SED = re.compile(
    r"(?:(?:\d+|\$|/[^/\n\\]*/)(?:,(?:\d+|\$|/[^/\n\\]*/))?!?)?\s*"
    r"(?:[pdq=]|s/[^/\n\\]*/[^/\n\\]*/[gpiI0-9]*|s\|[^|\n\\]*\|[^|\n\\]*\|[gpiI0-9]*|s,[^,\n\\]*,[^,\n\\]*,[gpiI0-9]*)?"
)


def judge_command(name: Word, args: Sequence[Word], plain: Collection[str]) -> str | None:
    """Why this command is not known to only read, None where it is.

    Args:
        plain: variables whose values never begin with a dash.
    """
    if not name.literal or name.disguised:
        return f"which command {name.source} is cannot be told"
    folder, _, program = name.text.rpartition("/")
    if (f"{folder}/" if folder else "") not in _PLACES:
        return f"{name.text} is not known to only read"
    device = next((word.text for word in args if _device(program, word)), None)
    if device is not None:
        return f"{program} opens {device}"
    if program == "read":
        return _read(args)
    if program in _FREE:
        return None
    judge = _JUDGES.get(program)
    if judge is None:
        return f"{program} is not known to only read"
    unclear = next((word for word in args if not _clear(word, plain)), None)
    if unclear is not None and program not in _OWN_CARE:
        return f"{program} might take {unclear.source} for an option"
    return judge(args)


def _device(program: str, word: Word) -> bool:
    return program not in _LOOKING and is_device(word.text)


def is_device(path: str) -> bool:
    """Whether a path leads, or may lead, to a device: reading one can have effects, as with a watchdog or a log that is
    gone once read. A relative one is taken as of `/`, where every text begins."""
    if path in _SAFE_DEVICES:
        return False
    whole = posixpath.normpath(f"/{path.lstrip('/')}")
    first = whole.split("/")[1]
    return bool(_DEVICE.fullmatch(whole)) or (len(first) < len(whole) - 1 and bool(re.search(r"[*?\[]", first)))


def _clear(word: Word, plain: Collection[str]) -> bool:
    """Whether it is certain that a word is one word and no option, or which one it is."""
    if word.source[:1] in "*?[" or word.splits:
        return False  # a file may have the name of an option
    if word.literal or word.text[:1] not in ("$", "-", ""):
        return True
    only = word.expansions[0] if len(word.expansions) == 1 else None
    if only is None or word.substituted or not (only.length or only.operator in ("", "?", ":?")):
        return False
    return only.quoted and only.name in plain


def _options(args: Sequence[Word]) -> list[str]:
    return [word.text for word in args if word.text.startswith("-") and len(word.text) > 1]


def _only(pattern: re.Pattern[str], what: str) -> Judge:
    """Every option is one of these."""

    def judge(args: Sequence[Word]) -> str | None:
        found = next((option for option in _options(args) if not pattern.fullmatch(option)), None)
        return f"{what} {found} is not known to only read" if found is not None else None

    return judge


def _read(args: Sequence[Word]) -> str | None:
    bad = next((word for word in args if word.text != "-r" and not (word.literal and _SETS.fullmatch(word.text))), None)
    return f"it sets {bad.source}" if bad is not None else None


def _test(args: Sequence[Word]) -> str | None:
    """bash runs what stands in the index of a name that `-v` asks for; so what an operator is must be certain."""
    operands = [word for word in args if word.text not in ("]", "!")]
    unsure = next((word for word in operands if word.splits), None)
    both = (left for left, right in pairwise(operands) if not (left.literal or right.literal))
    unsure = unsure or next(both, None)
    if unsure is not None:
        return f"test might take {unsure.source} for an option"
    if any(word.literal and re.search(r"\$\(|`", word.text.replace("$((...))", "")) for word in operands):
        return "some shells run what test compares with"
    if any(word.text in ("-v", "-R") for word in operands):
        return "test -v is not known to only read"
    if len(operands) == 2 and not operands[0].literal:
        return f"test might take {operands[0].source} for an option"
    if operands and re.match(r"\$(?!\(\()", operands[0].text) and not operands[0].source.startswith('"'):
        return f"test might take {operands[0].source} for an option"
    return None


def _find(args: Sequence[Word]) -> str | None:
    for word in args:
        text = word.text
        if text.startswith(("-", "!", "(", ")")) and text not in _FIND and not re.fullmatch(r"-\d+\w?", text):
            return f"find {text} is not known to only read"
    return None


def _awk(args: Sequence[Word]) -> str | None:
    rest = list(args)
    while rest and rest[0].text.startswith("-"):
        option = rest.pop(0).text
        if option in ("-F", "-v"):
            rest = rest[1:]
        elif not option.startswith(("-F", "-v")):
            return f"awk {option} is not known to only read"
    if not rest or not rest[0].literal:
        return "which program awk runs cannot be told"
    if _options(rest[1:]):
        return "an option of awk after its program is not known to only read"
    program = rest[0].text  # with its strings: what is a string and what a pattern only awk itself can tell
    if _AWK_WRITES.search(program):
        return "its awk program is not known to only read"
    if ">" in program and "print" in program:
        return "its awk program may write with >"
    return None


def _sed(args: Sequence[Word]) -> str | None:
    scripts: list[Word] = []
    rest = list(args)
    while rest and rest[0].text.startswith("-"):
        option = rest.pop(0).text
        if option == "-e" and rest:
            scripts.append(rest.pop(0))
        elif option not in ("-n", "-E", "-r", "-nE", "-En", "-nr", "-u", "--"):
            return f"sed {option} is not known to only read"
    if not scripts and rest:
        scripts.append(rest.pop(0))
    if _options(rest):
        return f"sed {_options(rest)[0]} is not known to only read"  # GNU sed takes options at any place
    for script in scripts:
        if not script.literal or not all(_SED.fullmatch(part.strip()) for part in re.split(r"[;\n]", script.text)):
            return "its sed script is not known to only read"
    return None


def _date(args: Sequence[Word]) -> str | None:
    rest = list(args)
    while rest:
        text = rest.pop(0).text
        if text in ("-d", "-r", "--date", "--reference"):
            rest = rest[1:]
        elif not re.fullmatch(r"\+.*|--(date|reference)=.*|-I\w*|--iso-8601(=\w+)?|-[uR]+|--utc", text, re.DOTALL):
            return f"date {text} may set the clock"
    return None


def _systemctl(args: Sequence[Word]) -> str | None:
    reason = _only(_SYSTEMCTL_OPTIONS, "systemctl")(args)
    if reason is not None:
        return reason
    rest = [word.text for word in args]
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("-p", "-t", "-n", "--property", "--type", "--state", "--lines") and rest:
            rest.pop(0)
    verb = rest[0] if rest else "list-units"
    return None if verb in _SYSTEMCTL else f"systemctl {verb} is not known to only read"


def _openssl(args: Sequence[Word]) -> str | None:
    if not args or args[0].text != "x509":
        return "openssl is known to only read as x509 alone"
    return _only(_OPENSSL, "openssl x509")(args[1:])


def _uniq(args: Sequence[Word]) -> str | None:
    operands = [word for word in args if not re.fullmatch(r"-[cdDiuz]+|-[fsw]\d+", word.text)]
    return "uniq writes its second operand" if len(operands) > 1 else None


def _hostname(args: Sequence[Word]) -> str | None:
    bad = next((word for word in args if word.text not in ("-f", "-s", "-i", "-I", "-d", "-A")), None)
    return f"hostname {bad.text} may set the name" if bad is not None else None


def _command(args: Sequence[Word]) -> str | None:
    if args and args[0].text in ("-v", "-V"):
        return None
    return "command runs another one"


def _kill(args: Sequence[Word]) -> str | None:
    """Of several options the last one counts, also where it comes from a file."""
    texts = [word.text for word in args]
    rest = args[1:] if texts[:1] == ["-0"] else args[2:] if texts[:2] == ["-s", "0"] else None
    if rest is None or _options(rest):
        return "kill sends a signal"
    unsure = [word for word in rest if not word.literal]
    if len(unsure) > 1 or any(word.splits for word in unsure):
        return f"kill might take {unsure[0].source} for an option"
    return None


def _set(args: Sequence[Word]) -> str | None:
    known = ("-e", "-u", "-eu", "-f", "+e", "+u", "+f")
    for word in args:
        if word.text == "--":
            return None
        if word.text not in known:
            return "set changes the shell"
    return None


def _cd(args: Sequence[Word]) -> str | None:
    if len(args) == 1 and args[0].literal and args[0].text.startswith("/") and not is_device(args[0].text):
        return None
    return "cd may lead to where names mean something else"


def _wait(args: Sequence[Word]) -> str | None:
    """bash runs what stands in the index of a name that `-p` sets."""
    return "wait waits for nothing here" if args else None


def _printf(args: Sequence[Word]) -> str | None:
    if args and (args[0].text.startswith("-") or args[0].text[:1] == "$"):
        return f"printf might take {args[0].source} for an option"
    return None


_JUDGES: dict[str, Judge] = {
    "test": _test,
    "[": _test,
    "find": _find,
    "awk": _awk,
    "gawk": _awk,
    "mawk": _awk,
    "sed": _sed,
    "date": _date,
    "systemctl": _systemctl,
    "journalctl": _only(_JOURNAL_OPTIONS, "journalctl"),
    "openssl": _openssl,
    "uniq": _uniq,
    "hostname": _hostname,
    "command": _command,
    "kill": _kill,
    "set": _set,
    "cd": _cd,
    "wait": _wait,
    "printf": _printf,
    "sort": _only(re.compile(r"-[bdfginrRuhMVsz]+|-[kt].*|--"), "sort"),
    "tail": _only(re.compile(r"-\d+|-[ncqv]+|-[nc]\+?\d+|--lines=\S+|--bytes=\S+|--"), "tail"),
    "fuser": _only(re.compile(r"-[svmau46n]+"), "fuser"),
    "ss": _only(re.compile(r"-[tulnpaHx46imoerO]+"), "ss"),
    "dpkg-query": _only(re.compile(r"-[WlsLS]|-f.*|--showformat=.*|--show|--list|--status"), "dpkg-query"),
    "getconf": _only(re.compile(r"-a"), "getconf"),
}
