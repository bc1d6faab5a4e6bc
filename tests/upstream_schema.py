"""The smallest value that a JSON schema accepts, for the scripted upstream's structured answers.

Covers what clients send: types, enum, const, properties, items, anyOf, oneOf, allOf and local references. It knows
nothing of the requests that the schemas come in.
"""

from typing import Any

Schema = dict[str, Any]

DEEPEST = 24


def instance(schema: Schema, root: Schema | None = None, *, depth: int = 0) -> Any:
    """A minimal instance: every declared property present, arrays as short as allowed, first alternatives."""
    root = schema if root is None else root
    if depth > DEEPEST:
        return None
    schema = resolve(schema, root)
    fixed = [*(schema[key] for key in ("const", "default") if key in schema), *schema.get("enum", ())]
    if fixed:
        return fixed[0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            options = [resolve(option, root) for option in schema[choice]]
            # A plain value ends the recursion of a linked list or tree.
            flat = [option for option in options if option.get("type") not in {"object", "array", None}]
            return instance((flat or options)[0], root, depth=depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        return {
            name: instance(part, root, depth=depth + 1) for name, part in schema.get("properties", {}).items()
        }
    if kind == "array":
        return [instance(schema.get("items") or {}, root, depth=depth + 1)] * (schema.get("minItems") or 0)
    return scalar(kind, schema)


def resolve(schema: Schema, root: Schema) -> Schema:
    """The schema with its local reference followed and its allOf parts merged."""
    while "$ref" in schema:
        target: Any = root
        for name in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            target = target[name] if name else target
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    for part in schema.get("allOf", ()):
        merged = resolve(part, root)
        properties = {**schema.get("properties", {}), **merged.get("properties", {})}
        schema = {**schema, **merged, **({"properties": properties} if properties else {})}
    return schema


def scalar(kind: str | None, schema: Schema) -> Any:
    """A number, string, boolean or null within the schema's bounds."""
    if kind in {"integer", "number"}:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        low = min(low, schema["maximum"]) if "maximum" in schema else low
        return max(int(low), low) if kind == "integer" else float(low)
    if kind == "string":
        formats = {"date": "2024-01-01", "date-time": "2024-01-01T00:00:00Z", "email": "a@example.com"}
        text = formats.get(schema.get("format", ""), "text").ljust(schema.get("minLength", 0), "x")
        return text[: schema.get("maxLength", len(text))]
    return {"boolean": True, "null": None}.get(kind or "", "text")
