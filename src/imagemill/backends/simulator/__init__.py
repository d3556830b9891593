"""A backend that needs no GPU: real pictures, scriptable time, scriptable faults."""
