"""Fitting and reading one model. The only place with torch at module level."""
