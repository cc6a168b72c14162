include "engine.pxi"
include "tiles_16.pxi"
