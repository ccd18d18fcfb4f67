"""Write a tiny LandCover.ai as its archive of tiles unpacks: JPEGs, masks, and lists of splits."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

VALUES = {'red': 40, 'green': 90, 'blue': 160}


def write(root: Path, side: int = 64) -> Path:
    """Write two tiles of one colour for each split, with all five classes in each mask."""
    folder = root / 'output'
    folder.mkdir(parents=True)
    picture = Image.fromarray(np.full((side, side, 3), list(VALUES.values()), np.uint8))
    mask = Image.fromarray((np.arange(side * side).reshape(side, side) % 5).astype(np.uint8))
    for number, split in enumerate(('train', 'val', 'test')):
        names = [f'M-33-20-D-c-4-2_{2 * number + one}' for one in range(2)]
        (root / f'{split}.txt').write_text('\n'.join(names))
        for name in names:
            picture.save(folder / f'{name}.jpg', quality=100, subsampling=0)
            mask.save(folder / f'{name}_m.png')
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
