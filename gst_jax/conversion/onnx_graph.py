"""Write the conversion of a whole song's log-mel, `whole_song.convert`, as an ONNX graph.

No converter from JAX to ONNX is at home beside our versions of JAX and Orbax, and the networks are few layers. A
window has a multiple of four frames, so that no layer needs to pad for another's stride.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from gst_jax.config import Config
from gst_jax.conversion.translator import FADE, FRESH
from gst_jax.learning import models
from gst_jax.runs.directory import Statistics
from gst_jax.sound import levels
from gst_jax.types import Array

_OPSET = 18
_EPSILON = 1e-5  # of an instance norm, as in `learning.convolution`
Value = str | Array | float | int  # a node's output by its name, or a constant


class _Graph:
    """Collects nodes: a call adds one and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        names = [self._name(value) for value in inputs]
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def _name(self, value: Value) -> str:
        """Return the name of an input; whole numbers and arrays of them are places and sizes, others levels."""
        if isinstance(value, str):
            return value
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"constant_{len(self.constants)}"))
        return self.constants[-1].name

    def part(self, value: str, first: int, last: Value, axis: int) -> str:
        """Cut out places `first` to before `last` of an axis."""
        end = np.array([last]) if isinstance(last, int) else last
        return self("Slice", value, np.array([first]), end, np.array([axis]))


def build(generator: models.Parameters, settings: Config, source: Statistics, target: Statistics) -> onnx.ModelProto:
    """Return an ONNX model with all its constants: log_mel [frames, M] dB -> converted [frames, M] dB.

    Args:
        generator: parameters of one.
        settings: of its run.
        source: of the genre that goes in.
        target: of the genre that comes out.
    """
    g, mels, context = _Graph(), settings.audio.n_mels, models.context(settings.model)
    before, after = (np.array([part.mean, part.deviation], np.float32) for part in (source, target))
    centre, spread = _blended(g, "log_mel", before, settings.model.song_share)
    frames = g("Shape", "log_mel", end=1)
    windows = g("Gather", g("Div", g("Sub", "log_mel", centre), spread), _places(g, frames, context), axis=0)
    network = _frames if settings.model.architecture == "frames" else _pictures
    made = g.part(network(g, windows, generator, settings), context, context + FRESH + FADE, 1)
    pieces = g("Min", g("Add", g("Mul", made, after[1]), after[0]), np.array(target.highest))
    own, later = g.part(pieces, 0, FADE, 1), g.part(pieces, FRESH, FRESH + FADE, 1)
    tails = g("Concat", g.part(own, 0, 1, 0), g.part(later, 0, -1, 0), axis=0)
    rise = ((np.arange(FADE) + 0.5) / FADE)[:, None]
    heads = g("Add", g("Mul", tails, 1 - rise), g("Mul", own, rise))
    fresh = g("Concat", heads, g.part(pieces, FADE, FRESH, 1), axis=1)
    output = g.part(g("Reshape", fresh, np.array([-1, mels])), 0, frames, 0)
    g("Identity", output)
    g.nodes[-1].output[0] = "converted"
    ends = [helper.make_tensor_value_info(name, 1, ["frames", mels]) for name in ("log_mel", "converted")]
    graph = helper.make_graph(g.nodes, "gst_jax", ends[:1], ends[1:], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def _blended(g: _Graph, log_mel: str, genre: Array, share: float) -> tuple[str, str]:
    """Standardise by a song's own levels, too: `levels.blended`."""
    loudest = g("ReduceMax", log_mel, np.array([1]), keepdims=1)
    sounds = g("Cast", g("Greater", loudest, levels.PAUSE), to=onnx.TensorProto.FLOAT)
    frames = g("ReduceSum", sounds, keepdims=0)

    def mean_of(value: str) -> str:
        return g("Div", g("ReduceSum", g("Mul", sounds, value), np.array([0]), keepdims=0), g("Max", frames, 1.0))

    mean = mean_of(log_mel)
    away = g("Sub", log_mel, mean)
    deviation = g("Sqrt", g("Max", mean_of(g("Mul", away, away)), levels.MIN_DEVIATION**2))
    weight = g("Div", g("Mul", frames, share), g("Add", frames, float(levels.HALF_TOLD)))
    moved = g("Clip", g("Sub", mean, genre[0]), -levels.FURTHEST, levels.FURTHEST)
    stretched = g("Clip", g("Div", deviation, genre[1]), 1 / levels.STEEPEST, levels.STEEPEST)
    factor = g("Add", g("Mul", weight, g("Sub", stretched, 1.0)), 1.0)
    return g("Add", g("Mul", weight, moved), genre[0]), g("Mul", factor, genre[1])


def _places(g: _Graph, frames: str, context: int) -> str:
    """Return which frames each window takes, [windows, W], reflected at both ends of the song."""
    count = g("Squeeze", g("Div", g("Add", frames, FRESH - 1), FRESH))
    starts = g("Mul", g("Unsqueeze", g("Range", 0, count, 1), np.array([1])), FRESH)
    first = g("Max", g("Sub", starts, context), 0)
    span = g("Sub", g("Sub", frames, 1), first)
    period = g("Max", g("Mul", span, 2), 1)
    places = g("Add", starts, np.arange(-context, FRESH + FADE + context))
    beyond = g("Mod", g("Sub", places, first), period)
    return g("Add", first, g("Min", beyond, g("Sub", period, beyond)))


def _frames(g: _Graph, windows: str, parameters: models.Parameters, settings: Config) -> str:
    """Do what `models.FrameGenerator` does, [n, W, M] -> [n, W, M]; inside, time is the last axis."""
    model = settings.model

    def convolved(x: str, name: str, stride: int = 1) -> str:
        layer = parameters[name]
        kernel = np.asarray(layer["kernel"]).transpose(2, 1, 0)
        pads = [(kernel.shape[2] - 1) // 2, kernel.shape[2] // 2]
        bias = [np.asarray(layer["bias"]).reshape(-1)] if "bias" in layer else []
        return g("Conv", x, kernel, *bias, pads=pads, strides=[stride])

    whole = g("Transpose", windows, perm=[0, 2, 1])
    if model.transport_taps:
        whole = convolved(whole, models.TRANSPORT)
    x = g("Relu", convolved(whole, "FrameConv_0"))
    x = g("Relu", convolved(x, "FrameConv_1", 2))
    for block in range(model.residual_blocks):
        outer, inner = f"FrameConv_{2 + 2 * block}", f"FrameConv_{3 + 2 * block}"  # as Flax counts them
        x = g("Add", x, convolved(g("Relu", convolved(x, inner)), outer))
    x = g("Relu", convolved(x, f"FrameConv_{2 + 2 * model.residual_blocks}"))
    x = g("Transpose", g("Reshape", x, np.array([0, 2, model.channels, -1])), perm=[0, 2, 3, 1])
    y = convolved(g("Reshape", x, np.array([0, model.channels, -1])), models.OUTPUT)
    return g("Transpose", g("Add", whole, y) if model.residual else y, perm=[0, 2, 1])


def _pictures(g: _Graph, windows: str, parameters: models.Parameters, settings: Config) -> str:
    """Do what `models.Generator` does, [n, W, M] -> [n, W, M]; inside, channels are the second axis."""
    count = 0

    def convolved(x: str, stride: int = 1, name: str = "") -> str:
        nonlocal count
        layer = parameters[name or f"Conv_{count}"]
        count += 1
        kernel = np.asarray(layer["kernel"]).transpose(3, 2, 0, 1)
        pads = [(kernel.shape[2] - 1) // 2] * 4
        bias = [np.asarray(layer["bias"]).reshape(-1)] if "bias" in layer else []
        return g("Conv", x, kernel, *bias, pads=pads, strides=[stride, stride])

    def normal(x: str) -> str:
        channels = g.constants[-1].dims[0]  # of the kernel that made it
        return g("InstanceNormalization", x, np.ones(channels), np.zeros(channels), epsilon=_EPSILON)

    def doubled(x: str) -> str:
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return g("Resize", x, "", np.array([1.0, 1.0, 2.0, 2.0]), **how)

    whole = g("Unsqueeze", windows, np.array([1]))
    x = whole
    for stride in (1, 2, 2):
        x = g("Relu", normal(convolved(x, stride)))
    for _ in range(settings.model.residual_blocks):
        y = g("Relu", normal(convolved(x)))
        x = g("Add", x, normal(convolved(y)))
    for _ in range(2):
        x = g("Relu", normal(convolved(doubled(x))))
    y = convolved(x, name=models.OUTPUT)
    return g("Squeeze", g("Add", whole, y) if settings.model.residual else y, np.array([1]))
