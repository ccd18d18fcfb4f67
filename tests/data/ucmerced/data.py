"""Write a tiny UC Merced as TorchGeo's class unpacks it: TIFFs by class, and lists of splits."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = (
    *('agricultural', 'airplane', 'baseballdiamond', 'beach', 'buildings', 'chaparral'),
    *('denseresidential', 'forest', 'freeway', 'golfcourse', 'harbor', 'intersection'),
    *('mediumresidential', 'mobilehomepark', 'overpass', 'parkinglot', 'river', 'runway'),
    *('sparseresidential', 'storagetanks', 'tenniscourt'),
)

VALUES = {'red': 40, 'green': 90, 'blue': 160}


def write(root: Path, side: int = 32) -> Path:
    """Write an image of each class for each split, all of one colour."""
    picture = Image.fromarray(np.full((side, side, 3), list(VALUES.values()), np.uint8))
    folder = root / 'UCMerced_LandUse' / 'Images'
    for number, split in enumerate(('train', 'val', 'test')):
        names = [f'{name}{number:02d}.tif' for name in CLASSES]
        for name in names:
            (folder / name[:-6]).mkdir(parents=True, exist_ok=True)
            picture.save(folder / name[:-6] / name)
        (root / f'uc_merced-{split}.txt').write_text('\n'.join(names))
    return root


if __name__ == '__main__':
    write(Path(sys.argv[1]))
