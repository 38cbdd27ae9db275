"""Known deviations: the stored case of each is replayed, so that an entry which no longer holds is noticed."""

import pytest

from conformance.harness.pytest_plugin.output.report import FIXED, STILL_THERE
from conformance.harness.replay import found_again, raise_as_expired


def test_known_deviation_is_still_there(known_deviation, request):
    finding = found_again(known_deviation)
    if finding is not None:
        raise_as_expired(known_deviation, finding)
        request.node.user_properties.append((STILL_THERE, known_deviation.id))
        return
    if request.config.option.route:
        pytest.skip("not seen on the routes asked for; it may be there on others")
    request.node.user_properties.append((FIXED, known_deviation.id))
    if request.config.option.no_stale:
        pytest.fail(f"{known_deviation.id} is fixed upstream, remove this entry or narrow its releases", pytrace=False)
