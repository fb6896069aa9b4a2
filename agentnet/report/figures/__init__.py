"""The figures of a report, one module for each kind; each builds sketches, and `render` turns them to bytes."""
