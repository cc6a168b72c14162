"""One call: from its operands to the result."""
