"""Configuration: ``rb.toml``, or ``[tool.rb]`` in ``pyproject.toml``. Nothing here needs torch."""
