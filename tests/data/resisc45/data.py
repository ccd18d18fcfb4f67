"""Write a tiny RESISC45 as TorchGeo's class unpacks it: JPEGs by class, and lists of splits."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

#: The classes are 45; what they are called matters to nobody here.
CLASSES = tuple(f'scene_{number:02d}' for number in range(45))

VALUES = {'red': 40, 'green': 90, 'blue': 160}


def write(root: Path, side: int = 32) -> Path:
    """Write an image of each class for each split, all of one colour."""
    picture = Image.fromarray(np.full((side, side, 3), list(VALUES.values()), np.uint8))
    for number, split in enumerate(('train', 'val', 'test'), 1):
        names = [f'{name}_{number:03d}.jpg' for name in CLASSES]
        for name in names:
            folder = root / 'NWPU-RESISC45' / name.rsplit('_', 1)[0]
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / name, quality=100, subsampling=0)
        (root / f'resisc45-{split}.txt').write_text('\n'.join(names))
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
