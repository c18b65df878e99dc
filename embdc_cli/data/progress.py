"""How far an epoch has come: the state of a shuffled data set, and what batches of a DataLoader come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from embdc_cli.errors import UsageError

_VERSION: Final = 1


@dataclass(frozen=True)
class Progress:
    """Of one rank in one epoch. shares, given: which share worker w of a DataLoader reads, and how many clips of it
    have been given. clips: of all ranks, by which other archives are noticed."""

    epoch: int
    shares: tuple[int, ...]
    given: tuple[int, ...]
    seed: int
    rank: int
    world_size: int
    clips: int

    def state(self) -> dict[str, Any]:
        """As `state_dict` gives it: plain values."""
        return {"version": _VERSION, **asdict(self), "shares": list(self.shares), "given": list(self.given)}

    @staticmethod
    def of(state: dict[str, Any]) -> Progress:
        """Raises: UsageError for what `state` has not made."""
        try:
            if state["version"] != _VERSION:
                raise UsageError(f"state: expected version {_VERSION}, found {state['version']}")
            values = {name: state[name] for name in Progress.__dataclass_fields__}
            found = Progress(**{**values, "shares": tuple(values["shares"]), "given": tuple(values["given"])})
            # a worker's own state may name its share twice: it tells of no other worker
            right = len(found.shares) == len(found.given) and set(found.shares) <= set(range(len(found.given)))
            right = right and min(found.epoch, *found.given) >= 0
        except (KeyError, TypeError) as error:
            raise UsageError("state: expected what state_dict gave") from error
        if not right:
            raise UsageError("state: expected what state_dict gave", hint=f"found {found}")
        return found


def after_batches(
    shares: Sequence[int], given: Sequence[int], clips: Sequence[int], batch_size: int, drop_last: bool, batches: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(shares, given) after a loop has taken so many batches, of workers that began with (shares, given).

    Workers of a DataLoader give batches in turn, those without any more left out. The worker whose turn is next comes
    first, so that a new DataLoader goes on with it. clips: of each worker's share. Raises: UsageError.
    """
    left = [count - done for count, done in zip(clips, given, strict=True)]
    each = [count // batch_size if drop_last else -(-count // batch_size) for count in left]
    if not 0 <= batches <= sum(each):
        raise UsageError(f"batches: expected 0 to {sum(each)}, what is left of the epoch, found {batches}")
    full, turn = _whole_rounds(each, batches)
    taken = [min(count, full) for count in each]
    alive = [worker for worker, count in enumerate(each) if count > full]
    for worker in alive[:turn]:
        taken[worker] += 1
    order = alive[turn:] + alive[:turn] + [worker for worker, count in enumerate(each) if count <= full]
    done = [given[worker] + min(left[worker], taken[worker] * batch_size) for worker in range(len(shares))]
    return tuple(shares[worker] for worker in order), tuple(done[worker] for worker in order)


def _whole_rounds(each: Sequence[int], batches: int) -> tuple[int, int]:
    """(rounds that are over after so many batches, batches of the next one)."""
    rounds = 0
    while True:
        alive = sum(count > rounds for count in each)
        if not alive or batches < alive:
            return rounds, batches
        # as many rounds at once as none of the workers ends in
        step = max(1, min(min(count for count in each if count > rounds) - rounds, batches // alive))
        rounds, batches = rounds + step, batches - step * alive
