"""Signatures of settings (pydantic models): names, plain types and defaults of their fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation


def fields(app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str, returns: str) -> Any:
    """What stands for the signature that pydantic gives, with its validators in it."""
    if what != "class" or not issubclass(thing, BaseModel):
        return None
    parts = [f"{name}: {stringify_annotation(field.annotation, 'smart')}{default(field)}"
             for name, field in thing.model_fields.items()]  # fmt: skip
    return f"(*, {', '.join(parts)})", returns


def default(field: Any) -> str:
    """`` = value``, or nothing where one has to be given."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return ""
    return f" = {type(value).__name__}()" if isinstance(value, BaseModel) else f" = {value!r}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-signature", fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
