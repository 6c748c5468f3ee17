"""The emitted hardware on chips: what it takes of them, and the clock that it reaches."""
