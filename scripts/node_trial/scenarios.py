"""All scenarios by name, in the order in which they are tried."""

from collections.abc import Callable

from scripts.node_trial import (
    disk,
    hostile,
    kills,
    restarts,
    speed,
    strangers,
    troubles,
)
from scripts.node_trial.bench import Bench
from scripts.node_trial.rows import Row

SCENARIOS: dict[str, Callable[[Bench], list[Row]]] = {
    "strangers": strangers.strangers,
    "duplicates": strangers.duplicates,
    "tls": strangers.tls,
    "pacs_away": troubles.pacs_away,
    "pacs_refuses": troubles.pacs_refuses,
    "pacs_rejects": troubles.pacs_rejects,
    "pacs_slow": troubles.pacs_slow,
    "pacs_loses": troubles.pacs_loses,
    "model_fails": troubles.model_fails,
    "model_recovers": troubles.model_recovers,
    "late_file": troubles.late_file,
    "full_disk": disk.full_disk,
    "full_when_results_come": disk.full_when_results_come,
    "short_files": disk.short_files,
    "terminated": restarts.terminated,
    "several_workers": restarts.several_workers,
    "second_node": restarts.second_node,
    "leftovers": restarts.leftovers,
    "damaged_file": restarts.damaged_file,
    "clock": restarts.clock,
    "silence": hostile.silence,
    "slow_sender": hostile.slow_sender,
    "too_large": hostile.too_large,
    "kills": kills.kill_under_load,
    "mutants": hostile.mutants,
    "mutants_real_model": hostile.mutants_real_model,
    "speed": speed.speed,
}
