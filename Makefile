# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

# Everything starts here; `make` alone lists the targets. Each target makes the environment that it needs.

VENV ?= .venv
JOBS ?= 2
SPIKINGJELLY := 2.0.0
BIN := $(VENV)/bin
PARTS := hw gateware golden sim fpga
$(if $(word 2,$(VENV)),$(error VENV must be a path without spaces (where the checkout lies does not matter), not '$(VENV)'))
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
PYTHONS ?= python3.11 python3.12 python3.13 python3 python

# the first interpreter that is Python 3.11 or later
find_python = for name in $(PYTHONS); do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$name; break; fi; done; \
	[ -n "$$found" ] || { echo "error: Python 3.11 or later is needed; none of these is: $(PYTHONS)" >&2; exit 2; }

.PHONY: help verilog demo check test test-long sim lint tree train pack bench speed gatesim docs pages pictures break
.PHONY: bitstream flash clean distclean
.DELETE_ON_ERROR:

help:  ## list the targets
	@echo "make TARGET, where TARGET is one of (times: 2 cores; the first to need the environment makes it, 2 min)"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile

verilog: $(VENV)/base.stamp  ## write the Verilog of the accelerators of both digit networks to build/verilog/ (10 s)
	@$(BIN)/ds2ta verilog --out build/verilog

demo: $(VENV)/demo.stamp  ## classify 20 digits on a simulated board, through its UART, compare with golden (15 s)
	@$(BIN)/ds2ta demo

check: $(VENV)/test.stamp  ## run the quickest tests of every folder, for work in between (3 min)
	$(PYTEST) --check

test: $(VENV)/test.stamp  ## run all tests; docs/long-runs.json answers for those that take longest (12 min; in a fresh clone 14)
	$(PYTEST) --durations 10

test-long: $(VENV)/test.stamp  ## run those that take longest, such as a whole bitstream, and record them (18 min of one core, by the records)
	$(PYTEST) -m long --record-long --durations 0 --timeout 5400

sim: $(VENV)/test.stamp  ## run the simulations alone: every block, every shipped network, random networks (7 min)
	$(PYTEST) tests/hw tests/gateware tests/sim

lint: $(VENV)/test.stamp tree  ## check style, formatting and types (2 s)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tree:  ## lay out the package in build/tree/ as it is imported, links alone, for type checkers and editors (1 s)
	@rm -rf build/tree && mkdir -p build/tree/ds2ta
	@for path in ds2ta/* $(PARTS); do ln -s "../../../$$path" build/tree/ds2ta/; done

train: $(VENV)/test.stamp  ## train the digit networks anew and quantize them into models/ (hours)
	$(BIN)/ds2ta train digits-tiny
	$(BIN)/ds2ta train digits-small

pack:  ## write build/ds2ta-train.pyz: training for a machine with torch, numpy and safetensors alone (1 s)
	@$(find_python); \
	rm -rf build/pack && mkdir -p build/pack/ds2ta && \
	cp ds2ta/*.py build/pack/ds2ta && cp -R golden build/pack/ds2ta/golden && \
	find build/pack -name __pycache__ -prune -exec rm -rf {} + && \
	$$found -m zipapp build/pack --compress --main ds2ta.golden.training.standalone:main --output build/ds2ta-train.pyz && \
	echo build/ds2ta-train.pyz

bench: $(VENV)/test.stamp  ## print every figure: accuracy, cycles, utilization, area, speed of the simulators (4 min)
	$(BIN)/ds2ta bench

speed: $(VENV)/test.stamp  ## time training and evaluation side by side with SpikingJelly (minutes; leave the machine alone)
	$(BIN)/ds2ta bench-training --threads 1 --threads 2

gatesim: $(VENV)/test.stamp  ## simulate the mapped netlists of the boards' accelerators, record it in docs/gates.json (6 s where none changed)
	$(BIN)/python -m ds2ta.records.gate_runs

docs: $(VENV)/docs.stamp  ## build the documents as pages in build/site/, warnings as errors (7 s)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo build/site/index.html

pages: $(VENV)/test.stamp  ## write the documents that are made from the code anew: commands, registers, tables (2 s)
	$(BIN)/python -m ds2ta.commands.page
	$(BIN)/python -m ds2ta.gateware.register_pages docs
	$(BIN)/ds2ta results --record

pictures: $(VENV)/test.stamp  ## draw docs/pictures/ anew (20 s)
	$(BIN)/python -m ds2ta.records.pictures
	$(BIN)/ds2ta demo --images 5 --svg docs/pictures/demo.svg

break: $(VENV)/test.stamp  ## plant known bugs, one after another, and demand that a test finds each
	$(BIN)/python tests/mutation.py --jobs $(JOBS)

bitstream: $(VENV)/fpga.stamp  ## build the bitstream of BOARD=icebreaker, ulx3s_85f, ulx3s_25f, orangecrab, or all (icebreaker 3 min, the others longer)
	@$(BIN)/ds2ta build --board '$(BOARD)'

flash: $(VENV)/fpga.stamp  ## load the bitstream of BOARD=... into the board on USB
	@$(BIN)/ds2ta flash --board '$(BOARD)'

clean:  ## remove everything that was built (not the environment)
	rm -rf build

distclean: clean  ## remove the environment too
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(find_python); \
	$$found -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "error: $$found has no working venv module; on Debian: apt-get install python3-venv" >&2; exit 2; }

# the base package: enough for Verilog, no torch
$(VENV)/base.stamp: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable .
	@touch $@

# the simulated board and the driver that talks to it; no torch
$(VENV)/demo.stamp: pyproject.toml $(VENV)/base.stamp
	$(PIP) install --editable '.[host,sim]'
	@touch $@

# bitstreams: synthesis, place and route, all from PyPI; no torch
$(VENV)/fpga.stamp: pyproject.toml $(VENV)/base.stamp
	$(PIP) install --editable '.[fpga]'
	@touch $@

# the documents as pages; no torch
$(VENV)/docs.stamp: pyproject.toml $(VENV)/base.stamp
	$(PIP) install --editable '.[docs]'
	@touch $@

# all that tests, training and benchmarks need; SpikingJelly, the peer of `speed`, without the torchvision, torchaudio
# and plotting that it asks for: its neurons and layers need none of them
$(VENV)/test.stamp: pyproject.toml $(VENV)/base.stamp
	$(PIP) install --editable '.[test]'
	$(PIP) install --no-deps spikingjelly==$(SPIKINGJELLY)
	@touch $@
