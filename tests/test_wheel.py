"""The wheel holds every module and the recipes, and runs on its own."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it."""
    out = tmp_path_factory.mktemp('wheel')
    command = [sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', str(out)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (wheel,) = out.glob('xscale-*.whl')
    zipfile.ZipFile(wheel).extractall(out / 'site')
    return out / 'site'


def test_holds_everything(site: Path) -> None:
    modules = {p.relative_to(ROOT) for p in (ROOT / 'xscale').rglob('*.py')}
    assert all((site / module).is_file() for module in modules)
    for folder in ('tasks', 'datasets'):
        for recipe in (ROOT / folder).rglob('*.*'):
            inside = site / 'xscale' / 'recipes' / recipe.relative_to(ROOT)
            assert inside.read_text() == recipe.read_text()


def test_runs_a_recipe_by_name(site: Path, tmp_path: Path) -> None:
    """From another folder, with the package taken from the wheel."""
    code = (
        f'import sys; sys.path.insert(0, {str(site)!r}); import xscale\n'
        f'assert xscale.__file__.startswith({str(site)!r}), xscale.__file__\n'
        'from xscale.cli import main\n'
        'from xscale.datasets.rules import bundled_rules, load_rules\n'
        'assert bundled_rules() and load_rules("datasets/rules/template.yaml")\n'
        "main(['fit', '-c', 'tasks/pretrain/mae.yaml', '-c', 'datasets/folder.yaml',"
        " '--print_config'])"
    )
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert 'objective: MAE' in result.stdout
    assert 'tile_size: 256' in result.stdout
