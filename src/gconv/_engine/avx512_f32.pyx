include "engine.pxi"
include "tiles_32.pxi"
