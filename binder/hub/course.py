"""What every JupyterHub sets for the course, on one machine or on many.

The Littlest JupyterHub, Zero to JupyterHub and `python -m benchmarks hub` include it.
All three hand over `c`; `get_config` is another function in Zero to JupyterHub's chart.
Tried with the benchmark, on a real JupyterHub; on the other two it has not been tried.
"""

# ruff: noqa: F821 - JupyterHub defines `c`

import os

COURSE = os.environ.get("LLM_WALKTHROUGH_COURSE", "/opt/llm_walkthrough")

c.Spawner.cmd = [f"{COURSE}/binder/hub/server"]
c.Spawner.default_url = "/lab/tree/my_course/start.ipynb"

# of each learner: one or two notebooks at work, and no more than a few left open
c.Spawner.mem_guarantee, c.Spawner.mem_limit = "400M", "2G"

# all of a class log in within the same minute, and each start takes 2 s of a processor
c.Spawner.start_timeout = c.Spawner.http_timeout = 300
