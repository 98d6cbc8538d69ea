"""The command that fetches Fashion-MNIST: ``python -m mixpro_mm.datasets.fashion_mnist [data/fashion-mnist]``."""

import argparse
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from mixpro_mm.datasets.fashion_mnist import INSTALLED, SHA256, read_file

__all__ = ['fetch_fashion_mnist', 'main']

PACKAGE = 'dataset-fashion-mnist'  # of Debian


def _from_debian(folder: Path) -> Path:
    if Path('/', INSTALLED).is_dir():
        return Path('/')
    for command in (f'apt-get download -o Acquire::http::Timeout=30 {PACKAGE}', f'dpkg-deb -x {PACKAGE}_*.deb .'):
        done = subprocess.run(command, shell=True, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            last = ([line for line in done.stderr.splitlines() if line.strip()] or ['no output'])[-1]
            raise OSError(f'{command.split()[0]} stopped with exit code {done.returncode}: {last.strip()}')
    return folder


def _from_torchvision(folder: Path) -> Path:
    from torchvision.datasets import FashionMNIST as Torchvision

    Torchvision(folder, download=True)
    return folder


def fetch_fashion_mnist(root) -> bool:
    """Fetch the four files to ``root`` unless they are there; the folder appears complete or not at all.

    Tried in this order, with one sentence for each that fails: ``root`` itself, Debian's package (installed, or
    unpacked without root privileges), torchvision's download.

    Returns:
        Whether ``root`` has the files now.

    Raises:
        ValueError: ``root`` has other content.
    """
    root = Path(root).resolve()
    try:
        for name in SHA256:
            read_file(root, name)
        print(f'{root} has Fashion-MNIST')
        return True
    except FileNotFoundError as error:
        if root.is_dir() and any(root.iterdir()):
            raise ValueError(f'{root} is not empty, but incomplete: remove it or name another folder') from error
    root.parent.mkdir(parents=True, exist_ok=True)
    for title, source in (("Debian's package", _from_debian), ("torchvision's download", _from_torchvision)):
        print(f'Fashion-MNIST from {title}', flush=True)
        with tempfile.TemporaryDirectory(dir=root.parent, prefix=f'.{root.name}-') as temporary:
            draft = Path(temporary, 'complete')
            draft.mkdir()
            try:
                found = source(Path(temporary))
                for name in SHA256:
                    path, _ = read_file(found, name)
                    shutil.copyfile(path, draft / path.name)
            except (OSError, RuntimeError, ValueError) as error:
                print(f'{title} failed: {" ".join(str(error).split())}', flush=True)
                continue
            draft.rename(root)
            print(f'{root} has Fashion-MNIST')
            return True
    return False


def main(argv=None) -> int:
    """Fetch Fashion-MNIST."""
    parser = argparse.ArgumentParser(description='Fetch Fashion-MNIST from Debian or by torchvision.')
    parser.add_argument('root', type=Path, nargs='?', default=Path('data/fashion-mnist'), help='%(default)s')
    args = parser.parse_args(argv)
    socket.setdefaulttimeout(30)  # seconds; torchvision waits without end
    try:
        if fetch_fashion_mnist(args.root):
            return 0
        print(f'Fashion-MNIST is not available: copy its four idx files to {args.root}, or use the digits')
    except ValueError as error:
        print(error)
    return 1


if __name__ == '__main__':
    raise SystemExit(main())
