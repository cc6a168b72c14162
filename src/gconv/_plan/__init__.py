"""How a problem will be computed; no kernel family is named here."""
