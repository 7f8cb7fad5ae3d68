"""`python -m tulle_sample_app` is `tulle-sample-app`."""

import sys

from tulle_sample_app.main import main

sys.exit(main())
