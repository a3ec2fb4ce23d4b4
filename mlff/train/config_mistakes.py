"""What is wrong with a training configuration, in one sentence, with the key that was meant where one is misspelt."""

from __future__ import annotations

import difflib
import types
import typing

from pydantic import BaseModel, ValidationError

ALIASES = {"lr": "learning_rate", "num_epochs": "epochs", "max_epochs": "epochs", "output": "out", "rho": "energy"}
"""What other packages call some of the keys, for the hint that follows a wrong one."""


def in_words(error: ValidationError, configuration: type[BaseModel]) -> str:
    """The first thing wrong with a configuration, as one sentence that names the key, and the one that was meant."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        parent = ".".join(location[:-1])
        known = _keys(configuration)
        siblings = [name for name in known if name.rpartition(".")[0] == parent]
        meant = ".".join([*location[:-1], ALIASES.get(location[-1], location[-1])])
        guess = difflib.get_close_matches(meant, siblings, 1, 0.6) or _by_last_word(location[-1], known)
        hint = f"did you mean `{guess[0]}`?" if guess else f"the keys there are {', '.join(siblings)}"
        return f"there is no key `{key}` in the training configuration: {hint}"
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if first["type"] == "value_error":
        return f"`{key}`: {message}" if key and not message.startswith("`") else message
    return f"`{key}` is {first['input']!r}, but {message[0].lower()}{message[1:]}".replace("but input", "but it")


def _by_last_word(word: str, known: list[str]) -> list[str]:
    """Keys of any section whose last word is near to `word`: finds ``optimizer.learning_rate`` for ``learning_rate``."""
    words: dict[str, str] = {}
    for name in known:
        words.setdefault(name.rpartition(".")[2], name)
    return [words[match] for match in difflib.get_close_matches(ALIASES.get(word, word), list(words), 1, 0.7)]


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for name, field in section.model_fields.items():
        names.append(f"{prefix}{name}")
        inner = field.annotation
        if not isinstance(inner, types.UnionType) and isinstance(inner, type) and typing.get_origin(inner) is None:
            if issubclass(inner, BaseModel):
                names += _keys(inner, f"{prefix}{name}.")
    return names
