"""Family `htp`: what the architecture of Hexagon v68 and later makes slow, large or impossible."""
