"""As much of PromQL as is needed to find which metrics and labels an expression reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<range>\[[^\]]*\])
    | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:ms|[smhdwy])?)
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^(){},=<>])
    )""",
    re.VERBOSE,
)
_FUNCTIONS: Final = frozenset(
    {
        "abs", "avg", "changes", "clamp_min", "count", "deriv", "histogram_quantile", "increase", "max", "min", "rate",
        "sum", "time", "topk",
    }
)  # fmt: skip
_GROUPINGS: Final = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_OPERATORS: Final = frozenset({"and", "or", "unless", "bool", "offset"})


class NotPromQLError(Exception):
    """The text is no PromQL expression; the message says where."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label."""

    label: str
    sign: str
    value: str

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels fits."""
        found = labels.get(self.label, "")
        if self.sign in {"=", "!="}:
            return (found == self.value) is (self.sign == "=")
        return (re.fullmatch(self.value, found) is not None) is (self.sign == "=~")


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric that an expression reads."""

    metric: str
    matchers: tuple[Matcher, ...]


@dataclass(frozen=True, slots=True)
class Reads:
    """What an expression reads."""

    selectors: tuple[Selector, ...]
    groupings: frozenset[str]
    """Labels that it groups or matches by."""


def reads(expression: str) -> Reads:
    """What ``expression`` reads. NotPromQLError when a character, a bracket or a word is out of place."""
    tokens = list(_tokens(expression))
    _check_brackets(tokens, expression)
    selectors: list[Selector] = []
    groupings: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, token = tokens[at]
        at += 1
        if kind != "name" or token in _OPERATORS:
            continue
        following = tokens[at][1] if at < len(tokens) else ""
        if token in _GROUPINGS:
            end = tokens.index(("sign", ")"), at)
            groupings.update(name for kind, name in tokens[at:end] if kind == "name")
            at = end + 1
        elif following == "(" or (token in _FUNCTIONS and following in _GROUPINGS):
            if token not in _FUNCTIONS:
                raise NotPromQLError(f"{token} is no function known here, in {expression}")
        elif following == "{":
            end = tokens.index(("sign", "}"), at)
            selectors.append(Selector(token, tuple(_matchers(tokens[at + 1 : end], expression))))
            at = end + 1
        else:
            selectors.append(Selector(token, ()))
    if not selectors:
        raise NotPromQLError(f"no metric in {expression}")
    return Reads(tuple(selectors), frozenset(groupings))


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise NotPromQLError(f"cannot be read from {text[at : at + 20]!r} on: {expression}")
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def _check_brackets(tokens: Sequence[tuple[str, str]], expression: str) -> None:
    open_ones: list[str] = []
    for kind, token in tokens:
        if kind == "sign" and token in "({":
            open_ones.append(token)
        elif kind == "sign" and token in ")}" and (not open_ones or open_ones.pop() + token not in {"()", "{}"}):
            raise NotPromQLError(f"brackets do not fit in {expression}")
    if open_ones:
        raise NotPromQLError(f"a bracket is not closed in {expression}")


def _matchers(tokens: Sequence[tuple[str, str]], expression: str) -> Iterator[Matcher]:
    for start in range(0, len(tokens), 4):
        part = tokens[start : start + 4]
        if [kind for kind, _ in part[:3]] != ["name", "sign", "text"] or (len(part) == 4 and part[3][1] != ","):
            raise NotPromQLError(f"the condition {part} cannot be read in {expression}")
        yield Matcher(part[0][1], part[1][1], part[2][1][1:-1])
