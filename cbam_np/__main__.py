"""`python -m cbam_np` is the command `cbam-np`."""

import sys

from cbam_np.commands.cli import main

sys.exit(main())
