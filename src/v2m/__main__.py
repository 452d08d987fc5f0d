"""`python -m v2m` is `v2m`."""

import sys

from v2m.main import main

sys.exit(main())
