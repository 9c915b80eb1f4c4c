# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into what a user meets who has installed little, or has spaces in paths."""

MUTANTS = [
    {
        "file": "ds2ta/extras.py",
        "old": "return min(choices",
        "new": "return max(choices",
        "test": "tests/test_extras.py::test_smallest",
        "why": "torch is brought to where a serial port is wanted",
    },
    {
        "file": "ds2ta/extras.py",
        "old": 'inner[extra] |= set(parts.split(","))',
        "new": "pass",
        "test": "tests/test_extras.py::test_extras_inside_of_extras_count",
        "why": "what an extra brings by another one is not seen",
    },
    {
        "file": "ds2ta/commands/results.py",
        "old": 'require(*data_needs(data), "matplotlib")',
        "new": "require(*data_needs(data))",
        "test": "tests/test_wheel.py::test_a_command_that_needs_more_names_the_extras",
        "why": "plot names extras that are not enough",
    },
    {
        "file": "pyproject.toml",
        "old": '"digits.npy", ',
        "new": "",
        "test": "tests/test_wheel.py::test_the_wheel_holds_the_modules_and_their_data",
        "why": "the wheel has no samples",
    },
    {
        "file": "ds2ta/commands/options.py",
        "old": 'if has("torch"):',
        "new": "if True:",
        "test": "tests/test_wheel.py::test_run_without_torch",
        "why": "without torch, run asks for it",
    },
    {
        "file": "golden/training/fused.py",
        "old": 'shlex.quote(str(Path(torch.__file__).parent / "lib"))',
        "new": 'str(Path(torch.__file__).parent / "lib")',
        "test": "tests/golden/test_fused.py::test_torch_may_lie_in_a_folder_with_a_space",
        "why": "compiled training fails to link",
    },
]
