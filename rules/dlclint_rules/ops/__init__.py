"""Family `ops`: each node against the supported-ops table and the layer table of the runtime."""
