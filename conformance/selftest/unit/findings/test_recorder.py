"""What several processes recorded adds up, and travels as JSON."""

import json

from conformance.harness.findings.recorder import PropertyStats, Recorder


def test_tallies_keep_the_smallest_error_that_was_seen_of_each_dtype():
    one, other = PropertyStats(), PropertyStats()
    one.seen("float32", 1e-6)
    other.seen("float32", 1e-7)
    other.seen("float64", 1e-15)
    one.add(other)
    assert one.detectable_error == {"float32": 1e-7, "float64": 1e-15}


def test_recorder_travels_as_json_and_keeps_the_worst_accuracy():
    one, other = Recorder(), Recorder()
    one.measured("float16 tanh", 0.5)
    other.measured("float16 tanh", 0.9)
    other.measured("bfloat16 tanh", 0.4)
    other.tally("test[lstm]").seen("float32", 1e-6)
    one.merge(json.loads(json.dumps(other.to_json())))
    assert one.accuracy == {"float16 tanh": 0.9, "bfloat16 tanh": 0.4}
    assert one.tally("test[lstm]").detectable_error == {"float32": 1e-6}
