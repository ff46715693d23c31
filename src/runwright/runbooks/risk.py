"""What commands would do: text -> effective commands -> rules. Honest about what it cannot read.

The table in `risk_rules.yaml` judges single commands; what needs the shape of the text (pipes into interpreters,
text made at run time, disguised names) is judged here. A clean report means that no rule matched, not that
the text is safe: a person still reads it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from runwright.model.documents import RunbookDocument, Step, Verify
from runwright.model.ids import version_id
from runwright.model.risk import RiskClass, RiskFinding, RiskReport, RiskVerdict
from runwright.runbooks.commands import INTERPRETERS, SHELLS, WRAPPERS, Analysis, EffectiveCommand, analyse, shell_code
from runwright.runbooks.risk_rules import table_findings
from runwright.runbooks.shell import BATCH, Tree, parse_shell
from runwright.runbooks.shell_words import Word, nodes
from runwright.runbooks.visible import visible

_ORDER = (RiskVerdict.OK, RiskVerdict.WARN, RiskVerdict.REFUSE)
_LOOPBACK = ("127.", "localhost", "::1", "[::1]")


def assess_command(text: str) -> RiskReport:
    """The risk of one shell text. Text that is no shell gets `warn` and class `unparsed`."""
    findings, commands = _assess([(None, text)])
    return report(findings, commands)


def assess_commands(texts: Sequence[str]) -> Iterator[RiskReport]:
    """The risk of each text, in their order, as `assess_command` says; many in the time of few."""
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        parse_shell(batch)  # in one call; what assesses them one by one finds them read
        for text in batch:
            yield assess_command(text)


def assess_runbook(document: RunbookDocument) -> RiskReport:
    """The risk of a whole runbook: all its shell text and typed steps; each finding names its place."""
    findings, commands = _assess(list(_texts(document)))
    findings.extend(_typed(document))
    return report(findings, commands)


def added_risk(parent: RunbookDocument | None, child: RunbookDocument) -> RiskReport:
    """What a version risks beyond its parent; everything, where there is none.

    Findings are compared by rule and command, so a step that only moved adds nothing.
    """
    after = assess_runbook(child)
    if parent is None:
        return after
    before = assess_runbook(parent)
    known = Counter((finding.rule, finding.command) for finding in before.findings)
    added: list[RiskFinding] = []
    for finding in after.findings:
        key = (finding.rule, finding.command)
        if known[key]:
            known[key] -= 1
        else:
            added.append(finding)
    commands = Counter(after.commands) - Counter(before.commands)
    return report(added, list(commands))


def report(findings: Iterable[RiskFinding], commands: Iterable[str]) -> RiskReport:
    """Findings as one report: the worst verdict, all classes, one explanation."""
    listed = sorted(findings, key=lambda finding: -_ORDER.index(finding.verdict))
    verdict = max((finding.verdict for finding in listed), key=_ORDER.index, default=RiskVerdict.OK)
    classes = tuple(each for each in RiskClass if any(each in finding.classes for finding in listed))
    telling = [finding for finding in listed if finding.verdict is not RiskVerdict.OK]
    sentences = dict.fromkeys(f"{visible(each.command)[:120]}: {each.explanation}" for each in telling)
    return RiskReport(
        verdict=verdict,
        classes=classes,
        commands=tuple(dict.fromkeys(commands)),
        explanation=" ".join(sentences) or "No rule of the table objects.",
        findings=tuple(listed),
    )


def _texts(document: RunbookDocument) -> Iterator[tuple[str, str]]:
    for section, listed in (("steps", document.steps), ("verify", document.verify), ("rollback", document.rollback)):
        for step in listed:
            for name in ("only_if", "run", "unless", "until"):
                text = getattr(step, name, None)
                if text is not None:
                    yield f"{section}.{step.id}.{name}", text
            if step.wait_for is not None and step.wait_for.run is not None:
                yield f"{section}.{step.id}.wait_for.run", step.wait_for.run


def _assess(texts: Sequence[tuple[str | None, str]]) -> tuple[list[RiskFinding], list[str]]:
    findings: list[RiskFinding] = []
    commands: list[str] = []
    for (place, text), tree in zip(texts, parse_shell([text for _, text in texts]), strict=True):
        if tree.problem is not None:
            # sh will refuse or misread it; bash's grammar at least shows what the author meant
            tree = parse_shell([text], "bash")[0]
            if tree.problem is None:
                findings.append(_unparsed(text, "it is bash, not POSIX sh", place))
        analysis = analyse(tree)
        findings.extend(_judge(analysis, tree, text, place))
        commands.extend(
            str(each) for each in analysis.commands if each.program not in WRAPPERS and each.name.text != ":"
        )
    return findings, commands


def _judge(analysis: Analysis, tree: Tree, text: str, place: str | None) -> Iterator[RiskFinding]:
    for problem in analysis.problems:
        yield _unparsed(text, problem, place)
    if _fork_bomb(tree):
        yield _finding(
            "fork-bomb", RiskVerdict.REFUSE, (RiskClass.DESTRUCTIVE,), text, "It starts itself twice.", place
        )
    for command in analysis.commands:
        yield from table_findings(command, place)
        yield from _shape(command, place)


def _shape(command: EffectiveCommand, place: str | None) -> Iterator[RiskFinding]:
    """What a table of names and arguments cannot see."""
    classes: tuple[RiskClass, ...]
    if command.name.disguised:
        explanation = f"Its name is written so that a reader does not see {command.name.text!r} at once."
        yield _finding("disguised-name", RiskVerdict.WARN, (RiskClass.EVASION,), str(command), explanation, place)
    if not command.name.literal:
        explanation = "Which command runs is decided at run time; the review cannot cover it."
        classes = (RiskClass.UNCOVERED_CONTENT, RiskClass.EVASION)
        yield _finding("command-made-at-run-time", RiskVerdict.WARN, classes, str(command), explanation, place)
    if command.code:
        # nothing of the text is fixed: a reviewer approves whatever it will be
        bare = not any(re.sub(r"\$\{?\w+\}?|\$\(\.\.\.\)", "", word.text).strip() for word in _code_words(command))
        verdict = RiskVerdict.REFUSE if bare else RiskVerdict.WARN
        explanation = "It runs text that is made at run time; the review cannot cover it."
        classes = (RiskClass.UNCOVERED_CONTENT, RiskClass.EVASION)
        yield _finding("code-made-at-run-time", verdict, classes, str(command), explanation, place)
    if _reads_program_from_pipe(command):
        yield _piped(command, place)
    script = _script(command)
    if script is not None:
        explanation = f"It runs {script}, whose content the review does not cover."
        classes = (RiskClass.UNCOVERED_CONTENT,)
        yield _finding("host-script", RiskVerdict.WARN, classes, str(command), explanation, place)


def _code_words(command: EffectiveCommand) -> tuple[Word, ...]:
    code = shell_code(command)
    return (code,) if code is not None else command.args


def _reads_program_from_pipe(command: EffectiveCommand) -> bool:
    """An interpreter without a script or code of its own, fed by a pipe."""
    if command.program not in INTERPRETERS or not command.from_pipe or shell_code(command) is not None:
        return False
    if command.program in ("awk", "gawk", "mawk", "nawk"):
        return any(word.text in ("-f/dev/stdin", "/dev/stdin") for word in command.args)
    if command.program not in SHELLS and any(word.text in ("-c", "-e", "-m") for word in command.args):
        return False
    operands = [word for word in command.args if not word.text.startswith(("-", "+"))]
    return not operands or any(word.text in ("-s", "-", "/dev/stdin") for word in command.args)


def _piped(command: EffectiveCommand, place: str | None) -> RiskFinding:
    fetched = any(source.program in ("curl", "wget", "fetch", "nc", "ssh") for source in command.from_pipe)
    classes: tuple[RiskClass, ...] = (RiskClass.UNCOVERED_CONTENT,)
    if fetched:
        classes = (*classes, RiskClass.NETWORK_EGRESS)
    sources = " | ".join(str(source) for source in command.from_pipe)
    explanation = "It runs as a program whatever comes out of the pipe; the review cannot cover it."
    return _finding("pipe-into-interpreter", RiskVerdict.REFUSE, classes, f"{sources} | {command}", explanation, place)


def _script(command: EffectiveCommand) -> str | None:
    """A file of the host that the command runs as a script."""
    if command.program in (".", "source") and command.args:
        return command.args[0].source
    if command.name.text.endswith((".sh", ".py", ".pl", ".rb")) and "/" in command.name.text:
        return command.name.text
    if command.program not in INTERPRETERS or command.program in ("su", "awk", "gawk", "mawk", "nawk"):
        return None
    if shell_code(command) is not None or any(word.text in ("-c", "-e", "-m") for word in command.args):
        return None
    script = next((word for word in command.args if not word.text.startswith(("-", "+"))), None)
    return script.source if script is not None and script.text != "/dev/stdin" else None


def _fork_bomb(tree: Tree) -> bool:
    for node in nodes(list(tree.statements)):
        if node.get("Type") != "FuncDecl":
            continue
        name = node["Name"]["Value"].encode()
        pipes = [each for each in nodes(node["Body"]) if each.get("Type") == "BinaryCmd" and each.get("Op") == "|"]
        if any(tree.text(each).encode().split() == [name, b"|", name] for each in pipes):
            return True
        if any(tree.text(each).replace(" ", "").encode() == name + b"|" + name for each in pipes):
            return True
    return False


def _typed(document: RunbookDocument) -> Iterator[RiskFinding]:
    """Typed steps that reach further than this host."""
    listed: list[tuple[str, Step | Verify]] = [("steps", step) for step in document.steps]
    listed += [("verify", check) for check in document.verify]
    listed += [("rollback", step) for step in document.rollback]
    for section, step in listed:
        place = f"{section}.{step.id}"
        if step.http is not None and not step.http.host.startswith(_LOOPBACK):
            command = f"http {step.http.method} {step.http.host}"
            explanation = "It talks to another machine."
            yield _finding("http-egress", RiskVerdict.WARN, (RiskClass.NETWORK_EGRESS,), command, explanation, place)
        if isinstance(step, Step) and step.call is not None:
            command = f"call {version_id(step.call.runbook, step.call.version)} {step.call.digest}"
            explanation = "It runs another version, which has an approval of its own: what that does is judged there."
            yield _finding("call", RiskVerdict.OK, (), command, explanation, place)
        if isinstance(step, Step) and step.become:
            explanation = "It takes another user's rights."
            yield _finding("become", RiskVerdict.OK, (RiskClass.PRIVILEGE,), f"become {step.id}", explanation, place)
        if step.service is not None and step.service.enabled:
            command = f"service {step.service.name} enabled"
            explanation = "It makes a unit start with the host."
            yield _finding("enable-unit", RiskVerdict.WARN, (RiskClass.PERSISTENCE,), command, explanation, place)


def _unparsed(text: str, problem: str, place: str | None) -> RiskFinding:
    explanation = f"It could not be read as shell ({problem}), so nothing can be said for it."
    return _finding("unparsed", RiskVerdict.WARN, (RiskClass.UNPARSED,), text[:400], explanation, place)


def _finding(
    rule: str, verdict: RiskVerdict, classes: tuple[RiskClass, ...], command: str, explanation: str, place: str | None
) -> RiskFinding:
    return RiskFinding(
        rule=rule, verdict=verdict, classes=classes, command=command, explanation=explanation, place=place
    )
