"""
The OpenAPI document of the management interface, made from its operations.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, get_origin

import msgspec

from pptpgw import __version__
from pptpgw.management.operation import BASE, Operation, Operations, Paging
from pptpgw.management.problem import MEDIA_TYPE, ProblemDetails

_REFERENCE = "#/components/schemas/{name}"


def document(operations: Operations) -> dict[str, Any]:
    """
    Describe the operations in C{operations} as an OpenAPI 3.1 document.
    """
    types = list(dict.fromkeys([ProblemDetails, Paging, *_types(operations)]))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    of = dict(zip(types, schemas, strict=True))
    _describe(types, components)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations.all:
        paths.setdefault(BASE + operation.path, {})[operation.method.lower()] = _operation(
            operation, of, components
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pptpgw",
            "version": __version__,
            "description": "Seeing and steering a running gateway.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _types(operations: Operations) -> Iterator[Any]:
    for operation in operations.all:
        yield from (
            one for one in (operation.answer, operation.body, operation.query) if one is not None
        )


def _operation(
    operation: Operation, of: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in operation.names
    ]
    queries = (operation.query, Paging) if operation.paged else (operation.query,)
    properties = [components[_component(one)].get("properties", {}) for one in queries]
    for name, schema in (one for some in properties for one in some.items()):
        schema = dict(schema)
        description = schema.pop("description", "")
        parameters.append(
            {"name": name, "in": "query", "schema": schema, "description": description}
        )
    described: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{operation.method.lower()}{operation.path}").strip(
            "_"
        ),
        "x-role": operation.role.name.lower(),
        "parameters": parameters,
        "responses": {
            **_success(operation, of),
            **{str(int(status)): _problem(words) for status, words in _problems(operation).items()},
        },
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": of[operation.body]}},
        }
    return described


def _success(operation: Operation, of: dict[Any, Any]) -> dict[str, Any]:
    if operation.stream:
        # OpenAPI 3.1 describes the whole of a stream, but not its events.
        described: dict[str, Any] = {"schema": {"type": "string"}}
        if operation.answer is not None:
            described["x-data-schema"] = of[operation.answer]
        return {"200": {"description": "The stream.", "content": {operation.stream: described}}}
    if operation.answer is None:
        return {"204": {"description": "It is done."}}
    content = {"application/json": {"schema": of[operation.answer]}}
    return {"200": {"description": "The answer.", "content": content}}


def _problems(operation: Operation) -> dict[HTTPStatus, str]:
    problems = {
        HTTPStatus.BAD_REQUEST: "The request can't be read, or asks for what there isn't.",
        HTTPStatus.UNAUTHORIZED: "The operator must log in.",
        HTTPStatus.FORBIDDEN: (
            f"The operator lacks the role {operation.role.name.lower()}, or a browser was tricked "
            "into the request."
        ),
        HTTPStatus.MISDIRECTED_REQUEST: "The Host is none of this gateway's.",
        HTTPStatus.TOO_MANY_REQUESTS: "There were too many wrong passwords or tokens.",
        HTTPStatus.INTERNAL_SERVER_ERROR: "The gateway failed; its log says more.",
        HTTPStatus.SERVICE_UNAVAILABLE: "Something that the answer needs doesn't respond.",
    }
    if operation.names:
        problems[HTTPStatus.NOT_FOUND] = "There is no such thing."
    if operation.method != "GET":
        problems[HTTPStatus.CONFLICT] = "The state of the gateway doesn't allow this."
    return problems | dict(operation.problems)


def _problem(words: str) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(name=ProblemDetails.__name__)}
    return {"description": words, "content": {MEDIA_TYPE: {"schema": schema}}}


def _component(one: Any) -> str:
    return str(msgspec.json.schema(one)["$ref"]).rpartition("/")[2]


def _describe(types: Iterable[Any], components: dict[str, Any]) -> None:
    """
    Give the schemas of C{types} and of their bases the descriptions that stand in their docstrings.
    """
    reached: set[Any] = set()
    for one in types:
        _reached(one, reached)
    for cls in reached:
        for component in _componentsOf(cls, components):
            for name, words in _fieldsOf(cls).items():
                if name in component.get("properties", {}):
                    component["properties"][name].setdefault("description", words)


def _componentsOf(cls: Any, components: dict[str, Any]) -> Iterator[Any]:
    """
    Return the schemas of C{cls}. A generic class has one for each type that it is used with, as
    C{Page_SessionView_}.
    """
    isGeneric = bool(getattr(cls, "__parameters__", ()))
    for name, component in components.items():
        if name == cls.__name__ or (isGeneric and name.startswith(f"{cls.__name__}_")):
            yield component


def _reached(one: Any, seen: set[Any]) -> None:
    """
    Add the Struct classes that the type C{one} consists of to C{seen}.
    """
    origin = get_origin(one) or one
    if inspect.isclass(origin) and issubclass(origin, msgspec.Struct) and origin not in seen:
        seen.add(origin)
        for name in msgspec.structs.fields(origin):
            _reached(name.type, seen)
    for argument in getattr(one, "__args__", ()):
        _reached(argument, seen)


def _fieldsOf(cls: type) -> dict[str, str]:
    """
    Return what the docstrings of C{cls} and its bases say of each C{@ivar}, in words.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        text = inspect.getdoc(base) or ""
        for name, words in re.findall(r"@ivar (\w+): ((?:.|\n)*?)(?=\n@|\n\n|\Z)", text):
            plain = re.sub(r"[CLI]{([^{}]*)}", r"\1", " ".join(words.split()))
            found[name] = plain[:1].upper() + plain[1:]
    return found
