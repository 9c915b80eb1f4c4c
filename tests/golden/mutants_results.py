# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into what counts, draws and publishes: figures that are wrong and look right."""

MUTANTS = [
    {
        "file": "golden/operations.py",
        "old": "words = np.bitwise_count(np.bitwise_or.reduce(value, axis=1))",
        "new": "words = np.minimum(np.bitwise_or.reduce(value, axis=1), 1)",
        "test": "tests/golden/test_operations.py::test_every_layer",
        "why": "a value of several bit planes counts as one word",
    },
    {
        "file": "golden/operations.py",
        "old": "padded = np.pad(ones, 1)",
        "new": 'padded = np.pad(ones, 1, mode="edge")',
        "test": "tests/golden/test_operations.py::test_every_layer",
        "why": "padding counts as work",
    },
    {
        "file": "golden/operations.py",
        "old": 'kept[:, block] = np.count_nonzero(trace[f"block.{block}.denoised"], axis=(1, 2, 3, 4))',
        "new": 'kept[:, block] = np.count_nonzero(trace[f"block.{block}.score"], axis=(1, 2, 3, 4))',
        "test": "tests/golden/test_sparsity.py::test_counts_are_those_of_the_slow_model",
        "why": "the map after NSAD is that before it",
    },
    {
        "file": "golden/sparsity.py",
        "old": "return E_AC * self.operations * (1.0 - self.denoised)",
        "new": "return E_AC * self.operations * (1.0 - self.score)",
        "test": "tests/golden/test_sparsity.py::test_energy",
        "why": "NSAD saves nothing",
    },
    {
        "file": "ds2ta/records/work.py",
        "old": "min(at + 1, size - 1) - max(at - 1, 0) + 1",
        "new": "3",
        "test": "tests/test_work.py::test_as_many_as_the_layers_have_operations",
        "why": "pixels at the edge are taken to be read by nine outputs",
    },
    {
        "file": "ds2ta/records/work.py",
        "old": "total += int(np.sum(bits)) * spec.outputs",
        "new": "total += int(np.sum(bits))",
        "test": "tests/test_work.py::test_as_many_as_the_layers_have_operations",
        "why": "of a linear layer one output alone is counted",
    },
    {
        "file": "sim/activity.py",
        "old": "golden.events[name] * tiles for",
        "new": "rtl.events[name] for",
        "test": "tests/sim/test_activity.py::test_a_wrong_count_is_found",
        "why": "the RTL is compared with itself",
    },
    {
        "file": "golden/plot.py",
        "old": "score=score[:, head].mean(axis=(0, 1))",
        "new": "score=score[:, head].mean(axis=(0, 2))",
        "test": "tests/golden/test_plot.py::test_maps_are_those_of_the_slow_model",
        "why": "the map shows who looks, not what is looked at",
    },
    {
        "file": "golden/figures.py",
        "old": "np.floor(place / step + 0.5)",
        "new": "np.floor(place / step)",
        "test": "tests/golden/test_plot.py::test_a_token_lies_over_the_pixels_that_it_is_pooled_from",
        "why": "the map lies half a token off",
    },
    {
        "file": "golden/figures.py",
        "old": '"svg.hashsalt": "ds2ta", ',
        "new": "",
        "test": "tests/golden/test_plot.py::test_another_process_and_another_taste_give_the_same_bytes[svg]",
        "why": "names inside of an SVG are drawn by lot",
    },
    {
        "file": "ds2ta/records/results_page.py",
        "old": '_percent(about["integer_accuracy"]),',
        "new": '_percent(about["quantized_accuracy"]),',
        "test": "tests/test_results.py::test_render_shows_a_change[model]",
        "why": "the accuracy of another network than that in the file",
    },
]
