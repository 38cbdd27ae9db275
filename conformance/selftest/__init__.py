"""Trust in the suite itself: seeded faults that it must see, and sound implementations that it must accept."""
