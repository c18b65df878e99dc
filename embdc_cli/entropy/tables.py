"""Frequency tables of the entropy coder: one row of 12-bit integer frequencies per class, and what a class means.

Class L (1..63) is a band whose mean magnitude is about 2^((L - 20) / 2), half an octave per class; class 0 is a band
of zeros, which takes no bits at all. Rows 0..31 of the table belong to classes 0..31. From class 26 on the lowest
`shift_of_class` bits of a magnitude are sent raw and the table sees the rest, so classes 32..63 share rows 30 and 31.
Everything is integer arithmetic: the same tables, costs and classes on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from embdc_cli.entropy.bits import bit_lengths, decode_exp_golomb, encode_exp_golomb
from embdc_cli.errors import CorruptArchive

PROBABILITY_BITS = 12
TOTAL = 1 << PROBABILITY_BITS
COST_UNIT = 256  # costs are in 1/256 bit
IMPOSSIBLE = 1 << 20  # cost of a symbol with frequency 0: 4096 bits, more than anything that can be sent
_FINE_BITS = 16
FINE_COST_UNIT = 1 << _FINE_BITS
FINE_IMPOSSIBLE = IMPOSSIBLE << _FINE_BITS - 8
MAX_ROWS = 256  # rows and symbols are uint8
MAX_SYMBOLS = 256

CLASSES = 64
ROWS = 32
SYMBOLS = 16
ESCAPE = SYMBOLS - 1
UNIT_CLASS = 20  # the class of mean magnitude 1
_DIRECT_CLASSES = 26  # classes below send no raw bits
_DELTA_ORDER = 2  # Exp-Golomb order of the differences between neighbouring rows


@dataclass(frozen=True, eq=False)
class Tables:
    """Frequencies of the symbols in each row.

    freq: (rows, symbols) uint16; a row sums to 4096, and 0 means that the symbol cannot be coded in that row.
    Raises ValueError unless that holds.
    """

    freq: np.ndarray

    def __post_init__(self) -> None:
        freq = np.asarray(self.freq)
        if freq.ndim != 2 or not (1 <= freq.shape[0] <= MAX_ROWS and 1 <= freq.shape[1] <= MAX_SYMBOLS):
            raise ValueError(f"tables: expected (1..{MAX_ROWS}, 1..{MAX_SYMBOLS}) frequencies, found {freq.shape}")
        if freq.dtype.kind not in "iu" or freq.min() < 0 or freq.max() > TOTAL:
            raise ValueError(f"tables: expected integers in 0..{TOTAL}, found {freq.dtype} {freq.min()}..{freq.max()}")
        wrong = np.flatnonzero(freq.sum(axis=1, dtype=np.int64) != TOTAL)
        if wrong.size:
            raise ValueError(f"tables: row {wrong[0]}, expected a sum of {TOTAL}, found {int(freq[wrong[0]].sum())}")
        owned = np.array(freq, dtype=np.uint16, order="C")
        owned.flags.writeable = False
        object.__setattr__(self, "freq", owned)

    @cached_property
    def cum(self) -> np.ndarray:
        """(rows, symbols + 1) uint16: cum[r, s] is the sum of the frequencies before symbol s."""
        cum = np.zeros((self.freq.shape[0], self.freq.shape[1] + 1), np.uint16)
        np.cumsum(self.freq, axis=1, out=cum[:, 1:])
        return cum

    @cached_property
    def cost(self) -> np.ndarray:
        """(rows, symbols) int32: 256 * log2(4096 / freq), rounded; IMPOSSIBLE where the frequency is 0."""
        cost: np.ndarray = self.fine_cost + 128 >> 8
        return cost

    @cached_property
    def fine_cost(self) -> np.ndarray:
        """(rows, symbols) int32: the cost in 1/65536 bit, for sums over symbols that cost next to nothing."""
        cost: np.ndarray = _fine_costs()[self.freq]
        return cost

    @cached_property
    def direct(self) -> np.ndarray:
        """(rows,) uint8: magnitudes below this have a symbol of their own in the row; the others are escaped."""
        direct: np.ndarray = np.cumprod(self.freq[:, :-1] > 0, axis=1).sum(axis=1)
        return direct.astype(np.uint8)

    @cached_property
    def slots(self) -> np.ndarray:
        """(rows, 4096) uint8: the symbol that owns each of the 4096 slots of a row."""
        symbols = np.arange(self.freq.shape[1], dtype=np.uint8)
        return np.stack([np.repeat(symbols, row) for row in self.freq])

    def to_bytes(self) -> bytes:
        """The tables as bytes: rows, symbols - 1, then Exp-Golomb differences to the row before."""
        rows, symbols = self.freq.shape
        steps = np.diff(self.freq[:, : symbols - 1].astype(np.int64), axis=0, prepend=0).ravel()
        folded = np.where(steps < 0, -2 * steps - 1, 2 * steps)
        return bytes((rows - 1, symbols - 1)) + encode_exp_golomb(folded, _orders(folded.size))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> Tables:
        """The tables written by `to_bytes`. Raises CorruptArchive for anything else."""
        if len(data) < 2:
            raise CorruptArchive(f"entropy tables: expected at least 2 bytes, found {len(data)}")
        rows, symbols = data[0] + 1, data[1] + 1
        folded = decode_exp_golomb(data[2:], _orders(rows * (symbols - 1))).astype(np.int64)
        steps = np.where(folded & 1, -(folded + 1) // 2, folded // 2)
        freq = np.zeros((rows, symbols), np.int64)
        freq[:, : symbols - 1] = steps.reshape(rows, symbols - 1).cumsum(axis=0)
        freq[:, symbols - 1] = TOTAL - freq.sum(axis=1)
        try:
            return cls(freq)
        except ValueError as error:
            raise CorruptArchive(f"entropy {error}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tables) and np.array_equal(self.freq, other.freq)

    def __hash__(self) -> int:
        return hash((self.freq.shape, self.freq.tobytes()))

    def __repr__(self) -> str:
        return f"Tables({self.freq.shape[0]} rows, {self.freq.shape[1]} symbols)"


def _orders(count: int) -> np.ndarray:
    return np.full(count, _DELTA_ORDER, np.uint8)


@cache
def _fine_costs() -> np.ndarray:
    """(4097,) int32: 65536 * log2(4096 / f), rounded: one fraction bit of the logarithm per squaring, in integers."""
    f = np.arange(1, TOTAL + 1, dtype=np.uint64)
    whole = bit_lengths(f) - 1
    mantissa = f << (31 - whole).astype(np.uint64)  # 1.0 is 2^31
    fraction = np.zeros(TOTAL, np.int64)
    for _ in range(_FINE_BITS + 1):
        squared = mantissa * mantissa >> np.uint64(31)
        above_two = squared >> np.uint64(32)
        mantissa = squared >> above_two
        fraction = 2 * fraction + above_two.astype(np.int64)
    log2 = (whole << _FINE_BITS) + (fraction + 1 >> 1)
    costs = np.append(FINE_IMPOSSIBLE, (PROBABILITY_BITS << _FINE_BITS) - log2)
    return costs.astype(np.int32)


@cache
def static_tables() -> Tables:
    """For levels of a dead-zone quantiser: 32 rows x 16 symbols (magnitudes 0..14 and the escape)."""
    from embdc_cli.entropy.static_tables import FREQUENCIES

    return Tables(np.array(FREQUENCIES, np.uint16))


@cache
def rounded_tables() -> Tables:
    """For levels rounded by rate, 32 x 16: classes say what a dead zone would have made of them."""
    from embdc_cli.entropy.static_tables import ROUNDED

    return Tables(np.array(ROUNDED, np.uint16))


@cache
def entry_tables() -> Tables:
    """For means and basis entries rounded plainly, 32 x 16: nearly Gaussian values of a known deviation."""
    from embdc_cli.entropy.static_tables import ENTRIES

    return Tables(np.array(ENTRIES, np.uint16))


def class_of_mean(sum_abs: int, count: int) -> int:
    """The class of a band of `count` levels whose magnitudes sum to `sum_abs`: 0 only when all are zero.

    L = round(2 log2(sum_abs / count)) + 20, limited to 1..63: integers only, as floor((41 + log2(mean^4)) / 2).
    """
    if sum_abs <= 0:
        return 0
    fourth_power = (sum_abs**4 << (2 * UNIT_CLASS + 1)) // count**4
    return min(max((fourth_power.bit_length() - 1) // 2, 1), CLASSES - 1)


@cache
def _thresholds() -> np.ndarray:
    """(62,) float64: entry i is the smallest mean of class i + 2, 2^((2 (i + 2) - 41) / 4); literals, not pow()."""
    quarters = {1: 1.1892071150027210667, 3: 1.6817928305074290861}
    exponents = [2 * cls - 2 * UNIT_CLASS - 1 for cls in range(2, CLASSES)]
    return np.array([np.ldexp(quarters[e % 4], e // 4) for e in exponents])


def classes_of_means(sums: np.ndarray, counts: np.ndarray | int) -> np.ndarray:
    """`class_of_mean` for arrays, uint8. One correctly rounded division decides, so it is the same everywhere."""
    means = np.asarray(sums, np.float64) / counts
    classes = np.searchsorted(_thresholds(), means, side="right") + 1
    return np.where(means > 0, classes, 0).astype(np.uint8)


def shift_of_class(cls: int) -> int:
    """How many low bits of each magnitude of a class are sent raw: 0 below class 26, then one more per octave."""
    return max(0, (cls - _DIRECT_CLASSES) // 2 + 1)


def table_row_of_class(cls: int) -> int:
    """The row of the tables that codes `magnitude >> shift_of_class(cls)`."""
    return cls if cls < ROWS else ROWS - 2 + (cls & 1)


def escape_order_of_row(row: int) -> int:
    """The Exp-Golomb order of what an escape in a row exceeds the direct magnitudes by: 0, from row 21 1, from 24 2."""
    return 0 if row < UNIT_CLASS + 1 else 1 if row < UNIT_CLASS + 4 else 2


@cache
def escape_orders() -> np.ndarray:
    """(32,) uint8: `escape_order_of_row` of every row."""
    return np.array([escape_order_of_row(row) for row in range(ROWS)], np.uint8)


@cache
def class_rows() -> np.ndarray:
    """(64,) uint8: `table_row_of_class` of every class."""
    return np.array([table_row_of_class(cls) for cls in range(CLASSES)], np.uint8)


@cache
def class_shifts() -> np.ndarray:
    """(64,) uint8: `shift_of_class` of every class."""
    return np.array([shift_of_class(cls) for cls in range(CLASSES)], np.uint8)


@cache
def least_bits(*tables: Tables) -> np.ndarray:
    """(CLASSES,) float64: what a level of each class takes at least under any of these, each a multiple of 32 rows."""
    costs = np.concatenate([one.fine_cost.reshape(-1, ROWS, SYMBOLS) for one in tables])
    bits = costs.min(axis=(0, 2))[class_rows()] / FINE_COST_UNIT + class_shifts()
    bits[0] = 0.0
    return np.asarray(bits)


def have_room(size: int, classes: np.ndarray, counts: np.ndarray | int, least: np.ndarray) -> bool:
    """Whether levels may lie in `size` bytes: counts of each of `classes`, least bits by class.

    A reader asks before it allocates them; twice the bits are allowed for, as states hold some.
    """
    return float(np.sum(least[classes] * counts)) <= 2 * 8 * size
