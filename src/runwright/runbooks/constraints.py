"""What a parameter's value must satisfy, whoever gives it: defaults and resolved values alike."""

from __future__ import annotations

from runwright.model.documents import BooleanParameter, IntegerParameter, Parameter, ParameterValue, StringParameter
from runwright.runbooks.patterns import matches
from runwright.runbooks.visible import shown

MAX_VALUE = 64_000
"""Characters of a string value; an environment entry holds no more than 128 KiB."""


def problem_with(parameter: Parameter, value: ParameterValue) -> str | None:
    """What is wrong with a value of the right type, or None."""
    if isinstance(parameter, StringParameter) and isinstance(value, str):
        problem = _text_problem(parameter, value)
        if problem is not None:
            return problem
    elif isinstance(parameter, IntegerParameter) and isinstance(value, int):
        if parameter.min is not None and value < parameter.min:
            return f"found {value}; allowed: at least {parameter.min}"
        if parameter.max is not None and value > parameter.max:
            return f"found {value}; allowed: at most {parameter.max}"
    if isinstance(parameter, BooleanParameter) or parameter.allow_leading_dash:
        return None
    if any(line.startswith("-") for line in str(value).split("\n")):
        return (
            f"found {shown(value)}, which a command could take for an option; "
            "allowed: no leading - unless the parameter says allow_leading_dash: true"
        )
    return None


def _text_problem(parameter: StringParameter, value: str) -> str | None:
    if "\0" in value or any(0xD800 <= ord(each) <= 0xDFFF for each in value):
        return f"found {shown(value)}; allowed: text without NUL and lone surrogates"
    if len(value) > MAX_VALUE:
        return f"found {len(value)} characters; allowed: at most {MAX_VALUE}"
    if parameter.enum is not None and value not in parameter.enum:
        return f"found {shown(value)}; allowed: one of {', '.join(parameter.enum)}"
    if parameter.pattern is not None and not matches(parameter.pattern, value):
        return f"found {shown(value)}; allowed: a full match of {parameter.pattern}"
    return None
