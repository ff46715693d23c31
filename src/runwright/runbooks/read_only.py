"""Whether shell text only reads: what a check may run on a host where nothing may change.

A list of what is known to read, never of what is known to write: a command, an option, a redirection or a part of
the grammar that is not in it counts as writing. So does anything whose meaning is only made at run time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from runwright.model.risk import RiskClass, RiskVerdict
from runwright.runbooks.read_only_commands import is_device, judge_command
from runwright.runbooks.risk import assess_command
from runwright.runbooks.shell import Json, Tree, parse_shell
from runwright.runbooks.shell_words import Word, nodes, read_word, words_below

GRAMMAR = frozenset(
    {
        *("CallExpr", "Block", "Subshell", "IfClause", "WhileClause", "ForClause", "WordIter", "CaseClause"),
        *("BinaryCmd", "Lit", "SglQuoted", "DblQuoted", "ParamExp", "CmdSubst", "Word"),
        *("ArithmExp", "BinaryArithm", "UnaryArithm", "ParenArithm"),
    }
)
"""Node types of shfmt that a text may have."""

_NAME = re.compile(r"[a-z][a-z0-9_]*|_|LC_ALL|LANG")
"""Variables that a text may set: none of these changes what a command is or does."""
_ARITHMETIC_NAME = re.compile(r"[A-Za-z_]")


@dataclass(frozen=True)
class Reading:
    """Whether a text only reads; if not known to, why."""

    only_reads: bool
    reason: str = ""
    classes: tuple[RiskClass, ...] = ()
    """Of the risk analysis, where that has something to say."""


def reading(text: str, plain: Collection[str] = ()) -> Reading:
    """Judge one text.

    Args:
        plain: names of variables whose values never begin with a dash, so that none can be taken for an option.
    """
    tree = parse_shell([text])[0]
    if tree.problem is not None:
        return Reading(False, "it could not be read as POSIX shell", (RiskClass.UNPARSED,))
    report = assess_command(text)
    if report.classes or report.verdict is not RiskVerdict.OK:
        named = ", ".join(item.value.replace("_", " ") for item in report.classes) or report.verdict.value
        return Reading(False, f"the risk analysis says: {named}", report.classes)
    reason = next(_faults(tree, frozenset(plain)), None)
    return Reading(True) if reason is None else Reading(False, reason)


def _faults(tree: Tree, plain: frozenset[str]) -> Iterator[str]:
    plain = plain - _set_names(tree)
    if any(read_word(tree, word).dialect for word in words_below({"": list(tree.statements)})):
        yield "it has a word that bash reads otherwise than POSIX shells"
    for node in nodes(list(tree.statements)):
        kind = node.get("Type")
        if kind is not None and kind not in GRAMMAR:
            yield f"it uses {kind}, which is not known to only read"
        if node.get("Background") or node.get("Coprocess"):
            yield "it leaves a process behind"
        if (kind == "Subshell" and tree.text(node).startswith("((")) or (node.get("Parts") and "$[" in tree.text(node)):
            yield "it has what bash takes for a calculation"
        if kind == "CallExpr":
            yield from _call(tree, node, plain)
        elif kind == "ArithmExp":
            yield from _arithmetic(node)
        elif kind == "ParamExp":
            yield from _expansion(node)
        elif kind == "WordIter" and not _NAME.fullmatch(node["Name"]["Value"]):
            yield f"it sets {node['Name']['Value']}"
        for redirection in node.get("Redirs") or ():
            yield from _redirection(tree, redirection)


def _set_names(tree: Tree) -> frozenset[str]:
    """Variables that the text sets itself: nothing is known of what they begin with."""
    found = set()
    for node in nodes(list(tree.statements)):
        kind = node.get("Type")
        if kind == "CallExpr":
            found |= {(each.get("Name") or {}).get("Value", "") for each in node.get("Assigns") or ()}
            words = [read_word(tree, word).text for word in node.get("Args") or ()]
            found |= set(words[1:]) if words[:1] == ["read"] else set()
        elif kind == "WordIter":
            found.add(node["Name"]["Value"])
        elif kind == "ParamExp" and str((node.get("Exp") or {}).get("Op", "")) in ("=", ":="):
            found.add(node["Param"]["Value"])
    return frozenset(found)


def _call(tree: Tree, node: Json, plain: frozenset[str]) -> Iterator[str]:
    for assignment in node.get("Assigns") or ():
        name = (assignment.get("Name") or {}).get("Value", "")
        if not _NAME.fullmatch(name) or assignment.get("Index") or assignment.get("Array"):
            yield f"it sets {name or 'a variable'}"
    words = [read_word(tree, word) for word in node.get("Args") or ()]
    if words:
        reason = judge_command(words[0], words[1:], plain)
        if reason is not None:
            yield reason


def _arithmetic(node: Json) -> Iterator[str]:
    """Some shells run what the value of a name in arithmetic says; only figures are known to be harmless."""
    for below in nodes(node):
        if below.get("Type") == "Lit" and _ARITHMETIC_NAME.search(below.get("Value", "")):
            yield f"it calculates with {below['Value']}, whose value some shells would run"
        if below.get("Type") == "ParamExp" and not below.get("Length"):
            yield f"it calculates with {below['Param']['Value']}, whose value some shells would run"
        if below.get("Type") == "CmdSubst":
            yield "it calculates with the output of a command, which some shells would run"


def _expansion(node: Json) -> Iterator[str]:
    name = (node.get("Param") or {}).get("Value", "")
    operator = str((node.get("Exp") or {}).get("Op", ""))
    if operator in ("=", ":=") and not _NAME.fullmatch(name):
        yield f"it sets {name}"
    if node.get("Excl") or node.get("Index") or node.get("Slice") or node.get("Repl"):
        yield f"it expands {name} in a way that POSIX shells do not share"


def _redirection(tree: Tree, node: Json) -> Iterator[str]:
    operator = node.get("Op")
    word = read_word(tree, node["Word"]) if node.get("Word") else Word("", "")
    if operator in (">", ">>", ">|") and word.literal and word.text == "/dev/null":
        return
    if operator in (">&", "<&") and word.literal and re.fullmatch(r"[0-9]|-", word.text):
        return
    if operator == "<" and not word.substituted and word.text.startswith("/") and not is_device(word.text):
        return
    yield f"it redirects with {operator} {word.source}".rstrip()
