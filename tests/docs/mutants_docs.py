# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Bugs planted into what makes documents: pages that are wrong and look right."""

MUTANTS = [
    {
        "file": "ds2ta/records/figures_page.py",
        "old": "{run['samples'] - run['mismatches']} of",
        "new": "{run['samples']} of",
        "test": "tests/test_figures.py::test_a_changed_figure_shows",
        "why": "the README says that all samples were equal, whatever the run saw",
    },
    {
        "file": "ds2ta/records/figures_page.py",
        "old": 'key=lambda board: board["images_per_second"]',
        "new": 'key=lambda board: -board["images_per_second"]',
        "test": "tests/test_figures.py::test_pages_show_what_is_on_record",
        "why": "the slowest board of a model is shown as its fastest",
    },
    {
        "file": "ds2ta/records/markdown.py",
        "old": "    if found != 1:\n",
        "new": "    if found > 1:\n",
        "test": "tests/test_figures.py::test_a_page_must_have_its_region_once",
        "why": "a page that has lost the marks of a table keeps its old numbers for ever",
    },
    {
        "file": "ds2ta/records/site.py",
        "old": "        if not (root / path).exists():\n",
        "new": "        if not path:\n",
        "test": "tests/docs/test_site.py::test_a_link_to_nothing_is_a_warning",
        "why": "a link to a file that was renamed becomes plain text, and nobody hears of it",
    },
    {
        "file": "ds2ta/records/diagram.py",
        "old": '    ("engine", "head"),\n',
        "new": "",
        "test": "tests/docs/test_pictures.py::test_block_diagram_is_the_netlist",
        "why": "the block diagram lacks an arrow that the accelerator has",
    },
    {
        "file": "gateware/accelerator.py",
        "old": "_join(m, part.tasa.o, part.parameters.i)",
        "new": "_join(m, part.engine.o, part.parameters.i)",
        "test": "tests/docs/test_pictures.py::test_block_diagram_is_the_netlist",
        "why": "the accelerator lacks a connection that the block diagram has",
    },
    {
        "file": "fpga/frames.py",
        "old": "    SAMPLE = 0x04\n",
        "new": "    SAMPLE = 0x05\n",
        "test": "tests/test_house.py::test_versions_rise_with_what_they_stand_for",
        "why": "frames change and their version does not",
    },
    {
        "file": "ds2ta/commands/page.py",
        "old": 'not record[0].startswith("--help")]',
        "new": 'not record[0].startswith("--r")]',
        "test": "tests/docs/test_commands.py::test_page_is_what_help_says",
        "why": "the page of commands lacks options",
    },
]
