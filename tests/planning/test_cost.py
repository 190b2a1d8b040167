"""The cost of a compiled program: memory, FLOPs and collectives."""

import subprocess
import sys

import pytest

from vcjax.errors import BadInput
from vcjax.planning.cost import Traffic, traffic_of
from vcjax.planning.topology import topology_of

PROGRAM = """
HloModule jit_step, entry_computation_layout={(f32[8]{0})->f32[8]{0}}

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%a, %b)
}

%body (carried: (s32[], f32[4,2])) -> (s32[], f32[4,2]) {
  %x = f32[4,2]{1,0} get-tuple-element(%carried), index=1
  %reduced = f32[4,2]{1,0} all-reduce(%x), replica_groups={{0,1}}, to_apply=%add
  ROOT %out = (s32[], f32[4,2]{1,0}) tuple(%i, %reduced)
}

%wrapped (y: bf16[16,4]) -> bf16[2,4] {
  ROOT %scattered = bf16[2,4]{1,0:T(8,128)(2,1)} reduce-scatter(%y), replica_groups=[2,8]<=[16], to_apply=%add
}

%padding (x: f32[4]) -> f32[4] {
  ROOT %same = f32[4]{0} parameter(0)
}

%step (x: f32[4]) -> f32[4] {
  ROOT %gathered = f32[32]{0} all-gather(%x), replica_groups=[1,8]<=[8], dimensions={0}
}

ENTRY %main (p: f32[8]) -> f32[8] {
  %loop = (s32[], f32[4,2]{1,0}) while(%t), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %start = (bf16[2]{0}, bf16[16]{0}) all-gather-start(%p), replica_groups=[2,8]<=[16], dimensions={0}
  %done = bf16[16]{0} all-gather-done(%start)
  %async = ((bf16[16,4]), bf16[2,4]) async-start(%y), calls=%wrapped
  %chosen = f32[4]{0} conditional(%i, %x, %x), branch_computations={%padding, %step}
  %swapped = (f32[3]{0}, f32[3]{0}) all-to-all(%u, %v), replica_groups={{0,1}}
  ROOT %sent = f32[8]{0} collective-permute(%p), source_target_pairs={{0,1}}, metadata={op_name="all-reduce(x)"}
}
"""


def test_collectives_are_counted_with_their_bytes_and_loops():
    assert traffic_of(PROGRAM) == {
        "all-gather": Traffic(count=2, bytes=16 * 2 + 32 * 4),
        "all-reduce": Traffic(count=5, bytes=5 * 8 * 4),
        "all-to-all": Traffic(count=1, bytes=2 * 3 * 4),
        "collective-permute": Traffic(count=1, bytes=8 * 4),
        "reduce-scatter": Traffic(count=1, bytes=8 * 2 * 4 * 2),
    }


COMPILED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from vcjax.planning.cost import cost_of
from vcjax.planning.topology import devices_of, topology_of

mesh = Mesh(np.array(devices_of(topology_of("cpu:4"))), ("x",))
def placed(spec): return jax.ShapeDtypeStruct((64, 64), jnp.float32, sharding=NamedSharding(mesh, spec))
def step(a, b):
    def body(total, _): return jnp.tanh(a @ total), None
    return jax.lax.scan(body, b, length=3)[0]
step = jax.jit(step, out_shardings=NamedSharding(mesh, P("x")))
cost = cost_of(step.lower(placed(P(None, "x")), placed(P("x"))).compile())
print(cost.arguments, cost.outputs, sum(t.bytes for t in cost.traffic.values()), cost.flops)
"""


def test_a_real_program_on_four_devices():
    """Rows times columns: each turn of the loop sums or gathers a matrix of 64x64 over the devices."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    arguments, outputs, exchanged, operations = map(float, done.stdout.split())
    assert arguments == 2 * 64 * 64 * 4 / 4
    assert outputs == 64 * 64 * 4 / 4
    assert 3 * 64 * 64 * 4 / 4 <= exchanged <= 4 * 64 * 64 * 4
    assert operations > 0


def test_names_of_topologies():
    pod = topology_of("v5p:4x4x4")
    assert (pod.platform, pod.count) == ("tpu", 64)
    assert pod.chip is not None
    assert pod.chip.memory == 95 * 2**30
    assert (topology_of("cpu:8").count, topology_of("cpu:8").chip) == (8, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v9:4x4", "topology must be a chip and its grid, such as v5e:16x16.*not 'v9:4x4'"),
        ("v5e", "such as v5e:16x16"),
        ("v5e:0x4", "such as v5e:16x16"),
        ("cpu:none", "such as v5e:16x16"),
        ("v5p:8x8", "has 2 axes, but a slice of v5p has 3"),
    ],
)
def test_a_name_that_is_no_topology_is_refused(name, message):
    with pytest.raises(BadInput, match=message):
        topology_of(name)
