"""What a request takes of the machine's memory, so that it is refused before it fills it."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from lib.errors import UserError
from lib.tf import tf

try:
    import resource
except ImportError:  # Windows
    resource = None

OWN_GROUPS, CONTROL_GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

# In float32: itself, its gradient, two moments of the optimizer, and a copy in passing.
BYTES_A_WEIGHT = 5 * 4

# What a pixel takes until it is in a file: of a grid, enlarged and in colours; of a data set; of an
# animation, enlarged.
PICTURE, ARRAY, ANIMATION = 110, 12, 45

# What training data takes, times its size: the array, the tensor that is drawn from, and a copy in
# passing; and what 10,000 images take to be drawn and scored.
DATA, SCORING = 3, 1.4e9


def require(need: int, what: str, advice: str) -> None:
    """Refuse what takes `need` bytes where they aren't there.

    Raises:
        UserError: it says that `what` takes too much, and gives the advice.
    """
    free = available()
    if need > free:
        raise UserError(
            f"{what} takes about {need / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are "
            f"free: {advice}, or close other programs"
        )


def available() -> float:
    """The bytes of memory that this process may still take; inf if unknown.

    Of the machine, of the container or the job, and under `ulimit -v` and `-d`.
    """
    free = table("/proc/meminfo").get("MemAvailable", math.inf) * 1024
    for group, limit, pinned in control_groups():
        try:
            most = int((group / limit).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
        free = min(free, most - table(group / "memory.stat").get(pinned, 0))
    if resource:
        used = table("/proc/self/status")
        for limit, name in (resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData"):
            most, _ = resource.getrlimit(limit)
            if most != resource.RLIM_INFINITY:
                free = min(free, most - 1024 * used.get(name, 0))
    return max(0, free)


def control_groups() -> Iterator[tuple[Path, str, str]]:
    """Those that may limit this process: its own, and all around it.

    Yields:
        A group's folder, its file with the limit, and what its memory.stat calls the memory that
        can't be given back.
    """
    for line in lines(OWN_GROUPS):
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):  # version 1
            root, names = CONTROL_GROUPS / "memory", ("memory.limit_in_bytes", "total_rss")
        elif not controllers:
            root, names = CONTROL_GROUPS, ("memory.max", "anon")
        else:
            continue
        own = root / path.lstrip("/")
        for group in own, *own.parents:
            yield group, *names
            if group == root:
                break


def table(path: str | Path) -> dict[str, int]:
    """The whole numbers by name in a file of the kernel's; empty where there is none."""
    rows = [line.split() for line in lines(path)]
    return {row[0].rstrip(":"): int(row[1]) for row in rows if row[1:] and row[1].isdecimal()}


def lines(path: str | Path) -> list[str]:
    """The lines of a file of the kernel's; none where it isn't there."""
    try:
        return os.fsdecode(Path(path).read_bytes()).split("\n")[:-1]  # names may have a \r
    except OSError:
        return []


def require_for_generator(inputs: int, image_size: int) -> None:
    """Refuse a generator whose first layer, the one that grows, can't be trained here.

    Raises:
        UserError: as `require`.
    """
    require(
        BYTES_A_WEIGHT * inputs * 8 * image_size**2,
        f"a generator from {inputs:,} inputs to images of side {image_size:,}",
        "choose a smaller --latent-size, or smaller images",
    )


def require_for_training(generator, discriminator, params) -> None:
    """Refuse a batch that the memory can't hold; unknown, and not refused, on a GPU.

    Args:
        generator, discriminator: models.
        params: batch_size, of all replicas; n_critic where there is one.

    Raises:
        UserError: as `require`.
    """
    if tf.config.list_logical_devices("GPU"):
        return
    strategy = tf.distribute.get_strategy()
    here = strategy.extended.worker_devices if tf.distribute.has_strategy() else ["the one"]
    batch_size = params.batch_size * len(here) // strategy.num_replicas_in_sync
    n_critic = getattr(params, "n_critic", 1)
    require(
        of_training(generator, discriminator, batch_size, n_critic, len(here)),
        f"training with --batch-size={params.batch_size}"
        + (f" and --n-critic={n_critic}" if n_critic > 1 else ""),
        "choose less, or smaller images",
    )


def of_training(
    generator, discriminator, batch_size: int, n_critic: int = 1, replicas: int = 1
) -> int:
    """The bytes that training takes at its peak, beside the data.

    The layers' outputs wait for the backward pass. The factors were measured on the five scripts
    at batches from 1 to 512, sides from 28 to 256, latent sizes from 100 to 20,000 and 1 to 40
    updates of the critic: where it matters, the peak was 0.7 to 1.1 times this.

    Args:
        generator, discriminator: models.
        batch_size: images a batch, of all replicas together.
        n_critic: updates of the discriminator a step; each has its own place in the graph.
        replicas: how many hold the weights.
    """
    weights = BYTES_A_WEIGHT * (generator.count_params() + discriminator.count_params())
    outputs = bytes_an_image(generator) + bytes_an_image(discriminator)
    return round(weights * replicas + batch_size * outputs * (1.1 + 0.15 * n_critic))


def require_for_scoring(advice: str) -> None:
    """Refuse to score where the memory can't hold what that takes.

    Raises:
        UserError: as `require`.
    """
    require(SCORING, "scoring 10,000 images", advice)


def require_for_sampling(generator, count: int, bytes_a_pixel: int) -> None:
    """Refuse more images at once than the memory can hold.

    Raises:
        UserError: as `require`.
    """
    require(of_sampling(generator, count, bytes_a_pixel), f"--count={count:,}", "choose less")


def of_sampling(generator, count: int, bytes_a_pixel: int) -> int:
    """The bytes that images take at their peak, from the noise to the file.

    The factors were measured at 400 to 100,000 images of sides from 4 to 128: where it matters,
    the peak was 0.7 to 1.0 times this.

    Args:
        generator: a Model as `gan.generator` builds it.
        count: images, which are drawn 32 at a time.
        bytes_a_pixel: of their file, PICTURE, ARRAY or ANIMATION.
    """
    inputs = sum(tensor.shape[1] for tensor in generator.inputs)
    pixels = (generator.output_shape[1] + 2) ** 2
    kept = count * (16 * inputs + bytes_a_pixel * pixels)
    return kept + min(count, 32) * bytes_an_image(generator)


def bytes_an_image(model) -> int:
    """The size of all layers' outputs for one image."""
    outputs = [layer.output for layer in model.layers]
    return sum(math.prod(output.shape[1:]) * tf.as_dtype(output.dtype).size for output in outputs)
