"""Images for an encoder: cut into patches, each patch a "word".

Paper: Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale" (§3.1).
The images are the 1,797 handwritten digits of 8 × 8 pixels that come with scikit-learn: the test part of the UCI set
"Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998).

Axes: B batch, C channels, S patches, P numbers in a patch.
Left out: convolutional stems, augmentation, two-dimensional positions (the paper found no gain from these, its appendix D.4).
"""

import torch
from torch import Tensor

from lablib.architecture.reader import Split


def patches(images: Tensor, size: int) -> Tensor:
    """Images cut into squares of size × size pixels, row by row from the top left.

    Args: images (B, C, height, width); size divides height and width.
    Returns: (B, S, P), S = height/size · width/size patches of P = C·size² numbers: a channel after the other, row by row.
    Raises: ValueError: images is not four-dimensional or has an empty axis; size does not divide its height and width.

    >>> patches(torch.arange(8).view(1, 1, 2, 4), size=2)
    tensor([[[0, 1, 4, 5],
             [2, 3, 6, 7]]])
    """
    if images.dim() != 4 or 0 in images.shape:
        raise ValueError(
            f"images has shape {tuple(images.shape)}: expected (B, C, height, width), each at least 1; "
            "grey images without the axis of channels need images[:, None]"
        )
    B, C, height, width = images.shape
    if size < 1 or height % size or width % size:
        raise ValueError(
            f"size = {size} does not cut images of {height} × {width} pixels evenly: expected a divisor of "
            f"both, such as {_divisor(height, width, size)}; or pad the images"
        )
    grid = images.reshape(B, C, height // size, size, width // size, size)  # (B, C, height, width) -> …
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * size * size)  # (B, S, P)


def unpatch(pieces: Tensor, size: int, height: int) -> Tensor:
    """The images that were cut: `unpatch(patches(images, size), size, height)` is `images`.

    Args: pieces (B, S, P) as `patches` makes them; height of the images in pixels, of which size is a divisor.
    Returns: (B, C, height, width).
    Raises: ValueError: pieces do not fill such images.

    >>> unpatch(torch.tensor([[[0, 1, 4, 5], [2, 3, 6, 7]]]), size=2, height=2)
    tensor([[[[0, 1, 2, 3],
              [4, 5, 6, 7]]]])
    """
    if pieces.dim() != 3 or 0 in pieces.shape:
        raise ValueError(f"pieces has shape {tuple(pieces.shape)}: expected (B, S, P), as `patches` returns them")
    B, S, P = pieces.shape
    if size < 1 or height < 1 or height % size or S % (height // size) or P % size**2:
        raise ValueError(
            f"S = {S} patches of P = {P} numbers do not fill images of height = {height} in squares of size = {size}: "
            "expected size to divide height, height/size to divide S, and size² to divide P; give what `patches` was given"
        )
    down, C = height // size, P // size**2
    grid = pieces.reshape(B, down, S // down, C, size, size)  # (B, S, P) -> (B, down, across, C, size, size)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(B, C, height, -1)  # (B, C, height, width)


def shuffle_each(pieces: Tensor, generator: torch.Generator) -> Tensor:
    """The pieces (B, S, P) of each image in an order of its own: what they show stays, where they stood is lost."""
    order = torch.rand(pieces.shape[:2], generator=generator).argsort(dim=1)  # (B, S)
    return pieces.gather(1, order[..., None].expand_as(pieces))  # (B, S, P)


def digits(seed: int, test_share: float = 0.25) -> Split:
    """scikit-learn's handwritten digits: images (N, 1, 8, 8) from 0 to 1, classes (N,) from 0 to 9.

    The split is random by `seed` and stratified: each digit has the same share in both parts. It is easier than the UCI
    set's own split, which tests on writers that training has not seen; scikit-learn's copy does not say who wrote what.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)  # (1797, 64), (1797,)
    parts = train_test_split(images, labels, test_size=test_share, random_state=seed, stratify=labels)
    train_x, test_x = (torch.tensor(part, dtype=torch.float32).view(-1, 1, 8, 8) / 16 for part in parts[:2])
    return Split(train_x, torch.tensor(parts[2]), test_x, torch.tensor(parts[3]))


def baselines(data: Split) -> dict[str, float]:
    """Held-out accuracy of three classifiers that see an example as one row of numbers, with scikit-learn's own settings.

    Logistic regression (up to 1,000 steps), the 3 nearest neighbours, and a support-vector machine with a Gaussian kernel.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    models = {
        "logistic regression": LogisticRegression(max_iter=1000),
        "3 nearest neighbours": KNeighborsClassifier(n_neighbors=3),
        "support-vector machine": SVC(),
    }
    train_x, test_x = data.train_x.flatten(1).numpy(), data.test_x.flatten(1).numpy()  # (N, …) -> (N, P)
    return {
        name: float(model.fit(train_x, data.train_y.numpy()).score(test_x, data.test_y.numpy()))
        for name, model in models.items()
    }


def _divisor(height: int, width: int, near: int) -> int:
    """The common divisor of height and width that is closest to `near`."""
    return min((n for n in range(1, height + 1) if height % n == width % n == 0), key=lambda n: abs(n - near))
