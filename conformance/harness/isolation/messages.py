"""Which requests and results travel between this process and its workers, in the form of `codec`."""

from __future__ import annotations

from conformance.harness.execution import codec, lived, observation
from conformance.harness.execution.failure import Failure
from conformance.harness.execution.requests import (
    autograd_apis,
    backward,
    backward_by_layers,
    backward_of_parts,
    forward,
    handed_over,
    laps,
    life_cycle,
    packing,
    parameters,
    surroundings,
    timed,
    training,
)
from conformance.harness.execution.requests.documentation import executed, spelled
from conformance.harness.execution.requests.invalid import call, construction
from conformance.harness.execution.requests.invalid import packing as invalid_packing
from conformance.harness.execution.requests.life import history
from reference.life import Facts
from reference.problem import Architecture, Loss, Problem

REQUESTS = (
    parameters.Construct,
    parameters.DrawParameters,
    forward.Forward,
    forward.ForwardTwice,
    forward.ForwardByLayers,
    forward.ForwardByStep,
    forward.ForwardPoisoned,
    history.LiveThrough,
    life_cycle.ForwardAfterChange,
    life_cycle.BackwardAfterChange,
    laps.CallInLaps,
    call.CallInvalidly,
    construction.ConstructInvalidly,
    invalid_packing.PackInvalidly,
    backward.Backward,
    backward_by_layers.BackwardByLayers,
    backward_of_parts.BackwardOfParts,
    surroundings.CallSurrounded,
    autograd_apis.DifferentiateByApi,
    autograd_apis.CheckSecondDerivatives,
    packing.Pack,
    timed.CallTimed,
    handed_over.WriteModule,
    handed_over.ReadModule,
    handed_over.ReadWeights,
    training.Train,
    spelled.CallSpelled,
    spelled.CallByNames,
    executed.RunDocumentedCode,
    executed.DifferentiateDocumentedCode,
    executed.RunExamples,
)
"""Every request class."""

RESULTS = (
    observation.Observation,
    observation.Repeated,
    observation.ByLayers,
    observation.BySteps,
    observation.Poisoned,
    observation.Changed,
    lived.AfterOperation,
    lived.Lived,
    executed.Executed,
    spelled.Spelled,
    observation.FromFile,
    observation.InLaps,
    observation.Refused,
    observation.Timed,
    observation.Written,
    observation.Trained,
    observation.Constructed,
    observation.Differentiated,
    observation.DifferentiatedByLayers,
    observation.DifferentiatedByApi,
    observation.Surrounded,
    observation.GradgradChecked,
    observation.PackingObservation,
    observation.ParametersDrawn,
)
"""Every result class."""

_PARTS = (Problem, Architecture, Loss, packing.Batch, observation.Fact, observation.Manner, Failure, Facts)
_CLASSES: dict[str, type] = {kind.__name__: kind for kind in (*REQUESTS, *RESULTS, *_PARTS)}
"""The dataclasses that may travel, by name."""


class Writer(codec.Writer):
    """Writes what may travel between this process and a worker."""

    classes = _CLASSES


class Reader(codec.Reader):
    """Reads the same."""

    classes = _CLASSES
