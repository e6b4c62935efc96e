"""JUnit XML, which most continuous-integration services read."""
