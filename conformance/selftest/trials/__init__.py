"""The suite as a program among other plugins, environments and faults: a table, and the test that tries its rows."""
