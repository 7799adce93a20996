"""Seamless cloning: keep the gradients of what is pasted and let its edge meet the surroundings (Pérez, Gangnet and Blake 2003, eq. 7–8)."""

from __future__ import annotations

import numpy as np

EXACT = 3e-4
"""The relative residual at which conjugate gradients stop: an error below a grey level of 255, also for 40,000 pixels."""


def seamless(source: np.ndarray, target: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """`source` inside of `domain`, moved by the smoothest difference that makes it meet `target` at the edge.

    Args:
        source, target: float32 [height, width, channels].
        domain: bool [height, width]; where it reaches the border of the window nothing has to be met.

    Returns:
        float32 [height, width, channels]; `target` itself outside.
    """
    result = target.copy()
    if domain.any() and not domain.all():
        result[domain] = source[domain] + membrane(target - source, domain)
    elif domain.any():
        result[:] = source
    return result


def membrane(difference: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Laplace's equation on the pixels of `domain` with `difference` [height, width, channels] around it, float32 [pixels, channels]."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import cg

    count = int(domain.sum())
    number = np.full(domain.shape, -1)
    number[domain] = np.arange(count)
    rows, columns = [], []
    edges, degree, known = 0, np.zeros(count), np.zeros((count, difference.shape[2]))
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        here, there = _neighbours(domain.shape, axis, step)
        inside = domain[here]
        own, other = number[here][inside], number[there][inside]
        degree[own] += 1
        free = other >= 0
        rows.append(own[free])
        columns.append(other[free])
        known[own[~free]] += difference[there][inside][~free]
        edges += int((~free).sum())
    rows.append(np.arange(count))
    columns.append(np.arange(count))
    values = np.concatenate([*(-np.ones(len(part)) for part in rows[:-1]), degree])
    matrix = csr_matrix((values, (np.concatenate(rows), np.concatenate(columns))), (count, count)).tocsc()
    start = known.sum(0) / max(1, edges)
    found = [
        cg(matrix, column, np.full(count, first), rtol=EXACT)[0] for column, first in zip(known.T, start, strict=True)
    ]
    return np.stack(found, 1).astype(np.float32)


def _neighbours(shape: tuple[int, int], axis: int, step: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels that have a neighbour in a direction, and these neighbours."""
    ends = (slice(None, -1), slice(1, None))
    here, there = ends if step > 0 else ends[::-1]
    whole = slice(None)
    return ((here, whole), (there, whole)) if axis == 0 else ((whole, here), (whole, there))
