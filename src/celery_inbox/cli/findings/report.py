"""Findings, by how bad they are."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    inbox: str | None
    """Its name; None for what concerns the whole app."""
    subject: str
    found: str
    remedy: str = ""
    """What to do; empty when nothing is to be done."""


@dataclass(slots=True)
class Report:
    """What ``check`` found out."""

    errors: list[Finding] = field(default_factory=list)
    """An inbox cannot work, or loses what it promised to keep."""
    warnings: list[Finding] = field(default_factory=list)
    """It works, but not as well as it could, or nobody can tell."""
    passed: list[Finding] = field(default_factory=list)
    redis_away: bool = False

    @property
    def is_healthy(self) -> bool:
        """No errors; warnings are allowed."""
        return not self.errors


class Section:
    """The part of a report that is about one inbox, or about the app."""

    def __init__(self, report: Report, inbox: str | None) -> None:
        self.report = report
        self.inbox = inbox

    def ok(self, subject: str, found: str) -> None:
        """Note what is as it should be."""
        self.report.passed.append(Finding(self.inbox, subject, found))

    def warn(self, subject: str, found: str, remedy: str) -> None:
        """Note what should be better."""
        self.report.warnings.append(Finding(self.inbox, subject, found, remedy))

    def error(self, subject: str, found: str, remedy: str) -> None:
        """Note what must be mended."""
        self.report.errors.append(Finding(self.inbox, subject, found, remedy))
