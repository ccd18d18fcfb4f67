"""The report of an evaluation: figures, and one page that needs no network."""

from collections.abc import Mapping, Sequence
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

#: What the table says below it.
CAPTION = (
    'Frozen features of the test images. kNN-20: the 20 nearest training images by cosine, '
    'weighted by exp(similarity / 0.07); kNN-5: the 5 nearest by Euclidean distance. Linear: '
    'BatchNorm and a linear layer on all, and on shares, of the training labels; ± is the standard '
    'deviation over seeds. Scales: mean kNN-20 over the scales, the training images at full scale. '
    'mAP across: test images of the class, found from one scale at another. In brackets 95 % '
    'intervals, from bootstraps of the test images. Grey rows are controls. The first pooling of a '
    'model is the one it was trained with; figures and comparisons use it.'
)

#: Of the column of fine-tuning, and what stands over the table.
TUNED = (
    'Fine-tuned: the encoder and a linear layer, trained on all training labels, measured after '
    'the last epoch; all begin with the same layer and see the same images in one order. Each was '
    'trained once: intervals know nothing of what another seed would have brought.'
)
TITLE = 'What the features know'


def write_report(
    results: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Path]], out: Path
) -> Path:
    """Draw the figures and write ``report.html``.

    Args:
        results: What ``results.json`` holds.
        pictures: Pictures that were drawn already, by section (``scales``, ``strips``, ``maps``),
            by caption.
        out: Folder of the report; figures go to ``figures`` in it.

    Returns:
        The page.
    """
    return write_page(
        results,
        out,
        headline=_headline(results['data']),
        verdict=verdict(results),
        summary=summary(results),
        sections=_sections(results, pictures, out / 'figures'),
        warnings=_warnings(results),
    )


def _headline(data: Mapping[str, Any]) -> str:
    gsd = f' of {data["gsd"]:.3g} m pixels' if data['gsd'] else ''
    return (
        f'{len(data["classes"])} classes · {data["train"]} training and {data["test"]} test images '
        f'· bands {", ".join(data["bands"])} · {data["side"]} px squares{gsd}'
    )


def score_name(results: Mapping[str, Any]) -> str:
    """Return what is measured, for axes and tables."""
    return 'mean average precision' if results['data']['multilabel'] else 'accuracy'


def verdict(results: Mapping[str, Any]) -> str:
    """Say in sentences whether models are better than the best control.

    Args:
        results: What ``results.json`` holds.
    """
    said = [
        compared(
            apart,
            apart['model'],
            f'the best control, {apart["control"]}',
            f'by {apart["by"]}',
        )
        for apart in results['comparisons']
    ]
    return ' '.join(said) or 'Only controls were evaluated.'


def summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out the table of all models and poolings.

    Args:
        results: What ``results.json`` holds.

    Returns:
        ``heads``; ``rows``, each with ``control`` and ``cells`` (``text``, ``small``, ``best``);
        ``caption``.
    """
    columns = _columns(results)
    table = []
    for name, model in results['models'].items():
        for pooling, found in model['poolings'].items():
            # It is trained through one pooling.
            tuned = model.get('finetune') if pooling == model['pooling'] else None
            cells = [cell(*read(found)) for _, read in columns]
            if any('finetune' in one for one in results['models'].values()):
                cells.append(cell(*interval_cell(tuned)))
            table.append((model['control'], name, pooling, cells))
    marked_best([cells for *_, cells in table])
    rows = [
        {'control': control, 'cells': [{'text': name}, {'text': pooling}, *cells]}
        for control, name, pooling, cells in table
    ]
    heads = ['model', 'pooling', *(title for title, _ in columns)]
    caption = CAPTION
    if any('finetune' in one for one in results['models'].values()):
        heads, caption = [*heads, 'fine-tuned'], f'{CAPTION} {TUNED}'
    return {'title': TITLE, 'heads': heads, 'rows': rows, 'caption': caption}


def _columns(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the columns there is something for, and how each is read."""
    some = next(iter(results['models'].values()))
    found = some['poolings'][some['pooling']]
    columns: list[tuple[str, Any]] = [
        ('kNN-20', lambda f: interval_cell(f['knn']['cosine_20'])),
        ('kNN-5', lambda f: interval_cell(f['knn']['euclidean_5'])),
    ]
    for share in found.get('linear', {}):
        title = f'linear {100 * float(share):g} %'
        columns.append((title, lambda f, share=share: _spread(f['linear'][share])))
    if 'robustness' in found:
        columns.append(('scales', lambda f: interval_cell(_first(f['robustness'])['mean'])))
        columns.append(('smallest', lambda f: (_first(f['robustness'])['score'][0],)))
    if 'retrieval' in found:
        columns.append(('mAP across', lambda f: (across(f['retrieval']['map']),)))
        columns.append(('same place', lambda f: (across(f['retrieval']['place_1']),)))
    return columns


def across(matrix: Sequence[Sequence[float]]) -> float | None:
    """Average a matrix over query and gallery of different scales.

    Args:
        matrix: Rows are the query's scale, columns the gallery's.
    """
    apart = [v for i, row in enumerate(matrix) for j, v in enumerate(row) if i != j]
    return sum(apart) / len(apart) if apart else None


def _first(ways: Mapping[str, Any]) -> Any:
    return next(iter(ways.values()))


def _spread(found: Mapping[str, Any]) -> tuple[float, str]:
    return found['score'], '' if found['std'] is None else f'± {100 * found["std"]:.1f}'


def _warnings(results: Mapping[str, Any]) -> list[str]:
    said = [*results['data']['warnings']]
    said += [f'left out: {path}: {reason}' for path, reason in results['data']['rejected'][:10]]
    for name, model in results['models'].items():
        said += [f'{name}: {warning}' for warning in model['warnings']]
        for pooling, found in model['poolings'].items():
            if found['collapse']['collapsed']:
                said.append(f'{name}, {pooling}: {found["collapse"]["verdict"]}')
    return said


def _sections(
    results: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Path]], folder: Path
) -> list[dict[str, Any]]:
    models = results['models']
    some = next(iter(models.values()))
    found = some['poolings'][some['pooling']]
    sections = []
    if 'robustness' in found:
        path = figures.draw_curves(
            models, results['data']['gsd'], score_name(results), folder / 'robustness.png'
        )
        shown = {'Accuracy against scale. Bands are 95 % intervals.': path, **pictures['scales']}
        sections.append(section('Where does it break?', ROBUSTNESS, shown))
    if 'retrieval' in found:
        sections.append(section('Across scales', RETRIEVAL, _matrices(results, folder)))
    sections.append(section('Nearest neighbours across scales', STRIPS, pictures['strips']))
    if pictures['maps']:
        sections.append(section('What the tokens see', MAPS, pictures['maps']))
    if any('reconstruct' in model for model in models.values()):
        path = figures.draw_errors(models, results['data']['gsd'], folder / 'reconstruct.png')
        shown = {'Errors of each decoder, and of answers without a model (dotted).': path}
        shown.update(pictures['made'])
        sections.append(section('Reconstruction', RECONSTRUCTION, shown))
    if not results['data']['multilabel']:
        sections.append(section('What is taken for what', CONFUSION, _confusions(results, folder)))
    sections.append(_health(results, folder))
    tuned = [(n, one['finetune']) for n, one in models.items() if 'finetune' in one]
    if tuned:
        rows = training_table([(name, 'fine-tuned', one['training']) for name, one in tuned])
        sections.append(section('How they were fine-tuned', TUNED, {}, rows))
    return sections


#: What each section says.
ROBUSTNESS = (
    'Query images are averaged over coarser pixels and looked for among training images at full '
    'scale (Scale-MAE’s protocol). At native size the encoder gets fewer pixels; enlarged, the '
    'image is brought back to its size first. An encoder that takes one size only gets it enlarged.'
)
RETRIEVAL = (
    'Each test image at one scale looks for test images of its class, itself left out, at another '
    '(mean average precision), and for itself (same place, recall@1).'
)
STRIPS = (
    'Queries at the coarsest scale (left) and the training images nearest to them at full scale; '
    'green frames are of the query’s class, red ones are not.'
)
MAPS = (
    'The three directions in which tokens vary most, as red, green and blue, the same for all '
    'images and scales of a model: ground that keeps its colour keeps its features.'
)
RECONSTRUCTION = (
    'Three of four patches are hidden and predicted, of images made coarser and enlarged again; '
    'errors are in standard deviations of the training data. A model trained on patches that are '
    'normalised by themselves is told the mean and the deviation of each hidden patch; the notes '
    'below say which.'
)
CONFUSION = 'Share in % of the images of each class (row) by 20 nearest neighbours at full scale.'
HEALTH = (
    'feature_std is 1 where features point everywhere alike and 0 where all are the same; '
    'effective_rank counts the directions in which they vary; cosine is that of two images. NMI of '
    'attention is 0 where every token attends to the same ones, and higher the more queries differ.'
)


def _matrices(results: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    shown = {}
    for number, (name, model) in enumerate(results['models'].items()):
        found = model['poolings'][model['pooling']]['retrieval']
        scales = [f'{100 * scale:g} %' for scale in found['scales']]
        for kind, title in (('map', 'class, mAP'), ('place_1', 'same place, recall@1')):
            path = folder / f'retrieval_{kind}_{number}.png'
            labels = ('query at', 'gallery at', title)
            figures.draw_matrix(found[kind], scales, scales, labels, path)
            shown[f'{name}: {title}, in %'] = path
    return shown


def _confusions(results: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    shown, classes = {}, results['data']['classes']
    for number, (name, model) in enumerate(results['models'].items()):
        table = model['poolings'][model['pooling']]['knn']['cosine_20']['confusion']
        path = folder / f'confusion_{number}.png'
        figures.draw_matrix(table, classes, classes, ('true', 'taken for', name), path)
        shown[name] = path
    return shown


def _health(results: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    models = results['models']
    shown = {}
    if any(model.get('attention_nmi') for model in models.values()):
        path = figures.draw_attention(models, folder / 'attention.png')
        shown['Each head of each block (dots), and their mean.'] = path
    heads = ['model', 'pooling', 'dimensions', 'feature_std', 'effective_rank', 'cosine', 'verdict']
    rows = []
    for name, model in models.items():
        for pooling, found in model['poolings'].items():
            own = found['collapse']
            numbers = [own['feature_std'], own['effective_rank'], own['mean_cosine']]
            texts = [f'{number:.3g}' for number in numbers]
            rows.append([name, pooling, found['dimensions'], *texts, own['verdict']])
    return section('Are the features healthy?', HEALTH, shown, {'heads': heads, 'rows': rows})
