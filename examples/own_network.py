# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""A network of one's own, from its description to RTL that gives the same spikes: python own_network.py [FOLDER]"""

import sys
from pathlib import Path

from ds2ta.gateware.compiler import fit
from ds2ta.golden import slow
from ds2ta.golden.data.sets import load_data
from ds2ta.golden.integer import IntegerNetwork, classify
from ds2ta.golden.quantize import quantize
from ds2ta.golden.training.recipe import TrainingConfig
from ds2ta.golden.training.train import train
from ds2ta.modelfile import save_model
from ds2ta.network import InputSpec, Network, StemConv
from ds2ta.sim.network import RtlNetwork

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/examples")
folder.mkdir(parents=True, exist_ok=True)

# A small DS2TA: two convolutions, one encoder block of two heads, two time steps.
network = Network(
    name="own",
    input=InputSpec(kind="image", channels=1, height=8, width=8, bits=5),
    time_steps=2,
    stem=(StemConv(channels=8, pool=True), StemConv(channels=16, pool=False)),
    embed_dim=16,
    heads=2,
    depth=1,
    hidden_dim=32,
    window=2,
    residual="add",
    nsad=True,
    classes=10,
)

# A few epochs in float, a few on the integer grid; the shipped models take a hundred.
recipe = TrainingConfig(data="digits", epochs_float=12, epochs_quantized=5, epochs_frozen=1, batch=32)
checkpoint = train(network, recipe, path=folder / "own.safetensors")

# Integers: what the hardware runs. The file carries a few held-out samples, for tests.
data = load_data("digits")
model = quantize(
    checkpoint.network,
    samples=data.test_samples[:8],
    labels=data.test_labels[:8],
    provenance={"made_by": "examples/own_network.py", "data": "digits"},
)
save_model(model, folder / "own-integer.safetensors")
right = classify(IntegerNetwork(model).run(data.test_samples)) == data.test_labels
print(f"{100 * right.mean():.1f} % of {len(right)} held-out digits, as integers of {recipe.bits} bits")

# A machine that holds it, and its Verilog in a simulator: every layer that it shows must be golden's.
machine, program = fit(model, lanes=8, row_lanes=8, drain_lanes=4)
with RtlNetwork(model, machine, program=program) as rtl:
    for number, sample in enumerate(model.samples[:2]):
        result, wanted = rtl.run(sample, trace=True), slow.run(model, sample)
        differ = [name for name, spikes in result.trace.items() if (spikes != wanted[name]).any()]
        same = result.logits.tolist() == wanted["logits"].tolist()
        print(
            f"sample {number}: class {result.class_index}, label {model.labels[number]}, {result.cycles} cycles, "
            f"{len(result.trace) - len(differ)} of {len(result.trace)} layers equal to golden, logits "
            f"{'equal' if same else 'DIFFERENT'}"
        )
        if differ or not same:
            sys.exit(1)
