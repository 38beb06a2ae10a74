"""What is read of compiled programs, against numbers counted by hand."""

import pytest

from benchmarks.hlo import Program
from benchmarks.hlo_text import read_arrays

# A step: reads row i of the data, convolves, multiplies, and sums over devices.
STEP = """HloModule jit_run_steps, is_scheduled=true

%take (p0: s32[8,4], p1: s32[]) -> s32[1,4] {
  %p0 = s32[8,4]{1,0} parameter(0)
  %p1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %slice = s32[1,4]{1,0} dynamic-slice(%p0, %p1, %zero), dynamic_slice_sizes={1,4}
}

%product (p: f32[6,5], q: f32[5,2]) -> f32[6,2] {
  %p = f32[6,5]{1,0} parameter(0)
  %q = f32[5,2]{1,0} parameter(1)
  ROOT %dot = f32[6,2]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%turn (t: f32[3]) -> f32[3] {
  %t = f32[3]{0} parameter(0)
  ROOT %copy.1 = f32[3]{0} copy(%t)
}

%cond (c: f32[3]) -> pred[] {
  %c = f32[3]{0} parameter(0)
  ROOT %go = pred[] constant(true)
}

%step (s: (s32[8,4], s32[], bf16[2,4,4,3], bf16[5,3,3,3], f32[6,5], f32[5,2], f32[3])) -> (s32[]) {
  %s = (s32[8,4]{1,0}, s32[], bf16[2,4,4,3]{3,2,1,0}, bf16[5,3,3,3]{3,2,1,0}, f32[6,5]{1,0}, /*index=5*/f32[5,2]{1,0}, f32[3]{0}) parameter(0)
  %rows = s32[8,4]{1,0} get-tuple-element(%s), index=0
  %i = s32[] get-tuple-element(%s), index=1
  %x = bf16[2,4,4,3]{3,2,1,0} get-tuple-element(%s), index=2
  %k = bf16[5,3,3,3]{3,2,1,0} get-tuple-element(%s), index=3
  %a = f32[6,5]{1,0} get-tuple-element(%s), index=4
  %b = f32[5,2]{1,0} get-tuple-element(%s), index=5
  %v = f32[3]{0} get-tuple-element(%s), index=6
  %taken = s32[1,4]{1,0} fusion(%rows, %i), kind=kLoop, calls=%take
  %conv = (bf16[2,4,4,5]{3,2,1,0}, u8[16]{0}) custom-call(%x, %k), window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  %y = bf16[2,4,4,5]{3,2,1,0} get-tuple-element(%conv), index=0
  %multiplied = f32[6,2]{1,0} fusion(%a, %b), kind=kCustom, calls=%product
  %sum-start = f32[3]{0} all-reduce-start(%v), channel_id=1, to_apply=%add
  %sum-done = f32[3]{0} all-reduce-done(%sum-start)
  %counted = f32[3]{0} while(%v), condition=%cond, body=%turn, backend_config={"known_trip_count":{"n":"7"}}
  %waited = f32[3]{0} while(%v), condition=%cond, body=%turn, metadata={op_name="step/nms/while"}
  ROOT %out = (s32[]) tuple(%i)
}

ENTRY %main (p: (s32[])) -> (s32[]) {
  %p = (s32[]) parameter(0)
  ROOT %loop = (s32[]) while(%p), condition=%cond, body=%step
}
"""  # noqa: E501


def test_a_step_costs_what_its_kernels_move_and_multiply():
    program = Program(STEP)
    costs = program.count_costs(program.find_step())
    row = 2 * 16 + 4 + 0  # a row read and written, its number
    convolution = 2 * (96 + 135 + 160) + 16  # image, kernel, result, and scratch
    product, exchange, copy = 4 * (30 + 10 + 12), 4 * (3 + 3), 4 * (3 + 3)
    assert costs.bytes == row + convolution + product + exchange + 8 * copy
    # Each of 32 pixels: 27 numbers by 5 channels; 12 results of 5 products.
    assert costs.flops == 2 * 32 * 27 * 5 + 2 * 12 * 5
    assert costs.kernels == 4 + 8
    assert costs.collectives == {"all-reduce": 1}
    assert costs.waits == ["step/nms/while"]


SUM = """%part (a: f32[8,4], b: bf16[8,4]) -> {shape} {{
  %a = f32[8,4]{{1,0}} parameter(0)
  %b = bf16[8,4]{{1,0}} parameter(1)
  %wide = f32[8,4]{{1,0}} convert(%b)
  %sum = f32[8,4]{{1,0}} add(%a, %wide)
  {root}
}}

ENTRY %main (x: f32[8,4], y: bf16[8,4]) -> {shape} {{
  %x = f32[8,4]{{1,0}} parameter(0)
  %y = bf16[8,4]{{1,0}} parameter(1)
  ROOT %taken = {shape} fusion(%x, %y), kind=kLoop, calls=%part
}}
"""
SLICE = "%top = f32[2,4]{1,0} slice(%sum), slice={[0:2], [0:4]}"


@pytest.mark.parametrize(
    ("shape", "root", "read", "written"),
    [
        # Two rows of four numbers, in four bytes and in two.
        ("f32[2,4]", f"ROOT {SLICE}", 8 * (4 + 2), 8 * 4),
        ("f32[8]", "ROOT %all = f32[8] reduce(%sum), dimensions={1}", 32 * 6, 8 * 4),
        ("f32[8,4]", "ROOT %all = f32[8,4]{1,0} negate(%sum)", 32 * 6, 32 * 4),
        (
            "(f32[8,4], f32[2,4])",
            f"{SLICE}\n  ROOT %both = (f32[8,4], f32[2,4]) tuple(%sum, %top)",
            32 * 6,
            (32 + 8) * 4,
        ),
    ],
)
def test_of_a_sum_only_the_part_is_read_that_is_taken(shape, root, read, written):
    program = Program(SUM.format(shape=shape, root=root))
    assert program.count_costs(program.entry).bytes == read + written


@pytest.mark.parametrize(
    ("target", "operands", "result", "flops"),
    [
        # Forward, 2 x 8 x 8 x 3 to 2 x 4 x 4 x 5 by a stride of 2: 32 places.
        ("convForward", ("2,8,8,3", "5,3,3,3"), "2,4,4,5", 2 * 32 * 27 * 5),
        ("convBackwardInput", ("2,4,4,5", "5,3,3,3"), "2,8,8,3", 2 * 32 * 27 * 5),
        ("convBackwardFilter", ("2,8,8,3", "2,4,4,5"), "5,3,3,3", 2 * 32 * 27 * 5),
    ],
)
def test_the_three_convolutions_of_a_layer_cost_the_same(
    target, operands, result, flops
):
    a, b = operands
    text = f"""ENTRY %main (a: f32[{a}], b: f32[{b}]) -> f32[{result}] {{
  %a = f32[{a}]{{3,2,1,0}} parameter(0)
  %b = f32[{b}]{{3,2,1,0}} parameter(1)
  ROOT %c = (f32[{result}]{{3,2,1,0}}, u8[0]{{0}}) custom-call(%a, %b), window={{size=3x3}}, dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn${target}"
}}
"""  # noqa: E501
    program = Program(text)
    assert program.count_costs(program.entry).flops == flops


CONVOLUTION = """%move (m: bf16[2,3,4,4]) -> bf16[2,4,4,3] {{
  %m = bf16[2,3,4,4]{{3,2,1,0}} parameter(0)
  ROOT %t = bf16[2,4,4,3]{{3,2,1,0}} transpose(%m), dimensions={{0,2,3,1}}
}}

ENTRY %main (x: bf16[2,3,4,4], k: bf16[5,3,3,3]) -> bf16[2,4,4,5] {{
  %x = bf16[2,3,4,4]{{3,2,1,0}} parameter(0)
  %k = bf16[5,3,3,3]{{3,2,1,0}} parameter(1)
  %n = bf16[2,4,4,3]{{3,2,1,0}} {before}
  %w = bf16[5,3,3,3]{{3,2,1,0}} {kernel}
  %conv = (bf16[2,4,4,5]{{{layout}}}, u8[0]{{0}}) custom-call(%n, %w), dim_labels={labels}, custom_call_target="__cudnn$convForward"
  ROOT %y = bf16[2,4,4,5]{{3,2,1,0}} get-tuple-element(%conv), index=0
}}
"""  # noqa: E501
STRAIGHT = {
    "before": "add(%x, %x)",
    "kernel": "copy(%k)",
    "layout": "3,2,1,0",
    "labels": "b01f_o01i->b01f",
}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"kernel": "transpose(%k), dimensions={0,2,1,3}"}, []),
        ({"before": "fusion(%x), kind=kInput, calls=%move"}, ["conv"]),
        ({"before": "transpose(%x), dimensions={0,2,3,1}"}, ["conv"]),
        ({"layout": "1,3,2,0"}, ["conv"]),
        ({"labels": "bf01_oi01->bf01"}, ["conv"]),
    ],
)
def test_images_that_are_rearranged_for_a_convolution_are_found(change, found):
    program = Program(CONVOLUTION.format(**STRAIGHT | change))
    assert program.find_transposed_convolutions() == found


def test_a_program_without_one_loop_of_steps_is_an_error():
    with pytest.raises(ValueError, match="one loop of steps, found 0"):
        Program(CONVOLUTION.format(**STRAIGHT)).find_step()


def test_bytes_of_each_type():
    shape = (
        "(pred[3], bf16[2,2]{1,0:T(8)}, f64[], u8[0]{0}, /*index=5*/f8e4m3fn[4], "
        "s4[2], token[])"
    )
    assert [array.bytes for array in read_arrays(shape)] == [3, 8, 8, 0, 4, 1, 0]
