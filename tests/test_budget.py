"""The compiled train step against a budget of work, which noise on a machine does not change."""

import re

import numpy as np
import pytest

from gst_jax import config
from gst_jax.learning import stepping
from gst_jax.learning.convolution_1d import multiplies_bfloat16

# Of one step on a CPU: arithmetic, memory read and written as XLA counts them, the operations of the program, and
# those of its matrix products that XLA does not leave to YNNPACK, which alone multiplies bfloat16.
# jax 0.10.2 and 0.11.2 differ by less than the margin. Lower a budget when the step gets cheaper.
MARGIN = 1.1
BUDGETS = {
    "frames float32": {"GFLOP": 6.64, "megabytes": 1666, "operations": 1068},
    "frames bfloat16": {"GFLOP": 6.66, "megabytes": 1618, "operations": 1396, "plain products": 10},
    "pictures float32": {"GFLOP": 30.1, "megabytes": 5079, "operations": 1876},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUDGETS)
def test_the_step_stays_within_its_budget(name):
    file, precision = name.split()
    if precision == "bfloat16" and not multiplies_bfloat16():
        pytest.skip("XLA casts back and forth on this processor")
    settings = config.load(file, [f"training.precision={precision}"])
    shape = (settings.training.batch_size, settings.audio.segment_frames, settings.audio.n_mels)
    batch = {part: np.zeros(shape, np.float32) for part in ("a", "b", "real_a", "real_b")}
    step, _ = stepping.compile_step(settings, stepping.place(settings), batch)
    found = counted(step)
    print(name, found)
    over = {what: found[what] for what, most in BUDGETS[name].items() if found[what] > MARGIN * most}
    assert not over, f"the step of {name} costs {found}, its budget is {BUDGETS[name]}"


def counted(step):
    """Return what one call of a compiled step costs."""
    cost = step.cost_analysis()
    main = step.as_text().split("ENTRY ")[1]
    kinds = re.findall(r"^ +(?:ROOT )?%?[\w.-]+ = .*? ([a-z][\w-]*)\(", main, re.MULTILINE)
    free = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
    return {
        "GFLOP": cost["flops"] / 1e9,
        "megabytes": cost["bytes accessed"] / 1e6,
        "operations": sum(kind not in free for kind in kinds),
        "plain products": kinds.count("dot"),
    }
