"""The documentation page: every door's operations from its OpenAPI document, in plain HTML without scripts."""

from collections.abc import Sequence
from html import escape
from typing import Any

from bursar.http.door import Door
from bursar.http.openapi import document

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2430; }
code, pre { font: 13px/1.45 ui-monospace, monospace; background: #f3f5f8; border-radius: 4px; }
code { padding: .1em .3em; } pre { padding: .8em; overflow-x: auto; }
summary { cursor: pointer; padding: .35em 0; } details { border-bottom: 1px solid #e3e7ee; }
.method { display: inline-block; width: 4.5em; font-weight: 600; color: #0b5cad; } .muted { color: #66707f; }
table { border-collapse: collapse; } td { padding: .15em 1em .15em 0; vertical-align: top; }
"""


def page(doors: Sequence[Door]) -> str:
    """One HTML page for all doors."""
    body = "".join(_door(door) for door in doors)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Bursar API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>Bursar API</h1>{body}</body></html>"
    )


def _door(door: Door) -> str:
    content = document(door)
    tags: dict[str, list[str]] = {}
    for path, methods in content["paths"].items():
        for method, entry in methods.items():
            entry["parameters"] = [_named(parameter, content) for parameter in entry["parameters"]]
            tags.setdefault(entry["tags"][0], []).append(_operation(path, method, entry))
    sections = "".join(f"<h3>{escape(tag)}</h3>{''.join(rows)}" for tag, rows in sorted(tags.items()))
    schemas = "".join(
        f'<tr id="{door.name}-{escape(name)}"><td><code>{escape(name)}</code></td><td>{_fields(schema, door)}</td></tr>'
        for name, schema in sorted(content["components"]["schemas"].items())
    )
    return (
        f"<h2>{escape(door.title)}</h2><p>{escape(door.description)} "
        f'<a href="/openapi/{door.name}.json">OpenAPI 3.1</a></p>{sections}'
        f"<details><summary>Schemas</summary><table>{schemas}</table></details>"
    )


def _operation(path: str, method: str, entry: dict[str, Any]) -> str:
    success = next(iter(entry["responses"]))
    body = _schema(entry.get("requestBody", {}))
    reply = _schema(entry["responses"][success])
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td class=muted>{p['in']}</td><td>{_type(p['schema'])}</td></tr>"
        for p in entry["parameters"]
    )
    return (
        f"<details><summary><span class=method>{method.upper()}</span><code>{escape(path)}</code> "
        f"{escape(entry['summary'])}</summary><table>{rows}</table>"
        f"<p>Takes {_type(body) if body else 'no body'}; answers <code>{success}</code> "
        f"{_type(reply) if reply else ''}; scope <code>{escape(entry.get('x-scope', 'none'))}</code>.</p></details>"
    )


def _named(parameter: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may stand among the document's components."""
    if "$ref" not in parameter:
        return parameter
    return dict(content["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[1]])


def _schema(part: dict[str, Any]) -> Any:
    """The schema of a body or an answer, whatever its media type; None where it has none."""
    return next((content["schema"] for content in part.get("content", {}).values()), None)


def _fields(schema: dict[str, Any], door: Door) -> str:
    required = set(schema.get("required", []))
    rows = [
        f"<code>{escape(name)}</code>{'' if name in required else ' <span class=muted>optional</span>'}: {_type(kind)}"
        for name, kind in schema.get("properties", {}).items()
    ]
    return "<br>".join(rows) or _type(schema)


def _type(schema: Any) -> str:
    if "$ref" in schema:
        return f"<code>{escape(schema['$ref'].rsplit('/', 1)[1])}</code>"
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    limits = [f"{key} {schema[key]}" for key in ("minLength", "maxLength", "minimum", "maximum") if key in schema]
    suffix = f" <span class=muted>({escape(', '.join(limits))})</span>" if limits else ""
    return escape(str(schema.get("format") or schema.get("type") or "any")) + suffix
