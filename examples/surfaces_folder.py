"""Write drawn parts as image files, as an inspection line would leave them: a folder per class, masks beside.

python examples/surfaces_folder.py PARTS 128x500    (by default PARTS 64x50, which takes seconds)
"""

import sys
from pathlib import Path

from robustbench_lite.data.surfaces import write_folder

if __name__ == "__main__":
    folder, argument = (*sys.argv[1:], *("PARTS", "64x50")[len(sys.argv) - 1 :])
    count = write_folder(Path(folder), argument)
    print(f"{count} pictures: {folder}/train/good, {folder}/val/good, {folder}/test/CLASS; {folder}/masks/CLASS")
