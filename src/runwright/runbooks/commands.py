"""The effective commands of shell text: what runs in the end, through sudo, env, xargs, find -exec, sh -c, pipes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from runwright.runbooks.shell import Json, Tree, parse_shell
from runwright.runbooks.shell_words import Word, nodes, read_word

MAX_NESTING = 8
"""`sh -c` within `sh -c`; deeper is not judged but reported as unparsed."""

WRAPPERS: dict[str, frozenset[str]] = {
    "sudo": frozenset({"-u", "-g", "-h", "-p", "-C", "-r", "-t", "-D", "--user", "--group", "--host", "--prompt"}),
    "doas": frozenset({"-u", "-C"}),
    "env": frozenset({"-u", "-C", "--unset", "--chdir"}),
    "nice": frozenset({"-n", "--adjustment"}),
    "ionice": frozenset({"-c", "-n", "-p", "--class", "--classdata"}),
    "chrt": frozenset({"-T", "-P", "-D"}),
    "taskset": frozenset(),
    "nohup": frozenset(),
    "setsid": frozenset(),
    "time": frozenset({"-f", "-o", "--format", "--output"}),
    "timeout": frozenset({"-k", "-s", "--kill-after", "--signal"}),
    "stdbuf": frozenset({"-i", "-o", "-e", "--input", "--output", "--error"}),
    "command": frozenset(),
    "exec": frozenset(),
    "builtin": frozenset(),
    "busybox": frozenset(),
    "toybox": frozenset(),
    "chroot": frozenset(),
    "nsenter": frozenset({"-t", "--target"}),
    "unshare": frozenset(),
    "runuser": frozenset({"-u", "--user"}),
    "setpriv": frozenset({"--reuid", "--regid", "--groups"}),
    "flock": frozenset({"-w", "-E", "--timeout", "--conflict-exit-code"}),
    "watch": frozenset({"-n", "--interval"}),
    "systemd-run": frozenset({"-p", "-u", "-M", "-H", "--unit", "--property", "--slice", "--machine"}),
    "systemd-inhibit": frozenset(),
    "xargs": frozenset({"-I", "-n", "-P", "-L", "-s", "-d", "-a", "-E", "--max-args", "--max-procs", "--replace"}),
    "strace": frozenset({"-e", "-o", "-p"}),
}
"""Commands that run the command in their arguments, and their options that take a word of their own."""

LEADING_OPERANDS = {"timeout": 1, "chroot": 1, "taskset": 1, "chrt": 1, "flock": 1}
"""Operands before the command."""

SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash", "su"})
INTERPRETERS = SHELLS | frozenset(
    {"python", "python2", "python3", "perl", "ruby", "node", "php", "lua", "tclsh", "awk", "gawk", "mawk", "nawk"}
)
_QUERY_OPTIONS = {"command": frozenset({"-v", "-V"})}


@dataclass(frozen=True)
class EffectiveCommand:
    """One command as it runs in the end."""

    name: Word
    args: tuple[Word, ...]
    via: tuple[str, ...] = ()
    """The wrappers it runs through, outermost first."""
    writes: tuple[Word, ...] = ()
    """Targets of its output redirections."""
    from_pipe: tuple[EffectiveCommand, ...] = ()
    """What feeds its standard input."""
    code: bool = False
    """Runs text made at run time: `eval`, `sh -c` or `.` with an expansion in it."""
    here: str | None = None
    """The here-document on its standard input, if it is literal."""

    @property
    def program(self) -> str:
        """Last part of the path: `/usr/bin/rm` -> `rm`."""
        return self.name.text.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return " ".join([self.name.text, *(word.source for word in self.args)])


@dataclass
class Analysis:
    """Everything found in one text."""

    commands: list[EffectiveCommand] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Parts that could not be read as shell."""


def analyse(tree: Tree, depth: int = 0) -> Analysis:
    """The effective commands of a parsed text, and what could not be read."""
    found = Analysis()
    if tree.problem is not None:
        found.problems.append(tree.problem)
        return found
    inputs = _pipes(tree)
    for statement in nodes(list(tree.statements)):
        command = statement.get("Cmd")
        redirections: list[Json] = statement.get("Redirs") or []
        if not isinstance(command, dict):
            if redirections and "Position" in statement:
                found.commands.append(EffectiveCommand(Word(":", ":"), (), writes=_writes(tree, redirections)))
            continue
        if command.get("Type") not in ("CallExpr", "DeclClause"):
            if redirections:
                found.commands.append(EffectiveCommand(Word(":", ":"), (), writes=_writes(tree, redirections)))
            continue
        feeding = inputs.get(command["Pos"]["Offset"], ())
        _call(tree, command, redirections, feeding, depth, found)
    return found


def _call(
    tree: Tree, command: Json, redirections: list[Json], feeding: tuple[Json, ...], depth: int, found: Analysis
) -> None:
    words = [read_word(tree, word) for word in command.get("Args") or ()]
    if command.get("Type") == "DeclClause":
        variant = command["Variant"]["Value"]
        words = [
            Word(variant, variant),
            *(Word(tree.text(each), tree.text(each)) for each in command.get("Args") or ()),
        ]
    if not words:
        return
    sources = tuple(
        EffectiveCommand(words_[0], tuple(words_[1:]))
        for words_ in ([read_word(tree, word) for word in each.get("Args") or ()] for each in feeding)
        if words_
    )
    writes = _writes(tree, redirections)
    here = next((_literal_here(tree, each) for each in redirections if each.get("Hdoc")), None)
    for effective in unwrap(words):
        done = EffectiveCommand(
            effective.name, effective.args, effective.via, writes, sources, _runs_made_text(effective), here
        )
        found.commands.append(done)
        for inner in inner_texts(done):
            _inner(inner, depth, found)


def _inner(text: str, depth: int, found: Analysis) -> None:
    if depth >= MAX_NESTING:
        found.problems.append(f"found shell text nested deeper than {MAX_NESTING}")
        return
    below = analyse(parse_shell([text])[0], depth + 1)
    found.commands.extend(below.commands)
    found.problems.extend(below.problems)


def unwrap(words: list[Word]) -> Iterator[EffectiveCommand]:
    """The command itself and each command that it runs in turn, outermost first."""
    via: tuple[str, ...] = ()
    while words:
        here = EffectiveCommand(words[0], tuple(words[1:]), via)
        yield here
        if here.program == "find":
            for group in _find_groups(here.args):
                yield from (EffectiveCommand(each.name, each.args, (*via, "find", *each.via)) for each in unwrap(group))
            return
        if here.program not in WRAPPERS:
            return
        inner = _inner_words(here)
        if not inner:
            return
        via = (*via, here.program)
        words = inner


def _inner_words(command: EffectiveCommand) -> list[Word]:
    """A wrapper's arguments from the command on."""
    takes = WRAPPERS[command.program]
    operands = LEADING_OPERANDS.get(command.program, 0)
    rest = list(command.args)
    if any(word.text in _QUERY_OPTIONS.get(command.program, frozenset()) for word in rest[:1]):
        return []
    while rest:
        text = rest[0].text
        if text == "--":
            rest = rest[1 + operands :]
            break
        if text.startswith("-") and len(text) > 1:
            rest = rest[2:] if text in takes else rest[1:]
        elif "=" in text.split("$")[0] and command.program in ("env", "sudo", "doas"):
            rest = rest[1:]
        elif operands:
            operands -= 1
            rest = rest[1:]
        else:
            break
    return rest


def _find_groups(args: tuple[Word, ...]) -> Iterator[list[Word]]:
    group: list[Word] | None = None
    for word in args:
        if word.text in ("-exec", "-execdir", "-ok", "-okdir"):
            group = []
        elif group is not None and word.text in (";", "+"):
            yield group
            group = None
        elif group is not None:
            group.append(word)
    if group:
        yield group


def shell_code(command: EffectiveCommand) -> Word | None:
    """The code word of `sh -c CODE`, or None."""
    if command.program not in SHELLS:
        return None
    for index, word in enumerate(command.args):
        text = word.text
        if text.startswith("-") and not text.startswith("--") and "c" in text[1:]:
            return next(iter(command.args[index + 1 :]), None)
        if text == "--command":
            return next(iter(command.args[index + 1 :]), None)
        if not text.startswith(("-", "+")) and command.program != "su":
            return None
    return None


def inner_texts(command: EffectiveCommand) -> Iterator[str]:
    """Literal shell text that the command runs: `sh -c '...'`, `eval '...'`, `trap '...'`, `sh <<'EOF'`."""
    code = shell_code(command)
    if code is not None and not code.substituted:
        yield code.text
    elif command.program == "eval" and command.args and not any(word.substituted for word in command.args):
        yield " ".join(word.text for word in command.args)
    elif command.program == "trap" and len(command.args) > 1 and command.args[0].text not in ("-", ""):
        yield command.args[0].text
    elif command.program == "watch" and command.args:
        yield command.args[-1].text
    elif command.program in SHELLS and command.here is not None:
        yield command.here


def _runs_made_text(command: EffectiveCommand) -> bool:
    code = shell_code(command)
    if code is not None:
        return not code.literal
    if command.program in ("eval", ".", "source"):
        return any(not word.literal for word in command.args)
    return False


def _writes(tree: Tree, redirections: list[Json]) -> tuple[Word, ...]:
    return tuple(
        read_word(tree, each["Word"])
        for each in redirections
        if each.get("Op") in (">", ">>", ">|", "<>", "&>", "&>>") and each.get("Word")
    )


def _literal_here(tree: Tree, redirection: Json) -> str | None:
    word = read_word(tree, redirection["Hdoc"])
    return None if word.substituted else word.text


def _pipes(tree: Tree) -> dict[int, tuple[Json, ...]]:
    """Calls that are fed by a pipe: offset of the call -> the calls that feed it."""
    fed: dict[int, tuple[Json, ...]] = {}
    for node in nodes(list(tree.statements)):
        if node.get("Type") != "BinaryCmd" or node.get("Op") not in ("|", "|&"):
            continue
        left = tuple(each for each in nodes(node["X"]) if each.get("Type") == "CallExpr")
        for each in nodes(node["Y"]):
            if each.get("Type") == "CallExpr":
                offset = each["Pos"]["Offset"]
                fed[offset] = (*fed.get(offset, ()), *left)
    return fed
