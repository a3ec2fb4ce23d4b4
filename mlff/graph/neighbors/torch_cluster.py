"""The backend of torch-cluster (https://github.com/rusty1s/pytorch_cluster), for structures that are not periodic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INSTALL = (
    'the neighbour-list backend "torch_cluster" needs torch-cluster: pip install "mlff[cluster]" '
    "(it has no wheels and is compiled against the torch that is installed: install torch first, then "
    "pip install setuptools wheel && pip install --no-build-isolation torch-cluster; 20 minutes on two cores). "
    'The default backend "vesin" needs nothing more'
)


def half_list(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, pbc: NDArray[np.bool_], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs nearer than ``cutoff``; the arguments are those of ``check_structure``.

    Raises:
        ValueError: an axis is periodic, which torch-cluster knows nothing of.
        ImportError: torch-cluster is not installed.
    """
    if cell is not None:
        raise ValueError(
            f'the neighbour-list backend "torch_cluster" is for structures that are not periodic, and `pbc` is '
            f'{pbc.tolist()}; use backend="vesin"'
        )
    try:
        from torch_cluster import radius_graph
    except ImportError as error:
        raise ImportError(INSTALL) from error
    import torch

    num_atoms = len(positions)
    if num_atoms < 2:
        return np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64)
    # Distances do not depend on the origin, but a k-d tree's bounds round less near it.
    centred = torch.from_numpy(positions - positions.mean(axis=0))
    # The default keeps 32 neighbours and drops the rest in silence. An atom has at most N - 1 and itself: nothing can
    # overflow, and nothing is allocated for neighbours that are not there.
    edges = radius_graph(centred, cutoff, loop=False, max_num_neighbors=num_atoms, num_workers=1).numpy()
    pairs = np.ascontiguousarray(edges[:, edges[0] < edges[1]].T, dtype=np.int64)
    return pairs, np.zeros((len(pairs), 3), np.int64)
