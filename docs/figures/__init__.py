"""The figures of the documentation: functions that compute what they draw."""
