"""The report of encoders that were trained to segment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import figures
from .page import (
    cell,
    compared,
    interval_cell,
    marked_best,
    section,
    training_table,
    write_page,
)

#: Classes whose IoU stands in the table of all models; of more it has a table of its own.
SEVERAL = 6

CAPTION = (
    'In %, on all labelled pixels of the test images, after the last epoch. mIoU: intersection '
    'over union, averaged over the classes; accuracy: share of the pixels that are right; F1: '
    'averaged over the classes. Scales: mean mIoU over the scales, test images made coarser, at '
    'native size, against masks at full scale; smallest: at the smallest of them. In brackets 95 % '
    'intervals, from bootstraps of the test images. Grey rows are controls: random weights of the '
    'same architecture trained alike, the class that most training pixels are of, and the class '
    'whose mean colour is nearest to the pixel’s.'
)
SCALES = (
    'Test images are averaged over coarser pixels and shown to the trained models, which are told '
    'their metres per pixel. At native size a model gets fewer pixels, their side rounded to a '
    'multiple of its patch, at least one patch; enlarged, the image is brought back to its size '
    'first. What is predicted is interpolated to the full grid and compared with masks at full '
    'scale. Full dots are fine-tuned, open ones frozen; controls are dotted. Bands and brackets '
    'are 95 % intervals; drop is what the smallest scale loses.'
)
OVERLAYS = (
    'Middles of test images, from the first to the last. Of two classes the second is shown: what '
    'was found, what was missed, and false alarms.'
)
CLASSES = 'IoU of each class in %, at full scale, with 95 % intervals; – where it does not occur.'
TRAINED = (
    'Frozen: the decoder alone learns. Fine-tuned: the encoder too. All begin with the same '
    'decoder and see the same batches; no image was used to choose by. Each was trained once: the '
    'intervals are of the test images, and know nothing of what another seed would have brought.'
)


def write_segment_report(
    results: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Path]], out: Path
) -> Path:
    """Draw the curves and write ``report.html``.

    Args:
        results: What ``results.json`` holds.
        pictures: Pictures that were drawn already, by section (``overlays``, ``scales``), by
            caption.
        out: Folder of the report.

    Returns:
        The page.
    """
    data, models = results['data'], results['models']
    curves = figures.draw_miou(models, data['gsd'], out / 'figures' / 'miou.png')
    shown = {'mIoU against scale.': curves, **pictures['scales']}
    sections = [
        section('Where does it break?', SCALES, shown, _at_scales(results)),
        section('What is segmented', OVERLAYS, pictures['overlays']),
    ]
    if len(data['classes']) > SEVERAL:
        sections.insert(0, section('Each class', CLASSES, {}, _classes(results)))
    trained = [
        (name, way, found['training']) for name, way, found in ways(results) if 'training' in found
    ]
    sections.append(section('How they were trained', TRAINED, {}, training_table(trained)))
    return write_page(
        results,
        out,
        headline=_headline(data),
        verdict=segment_verdict(results),
        summary=segment_summary(results),
        sections=sections,
        warnings=_warnings(results),
    )


def ways(results: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """List what was measured: name of the model, way of training, numbers.

    Args:
        results: What ``results.json`` holds.
    """
    return [
        (name, way, found)
        for name, model in results['models'].items()
        for way, found in model['segment'].items()
    ]


def segment_verdict(results: Mapping[str, Any]) -> str:
    """Say in sentences whether models are better than controls.

    Args:
        results: What ``results.json`` holds.
    """
    said = []
    for apart in results['comparisons']:
        way, own = apart['way'], apart['control_way']
        whom = f'{apart["control"]}, {way}' if own == way else apart['control']
        said.append(compared(apart, f'{apart["model"]}, {way},', whom, 'of mIoU at full scale'))
    return ' '.join(said) or 'Only controls were evaluated.'


def segment_summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out the table of all models and ways of training.

    Args:
        results: What ``results.json`` holds.

    Returns:
        As :func:`~.report.summary`.
    """
    classes = results['data']['classes']
    several = classes if len(classes) <= SEVERAL else []
    table = []
    for name, way, found in ways(results):
        scales = next(iter(found['scales'].values()))
        cells = [
            cell(*interval_cell(found['miou'])),
            *(cell(*interval_cell(found['iou'][one])) for one in several),
            cell(*interval_cell(found['accuracy'])),
            cell(*interval_cell(found['macro_f1'])),
            cell(*interval_cell(scales['mean'])),
            cell(scales['score'][0]),
        ]
        table.append((results['models'][name]['control'], name, way, cells))
    marked_best([cells for *_, cells in table])
    rows = [
        {'control': control, 'cells': [{'text': name}, {'text': way}, *cells]}
        for control, name, way, cells in table
    ]
    columns = ['mIoU', *(f'IoU {one}' for one in several), 'accuracy', 'F1', 'scales', 'smallest']
    heads = ['model', 'trained', *columns]
    return {'title': 'Segmentation', 'heads': heads, 'rows': rows, 'caption': CAPTION}


def _at_scales(results: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out the mIoU at each scale, shown each way, and what is lost at the smallest."""
    rows, scales = [], list[float]()
    for name, way, found in ways(results):
        for look, curve in found['scales'].items():
            scales = curve['scales']
            pairs = zip(curve['score'], curve['interval'], strict=True)
            shown = [{'score': score, 'interval': ends} for score, ends in pairs]
            lost = next(iter(reversed(curve['drop'].values())), None)
            texts = [_text(one) for one in (*shown, curve['mean'], lost)]
            rows.append([name, way, look, *texts])
    heads = [f'mIoU at {100 * scale:g} %' for scale in scales]
    return {'heads': ['model', 'trained', 'shown', *heads, 'mean', 'drop'], 'rows': rows}


def _text(found: Mapping[str, Any] | None) -> str:
    made = cell(*interval_cell(found))
    return f'{made["text"]} {made["small"]}'.strip()


def _classes(results: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out the IoU of each class."""
    measured = ways(results)
    heads = ['class', *(f'{name}, {way}' for name, way, _ in measured)]
    rows = []
    for one in results['data']['classes']:
        rows.append([one, *(_text(found['iou'][one]) for *_, found in measured)])
    return {'heads': heads, 'rows': rows}


def _headline(data: Mapping[str, Any]) -> str:
    gsd = f' of {data["gsd"]:.3g} m pixels' if data['gsd'] else ''
    return (
        f'{len(data["classes"])} classes · {data["train"]} training and {data["test"]} test images '
        f'· bands {", ".join(data["bands"])} · {data["tile"]} px tiles{gsd}'
    )


def _warnings(results: Mapping[str, Any]) -> list[str]:
    said = [*results['data']['warnings']]
    said += [f'left out: {path}: {reason}' for path, reason in results['data']['rejected'][:10]]
    for name, model in results['models'].items():
        said += [f'{name}: {warning}' for warning in model['warnings']]
    return said
