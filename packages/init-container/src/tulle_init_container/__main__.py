"""`python -m tulle_init_container` is `tulle-init`."""

import sys

from tulle_init_container.main import main

sys.exit(main())
