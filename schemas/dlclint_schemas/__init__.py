"""dlclint's data: Qualcomm's tables with their sources, and typed, cached readers. No logic."""
