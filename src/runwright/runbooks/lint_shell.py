"""What lint says about one piece of shell text: parameters where they are not data, loose quoting, unknown names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runwright.runbooks.commands import EffectiveCommand, analyse, shell_code
from runwright.runbooks.shell import Json, Tree
from runwright.runbooks.shell_words import Expansion, nodes, read_word

PROGRAM_ARGUMENT = frozenset({"sed", "awk", "gawk", "mawk", "nawk", "perl", "python", "python3", "ruby", "jq", "ed"})
"""Commands whose argument is a program: a value inside it is code, not data."""

_KNOWN = frozenset("@*#?-$!0123456789") | {"PATH", "HOME", "PWD", "OLDPWD", "IFS", "LC_ALL", "LANG", "USER", "TMPDIR"}


@dataclass(frozen=True)
class ShellProblem:
    """One problem in a shell text; `line` counts from 0 within it."""

    rule: str
    message: str
    line: int
    error: bool


def shell_problems(tree: Tree, parameters: frozenset[str]) -> Iterator[ShellProblem]:
    """Everything that lint has to say about a parsed text."""
    if tree.problem is not None:
        message = f"it cannot be read as POSIX sh: {tree.problem}"
        yield ShellProblem("unparsed-shell", message, 0, error=True)
        return
    tainted = _tainted(tree, parameters)
    yield from _in_command_position(tree, tainted)
    yield from _unquoted(tree, parameters)
    yield from _undeclared(tree, parameters)


def uses(tree: Tree) -> frozenset[str]:
    """Names of variables that the text expands, also inside `sh -c '...'` and arithmetic."""
    names = {expansion.name for expansion, _ in _expansions(tree)}
    for node in nodes(list(tree.statements)):
        if node.get("Type") == "ArithmExp":
            names |= {each["Value"] for each in nodes(node) if each.get("Type") == "Lit"}
    for command in analyse(tree).commands:
        for word in (command.name, *command.args):
            names |= {expansion.name for expansion in word.expansions}
    return frozenset(names)


def _tainted(tree: Tree, parameters: frozenset[str]) -> frozenset[str]:
    """Parameters, and variables that were given a parameter's value."""
    tainted = set(parameters)
    assignments: list[tuple[str, set[str]]] = []
    for node in nodes(list(tree.statements)):
        for each in node.get("Assigns") or ():
            if each.get("Name") and each.get("Value"):
                names = {expansion.name for expansion in read_word(tree, each["Value"]).expansions}
                assignments.append((each["Name"]["Value"], names))
        if node.get("Type") == "WordIter":
            names = {
                expansion.name for item in node.get("Items") or () for expansion in read_word(tree, item).expansions
            }
            assignments.append((node["Name"]["Value"], names))
    for _ in assignments:
        tainted |= {name for name, sources in assignments if sources & tainted}
    return frozenset(tainted)


def _in_command_position(tree: Tree, tainted: frozenset[str]) -> Iterator[ShellProblem]:
    for command in analyse(tree).commands:
        bad = _names(command.name.expansions, tainted)
        if bad:
            message = f"found ${bad[0]} as the name of a command; parameters are data, name the command itself"
            yield ShellProblem("parameter-as-command", message, _line_of(tree, command), error=True)
        code = shell_code(command)
        made = list(code.expansions) if code is not None else []
        if command.program in ("eval", ".", "source"):
            made += [expansion for word in command.args for expansion in word.expansions]
        bad = _names(tuple(made), tainted) if command.code else []
        if bad:
            message = (
                f"found ${bad[0]} in text that {command.program} runs; "
                "use single quotes and let the inner shell read the variable"
            )
            yield ShellProblem("parameter-in-code", message, _line_of(tree, command), error=True)
        if command.program in PROGRAM_ARGUMENT:
            yield from _in_program(tree, command, tainted)


def _in_program(tree: Tree, command: EffectiveCommand, tainted: frozenset[str]) -> Iterator[ShellProblem]:
    """`sed "s/$x/y/"`: a value inside another program's text."""
    for word in command.args:
        bad = _names(word.expansions, tainted)
        looks_like_code = word.text.strip("/") != "$" + (bad[0] if bad else "") and any(
            mark in word.text for mark in ("{", "(", ";", "s/", "/d", "/p", "|")
        )
        plain_assignment = "=" in word.text.split("$")[0] and command.program.endswith("awk")
        operator = any(expansion.operator for expansion in word.expansions)
        if bad and looks_like_code and not plain_assignment and not operator:
            message = (
                f"found ${bad[0]} inside a program for {command.program}; hand it over as data (awk -v, an argument)"
            )
            yield ShellProblem("parameter-in-program", message, _line_of(tree, command), error=False)


def _unquoted(tree: Tree, parameters: frozenset[str]) -> Iterator[ShellProblem]:
    seen: set[tuple[str, int]] = set()
    for expansion, line in _expansions(tree):
        key = (expansion.name, line)
        if expansion.name in parameters and not expansion.quoted and not expansion.length and key not in seen:
            seen.add(key)
            message = (
                f'found ${expansion.name} without quotes; write "${expansion.name}", or spaces and * in it take effect'
            )
            yield ShellProblem("unquoted-parameter", message, line, error=False)


def _undeclared(tree: Tree, parameters: frozenset[str]) -> Iterator[ShellProblem]:
    known = parameters | _KNOWN | _assigned(tree)
    seen: set[str] = set()
    for expansion, line in _expansions(tree):
        name = expansion.name
        if name in known or name in seen or expansion.operator[:2] in (":-", ":=", ":+", ":?") or expansion.operator:
            continue
        seen.add(name)
        yield ShellProblem("undeclared-variable", f"found ${name}, neither a parameter nor set here", line, error=False)


def _assigned(tree: Tree) -> frozenset[str]:
    names: set[str] = set()
    for node in nodes(list(tree.statements)):
        names |= {each["Name"]["Value"] for each in node.get("Assigns") or () if each.get("Name")}
        if node.get("Type") == "WordIter":
            names.add(node["Name"]["Value"])
        if node.get("Type") == "CallExpr":
            words = [read_word(tree, word).text for word in node.get("Args") or ()]
            if words and words[0] in ("read", "export", "local", "readonly", "getopts", "IFS=", "unset"):
                names |= {word.split("=", 1)[0] for word in words[1:]}
    return frozenset(names)


def _expansions(tree: Tree) -> Iterator[tuple[Expansion, int]]:
    """Expansions in places where quoting counts or a value is used, with their line from 0.

    Without quotes are safe: the right side of an assignment, the word of a `case`, here-documents.
    """
    todo: list[tuple[object, bool]] = [(list(tree.statements), False)]
    while todo:
        here, safe = todo.pop()
        if isinstance(here, list):
            todo.extend((each, safe) for each in reversed(here))
        elif isinstance(here, dict):
            kind = here.get("Type")
            if kind == "ParamExp":
                below = here.get("Exp") or {}
                name = (here.get("Param") or {}).get("Value", "")
                found = Expansion(name, safe, bool(here.get("Length")), str(below.get("Op", "")))
                yield found, _line(tree, here)
            for key, value in reversed(list(here.items())):
                if key not in ("Pos", "End"):
                    todo.append((value, _safe(here, key, kind, safe)))


def _safe(node: Json, key: str, kind: object, safe: bool) -> bool:
    """Whether what stands under a key is free from splitting and globbing."""
    if kind == "CmdSubst" and key == "Stmts":
        return False
    if kind in ("DblQuoted", "ArithmExp") or key in ("Hdoc", "Assigns"):
        return True
    if kind == "CaseClause" and key == "Word":
        return True
    return safe or (key == "Value" and "Name" in node)


def _names(expansions: tuple[Expansion, ...], among: frozenset[str]) -> list[str]:
    return [expansion.name for expansion in expansions if expansion.name in among and not expansion.length]


def _line(tree: Tree, node: Json) -> int:
    return tree.source[: max(0, node["Pos"]["Offset"] - tree.base)].count(b"\n")


def _line_of(tree: Tree, command: EffectiveCommand) -> int:
    """The line of a command, found by its name's source; 0 where it stands in an inner text."""
    at = tree.source.find(command.name.source.encode())
    return tree.source[:at].count(b"\n") if at > 0 else 0
