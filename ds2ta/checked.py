# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Checked configuration: pydantic, or `ds2ta/stand_in.py` where there is none, as on a machine that only trains."""

from typing import TYPE_CHECKING

__all__ = ["BaseModel", "ConfigDict", "Field", "ValidationError", "model_validator"]

if TYPE_CHECKING:
    from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
else:
    try:
        from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
    except ModuleNotFoundError:
        from ds2ta.stand_in import BaseModel, ConfigDict, Field, ValidationError, model_validator
