"""What users call: functions, layers, and what they say of themselves."""
