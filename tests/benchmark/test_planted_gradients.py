"""Where the same words mean something else, gradients tell the families and shared words do not."""

from __future__ import annotations

import numpy as np

from benchmark.config import RunConfig
from benchmark.evidence import RunEvidence
from benchmark.grouping import partition
from benchmark.jobs import execute
from benchmark.prepare import materialise, prepare
from benchmark.rows import rows
from leaderboard.recovery import adjusted_rand


def test_gradients_of_token_embeddings_find_what_overlap_cannot(tmp_path):
    measures = ("gradsim[blocks=embeddings]", "overlap", "random")
    task = "planted[setting=lexical-trap]"
    setup = prepare(RunConfig(measures, task, epochs=3, probe_share=0.5, device="cpu", cache=tmp_path))
    materialise(setup)
    [of] = setup.seeds
    found = {row.called: row for row in rows(measures)[0] if row.asked}
    assert execute(setup.joint(of, found["gradsim"].readings), setup.store).error is None

    def recovered(name: str) -> float:
        row = found[name]
        matrix = row.measure.similarity(RunEvidence(setup, of, row.needs))
        assert np.isfinite(matrix.values).all()
        groups = [[setup.codes[place] for place in group] for group in partition(matrix.values, 4)]
        agreement = adjusted_rand(groups, setup.spec.families)
        assert agreement is not None
        return agreement

    assert recovered("gradsim") > 0.7
    assert abs(recovered("overlap")) < 0.3
    assert abs(recovered("random")) < 0.3
