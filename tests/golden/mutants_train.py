# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into training: runs that go on otherwise than they would have, and data that lie otherwise."""

MUTANTS = [
    {
        "file": "golden/training/run.py",
        "old": "manual_seed(self.seed + epoch)",
        "new": "manual_seed(config.seed * 1_000_003 + epoch)",
        "test": "tests/golden/test_train_long.py::test_a_warm_start_sees_other_batches",
        "why": "a warm start sees the batches of the run before it once more",
    },
    {
        "file": "golden/training/run.py",
        "old": "generator.set_state(self.checkpoint.random)",
        "new": "pass",
        "test": "tests/golden/test_train_long.py::test_a_run_cut_at_any_place_goes_on_with_equal_losses",
        "why": "a resumed epoch draws its randomness anew",
    },
    {
        "file": "golden/training/run.py",
        "old": "restore(optimizer, self.network, self.checkpoint.optimizer)",
        "new": "pass",
        "test": "tests/golden/test_train_long.py::test_a_run_cut_at_any_place_goes_on_with_equal_losses",
        "why": "a resumed run has forgotten its moments",
    },
    {
        "file": "golden/training/run.py",
        "old": 'recent, counted = self.progress.get("recent", (0.0, 0))',
        "new": "recent, counted = 0.0, 0",
        "test": "tests/golden/test_train_long.py::test_a_run_cut_at_any_place_goes_on_with_equal_losses",
        "why": "the first line of the journal after a cut leaves steps out",
    },
    {
        "file": "golden/training/run.py",
        "old": "self.over = over or passed >= self.last",
        "new": "self.over = passed >= self.last",
        "test": "tests/golden/test_standalone.py::test_a_run_there_and_here_is_one_run",
        "why": "the clock ends no run",
    },
    {
        "file": "golden/training/optimizer.py",
        "old": "flat /= world()",
        "new": "pass",
        "test": "tests/golden/test_train_long.py::test_two_processes_have_the_losses_of_one",
        "why": "gradients of several processes are added up",
    },
    {
        "file": "golden/training/train.py",
        "old": 'and found.progress["epochs"] == theirs.epochs_float',
        "new": "",
        "test": "tests/golden/test_train_long.py::test_a_run_may_begin_at_the_end_of_a_float_phase",
        "why": "a finished run passes for the end of a float phase",
    },
    {
        "file": "golden/training/recipe.py",
        "old": "epoch -= start.epochs",
        "new": "pass",
        "test": "tests/golden/test_train.py::test_short_starts_follow_one_another",
        "why": "the second short start begins with the first",
    },
    {
        "file": "golden/training/journal.py",
        "old": '(row["epoch"], row["step"]) <= (epoch, step)',
        "new": 'row["epoch"] <= epoch',
        "test": "tests/golden/test_train_long.py::test_a_run_cut_at_any_place_goes_on_with_equal_losses",
        "why": "lines of steps that are trained again stay",
    },
    {
        "file": "golden/data/events.py",
        "old": "127 - ((address >> 8) & 127), 127 - ((address >> 1) & 127)",
        "new": "127 - ((address >> 1) & 127), 127 - ((address >> 8) & 127)",
        "test": "tests/golden/test_data_events.py::test_aedat2_bits",
        "why": "frames lie on their side",
    },
    {
        "file": "golden/training/spikformer.py",
        "old": "middle = middle - take(",
        "new": "middle = middle + take(",
        "test": "tests/golden/test_spikformer.py::test_imported_network_equals_the_original",
        "why": "a linear layer's bias goes the wrong way into the batch norm",
    },
    {
        "file": "ds2ta/stand_in.py",
        "old": "object.__setattr__(self, name, _built(hint, copy.copy(value)))",
        "new": "object.__setattr__(self, name, copy.copy(value))",
        "test": "tests/golden/test_standalone.py::test_a_run_there_and_here_is_one_run",
        "why": "without pydantic, groups of a recipe stay dictionaries",
    },
    {
        "file": "golden/training/release.py",
        "old": "(MODELS if own and CHECKOUT",
        "new": "(MODELS if CHECKOUT",
        "test": "tests/golden/test_train_release.py::test_only_the_preset_itself_goes_to_the_models",
        "why": "another seed takes the place of a shipped model",
    },
    {
        "file": "golden/training/run.py",
        "old": "EVALUATED_BYTES // (8 * _LIVE",
        "new": "EVALUATED_BYTES // (_LIVE",
        "test": "tests/golden/test_train_long.py::test_evaluation_fits_into_memory",
        "why": "evaluation takes eight times the memory that it may",
    },
]
