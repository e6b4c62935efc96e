"""Family `ops`: each node compared with the supported-ops table and the layer table of the runtime."""
