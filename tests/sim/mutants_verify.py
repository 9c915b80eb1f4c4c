# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into the comparison of whole networks: each is a kind of difference that would go unseen."""

MUTANTS = [
    {
        "file": "sim/verify.py",
        "old": "        if len(golden) != len(entries):\n",
        "new": "        if len(golden) < len(entries):\n",
        "test": "tests/sim/test_verify.py::test_wrong_entries_and_counts_are_named",
        "why": "a map that has lost its last entries passes",
    },
    {
        "file": "sim/verify.py",
        "old": 'for counter in ("cycles", "events", "rows", "waits"):',
        "new": 'for counter in ("cycles", "events", "waits"):',
        "test": "tests/sim/test_verify.py::test_wrong_entries_and_counts_are_named",
        "why": "the counter of rows is not compared",
    },
    {
        "file": "sim/verify.py",
        "old": "if (first := first_difference(model, wanted, trace)) is not None:",
        "new": "if (first := first_difference(model, wanted, wanted)) is not None:",
        "test": "tests/sim/test_verify.py::test_a_wrong_spike_is_named",
        "why": "golden is compared with itself",
    },
    {
        "file": "sim/verify.py",
        "old": '        return f"{missing[0]}: the rtl shows no such layer"',
        "new": "        pass",
        "test": "tests/sim/test_verify.py::test_a_missing_layer_is_named",
        "why": "a layer that the machine never shows passes",
    },
    {
        "file": "sim/verify.py",
        "old": "                network.reset()\n",
        "new": "",
        "test": "tests/sim/test_verify.py::test_no_answer_is_a_difference",
        "why": "after a hang the machine is not brought back to its start",
    },
    {
        "file": "ds2ta/records/designs.py",
        "old": '    return text + (json.dumps(loaded) if loaded else "")',
        "new": "    return text",
        "test": "tests/sim/test_rtl_runs.py::test_the_digest_sees_what_is_loaded",
        "why": "the record of a machine that is loaded does not notice another program",
    },
    {
        "file": "sim/harness.cpp",
        "old": "        if (!simulation.waves.isOpen()) return 3;\n",
        "new": "",
        "test": "tests/test_cli.py::test_waves",
        "why": "a run writes no waves and does not say so",
    },
    {
        "file": "sim/photos.py",
        "old": "np.floor(levels + 0.5)",
        "new": "np.floor(levels)",
        "test": "tests/sim/test_photos.py::test_levels_are_rounded_half_up_and_may_run_backwards",
        "why": "levels of a picture are cut off",
    },
    {
        "file": "sim/photos.py",
        "old": "top, left = (height - tall) // 2, (width - wide) // 2",
        "new": "top, left = 0, 0",
        "test": "tests/sim/test_photos.py::test_cropped_to_the_middle",
        "why": "the corner of a picture is cut out",
    },
    {
        "file": "sim/photos.py",
        "old": "picture = ImageOps.exif_transpose(file)",
        "new": "picture = file",
        "test": "tests/sim/test_photos.py::test_kinds_of_files",
        "why": "a turned photo lies on its side",
    },
    {
        "file": "sim/photos.py",
        "old": "np.minimum(edges[1:, None], pixels + 1)",
        "new": "np.minimum(edges[1:, None], pixels)",
        "test": "tests/sim/test_photos.py::test_scaled_by_what_a_pixel_covers",
        "why": "a picture moves by a pixel when it is scaled",
    },
    {
        "file": "sim/backends.py",
        "old": "key=lambda number: (-logits[number], number)",
        "new": "key=lambda number: (-logits[number], -number)",
        "test": "tests/sim/test_photos.py::test_names_and_the_best",
        "why": "of equal logits the higher class is named first",
    },
]
