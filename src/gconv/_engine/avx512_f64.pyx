include "engine.pxi"
include "tiles_32.pxi"
include "sliding.pxi"
include "pixels.pxi"
