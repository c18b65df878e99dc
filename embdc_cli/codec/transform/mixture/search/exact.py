"""The cost of every run under the modes it named: of short runs within a unit of rows, of long ones over its units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from embdc_cli.codec.transform.mixture.search.nearest import UNIT, UNIT_LEVEL
from embdc_cli.codec.transform.time_dct import matrix
from embdc_cli.entropy.backend import kernels

_KERNELS = "embdc_cli.codec.transform.mixture.search"


class Exact:
    """modes: (mean (D,), orthonormal rows (r, D)) float32 each. scale: 1 / s^2."""

    def __init__(self, modes: Sequence[tuple[np.ndarray, np.ndarray]], scale: float) -> None:
        self._directions = [np.concatenate([basis, mean[None]]).T for mean, basis in modes]
        self._shifts = [basis @ mean for mean, basis in modes]
        self._energies = [float(mean.astype(np.float64) @ mean) for mean, _ in modes]
        self._scale = scale

    def search(
        self, x: np.ndarray, near: np.ndarray, least: Sequence[np.ndarray], chosen: Sequence[np.ndarray]
    ) -> None:
        """Lower least to the costs of the modes in near, and enter these in chosen.

        x: (R, n, D) float32. near: (ceil(R / UNIT), n, modes) bool. least, chosen: (R >> level, n) for every level. A
        run of several units is tried under the modes that all of them have.
        """
        whole = len(x) - len(x) % UNIT
        for start, stop, rows in ((0, whole, UNIT), (whole, len(x), len(x) - whole)):
            if start == stop:
                continue
            units = x[start:stop].reshape((stop - start) // rows, rows, *x.shape[1:])
            energies = np.einsum("uknd,uknd->unk", units, units)
            best = [
                (cost[start >> level :], mode[start >> level :])
                for level, (cost, mode) in enumerate(zip(least, chosen, strict=True))
            ]
            for number in range(len(self._shifts)):
                own = near[start // UNIT : start // UNIT + len(units), :, number]
                if own.any():
                    self._mode(number, units, energies, own, best)

    def _mode(
        self,
        number: int,
        units: np.ndarray,
        energies: np.ndarray,
        near: np.ndarray,
        best: Sequence[tuple[np.ndarray, np.ndarray]],
    ) -> None:
        """units: (u, U, n, D); energies: (u, n, U) of their rows; near: (u, n)."""
        rows, channels = units.shape[1], units.shape[3]
        unit, token = np.nonzero(near)
        shift = self._shifts[number]
        rank = len(shift)
        products = units[unit, :, token].reshape(len(unit) * rows, channels) @ self._directions[number]
        y = (products[:, :rank] - shift).reshape(len(unit), rows, rank)
        distances = energies[unit, token] - 2 * products[:, rank].reshape(len(unit), rows) + self._energies[number]
        residual = np.maximum(distances - np.einsum("nki,nki->nk", y, y), 0.0).astype(np.float32)

        for level in range(min(rows.bit_length(), len(best))):
            cost = self._within(y, residual, level)
            runs = len(cost)
            _keep(best[level], unit * runs + np.arange(runs)[:, None], token[None].repeat(runs, axis=0), cost, number)
        if rows < UNIT:
            return
        place = np.zeros(near.shape, np.int64)
        place[unit, token] = np.arange(len(unit))
        for level in range(UNIT_LEVEL + 1, len(best)):
            joined = 1 << (level - UNIT_LEVEL)
            runs = len(near) // joined
            near_all = near[: runs * joined].reshape(runs, joined, -1).all(axis=1)
            run, token = np.nonzero(near_all)
            if not len(run):
                return
            places = place[run[:, None] * joined + np.arange(joined), token[:, None]]
            part = np.matmul(matrix(1 << level), y[places].reshape(len(run), 1 << level, rank))
            cost = self._costs(part[:, :, None], residual[places].reshape(len(run), 1 << level, 1))
            _keep(best[level], run, token, cost[:, 0], number)

    def _within(self, y: np.ndarray, residual: np.ndarray, level: int) -> np.ndarray:
        """(runs, n) costs of the runs of 2^level rows in units y (n, U, r), residual (n, U)."""
        count, rows, rank = y.shape
        length = 1 << level
        runs = rows >> level
        in_time = np.ascontiguousarray(y[:, : runs * length].transpose(1, 0, 2)).reshape(runs, length, count * rank)
        if level:
            in_time = np.matmul(matrix(length), in_time)
        outside = np.ascontiguousarray(residual[:, : runs * length].T).reshape(runs, length, count)
        return self._costs(in_time.reshape(runs, length, count, rank), outside)

    def _costs(self, y: np.ndarray, residual: np.ndarray) -> np.ndarray:
        cost = np.empty((y.shape[0], y.shape[2]))
        kernels(_KERNELS).track_costs(y, residual, self._scale, cost)
        return cost


def _keep(
    best: tuple[np.ndarray, np.ndarray], run: np.ndarray, token: np.ndarray, cost: np.ndarray, number: int
) -> None:
    """Enter mode `number` for the runs (of tokens) that cost less under it than under any before."""
    least, chosen = best
    better = cost < least[run, token]
    run, token = run[better], token[better]
    least[run, token] = cost[better]
    chosen[run, token] = number
