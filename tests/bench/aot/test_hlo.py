"""What is read out of the text of a compiled program."""

import textwrap

import pytest

from jaxkd.bench.aot import compilation, hlo_costs, hlo_text
from jaxkd.bench.aot.cells import Prepared
from jaxkd.runtime import accelerators

# Lines as libtpu 0.0.42.1 writes them, with their attributes cut short.
TPU = textwrap.dedent("""\
  HloModule jit_round, is_scheduled=true

  %fused.1 (param_0.1: f32[500,8], param_1.1: s32[]) -> f32[8,8] {
    %param_0.1 = f32[500,8]{1,0:T(8,128)} parameter(0)
    %param_1.1 = s32[]{:T(128)} parameter(1)
    ROOT %slice.1 = f32[8,8]{1,0:T(8,128)} dynamic-slice(%param_0.1, %param_1.1)
  }

  %body.1 (wide.param.1: (s32[], f32[500,8], /*index=2*/bf16[64,32])) -> (s32[]) {
    %wide.param.1 = (s32[]{:T(128)}, f32[500,8]{1,0:T(8,128)}) parameter(0)
    %get-tuple-element.1 = f32[500,8]{1,0:T(8,128)} get-tuple-element(%wide.param.1), index=1
    %copy-start.1 = (f32[500,8]{1,0:T(8,128)S(1)}, f32[500,8]{1,0:T(8,128)}, s32[]{:S(1)}) copy-start(%get-tuple-element.1)
    %index.1 = s32[]{:T(128)S(1)} get-tuple-element(%wide.param.1), index=0
    %fusion.1 = f32[8,8]{1,0:T(8,128)} fusion(%get-tuple-element.1, %index.1), kind=kLoop, calls=%fused.1, metadata={op_name="jit(round)/while/body/conv"}, backend_config={"window_config":{"estimated_cycles":"1000","iteration_bounds":["1"]}}
    %add.1 = f32[8,8]{1,0:T(8,128)S(1)} add(%fusion.1, %fusion.1), backend_config={"window_config":{"estimated_cycles":"20"}}
    ROOT %tuple.1 = (s32[]{:T(128)}) tuple(%add.1)
  }

  %condition.1 (wide.param.2: (s32[], f32[500,8])) -> pred[] {
    %constant.1 = s32[]{:T(128)} constant(256), metadata={op_name="x"}
    %wide.param.2 = (s32[]{:T(128)}, f32[500,8]{1,0}) parameter(0)
    %get-tuple-element.2 = s32[]{:T(128)} get-tuple-element(%wide.param.2), index=0
    ROOT %lt.1 = pred[]{:T(512)} compare(%get-tuple-element.2, %constant.1), direction=LT
  }

  ENTRY %main.1_spmd (param.1: f32[500,8]) -> f32[500,8] {
    %param.1 = f32[500,8]{1,0:T(8,128)} parameter(0)
    %tuple.2 = (s32[]{:T(128)}, f32[500,8]{1,0:T(8,128)}) tuple(%param.1)
    %while.1 = (s32[]{:T(128)}, f32[500,8]{1,0:T(8,128)}) while(%tuple.2), condition=%condition.1, body=%body.1
    ROOT %all-gather.1 = f32[500,8]{1,0:T(8,128)} all-gather(%param.1), channel_id=1, dimensions={0}, metadata={op_name="jit(round)/gather"}
  }
  """)  # noqa: E501

# As jax-cuda12-pjrt 0.10.2 writes them.
GPU = textwrap.dedent("""\
  %loop_body (p: (s32[], bf16[8,32])) -> (s32[], bf16[8,32]) {
    %p = (s32[], bf16[8,32]{1,0}) parameter(0)
    %x = bf16[8,32]{1,0} get-tuple-element(%p), index=1
    %cudnn.1 = (bf16[8,32]{1,0}, u8[100]{0}) custom-call(%x), custom_call_target="__cudnn$convForward"
    %all-reduce-start.1 = bf16[8,32]{1,0} all-reduce-start(%x), channel_id=1, to_apply=%sum
    %all-reduce-done.1 = bf16[8,32]{1,0} all-reduce-done(%all-reduce-start.1)
    ROOT %t = (s32[], bf16[8,32]{1,0}) tuple(%p, %x)
  }

  %loop_cond (p.1: (s32[], bf16[8,32])) -> pred[] {
    %p.1 = (s32[], bf16[8,32]{1,0}) parameter(0)
    %f = f64[] parameter(1)
    ROOT %c = pred[] fusion(%p.1), kind=kLoop, calls=%unknown
  }

  ENTRY %main (x.1: bf16[8,32]) -> (s32[], bf16[8,32]) {
    %x.1 = bf16[8,32]{1,0} parameter(0)
    %callback = () custom-call(%x.1), custom_call_target="xla_ffi_python_gpu_callback"
    ROOT %w = (s32[], bf16[8,32]{1,0}) while(%x.1), condition=%loop_cond, body=%loop_body, backend_config={"known_trip_count":{"n":"7"},"known_init_step":{"init":"0","step":"1"}}
  }
  """)  # noqa: E501


def count(text):
  return hlo_costs.count(hlo_text.parse(text), text)


def test_cycles_of_a_loop_count_as_often_as_it_runs():
  costs = count(TPU)
  assert costs.cycles == 256 * 1020
  assert costs.dearest[0].name == "fusion fusion.1 jit(round)/while/body/conv"
  assert costs.dearest[0].cycles == 256_000
  assert costs.dearest[0].times == 256
  assert (costs.float64, costs.on_host, costs.endless) == (False, False, 0)


def test_operations_without_an_estimate_are_listed():
  assert count(TPU).without_estimate == {"copy-start": 1, "all-gather": 1}


def test_bytes_are_those_of_whole_tiles_in_the_main_memory():
  """A slice reads its part of an array; what is on the chip moves nothing."""
  tile, whole = 8 * 128 * 4, 504 * 128 * 4
  in_loop = whole + 2 * tile + 2 * tile  # copy, fusion, addition
  assert count(TPU).num_bytes == 256 * in_loop + 2 * whole


def test_collectives_are_listed_with_their_bytes_and_loops():
  (gathered,) = count(TPU).collectives
  assert (gathered.opcode, gathered.loops) == ("all-gather", 0)
  assert gathered.num_bytes == 504 * 128 * 4
  assert gathered.source == "jit(round)/gather"
  (reduced,) = count(GPU).collectives
  assert (reduced.opcode, reduced.times, reduced.loops) == ("all-reduce", 7, 1)
  assert reduced.num_bytes == 8 * 32 * 2


def test_a_program_for_a_gpu_has_no_cycles():
  costs = count(GPU)
  assert costs.cycles == 0
  assert costs.float64
  assert costs.on_host
  assert costs.without_estimate == {"custom-call": 2, "all-reduce-start": 1}


@pytest.mark.parametrize(
  ("shape", "num_bytes"),
  [
    ("bf16[500,32]{1,0}", 32_000),
    ("bf16[500,32]{1,0:T(8,128)(2,1)}", 504 * 128 * 2),
    ("bf16[500,32]{0,1:T(8,128)(2,1)}", 512 * 32 * 2),
    ("f32[]{:T(128)}", 4),
    ("pred[7]{0:T(1024)}", 1024),
    ("(f32[2]{0}, s4[3]{0})", 8 + 2),
    ("f32[8,8]{1,0:T(8,128)S(1)}", 0),
  ],
)
def test_bytes_of_a_shape(shape, num_bytes):
  text = f"ENTRY %main () -> f32[] {{\n  ROOT %x = {shape} parameter(0)\n}}\n"
  program = hlo_text.parse(text)
  root = program.computations["main"].instructions["x"]
  assert root.num_bytes == num_bytes


def test_what_is_added_up_over_devices_is_sent_twice():
  kind = accelerators.ACCELERATORS["h100"]
  prepared = Prepared(None, 7, 1, 0, 1, 1, "")
  reduced = compilation.costs(GPU, prepared, 1, kind)["transfers"]["seconds"]
  assert reduced == pytest.approx(7 * 2 * 512 / kind.links)
  kind = accelerators.ACCELERATORS["v5e"]
  gathered = compilation.costs(TPU, prepared, 1, kind)["transfers"]["seconds"]
  assert gathered == pytest.approx(504 * 128 * 4 / kind.links)
  assert (
    compilation.costs(GPU, prepared, 1, accelerators.ACCELERATORS["cpu"])[
      "transfers"
    ]
    is None
  )


def test_work_that_devices_share_is_divided():
  kind = accelerators.ACCELERATORS["v5e"]
  prepared = Prepared(None, 2, 1, 0, 1, 8, "")
  row = compilation.costs(TPU, prepared, 1600, kind)
  assert row["step"]["flop"] == 1600 / 2 / 8
  cycles = row["cycles"]
  expected = 1600 / 8 / (cycles["seconds"] * kind.flops)
  assert cycles["share_of_peak"] == pytest.approx(expected)
