"""Random configurations and streams of alerts, given to a real Alertmanager and to Watchhouse: no difference."""

from __future__ import annotations

import os
from pathlib import Path

from tests.differential.alert_cases import make_case
from tests.differential.alert_runs import unlike
from tests.integration.alertmanager_peer import alertmanager_binary

CASES = int(os.environ.get("WATCHHOUSE_ALERT_CASES", "200"))
SEED = int(os.environ.get("WATCHHOUSE_ALERT_SEED", "1"))


async def test_no_difference(tmp_path: Path) -> None:
    """For every case: the same groups, receivers, silenced and inhibited alerts, and notifications in the same order.

    Alertmanager runs in real time, Watchhouse with a clock that is turned. All cases run in one process at once.
    """
    alertmanager_binary()
    left = await unlike([make_case(number, SEED) for number in range(CASES)], tmp_path)
    assert left == {}
