"""Tests of the suite itself: seeded faults that it must detect, and sound implementations that it must accept."""
