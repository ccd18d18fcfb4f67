"""Who may import whom, and what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / 'xscale'

#: Each part, and the parts of ours it may import besides types and errors.
MAY_IMPORT: dict[str, set[str]] = {
    'types': set(),
    'errors': set(),
    'geo': set(),
    'recipes': set(),
    'seeds': set(),
    'class_colours': set(),
    'models': {'transforms', '__init__'},
    'transforms': set(),
    'objectives': {'models'},
    'encoders': {'models', 'transforms', '__init__'},
    'evaluation': {'class_colours', 'transforms'},
    'comparison': {'datasets', 'encoders', 'evaluation', 'models', 'tuning'},
    # What is compared after training on labels needs what trains: tasks and data modules.
    'tuning': {
        'datamodules',
        'datasets',
        'encoders',
        'evaluation',
        'models',
        'recipes',
        'tasks',
        'transforms',
    },
    'datasets': {'class_colours', 'geo', 'recipes'},
    'inference': {'class_colours', 'datasets', 'geo', 'models', 'transforms'},
    'samplers': {'datasets', 'geo'},
    'datamodules': {'geo', 'datasets', 'samplers', 'seeds', 'transforms'},
    # Nearest neighbours during pretraining take labelled images (datasets) in their own units
    # (encoders), as the command that evaluates does.
    'tasks': {
        'datasets',
        'encoders',
        'evaluation',
        'models',
        'objectives',
        'seeds',
        'transforms',
    },
}

#: Parts that run where neither rasterio nor TorchGeo is.
LIGHT = {'models', 'objectives', 'transforms', 'evaluation', 'types', 'errors'}
HEAVY = {'torchgeo', 'rasterio', 'geopandas', 'lightning', 'pyproj', 'shapely'}


def imports(path: Path) -> set[str]:
    """Return what a file imports: our parts as ``.part``, others by their top-level name."""
    found = set()
    inside = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or '').split('.')[0])
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                whole = [*base, *name.split('.')]
                part = whole[0] if (PACKAGE / whole[0]).exists() or len(whole) > 1 else None
                part = part or (whole[0] if (PACKAGE / f'{whole[0]}.py').exists() else '__init__')
                found.add(f'.{part}')
    return found


@pytest.mark.parametrize('part', MAY_IMPORT)
def test_layers(part: str) -> None:
    files = [PACKAGE / f'{part}.py'] if (PACKAGE / f'{part}.py').exists() else []
    files += (PACKAGE / part).rglob('*.py')
    assert files
    allowed = {f'.{name}' for name in MAY_IMPORT[part] | {part, 'types', 'errors'}}
    for file in files:
        found = imports(file)
        ours = {name for name in found if name.startswith('.')}
        assert ours <= allowed, f'{file}: {sorted(ours - allowed)}'
        if part in LIGHT:
            assert not found & HEAVY, f'{file}: {sorted(found & HEAVY)}'


def test_every_part_has_a_rule() -> None:
    parts = {p.stem for p in PACKAGE.iterdir() if p.is_dir() or p.suffix == '.py'}
    free = {'__init__', '__main__', '__pycache__', 'cli', 'commands', 'py'}
    assert parts - free == set(MAY_IMPORT)


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, '-c', code], check=True, capture_output=True, text=True
    ).stdout


def test_importing_is_cheap() -> None:
    loaded = run(
        'import sys, xscale, xscale.cli; xscale.cli.parser().format_help(); print(*sys.modules)'
    )
    assert not {'torch', 'numpy', 'timm', *HEAVY} & set(loaded.split())


def test_models_need_no_torchgeo() -> None:
    loaded = run('import sys, xscale.models, xscale.objectives; print(*sys.modules)')
    assert not HEAVY & set(loaded.split())
    # Encoders to compare load TorchGeo's models only when one is asked for.
    code = "import xscale; xscale.find_encoder('image-stats', bands='a', dtype='uint8')"
    assert not HEAVY & set(run(f'{code}; import sys; print(*sys.modules)').split())
    assert run('import xscale; print(xscale.load.__name__)').strip() == 'load'
