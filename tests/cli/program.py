"""A library that only records what it is asked for, and what a run of the program leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.cli import documents


@dataclass
class Fake:
    """Records calls as (function, arguments); answers with `answers[function]`, a document, an exception or a call."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def answer(self, function: str, default: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        self.calls.append((function, arguments))
        answer = self.answers.get(function, default)
        if callable(answer):
            answer = answer(**arguments)
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)

    @property
    def last(self) -> dict[str, Any]:
        return self.calls[-1][1]

    def plan(self, source: str, options: Any, reporter: Any) -> dict[str, Any]:
        return self.answer("plan", documents.plan_document(source), source=source, options=options)

    def write_recipe(self, path: str, row: Any, coding: Any, forecasts: Any, *, force: bool) -> None:
        self.answer("write_recipe", {}, path=path, row=row, coding=coding, documents=forecasts, force=force)

    def encode(self, source: str, output: str, options: Any, reporter: Any) -> dict[str, Any]:
        document = documents.encode_document(source, output)
        return self.answer("encode", document, source=source, output=output, options=options, reporter=reporter)

    def decode(self, archive: str, output: str, options: Any, reporter: Any) -> dict[str, Any]:
        document = documents.decode_document(archive, output)
        return self.answer("decode", document, archive=archive, output=output, options=options, reporter=reporter)

    def chosen(self, archive: str, options: Any) -> list[str]:
        return list(self.answer("chosen", {"patch": None}, archive=archive, options=options))

    def inspect(self, path: str, *, reporter: Any = None, **arguments: Any) -> dict[str, Any]:
        return self.answer("inspect", documents.inspect_document(path), path=path, **arguments)

    def verify(self, path: str, *, reporter: Any, **arguments: Any) -> dict[str, Any]:
        return self.answer("verify", documents.verify_document(path), path=path, **arguments)

    def compare(self, reference: str, other: str, options: Any, reporter: Any) -> dict[str, Any]:
        document = documents.compare_document(reference, other)
        return self.answer("compare", document, reference=reference, other=other, options=options, reporter=reporter)

    def cat(self, inputs: list[str], output: str, **arguments: Any) -> dict[str, Any]:
        return self.answer("cat", documents.cat_document(inputs, output), inputs=inputs, output=output, **arguments)

    def split(self, archive: str, output: str | None, **arguments: Any) -> dict[str, Any]:
        return self.answer("split", documents.split_document(archive), archive=archive, output=output, **arguments)

    def repair(self, path: str, output: str, **arguments: Any) -> dict[str, Any]:
        return self.answer("repair", documents.repair_document(path, output), path=path, output=output, **arguments)

    def search(self, archives: list[str], query: str, options: Any, reporter: Any) -> dict[str, Any]:
        document = documents.search_document(query)
        return self.answer("search", document, archives=archives, query=query, options=options)

    def train(self, inputs: list[str], output: str, settings: Any, reporter: Any) -> dict[str, Any]:
        document = documents.train_document(output)
        return self.answer("train", document, inputs=inputs, output=output, settings=settings, reporter=reporter)


@dataclass(frozen=True)
class Result:
    """What a run of the program left: exit code, stdout, stderr."""

    exit: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Embdc = Callable[..., Result]
