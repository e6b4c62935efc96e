"""Plan a model: decide, and use the rules to find obstacles to the decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field, replace

from dlclint.analysis.op_precision import lacking_on_htp
from dlclint.analysis.placement import placements
from dlclint.analysis.plan.commands import check_command
from dlclint.analysis.plan.decide import chosen_runtime, make_plan
from dlclint.analysis.plan.model import Choice, Obstacle, Plan, PlanRequest
from dlclint.analysis.plan.overrides import overrides_of_plan
from dlclint.analysis.view import ModelView
from dlclint.chains import report_order
from dlclint.diagnostic import About, Diagnostic, Severity, counted
from dlclint.encodings.convert import Overrides, merged_overrides
from dlclint.encodings.reading import read_encodings
from dlclint.engine.causes import with_causes
from dlclint.engine.ignores import apply_ignores
from dlclint.engine.job import Job
from dlclint.engine.names import misfits, unknown_names
from dlclint.engine.registry import chosen_rules
from dlclint.engine.rules import apply_rules
from dlclint.engine.suppressions import carried_ignores
from dlclint.model.graph import Graph
from dlclint.model.reading import read
from dlclint.own_rules import UNUSED_IGNORE
from dlclint.rule import ModelContext, Rule, Subject
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.planning import Wanted, measured_plan
from dlclint.simulate.reference import Tick, quiet
from dlclint.target import Runtime, Target
from dlclint_schemas.record import record


class UnknownNames(Exception):
    """The command line names inputs or symbols that the model does not have; the argument names them."""


class CarriesEncodings(Exception):
    """The model's own encodings apply, and the request would need others; the argument states which."""


@record
class OverrideRequest:
    """The override file that a plan writes: its format version, and which ranges it holds."""

    version: str = "0.6.1"
    estimated: bool = False
    """Whether activations get their estimated ranges."""


@record
class Measuring:
    """What a plan is measured on, and the accuracy that the outputs must keep."""

    samples: Callable[[Graph], Samples]
    wanted: Wanted = field(default_factory=Wanted)
    tick: Tick = quiet


def plan_model(
    job: Job, asked: PlanRequest, file: OverrideRequest, measuring: Measuring | None = None
) -> tuple[Plan, Overrides | None]:
    """The plan of a model, and the override file where `asked` requests one and the DLC is quantized.

    With `measuring`, each choice is measured, and the override file has the measured grids.

    Raises:
        Unreadable: the model cannot be read.
        UnknownNames, CarriesEncodings: see the classes.
        BadInput, CannotSimulate, CannotRun: it cannot be measured.
        CannotConvert: the format version cannot express the encodings.
    """
    view = ModelView(read(job.path, job.dimensions), job.target, job.overrides)
    carried = carried_ignores(view.model, job.shown).ignores
    job = replace(job, ignores=(*job.ignores, *carried))
    odd = list(misfits(view.model, job, job.shown))
    if unknown := unknown_names([odd]):
        raise UnknownNames(unknown)
    runtime, _ = chosen_runtime(view.target)
    quantize = not asked.is_float
    if quantize and view.carries_encodings:
        _refuse_others(asked, measuring)
    if quantize and runtime is Runtime.HTP:
        wide = Choice(runtime, True, act_bitwidth=16)
        aimed = view.aimed(_target(view, wide, asked))
        lacking = (lacking_op.op for lacking_op in lacking_on_htp(aimed, "int16") if lacking_op.agreed)
        asked = replace(asked, lacking=frozenset(lacking))
    plan = make_plan(view, replace(asked, measured=measuring is not None))
    overrides = None
    if measuring is not None and plan.choice.quantize:
        plan, overrides = _measured(view, plan, asked, file, measuring, job)
    elif asked.overrides and plan.choice.quantize:
        overrides = _with_entries(
            overrides_of_plan(view, plan, file.version, file.estimated), view, file, job
        )
        plan = replace(plan, notes=(*overrides.notes, *plan.notes))
    target = _target(view, plan.choice, asked)
    # The plan states these in its own words, and its commands give the sizes.
    own = (About.SETTINGS, About.ACCURACY, About.SIZES)
    rules = [rule for rule in chosen_rules(job.select, job.ignore) if rule.about not in own]
    aimed = view.aimed(target)
    findings = [*odd, *_findings(aimed, job, rules)]
    plan = replace(
        plan,
        obstacles=_obstacles([*findings, *_of_file(aimed, job)]),
        check=check_command(view, target, asked.dimensions, asked.model_overrides if target.quantize else ""),
    )
    if job.drawn:
        # Imported here because most reports draw nothing.
        from dlclint.engine.drawing import drawing

        listed = report_order(with_causes(findings, view.model))
        plan = replace(plan, findings=listed, drawing=drawing([aimed], findings))
    return plan, overrides


def _refuse_others(asked: PlanRequest, measuring: Measuring | None) -> None:
    """Stop where an override file or measured choices are requested for a model with its own encodings.

    Raises:
        CarriesEncodings: see the class.
    """
    if asked.overrides:
        raise CarriesEncodings(
            "the model carries its encodings; dlclint encodings extract writes them as an override file, with"
            " the float model"
        )
    if measuring is not None:
        raise CarriesEncodings(
            "the model carries its encodings, so there is nothing to choose on inputs; dlclint encodings"
            " extract makes the float model, which can be planned again"
        )


def _measured(
    view: ModelView, plan: Plan, asked: PlanRequest, file: OverrideRequest, measuring: Measuring, job: Job
) -> tuple[Plan, Overrides | None]:
    samples = measuring.samples(view.model.graph)
    document = None if job.overrides is None else read_encodings(job.overrides)
    version = file.version if asked.overrides else "0.6.1"
    plan, overrides = measured_plan(
        view, plan, asked, samples, document, measuring.wanted, version, measuring.tick
    )
    if not asked.overrides:
        return plan, None
    return replace(plan, notes=(*overrides.notes, *plan.notes)), Overrides(overrides.text, overrides.notes)


def _target(view: ModelView, choice: Choice, asked: PlanRequest) -> Target:
    """The target that `check` would need to check a choice."""
    # With overrides the converter does not simplify.
    simplify = view.target.simplify and not (asked.overrides and choice.quantize)
    return replace(view.target, runtimes=(choice.runtime,), kind=choice.kind, simplify=simplify)


def _with_entries(of_plan: Overrides, view: ModelView, file: OverrideRequest, job: Job) -> Overrides:
    """The override file with the entries of the job's file, because the converter takes one file.

    Raises:
        CannotConvert: the format version cannot say what that file says.
    """
    if job.overrides is None:
        return of_plan
    document = read_encodings(job.overrides)
    text = merged_overrides(document, of_plan.text, file.version, placements(view.model))
    count = len(document.tensors.names)
    return Overrides(text, (f"written from {job.overrides}: {counted(count, 'tensor')}", *of_plan.notes))


def _of_file(view: ModelView, job: Job) -> list[Diagnostic]:
    """The findings of the rules on the override file that goes with the model, where the DLC is quantized."""
    if job.overrides is None or not view.target.quantize:
        return []
    # Imported here because few models come with an override file.
    from dlclint.engine.encodings import lint_overrides

    findings = lint_overrides(replace(job, path=job.overrides, model=job.path, target=view.target), view)
    kept, _ = apply_ignores(findings, job.ignores, str(job.overrides))
    return kept


def _findings(view: ModelView, job: Job, rules: Sequence[Rule]) -> list[Diagnostic]:
    context = ModelContext(job.path, view, view.target)
    shown = job.shown
    findings = list(apply_rules(rules, Subject.MODEL, context, shown))
    if view.target.quantize and view.carried is not None and view.carried.nodes:
        # Imported here because few models are quantized.
        from dlclint.engine.encodings import lint_carried

        findings += lint_carried(replace(job, target=view.target), view, view.carried)
    kept, _ = apply_ignores(findings, job.ignores, shown)
    return sorted(kept, key=Diagnostic.sort_key)


def _obstacles(findings: list[Diagnostic]) -> tuple[Obstacle, ...]:
    """Errors and warnings by rule, the most frequent errors first."""
    groups: dict[tuple[bool, str], list[Diagnostic]] = {}
    for finding in findings:
        if finding.severity is not Severity.INFO and finding.rule != UNUSED_IGNORE:
            groups.setdefault((finding.severity is Severity.ERROR, finding.rule), []).append(finding)
    rows = [
        Obstacle(rule, is_error, len(items), items[0].message, _where(items[0]), items[0].help)
        for (is_error, rule), items in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (not row.is_error, -row.times, row.rule)))


def _where(finding: Diagnostic) -> str:
    """The node that a finding is about, or "": a finding about a tensor names it."""
    location = finding.location
    if location.node_index is None:
        return ""
    return f"{location.op} {location.node or location.tensor or f'#{location.node_index}'}"
