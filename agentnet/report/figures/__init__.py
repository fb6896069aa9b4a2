"""The figures of a report, a module for each kind, which builds sketches; `render` turns these to bytes."""
