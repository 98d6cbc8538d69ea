import gzip
import hashlib
import struct

import numpy as np
import pytest

from mixpro_mm.datasets import fashion_mnist


def tiny_files():
    """Return 40 training and 20 test images in the format of Fashion-MNIST: rectangles, wider from class to class."""
    files = {}
    for part, each in (('train', 4), ('t10k', 2)):
        labels = np.tile(np.arange(10, dtype=np.uint8), each)
        images = np.zeros((len(labels), 28, 28), dtype=np.uint8)
        for n, label in enumerate(labels):
            images[n, 2:26, 4 : 12 + label] = 20 + 5 * n + (part == 't10k')
        header = struct.pack('>4i', 0x803, *images.shape), struct.pack('>2i', 0x801, len(labels))
        files[f'{part}-images-idx3-ubyte'] = header[0] + images.tobytes()
        files[f'{part}-labels-idx1-ubyte'] = header[1] + labels.tobytes()
    return files


def write_files(folder, suffix=''):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tiny_files().items():
        (folder / f'{name}{suffix}').write_bytes(gzip.compress(content) if suffix else content)
    return folder


@pytest.fixture(scope='module')
def tiny_fashion(tmp_path_factory):
    """Folder of a tiny Fashion-MNIST, whose checksums replace those of the real one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, content in tiny_files().items():
            patch.setitem(fashion_mnist.SHA256, name, hashlib.sha256(content).hexdigest())
        yield write_files(tmp_path_factory.mktemp('data') / 'fashion-mnist', '.gz')
