# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""JSON as records have it: indented, but one line for each list of numbers, so that differences can be read."""

import json
import re

__all__ = ["json_text"]


def json_text(value: object) -> str:
    """The text of a record."""
    text = json.dumps(value, indent=1)
    return re.sub(r"\[[-\d,\s]+\]", lambda at: re.sub(r"\s+", " ", at[0]), text) + "\n"
