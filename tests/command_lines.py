"""A line of every command that needs more than the base package; the extras that bring it; and the mistake in the
line that ends it there, where it would take minutes ("" for none)."""

__all__ = ["NEEDED"]

NEEDED = {
    "run digits-tiny digits --backend golden": ("train", ""),
    "run digits-tiny digits --backend rtl": ("sim", ""),
    "run digits-tiny digits --device nowhere": ("host", "nowhere"),
    "diff digits-tiny digits --left golden --right slow": ("train", ""),
    "diff digits-tiny digits --left golden": ("sim,train", ""),
    "build --board nowhere": ("fpga", "nowhere"),
    "flash --board nowhere": ("fpga", "nowhere"),
    "bench --out /dev/null/bench.json": ("sim,synth,train", "/dev/null"),
    "bench --only accuracy --out /dev/null/bench.json": ("train", "/dev/null"),
    "bench --only cycles --out /dev/null/bench.json": ("sim", "/dev/null"),
    "bench --only area --out /dev/null/bench.json": ("synth", "/dev/null"),
    "board --virtual --baud 1": ("host,sim", "Divisor must be"),
    "demo --images 65": ("host,sim", "1..64"),
    "train digits-tiny --device nowhere": ("train", "--device nowhere"),
    "quantize nowhere.safetensors out.safetensors": ("train", "nowhere.safetensors"),
    "import-spikformer nowhere.pth out.safetensors": ("train", "nowhere.pth"),
    "bench-training --preset nowhere": ("compare", "nowhere"),
    "sparsity digits-tiny --samples 2": ("train", ""),
    "sparsity digits-tiny --samples 2 --rtl 1": ("sim,train", ""),
    "plot digits-tiny --out figures": ("plot,train", ""),
    "verify digits-tiny --samples 1": ("sim,train", ""),
}
