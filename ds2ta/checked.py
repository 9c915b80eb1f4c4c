# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Checked configuration: pydantic, or `ds2ta/stand_in.py` where there is none, as on a machine that only trains."""

import json
from typing import TYPE_CHECKING, TypeVar

from ds2ta.errors import Ds2taError

__all__ = ["BaseModel", "ConfigDict", "Field", "ValidationError", "from_plain", "model_validator"]

if TYPE_CHECKING:
    from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
else:
    try:
        from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
    except ModuleNotFoundError:
        from ds2ta.stand_in import BaseModel, ConfigDict, Field, ValidationError, model_validator

_Model = TypeVar("_Model", bound="BaseModel")


def from_plain(kind: type[_Model], values: dict, what: str, error: type[Ds2taError]) -> _Model:
    """Checked construction from JSON-like data. Raises `error`, one line that begins with `what` and names the
    first bad key, its value and the limit."""
    try:
        # JSON has no tuples: strict mode takes lists for them only on this path
        return kind.model_validate_json(json.dumps(values, allow_nan=False))
    except ValidationError as found:
        first = found.errors()[0]
        rule = first["msg"].removeprefix("Value error, ")
        where = "".join(f"{part}: " for part in (what, ".".join(map(str, first["loc"]))) if part)
        if rule != first["msg"]:  # a rule over several keys: its message names them and their values
            raise error(f"{where}{rule}") from None
        raise error(f"{where}{rule} (got {first['input']!r:.80})") from None
    except (TypeError, ValueError, RecursionError) as found:
        raise error(f"{what}: not a JSON object ({found})") from None
