"""Steps of programs: records of what the engine does to arrays that lie in buffers.

A builder takes operands, checks them against each other, and returns a `Step`, or None where the
engine has no step for such operands. `gconv._engine.program.Program` runs steps; it checks nothing.
"""

from gconv._steps.convolution import convolution
from gconv._steps.copying import copy
from gconv._steps.elementwise import elementwise, scale_shift
from gconv._steps.normalising import layer_norm, softmax
from gconv._steps.operand import FIXED, Operand, c_strides, fixed, within
from gconv._steps.pooling import pool
from gconv._steps.reducing import reduce
from gconv._steps.resizing import Table, resize
from gconv._steps.step import Step

__all__ = [
    "FIXED", "Operand", "Step", "Table", "c_strides", "convolution", "copy", "elementwise",
    "fixed", "layer_norm", "pool", "reduce", "resize", "scale_shift", "softmax", "within",
]
