# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""What training needs of pydantic, for a machine that has only torch, numpy and safetensors.

It fills in defaults, builds nested groups, refuses unknown keys and numbers beyond their limits, and runs the
validators. It does not check types, patterns or lengths: whoever writes a recipe has pydantic. What it dumps is
what pydantic dumps (`tests/golden/test_standalone.py`), so that checkpoints are the same files.
"""

import copy
import json
import operator
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

__all__ = ["BaseModel", "ConfigDict", "Field", "ValidationError", "model_validator"]

_REQUIRED = object()
_COMPARISONS = ("ge", "gt", "le", "lt")  # the names of pydantic's limits, and of the functions in `operator`


class ValidationError(ValueError):
    """One error, told as pydantic tells the first of its own."""

    def __init__(self, loc: tuple, msg: str, given: Any):
        super().__init__(msg)
        self._error = {"loc": loc, "msg": msg, "input": given}

    def errors(self) -> list[dict]:
        return [self._error]


class _Info:
    def __init__(self, default: Any, limits: dict):
        self.default, self.limits = default, limits


def Field(default: Any = _REQUIRED, **limits: Any) -> Any:  # noqa: N802 (pydantic's name)
    """Default and limits of a field."""
    return _Info(default, limits)


def ConfigDict(**settings: Any) -> dict:  # noqa: N802
    """Settings of a model; here all models are frozen and refuse unknown keys."""
    return settings


def model_validator(*, mode: str):
    """Mark a method that is called on a finished model; the only mode here is "after"."""
    assert mode == "after"

    def mark(method):
        method.validates = True
        return method

    return mark


def _built(hint: Any, value: Any) -> Any:
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        group = isinstance(value, dict)  # a choice between plain values and a group of them
        kinds = [kind for kind in inner if (isinstance(kind, type) and issubclass(kind, BaseModel)) is group]
        return None if value is None else _built((kinds or inner)[0], value)
    if get_origin(hint) is tuple:
        return tuple(_built(inner[0], item) for item in value)
    if isinstance(hint, type) and issubclass(hint, BaseModel) and not isinstance(value, hint):
        return hint(**value)
    return value


def _plain(value: Any, **options: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(**options)
    if isinstance(value, tuple):
        return [_plain(item, **options) for item in value]
    return copy.copy(value)


class BaseModel:
    """Frozen, equal by value."""

    @classmethod
    def _fields(cls) -> dict[str, Any]:
        return {name: hint for name, hint in get_type_hints(cls).items() if not name.startswith("_")}

    def __init__(self, **values: Any):
        fields = self._fields()
        if unknown := sorted(set(values) - set(fields)):
            raise ValidationError((unknown[0],), "Extra inputs are not permitted", values[unknown[0]])
        for name, hint in fields.items():
            info = getattr(type(self), name, _REQUIRED)
            info = info if isinstance(info, _Info) else _Info(info, {})
            value = values.get(name, info.default)
            if value is _REQUIRED:
                raise ValidationError((name,), "Field required", values)
            for rule in _COMPARISONS:
                limited = rule in info.limits and value is not None
                if limited and not getattr(operator, rule)(value, info.limits[rule]):
                    raise ValidationError((name,), f"Input should be {rule} {info.limits[rule]}", value)
            object.__setattr__(self, name, _built(hint, copy.copy(value)))
        for part in type(self).__mro__:
            for method in vars(part).values():
                if getattr(method, "validates", False):
                    self._validate(method)

    def _validate(self, method) -> None:
        try:
            method(self)
        except ValueError as error:
            raise ValidationError((), f"Value error, {error}", self) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} stays as it is")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def model_dump(self, *, mode: str = "python", exclude_none: bool = False) -> dict:
        """Plain data as of mode "json": groups as dictionaries, tuples as lists."""
        found = {name: _plain(value, mode=mode, exclude_none=exclude_none) for name, value in vars(self).items()}
        return {name: value for name, value in found.items() if value is not None or not exclude_none}

    def model_copy(self, *, update: dict) -> "BaseModel":
        """A copy with other values, which are not checked, as in pydantic."""
        found = copy.copy(self)
        vars(found).update(update)
        return found

    @classmethod
    def model_validate(cls, values: dict) -> "BaseModel":
        return cls(**values)

    @classmethod
    def model_validate_json(cls, text: str) -> "BaseModel":
        return cls(**json.loads(text))
