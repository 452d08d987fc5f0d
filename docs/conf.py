project = "v2m"
author = "the v2m authors"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_title = "v2m"
nitpicky = True
