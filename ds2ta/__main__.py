# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""`python -m ds2ta` is the command `ds2ta`."""

from ds2ta.commands.main import main

main()
