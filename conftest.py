"""Loads the plugin; everything is in conformance/harness."""

pytest_plugins = ["conformance.harness.pytest_plugin.plugin"]
