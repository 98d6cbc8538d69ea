"""Names of file formats other than torch.save, by the first and last bytes of a file."""

import os
import re
import zipfile

__all__ = ['foreign', 'foreign_pickle', 'is_safetensors', 'pickle_protocol', 'pickles_module']

TENSORFLOW = 'is a checkpoint of TensorFlow: convert it to PyTorch with its own code'
UNPACK = 'unpack it and use the file inside'
PACKED = {b'\x1f\x8b': 'gzip', b'BZh': 'bzip2', b'\xfd7zXZ': 'xz', b'\x28\xb5\x2f\xfd': 'zstd'}
BEGINNINGS = {  # first bytes -> format and advice
    b'version https://git-lfs': 'is a git-lfs pointer: get the file with git lfs pull',
    b'\x89HDF\r\n\x1a\n': 'is an HDF5 file, as written by Keras: convert it to PyTorch with its own code',
    b'\x93NUMPY': 'is a NumPy array: convert it to a state dict with its own code',
    b'GGUF': 'is a GGUF file of llama.cpp: use the PyTorch or safetensors file of the model',
    b'7z\xbc\xaf': f'is a 7z archive: {UNPACK}',
    b'Rar!': f'is a RAR archive: {UNPACK}',
    **{beginning: f'is compressed by {name}: {UNPACK}' for beginning, name in PACKED.items()},
}
ARCHIVES = {  # a name in a zip file -> format and advice
    'constants.pkl': 'is a TorchScript archive, which is code with tensors: save its tensors with '
    'torch.save(torch.jit.load(PATH).state_dict(), NEW_PATH) if you trust it',
    'archive_format': 'is a program of torch.export, which is code with tensors: save its state_dict with torch.save',
    'data.pkl': '',
}
TABLE_END = bytes.fromhex('57fb808b247547db')  # end of a TensorFlow table
TORCH_MAGIC = bytes.fromhex('6cfc9c46f9206aa85019')  # torch.save before torch 1.6


def foreign(path: str) -> str:
    """Return the format and advice as a clause after "it", or '' for torch.save and unknown formats."""
    size = os.path.getsize(path)
    if not size:
        return 'is empty: download or copy it again'
    with open(path, 'rb') as file:
        head = file.read(512)
        file.seek(max(size - len(TABLE_END), 0))
        end = file.read()
    for beginning, what in BEGINNINGS.items():
        if head.startswith(beginning):
            return what
    if head[257:262] == b'ustar':
        return f'is a tar archive: {UNPACK}'
    if end == TABLE_END or re.search(r'\.data-\d{5}-of-\d{5}$', path):
        return TENSORFLOW
    if zipfile.is_zipfile(path):
        return _archive(path)
    if re.match(rb'\x08[\x01-\x1f][\x12:]', head) or path.endswith('.onnx'):
        return 'is an ONNX model, a graph with renamed tensors: use the PyTorch file of its export'
    return _text(head)


def foreign_pickle(path: str) -> str:
    """Return the same clause for a pickle."""
    with open(path, 'rb') as file:
        head = file.read(64)
    if head[:1] != b'\x80' or TORCH_MAGIC in head:
        return ''
    return 'is a pickle that torch.save did not write: load it with its own code and torch.save its tensors'


def _archive(path: str) -> str:
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
    inside = {name.partition('/')[2] for name in names}
    if (known := next((what for name, what in ARCHIVES.items() if name in inside), None)) is not None:
        return known
    if names and all(name.endswith('.npy') for name in names):
        return 'is a NumPy archive (.npz), as written by JAX code: convert it to PyTorch with its own code'
    more = f' and {len(names) - 3} more' if len(names) > 3 else ''
    return f'is a zip archive that torch.save did not write, of {", ".join(names[:3]) or "nothing"}{more}: {UNPACK}'


def _text(head: bytes) -> str:
    text = head.decode('utf-8', errors='replace').strip().strip('\ufeff')
    if re.match(r'<(!doctype html|html|\?xml|!--)', text, re.IGNORECASE):
        return 'is a web page: download the file itself'
    odd = sum(
        not (char.isprintable() or char.isspace()) or char == '\ufffd' for char in text
    )  # the last character may be cut
    return f'is a text file that starts with {text[:40]!r}' if 20 * odd < len(text) else ''


def is_safetensors(path: str) -> bool:
    """Return whether a file starts with the header of safetensors: its length (8 bytes), then JSON."""
    with open(path, 'rb') as file:
        head = file.read(10)
    return head[8:10] in (b'{"', b'{}', b'{ ') and 2 <= int.from_bytes(head[:8], 'little') <= 100_000_000


def pickles_module(path: str) -> bool:
    """Return whether a file of torch.save contains a pickled nn.Module, without unpickling it."""
    data = _pickle_in(path)
    # pickle writes the length before each string
    return all(re.search(rb'%c(\0\0\0)?%s' % (len(name), name), data) for name in (b'_parameters', b'_modules'))


def pickle_protocol(path: str) -> int:
    """Return the pickle protocol of a file of torch.save; torch reads only 2 without running code."""
    data = _pickle_in(path)
    return data[1] if data[:1] == b'\x80' else 0


def _pickle_in(path: str) -> bytes:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            name = next((name for name in file.namelist() if name.endswith('/data.pkl')), None)
            return file.read(name) if name else b''
    with open(path, 'rb') as file:
        return file.read(1 << 24)
