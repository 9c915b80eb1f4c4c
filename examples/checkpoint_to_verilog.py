# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""From a trained checkpoint to Verilog and its result: python checkpoint_to_verilog.py [CHECKPOINT] [FOLDER]

Without arguments it takes the float checkpoint of `cifar-ecp5` and puts it on a small machine of 16 lanes.
"""

import sys
from pathlib import Path

from ds2ta.files import MODELS, model_path
from ds2ta.gateware.compiler import fit
from ds2ta.gateware.cycles import predict, total_cycles
from ds2ta.gateware.export import export
from ds2ta.golden import slow
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training.checkpoint import load_checkpoint
from ds2ta.modelfile import load_model
from ds2ta.sim.expected import shown_run
from ds2ta.sim.network import RtlNetwork

path = Path(sys.argv[1] if len(sys.argv) > 1 else MODELS / "float" / "cifar-ecp5.safetensors")
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "build/examples/verilog")

# A checkpoint is a float network with its recipe. Samples for CIFAR come from the shipped integer model, so that
# nobody needs the data set itself.
network = load_checkpoint(path).network
if network.config.data == "digits":
    samples, labels = load_data("digits").test_samples[:2], load_data("digits").test_labels[:2]
else:
    shipped = load_model(model_path(network.network.name))
    samples, labels = shipped.samples[:2], shipped.labels[:2]
model = quantize(
    network, samples=samples, labels=labels, provenance={"made_by": "examples/checkpoint_to_verilog.py"}
)

# The smallest machine of so many lanes that holds this model, with the model in its RAMs; the program for it.
machine, program = fit(model, lanes=16, row_lanes=8, drain_lanes=4, weights="ram", tables="ram")
wanted = slow.run(model, samples[0])
cycles = total_cycles(predict(program, machine, samples[0], wanted))
shown = shown_run(model, machine, program, samples[0])  # for the test bench beside the Verilog
sidecar = export(model, machine, program, folder, predicted=[cycles], run=shown)
print(f"{folder}: {len(sidecar['files'])} files, top {sidecar['top']}, SHA-256 {sidecar['sha256'][:16]}")

# The same Verilog in a simulator, behind a small C++ program.
with RtlNetwork(model, machine, program=program) as rtl:
    result = rtl.run(samples[0])
print(f"class {result.class_index}, label {labels[0]}, {result.cycles} cycles, {cycles} predicted")
print(f"logits of the Verilog {result.logits.tolist()}")
print(f"logits of golden      {wanted['logits'].tolist()}")
if result.logits.tolist() != wanted["logits"].tolist() or result.cycles != cycles:
    sys.exit("the Verilog differs from golden")
