"""
A MobileNet from ONNX
=====================

Exporters write networks as ONNX files: ``torch.onnx.export(model, (x,), "model.onnx")``, tf2onnx
and others. gconv runs such a file as it is, with NumPy and the package onnx, and no other
runtime. The network is MobileNetV2 here, layer by layer, with random weights, so that this page
needs no download.
"""

import matplotlib.pyplot as plt
import numpy as np
import onnx.reference
from onnx import TensorProto, helper, numpy_helper

from gconv.onnx import InferenceSession

# %%
# The network
# -----------
# Blocks of three convolutions: 1 × 1 to more channels, depthwise 3 × 3, 1 × 1 to fewer. What an
# exporter would write is put together by hand.

rng = np.random.default_rng(0)
nodes, constants = [], []


def convolution(x, in_channels, channels, kernel=1, stride=1, groups=1, activation=True):
    """Add Conv and, if wanted, ReLU6; return the name of the result."""
    name = f"layer{len(nodes)}"
    fan = in_channels // groups * kernel**2
    weight = rng.standard_normal((channels, in_channels // groups, kernel, kernel), np.float32)
    constants.append(numpy_helper.from_array(weight * np.float32((2 / fan) ** 0.5), f"{name}.w"))
    constants.append(numpy_helper.from_array(np.zeros(channels, np.float32), f"{name}.b"))
    nodes.append(helper.make_node(
        "Conv", [x, f"{name}.w", f"{name}.b"], [name], name, group=groups,
        pads=[kernel // 2] * 4, strides=[stride] * 2,
    ))
    if not activation:
        return name
    nodes.append(helper.make_node("Clip", [name, "0", "6"], [f"{name}.y"], f"{name}.clip"))
    return f"{name}.y"


constants += [numpy_helper.from_array(np.float32(value), str(value)) for value in (0, 6)]
y, channels = convolution("image", 3, 32, kernel=3, stride=2), 32
# Widening, output channels, number of blocks, stride of the first: the paper's table.
for widening, out_channels, count, stride in [
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
]:
    for block in range(count):
        x, wide = y, channels * widening
        if widening > 1:
            y = convolution(y, channels, wide)
        y = convolution(y, wide, wide, 3, stride if block == 0 else 1, groups=wide)
        y = convolution(y, wide, out_channels, activation=False)
        if block > 0:
            nodes.append(helper.make_node("Add", [x, y], [f"{y}.sum"], f"{y}.add"))
            y = f"{y}.sum"
        channels = out_channels
y = convolution(y, channels, 1280)
constants.append(numpy_helper.from_array(
    rng.standard_normal((1000, 1280), np.float32) / 36, "classes"))
nodes += [
    helper.make_node("GlobalAveragePool", [y], ["mean"], "pool"),
    helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
    helper.make_node("Gemm", ["flat", "classes"], ["scores"], "classify", transB=1),
]
graph = helper.make_graph(
    nodes, "mobilenetv2",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1000])],
    constants,
)
opset = [helper.make_opsetid("", 17)]
model = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
print(f"{len(nodes)} nodes, {len(model) / 1e6:.1f} MB")

# %%
# Running it
# ----------
# A session takes a path or the file's bytes. Its methods are those of ONNX Runtime.

session = InferenceSession(model, num_threads=1)
image = rng.standard_normal((1, 3, 224, 224), np.float32)
(scores,) = session.run(None, {"image": image})
print(scores.shape, "best class", scores.argmax())
print(session.memory({"image": image.shape}))

# %%
# ReLU6 and the sums of the blocks are computed together with the convolutions before them, so
# that there are fewer steps than nodes. ``profile=True`` returns a table of them; here are the
# five that take longest, on one thread.

tables = [session.run(None, {"image": image}, profile=True)[1] for _ in range(5)]
steps = [
    {**same[0], "ms": min(step["ms"] for step in same)} for same in zip(*tables, strict=True)
]
print(f"{len(steps)} steps, {sum(step['ms'] for step in steps):.1f} ms")
for step in sorted(steps, key=lambda step: -step["ms"])[:5]:
    print(f"{step['ms']:.2f} ms  {step['runs']:<28} {' + '.join(step['made_of'])}")

# %%
# Where the time goes
# -------------------

kinds = {name.name: name for name in nodes}


def kind(step):
    """The kind of layer that a step is made of."""
    for name in step["made_of"]:
        node = kinds.get(name)
        if node is not None and node.op_type == "Conv":
            group = helper.get_node_attr_value(node, "group")
            pads = helper.get_node_attr_value(node, "pads")
            return "depthwise 3 × 3" if group > 1 else "1 × 1" if not any(pads) else "3 × 3"
    return "pooling and classes"


figure, panel = plt.subplots(figsize=(9, 3))
colours = {"3 × 3": "#E69F00", "depthwise 3 × 3": "#D55E00", "1 × 1": "#0072B2",
           "pooling and classes": "#7b8590"}
for label, colour in colours.items():
    mine = [(index, step["ms"]) for index, step in enumerate(steps) if kind(step) == label]
    total = sum(ms for _, ms in mine)
    panel.bar(*zip(*mine, strict=True), color=colour, label=f"{label}: {total:.2f} ms")
panel.set_xlabel("step")
panel.set_ylabel("ms")
panel.legend(fontsize=8)
plt.show()

# %%
# On the command line ``gconv run model.onnx --profile`` prints the same table for any model, and
# ``--compare`` runs other libraries beside it.

# %%
# The reference of the package onnx, which is slow and right, gives the same scores. The model
# leaves the size of the picture open, so a small one will do.

small = rng.standard_normal((1, 3, 32, 32), np.float32)
(ours,) = session.run(None, {"image": small})
(theirs,) = onnx.reference.ReferenceEvaluator(onnx.load_from_string(model)).run(
    None, {"image": small}
)
print(f"largest difference: {np.abs(ours - theirs).max():.1e} of {np.abs(theirs).max():.1f}")
assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
