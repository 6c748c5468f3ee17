import sys

from tests.replay.command import main

sys.exit(main())
