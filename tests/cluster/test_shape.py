"""The pipeline has the shape that every runner carries whole; Dask's loses data without a word in others."""

import apache_beam as beam
import pytest
from apache_beam.pipeline import PipelineVisitor
from apache_beam.transforms.userstate import is_stateful_dofn

from ostinato.beam_pipelines.job import Job
from ostinato.beam_pipelines.pipeline import build
from ostinato.configs.preparation import CodecConfig, PrepareConfig
from tests.midi_files import write_tunes

PRIMITIVES = (beam.Create, beam.Reshuffle, beam.ParDo, beam.GroupByKey)
"""What Beam's Dask runner translates; it passes over anything else."""


class Shape(PipelineVisitor):
    """Collects what is done, down to the transforms that the runners know."""

    def __init__(self):
        self.steps = []

    def visit_transform(self, transform_node):
        self._add(transform_node)

    def enter_composite_transform(self, transform_node):
        if isinstance(transform_node.transform, PRIMITIVES):
            self._add(transform_node)

    def _add(self, node):
        inside = node.parent
        while inside:
            if isinstance(inside.transform, PRIMITIVES):
                return
            inside = inside.parent
        self.steps.append(node)


@pytest.mark.parametrize("codec", ["score", "notes"])
def test_the_pipeline_is_one_line_without_side_inputs_tags_and_bundle_hooks(codec, tmp_path):
    write_tunes(tmp_path, 3)
    job = Job(
        config=PrepareConfig(codec=CodecConfig(name=codec)),
        folder=str(tmp_path / "dataset"),
        work=str(tmp_path / "work"),
        name="dataset",
        labels="",
        num_parsers=1,
        beam_args=(),
    )
    pipeline = beam.Pipeline(runner="FnApiRunner")
    build(pipeline, range(2), job)
    shape = Shape()
    pipeline.visit(shape)

    before = None
    for node in shape.steps:
        assert isinstance(node.transform, PRIMITIVES), node.full_label
        assert not node.side_inputs, node.full_label
        assert list(node.outputs) == [None], f"{node.full_label} has tagged outputs"
        if before:
            assert list(node.inputs) == [before], f"{node.full_label} does not follow the step before it"
        before = node.outputs[None]
        if isinstance(node.transform, beam.ParDo):
            do_fn = node.transform.fn
            for hook in ("start_bundle", "finish_bundle"):
                assert getattr(type(do_fn), hook) is getattr(beam.DoFn, hook), f"{node.full_label} has {hook}"
            assert not is_stateful_dofn(do_fn), node.full_label
    assert len(shape.steps) >= 6
