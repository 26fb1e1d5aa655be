"""Count each operation of a compiled train step where it comes from; used by step_profile.py."""

from __future__ import annotations

import collections
import glob
import gzip
import json
import re

KINDS = PRODUCTS, SHIFTS, REST, UPDATE = (
    "matrix products and convolutions",
    "padding and shifted copies for them",
    "norms, activations, losses, sums of gradients",
    "optimizer and moving average",
)


def kinds_of(program: str) -> dict[str, str]:
    """Return the kind of each operation of a compiled program, by its name.

    Args:
        program: its text, as XLA writes it.
    """
    computations = {
        block.split()[0].lstrip("%"): set(re.findall(r" ([a-z][\w-]*)\(", block))
        for block in re.split(r"\n(?=%|ENTRY )", program)
    }
    kinds = {}
    for line in re.findall(r"^ +(?:ROOT )?(%?[\w.-]+ = .*)$", program.split("\nENTRY ")[1], re.MULTILINE):
        name, opcode = re.match(r"%?([\w.-]+) = .*? ([a-z][\w-]*)\(", line).groups()
        called = re.search(r"calls=%?([\w.-]+)", line)
        origin = re.search(r'op_name="([^"]*)"', line)
        opcodes = computations[called[1]] if called else {opcode}
        if opcodes & {"dot", "convolution", "custom-call"}:
            kinds[name] = PRODUCTS
        elif origin is None or "jvp" not in origin[1]:  # nothing that is differentiated
            kinds[name] = UPDATE
        else:
            kinds[name] = SHIFTS if re.search(r"conv[12]d", origin[1]) else REST
    return kinds


def milliseconds(folder: str, kinds: dict[str, str]) -> collections.Counter[str]:
    """Add up the times of a trace by kind."""
    (path,) = glob.glob(f"{folder}/**/*.trace.json.gz", recursive=True)
    with gzip.open(path) as file:
        events = json.load(file)["traceEvents"]
    total: collections.Counter[str] = collections.Counter()
    for event in events:
        if event.get("ph") == "X" and event["name"] in kinds:
            total[kinds[event["name"]]] += event["dur"] / 1e3
    return total
